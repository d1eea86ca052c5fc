//! Our own copies of hubs, outside any clone: bare repositories that can be fetched again.
//!
//! Several processes of this user share one copy. A new one is made beside its place and renamed
//! into it, so that nobody sees half of one, and who finds a copy damaged replaces it only if no
//! other process did so meanwhile.

use super::libgit2::fault;
use super::objects::Objects;
use super::program::GitProgram;
use super::refs::{GONE, LOST, SEEN};
use crate::ledger::LedgerError;
use crate::machine::failpoint::failpoint;
use crate::machine::file_lock::FileLock;
use crate::machine::{Machine, clock, environment, files, random};
use git2::{ConfigLevel, ObjectType, Oid, Repository, RepositoryInitOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many characters of a hub's address go into the name of its folder, for people.
const NAME_LENGTH_MAX: usize = 40;

/// How long to wait for another process that makes the same copy. Going on without it is safe.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// What is kept in a copy beside what the hub has.
const REMEMBERED: &str = "refs/muster/";

/// The most refs of it that are carried over into a new copy, and how long that may take: each is a
/// rewritten history or a branch that is gone.
const REMEMBERED_MAX: usize = 100;
const CARRY_TIME_MAX: Duration = Duration::from_secs(10);

/// A fetch from the copy that was set aside.
const CARRY: &[&str] = &["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap="];

/// How many digits an id has in a copy.
const ID_LENGTH: usize = 40;

/// How the name of a damaged copy ends that holds what nothing else does.
const KEPT: &str = "-kept";

/// Where the copy of the hub at `url` lies.
#[must_use]
pub fn store_path(url: &str) -> PathBuf {
    environment::cache_dir().join("hubs").join(copy_name(url))
}

/// What the folder of a copy of the repository at `url` is called.
#[must_use]
pub fn copy_name(url: &str) -> String {
    let readable: String = url
        .rsplit('@')
        .next()
        .unwrap_or(url)
        // A query may hold a token.
        .chars()
        .take_while(|c| *c != '?')
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let skip = readable.chars().count().saturating_sub(NAME_LENGTH_MAX);
    let readable: String = readable.chars().skip(skip).collect();
    let hash = Oid::hash_object(ObjectType::Blob, url.as_bytes())
        .map_or_else(|_| "0".to_owned(), |oid| oid.to_string());
    let short = hash.get(..12).unwrap_or(&hash);
    format!("{}-{short}.git", readable.trim_matches('-'))
}

/// Sets the copy of the hub at `url` aside and begins a new one, as a command that finds it damaged
/// would. Returns a warning when something stays behind that cannot be fetched again.
///
/// # Errors
/// When that fails.
pub fn replace_copy(url: &str) -> Result<Option<String>, LedgerError> {
    let mut copy = HubCopy { url: url.to_owned(), path: store_path(url), generation: None, note: None };
    // Notes which copy is meant: another process may put a new one in its place meanwhile.
    drop(copy.usable());
    copy.replace()?;
    Ok(copy.note)
}

/// Whether the lists in which git keeps refs, and the ends of a history that is not all here, are what git
/// writes. Where they are not, git blames whatever it was asked for.
fn has_whole_lists(copy: &Path) -> bool {
    let is_id = |text: &[u8]| text.len() == ID_LENGTH && text.iter().all(u8::is_ascii_hexdigit);
    let is_ref = |line: &[u8]| match line {
        [b'#', ..] => true,
        [b'^', peeled @ ..] => is_id(peeled),
        _ => line
            .split_at_checked(ID_LENGTH)
            .is_some_and(|(id, name)| is_id(id) && name.starts_with(b" refs/")),
    };
    let is_whole = |name: &str, is_line: &dyn Fn(&[u8]) -> bool| {
        // What is not there, or may not be read, is no list that is garbled.
        let Ok(text) = std::fs::read(copy.join(name)) else { return true };
        text.split_inclusive(|byte| *byte == b'\n').all(|line| line.strip_suffix(b"\n").is_some_and(is_line))
    };
    is_whole("packed-refs", &is_ref) && is_whole("shallow", &is_id)
}

/// A copy of a hub that is ours to replace.
#[derive(Debug)]
pub(super) struct HubCopy {
    url: String,
    path: PathBuf,
    /// Which of the folders that ever had this path it is.
    generation: Option<u64>,
    /// What the user has to know of the copy that was set aside.
    note: Option<String>,
}

impl HubCopy {
    /// The copy of the hub at `url`, made if there is none.
    pub(super) fn open(url: &str) -> Result<(Repository, Self), LedgerError> {
        Self::open_at(&store_path(url), url)
    }

    fn open_at(path: &Path, url: &str) -> Result<(Repository, Self), LedgerError> {
        let mut copy = Self { url: url.to_owned(), path: path.to_owned(), generation: None, note: None };
        if let Some(repository) = copy.usable() {
            return Ok((repository, copy));
        }
        let _guard = copy.lock()?;
        // Another process may have made it meanwhile.
        let repository = copy.usable().map_or_else(|| copy.begin(), Ok)?;
        Ok((repository, copy))
    }

    /// Sets the damaged copy aside and begins a new one, unless another process did.
    pub(super) fn replace(&mut self) -> Result<Repository, LedgerError> {
        let _guard = self.lock()?;
        let damaged = self.generation;
        if let Some(repository) = self.usable()
            && self.generation != damaged
        {
            return Ok(repository);
        }
        self.begin()
    }

    fn lock(&self) -> Result<Option<FileLock>, LedgerError> {
        files::create_dir(self.folder())?;
        let path = self.folder().join(format!("{}.flock", self.name()));
        Ok(FileLock::acquire(&path, &Machine::real().deadline(LOCK_WAIT)).ok())
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// What lies at the path, if it is a copy of this hub.
    fn usable(&mut self) -> Option<Repository> {
        let repository = Repository::open_bare(&self.path).ok()?;
        self.generation = std::fs::metadata(&self.path).map(|data| data.ino()).ok();
        (self.is_of(&repository) && has_whole_lists(&self.path)).then_some(repository)
    }

    /// Whether a repository is a copy of this hub.
    fn is_of(&self, repository: &Repository) -> bool {
        // As it is written there: libgit2 tells a remote's address after the user's rewriting.
        let written = repository.config().and_then(|config| config.open_level(ConfigLevel::Local));
        written.and_then(|written| written.get_string("remote.origin.url")).is_ok_and(|url| url == self.url)
    }

    fn begin(&mut self) -> Result<Repository, LedgerError> {
        let new = self.folder().join(format!(".{}.{}", self.name(), random::id()));
        self.create(&new)?;
        failpoint("copy");
        let aside = if self.path.exists() { Some(self.set_aside()?) } else { None };
        let renamed = files::set_aside(&new, &self.path);
        if let Some(aside) = aside
            && !self.carry_over(&aside)
        {
            self.note = Some(self.keep(&aside));
        }
        if let Some(repository) = self.usable() {
            if renamed.is_err() {
                // Another process was faster; what is left of ours only takes space.
                drop(std::fs::remove_dir_all(&new));
            }
            return Ok(repository);
        }
        renamed?;
        Err(self.failed(&git2::Error::from_str("it was replaced by something else meanwhile")))
    }

    fn failed(&self, error: &git2::Error) -> LedgerError {
        fault(format!("cannot create our copy of the hub at `{}`", self.path.display()), error)
    }

    fn create(&self, path: &Path) -> Result<(), LedgerError> {
        let created = || -> Result<(), git2::Error> {
            let mut options = RepositoryInitOptions::new();
            options.bare(true).mkdir(true).mkpath(true).external_template(false);
            let repository = Repository::init_opts(path, &options)?;
            // The address may hold a password: nobody else needs to read it.
            restrict(path);
            let mut config = repository.config()?;
            config.set_str("remote.origin.url", &self.url)?;
            config.set_str("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
        };
        created().map_err(|error| self.failed(&error))
    }

    /// What the user has to know of the next look at this copy.
    pub(super) fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// Brings over what no hub can give again: the tips that rewritten histories lost, and those of
    /// branches that are gone. `false`: something of it cannot be read there.
    fn carry_over(&self, aside: &Path) -> bool {
        let Ok(old) = Repository::open_bare(aside) else { return !remembers(aside) };
        if !self.is_of(&old) {
            return true;
        }
        let old = Objects::new(old);
        let Ok(names) = old.names(REMEMBERED) else { return false };
        let deadline = Machine::real().deadline(CARRY_TIME_MAX);
        let fetch = |name: &String| {
            let spec = format!("+{REMEMBERED}{name}:{REMEMBERED}{name}");
            let from = aside.display().to_string();
            let words = CARRY.iter().map(ToString::to_string).chain([from, spec]);
            let done = GitProgram::default().run(&self.path, &words.collect::<Vec<_>>(), &deadline);
            done.is_ok_and(|done| done.exit_code == Some(0))
        };
        // What was only seen, and not compared yet, is in no history that was rewritten.
        let is_kept = |name: &String| !format!("{REMEMBERED}{name}").starts_with(SEEN);
        names.len() <= REMEMBERED_MAX && names.iter().filter(|name| !fetch(name)).all(|name| !is_kept(name))
    }

    /// Gives a copy that holds what nothing else does a name that is not removed.
    fn keep(&self, aside: &Path) -> String {
        let kept = aside.with_extension(format!(
            "{}{KEPT}",
            aside.extension().map_or_else(String::new, |rest| rest.to_string_lossy().into_owned())
        ));
        let kept = if files::set_aside(aside, &kept).is_ok() { kept } else { aside.to_owned() };
        format!(
            "what our copy of the hub had kept of histories that were rewritten cannot all be read any more; it stays in `{}`",
            kept.display()
        )
    }

    /// Keeps only the newest damaged copy, and those that hold what nothing else does.
    fn set_aside(&self) -> Result<PathBuf, LedgerError> {
        let prefix = format!("{}.damaged-", self.name());
        for old in std::fs::read_dir(self.folder()).into_iter().flatten().flatten() {
            let name = old.file_name().to_string_lossy().into_owned();
            if name.starts_with(&prefix) && !name.ends_with(KEPT) {
                // An old copy that cannot be removed only takes space.
                drop(std::fs::remove_dir_all(old.path()));
            }
        }
        let name = format!("{prefix}{}-{}", clock::wall().compact(), environment::process_id());
        let aside = self.folder().join(name);
        files::set_aside(&self.path, &aside)?;
        Ok(aside)
    }
}

/// Whether a repository that cannot be opened holds something that no hub can give again.
fn remembers(repository: &Path) -> bool {
    let loose = ["lost", "gone"].map(|kind| files::list(&repository.join(REMEMBERED).join(kind)));
    let packed = files::read(&repository.join("packed-refs"));
    loose.iter().any(|names| !names.is_empty())
        || packed.is_ok_and(|packed| {
            packed.is_some_and(|text| [LOST, GONE].iter().any(|kind| text.contains(kind)))
        })
}

fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    // A file system without permissions has nothing to restrict.
    drop(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)));
}

/// Whether a folder of this name among the copies is one that was never finished.
#[must_use]
pub fn is_unfinished(folder: &str) -> bool {
    let parts = folder.strip_prefix('.').and_then(|rest| rest.rsplit_once('.'));
    parts.is_some_and(|(copy, id)| copy.ends_with(".git") && random::is_id(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    const URL: &str = "ssh://hub.invalid/hub.git";

    fn damaged(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).expect("folder").flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().contains("damaged")).count()
    }

    #[test]
    fn processes_that_begin_at_once_share_one_copy() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hub.git");
        let start = Barrier::new(8);
        let open = || {
            start.wait();
            HubCopy::open_at(&path, URL).expect("opens").1.generation.expect("a generation")
        };
        let generations: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(generations.windows(2).all(|two| two[0] == two[1]), "{generations:?}");
        assert_eq!(damaged(folder.path()), 0);
    }

    #[test]
    fn a_copy_with_a_garbled_list_is_replaced() {
        const ID: &str = "1111111111111111111111111111111111111111";
        for (name, content, is_whole) in [
            ("packed-refs", "# pack-refs with: peeled\n".to_owned(), true),
            ("packed-refs", format!("{ID} refs/remotes/origin/main\n^{ID}\n"), true),
            ("packed-refs", String::new(), true),
            ("packed-refs", "garbage\n".to_owned(), false),
            ("packed-refs", format!("{ID} refs/remotes/origin/ma"), false),
            ("packed-refs", format!("{ID}\n"), false),
            ("packed-refs", "\0".repeat(64), false),
            ("shallow", format!("{ID}\n"), true),
            ("shallow", "garbage\n".to_owned(), false),
            ("shallow", ID.to_owned(), false),
        ] {
            let folder = tempfile::tempdir().expect("folder");
            let path = folder.path().join("hub.git");
            let first = HubCopy::open_at(&path, URL).expect("opens").1.generation;
            files::write(&path.join(name), &content).expect("writes");
            let again = HubCopy::open_at(&path, URL).expect("opens").1.generation;
            assert_eq!(first == again, is_whole, "{name} {content:?}");
            assert_eq!(damaged(folder.path()), usize::from(!is_whole), "{name} {content:?}");
        }
    }

    #[test]
    fn what_a_copy_remembers_is_seen_without_opening_it() {
        let folder = tempfile::tempdir().expect("folder");
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
            files::write(&path, "1111111111111111111111111111111111111111 refs/heads/main\n")
                .expect("writes");
            path
        };
        write("refs/heads/main");
        assert!(!remembers(folder.path()));
        let packed = write("packed-refs");
        assert!(!remembers(folder.path()));
        for name in ["refs/muster/lost/1", "refs/muster/gone/main"] {
            let path = write(name);
            assert!(remembers(folder.path()), "{name}");
            std::fs::remove_file(path).expect("is there");
        }
        assert!(!remembers(folder.path()));
        files::write(&packed, "1111111111111111111111111111111111111111 refs/muster/lost/1\n")
            .expect("writes");
        assert!(remembers(folder.path()));
    }

    #[test]
    fn only_what_we_began_ourselves_is_unfinished() {
        let id = random::id();
        for (name, expected) in [
            (format!(".hub.git.{id}"), true),
            (format!("hub.git.{id}"), false),
            (format!(".hub.{id}"), false),
            (".hub.git.notes".to_owned(), false),
            (".hub.git".to_owned(), false),
        ] {
            assert_eq!(is_unfinished(&name), expected, "{name}");
        }
    }

    #[test]
    fn nobody_else_reads_our_copy() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hub.git");
        HubCopy::open_at(&path, URL).expect("opens");
        assert_eq!(path.metadata().expect("is there").permissions().mode() & 0o777, 0o700);
        assert!(folder.path().join("hub.git.flock").exists(), "processes of one host take turns");
    }

    #[test]
    fn a_damaged_copy_is_replaced_once_by_all_who_notice() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hub.git");
        let (_, mut first) = HubCopy::open_at(&path, URL).expect("opens");
        let (_, mut second) = HubCopy::open_at(&path, URL).expect("opens");
        first.replace().expect("replaces");
        second.replace().expect("finds it replaced");
        assert_eq!((first.generation, damaged(folder.path())), (second.generation, 1));
        // Another hub at the same place is none of ours.
        let (_, other) = HubCopy::open_at(&path, "ssh://elsewhere.invalid/hub.git").expect("opens");
        assert_ne!(other.generation, first.generation);
    }
}
