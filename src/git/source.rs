//! The repository that jobs work on: a copy of it on this machine, checkouts made from that, and the
//! tags of good builds.
//!
//! It is no hub: nothing of it is read as a document, and what a queue says about it (a branch, a
//! commit) is only ever looked up. All of it goes through the git program, with the user's access.

use super::build_tags::{BUILD_TAG_PREFIX, BuildTag, is_name, place_of, tags_in};
use super::cache::copy_name;
use super::classify::{is_about_room, without_passwords};
use super::identity::Identity;
use super::program::GitProgram;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::Location;
use crate::machine::Deadline;
use crate::machine::file_lock::{FileLock, NotLocked};
use crate::machine::files::FileError;
use crate::machine::process::Finished;
use crate::machine::{asked, environment, files};
use std::path::{Path, PathBuf};

/// The most files that a copy has besides its objects.
const FILES_MAX: usize = 1_000_000;

/// How much of a list of tags is read, in bytes: less than is kept of what a program prints.
const TAGS_BYTES_MAX: usize = 4_000_000;

/// The length of a whole id, and of the shortest beginning of one.
const ID_LENGTH: usize = 40;
const ID_LENGTH_MIN: usize = 4;

/// How many objects whose ids begin alike are looked at.
const OBJECTS_ALIKE_MAX: usize = 20;

/// How much of what git says is repeated, in characters.
const TOLD_LENGTH_MAX: usize = 500;

/// Why the source could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// What was asked for is not there.
    #[error("the source `{source_shown}` has no {what}")]
    Missing {
        /// The source.
        source_shown: String,
        /// What.
        what: String,
    },
    /// It holds what no machine like this can check out.
    #[error("what is in the source `{source_shown}` cannot be checked out: {why}")]
    Unusable {
        /// The source.
        source_shown: String,
        /// What git said.
        why: String,
    },
    /// Asked to end while it was sent.
    #[error(
        "the source `{source_shown}` may or may not have the tag `{tag}`: its push was ended, as {} asked this command to end",
        asked::by()
    )]
    Unsettled {
        /// The source.
        source_shown: String,
        /// The tag.
        tag: String,
    },
    /// Anything else.
    #[error("cannot {what} `{source_shown}`: {why}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// The source.
        source_shown: String,
        /// What git said.
        why: String,
    },
    /// The git program.
    #[error(transparent)]
    Git(#[from] LedgerError),
    /// A file of ours.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What git says of names in a commit that no folder of this machine can have.
const UNUSABLE: [&str; 2] = ["invalid path", "File name too long"];

impl SourceError {
    /// Tells what is wrong with a commit from what is wrong with this machine.
    fn of_content(self) -> Self {
        match self {
            Self::Failed { source_shown, why, .. } if UNUSABLE.iter().any(|words| why.contains(words)) => {
                Self::Unusable { source_shown, why }
            }
            other => other,
        }
    }
}

/// What is to be checked out. The commit counts where both are given.
#[derive(Debug, Clone, Copy)]
pub struct WantedCommit<'a> {
    /// A branch.
    pub branch: Option<&'a str>,
    /// A commit, by its id, or a tag.
    pub commit: Option<&'a str>,
}

/// What was checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedOut {
    /// The id of the commit.
    pub commit: String,
}

/// A build to be tagged.
#[derive(Debug, Clone, Copy)]
pub struct GoodBuild<'a> {
    /// The branch that was built.
    pub branch: &'a str,
    /// The commit that was built.
    pub commit: &'a str,
    /// When.
    pub at: Timestamp,
    /// What the tag says.
    pub message: &'a str,
}

/// The source repository of a worker.
#[derive(Debug)]
pub struct Source {
    location: Location,
    copy: PathBuf,
    git: GitProgram,
}

impl Source {
    /// The repository at `location`.
    #[must_use]
    pub fn new(location: Location) -> Self {
        let copy = environment::cache_dir().join("sources").join(copy_name(&location.as_text()));
        Self { location, copy, git: GitProgram::default() }
    }

    /// As people see it: without a password.
    #[must_use]
    pub fn shown(&self) -> String {
        self.location.shown()
    }

    /// Asks the source whether it is there.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn probe(&self, deadline: &Deadline) -> Result<(), SourceError> {
        let url = self.location.as_text();
        self.succeed(&self.nowhere(), "reach", &["ls-remote", "--", &url, "HEAD"], deadline).map(drop)
    }

    /// Makes a repository at `folder`, which is not there yet, with `wanted` checked out. It shares the
    /// objects of the copy and has the branches and tags of the source.
    ///
    /// # Errors
    /// When there is no such branch or commit, or the source cannot be reached.
    pub fn check_out(
        &self,
        wanted: WantedCommit<'_>,
        folder: &Path,
        deadline: &Deadline,
    ) -> Result<CheckedOut, SourceError> {
        let _lock = self.lock(deadline)?;
        let commit = self.find(wanted, deadline)?;
        let own = folder.join(".git");
        let run = |what, arguments: &[&str]| self.succeed(&own, what, arguments, deadline).map(drop);
        let work_tree = format!("--work-tree={}", folder.display());
        let copy = self.copy.display().to_string();
        files::create_dir(folder)?;
        let asked = owned(&["rev-parse", "--show-object-format"]);
        let format = format!("--object-format={}", self.git.run(&self.copy, &asked, deadline)?.stdout.trim());
        run("prepare a checkout of", &["init", "--quiet", "--template=", &format])?;
        let objects = format!("{}\n", self.copy.join("objects").display());
        files::write(&own.join("objects/info/alternates"), &objects)?;
        // Without the tags of good builds: a build that finds one would not be that of before.
        let ours = format!("^refs/tags/{BUILD_TAG_PREFIX}*");
        let refs = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*", &ours];
        run(
            "prepare a checkout of",
            &["fetch", "--quiet", "--no-write-fetch-head", "--no-tags", &copy, refs[0], refs[1], refs[2]],
        )?;
        // Without a password: the job's processes read it.
        run("prepare a checkout of", &["remote", "add", "origin", &self.shown()])?;
        let branch = wanted.branch.filter(|_| wanted.commit.is_none());
        let place = branch.map_or(["--detach", &commit, "--"], |branch| ["-B", branch, &commit]);
        let mut arguments = vec![work_tree.as_str(), "-c", "core.hooksPath=/dev/null"];
        arguments.extend(["-c", "advice.detachedHead=false", "checkout", "--quiet", "--no-track"]);
        arguments.retain(|word| branch.is_some() || *word != "--no-track");
        arguments.extend(place);
        run("check out", &arguments).map_err(SourceError::of_content)?;
        Ok(CheckedOut { commit })
    }

    /// The tags of good builds, of one branch or of all, the newest first.
    ///
    /// # Errors
    /// When the source cannot be reached, or has more of them than are read.
    pub fn build_tags(
        &self,
        branch: Option<&str>,
        deadline: &Deadline,
    ) -> Result<Vec<BuildTag>, SourceError> {
        let of =
            branch.filter(|branch| is_name(branch)).map_or("*".to_owned(), |branch| format!("{branch}-*"));
        let pattern = format!("refs/tags/{BUILD_TAG_PREFIX}{of}");
        let url = self.location.as_text();
        let what = "read the tags of";
        let listed = self.succeed(&self.nowhere(), what, &["ls-remote", "--", &url, &pattern], deadline)?;
        if listed.stdout.len() >= TAGS_BYTES_MAX {
            let why = format!("they take more than {TAGS_BYTES_MAX} bytes; name a branch");
            return Err(SourceError::Failed { what, source_shown: self.shown(), why });
        }
        let mut tags = tags_in(&listed.stdout);
        tags.retain(|tag| branch.is_none_or(|branch| tag.branch == branch));
        Ok(tags)
    }

    /// Tags a good build, and removes the oldest tags of its branch beyond `keep`. Returns the tag, which
    /// may be there already; none when the build is older than all that stay.
    ///
    /// # Errors
    /// When the commit is not there, or the source cannot be reached or refuses.
    pub fn tag_build(
        &self,
        build: GoodBuild<'_>,
        keep: usize,
        deadline: &Deadline,
    ) -> Result<Option<String>, SourceError> {
        let GoodBuild { branch, commit, at, message } = build;
        let _lock = self.lock(deadline)?;
        let wanted = WantedCommit { branch: None, commit: Some(commit) };
        let commit = self.find(wanted, deadline)?;
        let tags = self.build_tags(Some(branch), deadline)?;
        let at = match place_of(&tags, (branch, &commit), at) {
            Ok(there) => return Ok(Some(there.tag.clone())),
            Err(at) => at,
        };
        let name = BuildTag::name(branch, at);
        if tags.iter().filter(|tag| tag.at > at).count() >= keep {
            return Ok(None);
        }
        let who = Identity::of("git-muster", None).committer;
        let (name_is, email_is) =
            (format!("user.name={}", who.name.value), format!("user.email={}", who.email.value));
        let mut tag = vec!["-c", &name_is, "-c", &email_is, "-c", "tag.gpgSign=false", "tag", "--force"];
        tag.extend(["--annotate", "--message", message, &name, &commit]);
        self.succeed(&self.copy, "tag a build in", &tag, deadline)?;
        let place = format!("refs/tags/{name}:refs/tags/{name}");
        let url = self.location.as_text();
        let push = ["push", "--quiet", "--no-verify", "--", &url, &place];
        let pushed = self.succeed(&self.copy, "tag a build in", &push, deadline);
        // Ended in the middle, it may have arrived.
        if matches!(pushed, Err(SourceError::Git(LedgerError::AskedToEnd))) {
            return Err(SourceError::Unsettled { source_shown: self.shown(), tag: name });
        }
        if pushed.is_err() {
            // A tag that nobody else has is none; the next fetch would remove it as well.
            drop(self.succeed(&self.copy, "tag a build in", &["tag", "--delete", &name], deadline));
        }
        pushed?;
        let old: Vec<&BuildTag> = tags.iter().skip(keep.saturating_sub(1)).collect();
        if old.is_empty() {
            return Ok(Some(name));
        }
        let mut push = vec!["push".to_owned(), "--quiet".to_owned(), "--no-verify".to_owned()];
        push.extend(old.iter().map(|tag| format!("--force-with-lease=refs/tags/{}:{}", tag.tag, tag.object)));
        push.extend(["--".to_owned(), url]);
        push.extend(old.iter().map(|tag| format!(":refs/tags/{}", tag.tag)));
        let push: Vec<&str> = push.iter().map(String::as_str).collect();
        self.succeed(&self.copy, "remove old tags of builds in", &push, deadline)?;
        Ok(Some(name))
    }

    /// A repository that is not there: for questions to the source, which concern no copy.
    fn nowhere(&self) -> PathBuf {
        self.copy.with_extension("none")
    }

    /// The commit that is wanted, fetched if it is not here.
    fn find(&self, wanted: WantedCommit<'_>, deadline: &Deadline) -> Result<String, SourceError> {
        let missing = |what: String| SourceError::Missing { source_shown: self.shown(), what };
        let names = match (wanted.commit, wanted.branch) {
            (Some(commit), _) => {
                let what = format!("commit or tag `{}`", commit.escape_debug());
                if !is_id(commit) && !is_name(commit) {
                    return Err(missing(what));
                }
                let id = is_id(commit).then(|| commit.to_owned());
                (id.into_iter().chain([format!("refs/tags/{commit}")]).collect(), what)
            }
            (None, Some(branch)) => {
                let what = format!("branch `{}`", branch.escape_debug());
                if !is_name(branch) {
                    return Err(missing(what));
                }
                (vec![format!("refs/heads/{branch}")], what)
            }
            (None, None) => (vec!["HEAD".to_owned()], "commit".to_owned()),
        };
        let (names, what): (Vec<String>, String) = names;
        self.begin(deadline)?;
        // A whole id says the same for ever; anything else is asked for.
        let is_whole = wanted.commit.is_some_and(|commit| is_id(commit) && commit.len() >= ID_LENGTH);
        if is_whole && let Some(commit) = self.resolve(&names, deadline)? {
            return Ok(commit);
        }
        self.fetch_all(deadline)?;
        if let Some(commit) = self.resolve(&names, deadline)? {
            return Ok(commit);
        }
        // It may belong to no branch, such as that of a merge request; not every server gives those.
        if let Some(commit) = wanted.commit.filter(|_| is_whole)
            && self.fetch(&[commit], deadline).is_ok()
            && let Some(commit) = self.resolve(&names, deadline)?
        {
            return Ok(commit);
        }
        Err(missing(what))
    }

    /// Brings all branches and tags. A copy that cannot be used although the source answers is begun anew;
    /// checkouts that borrow from it are as broken as it is.
    fn fetch_all(&self, deadline: &Deadline) -> Result<(), SourceError> {
        let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let Err(error) = self.fetch(&all, deadline) else {
            // Here and not in the background: what a checkout starts ends with it. It spares for two
            // weeks what no branch leads to any more, longer than a checkout borrows it.
            let tidy = ["-c", "gc.auto=6700", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"];
            // A copy that is not tidy is slower, no more.
            drop(self.git.run(&self.copy, &owned(&tidy), deadline));
            return Ok(());
        };
        let is_full = is_about_room(&error.to_string());
        let url = self.location.as_text();
        let asked = ["ls-remote", "--heads", "--", &url];
        let answers = self.git.run(&self.nowhere(), &owned(&asked), deadline)?.exit_code == Some(0);
        if is_full || !answers {
            return Err(error);
        }
        files::remove_all(&self.copy)?;
        self.begin(deadline)?;
        self.fetch(&all, deadline)
    }

    /// Begins the copy if there is none, and takes away what a killed git left locked in it: nobody else
    /// is at work on it.
    fn begin(&self, deadline: &Deadline) -> Result<(), SourceError> {
        let is_begun = self.copy.join("HEAD").exists();
        if self.copy.is_dir() && !is_begun {
            files::remove_all(&self.copy)?;
        }
        if is_begun {
            for left in files::walk(&self.copy, "objects", FILES_MAX)? {
                if left.below.ends_with(".lock") {
                    files::remove(&self.copy.join(&left.below))?;
                }
            }
        }
        if !is_begun {
            let format = format!("--object-format={}", self.object_format(deadline)?);
            let words = ["init", "--quiet", "--bare", "--template=", &format];
            self.succeed(&self.copy, "begin a copy of", &words, deadline)?;
        }
        Ok(())
    }

    /// How the source names its objects, whatever this user's git would choose for a new repository. One
    /// that does not answer, or holds nothing, tells nothing: when it does, the copy is begun anew.
    fn object_format(&self, deadline: &Deadline) -> Result<&'static str, SourceError> {
        let url = self.location.as_text();
        let asked = ["ls-remote", "--", &url, "HEAD", "refs/heads/*"];
        let told = self.git.run(&self.nowhere(), &owned(&asked), deadline)?.stdout;
        let id = told.split_whitespace().next().unwrap_or_default();
        Ok(if id.len() > ID_LENGTH { "sha256" } else { "sha1" })
    }

    fn fetch(&self, what: &[&str], deadline: &Deadline) -> Result<(), SourceError> {
        let url = self.location.as_text();
        let mut arguments = vec!["fetch", "--quiet", "--no-write-fetch-head", "--no-tags", "--force"];
        if what.len() > 1 {
            arguments.extend(["--prune", "--update-head-ok"]);
        }
        arguments.extend(["--", &url]);
        arguments.extend(what);
        self.succeed(&self.copy, "fetch", &arguments, deadline).map(drop)
    }

    fn resolve(&self, names: &[String], deadline: &Deadline) -> Result<Option<String>, SourceError> {
        for name in names {
            let found =
                if is_id(name) { self.resolve_id(name, deadline)? } else { self.peel(name, deadline)? };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The only commit whose id begins so, or to which a tag with such an id leads. Not by its name: a
    /// branch or a tag may be called like an id, and would be found first.
    fn resolve_id(&self, id: &str, deadline: &Deadline) -> Result<Option<String>, SourceError> {
        let words = owned(&["rev-parse", &format!("--disambiguate={id}")]);
        let objects = self.git.run(&self.copy, &words, deadline)?.stdout;
        let mut commits = Vec::new();
        for object in objects.lines().take(OBJECTS_ALIKE_MAX) {
            commits.extend(self.peel(object, deadline)?);
        }
        commits.sort();
        commits.dedup();
        Ok(if commits.len() == 1 { commits.pop() } else { None })
    }

    fn peel(&self, name: &str, deadline: &Deadline) -> Result<Option<String>, SourceError> {
        let commit = format!("{name}^{{commit}}");
        let words = ["rev-parse", "--verify", "--quiet", "--end-of-options", &commit];
        let done = self.git.run(&self.copy, &owned(&words), deadline)?;
        Ok((done.exit_code == Some(0)).then(|| done.stdout.trim().to_owned()))
    }

    fn succeed(
        &self,
        directory: &Path,
        what: &'static str,
        arguments: &[&str],
        deadline: &Deadline,
    ) -> Result<Finished, SourceError> {
        let done = self.git.run(directory, &owned(arguments), deadline)?;
        if done.exit_code == Some(0) {
            return Ok(done);
        }
        let said = without_passwords(&done.stderr.replace(&self.location.as_text(), &self.shown()));
        let lines =
            said.lines().map(|line| line.trim().trim_end_matches('.')).filter(|line| !line.is_empty());
        let why = match done.timed_out {
            true => "it took too long".to_owned(),
            false => lines.collect::<Vec<_>>().join("; "),
        };
        let why = why.chars().take(TOLD_LENGTH_MAX).collect();
        Err(SourceError::Failed { what, source_shown: self.shown(), why })
    }

    /// One process at a time works on the copy.
    fn lock(&self, deadline: &Deadline) -> Result<FileLock, SourceError> {
        let path = self.copy.with_extension("flock");
        files::create_dir(self.copy.parent().unwrap_or(&self.copy))?;
        FileLock::acquire(&path, deadline).map_err(|not| SourceError::Failed {
            what: "use the copy of",
            source_shown: self.shown(),
            why: match not {
                NotLocked::Busy(_) => "another process of this machine is at work on it".to_owned(),
                NotLocked::Impossible { .. } => not.to_string(),
            },
        })
    }
}

/// Whether this may be the id of a commit, or the beginning of one.
fn is_id(text: &str) -> bool {
    text.len() >= ID_LENGTH_MIN && text.chars().all(|c| c.is_ascii_hexdigit())
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(ToString::to_string).collect()
}
