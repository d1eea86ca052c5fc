//! What a job made: the files that are to be kept are taken out of its folder before that goes, and
//! named in a manifest.
//!
//! A file counts when the job made or changed it: what a checkout brought along proves nothing. They
//! go to a folder of this server, out of git; copies of small ones go to the hub when that is asked
//! for. Nothing here decides whether the job succeeded.

use crate::domain::artifact::{
    Artifact, FILES_MAX, FilePattern, Manifest, attempt_of_manifest, attempt_time, is_below, manifest_name,
};
use crate::domain::secret::credential_in;
use crate::machine::disk;
use crate::machine::files::{self, EntryKind, FileEntry, FileError};
use crate::machine::{clock, digest};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The folder in a job's own in which everything is kept, whatever it is called.
pub(super) const KEPT_FOLDER: &str = "artifacts";

/// The most files and folders of a job that are looked at.
const ENTRIES_MAX: usize = 500_000;

/// How many links and the like are named that are not kept.
const LINKS_TOLD_MAX: usize = 10;

/// How much an attempt may have copied to the hub, in bytes.
const COPIES_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where artifacts are kept, and how.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    /// The folder for those of this server: one folder below it for each attempt.
    pub folder: PathBuf,
    /// What the address of that folder is, where others can fetch from it.
    pub url: Option<String>,
    /// Files of up to this many bytes are copied to the hub as well.
    pub copy_bytes_max: u64,
    /// Whether the files also stay where the job made them.
    pub leaves_originals: bool,
}

/// What was kept of an attempt.
#[derive(Debug, Clone)]
pub(super) struct KeptArtifacts {
    /// The names.
    pub manifest: Manifest,
    /// Copies for the hub: path and content.
    pub copies: Vec<(String, Vec<u8>)>,
}

/// Why nothing was kept.
#[derive(Debug)]
pub(super) enum Failed {
    /// It would fail on every server.
    ByTheJob(String),
    /// This server could not.
    ByTheServer(String),
}

/// Which files of a job are to be kept.
#[derive(Debug)]
pub(super) struct Collector {
    top: PathBuf,
    patterns: Vec<FilePattern>,
    /// Texts that no name may hold.
    secrets: Vec<String>,
    /// Files that were there before the job began.
    before: HashMap<String, FileEntry>,
}

/// Removes what attempts left in the folder without a manifest: their worker was killed.
pub(super) fn remove_leftovers(keep: &ArtifactStore) {
    let names = files::list(&keep.folder);
    for name in &names {
        let is_ours = attempt_time(name).is_some() && attempt_of_manifest(name).is_none();
        if is_ours && !names.contains(&manifest_name(name)) {
            // What cannot be removed only takes space.
            drop(files::remove_all(&keep.folder.join(name)));
        }
    }
}

impl Collector {
    /// For the job whose folder is `top`, and which is to make what `patterns` say. Looks at what is
    /// there already.
    pub(super) fn new(top: &Path, patterns: &[String], secrets: Vec<String>) -> Result<Self, Failed> {
        let patterns = patterns.iter().filter_map(|text| text.parse().ok()).collect();
        let mut collector = Self { top: top.to_owned(), patterns, secrets, before: HashMap::new() };
        let there = collector.wanted()?;
        collector.before = there.into_iter().map(|found| (found.below.clone(), found)).collect();
        Ok(collector)
    }

    fn wanted(&self) -> Result<Vec<FileEntry>, Failed> {
        // A job may have put a link in the place of its folder.
        if !self.top.symlink_metadata().is_ok_and(|about| about.is_dir()) {
            return Ok(Vec::new());
        }
        let inside = format!("{KEPT_FOLDER}/");
        // Without patterns there is one folder to look at, however large the others are.
        let (top, prefix) = if self.patterns.is_empty() {
            (self.top.join(KEPT_FOLDER), inside.as_str())
        } else {
            (self.top.clone(), "")
        };
        let found = files::walk(&top, ".git", ENTRIES_MAX).map_err(|error| whose(&error, true))?;
        let found =
            found.into_iter().map(|found| FileEntry { below: format!("{prefix}{}", found.below), ..found });
        let is_wanted = |found: &FileEntry| {
            found.below.starts_with(&inside)
                || found.below == KEPT_FOLDER
                || self.patterns.iter().any(|pattern| pattern.matches(&found.below))
        };
        Ok(found.filter(is_wanted).collect())
    }

    /// Moves what the job made into the folder of `attempt`, and names it. `manifest` is about the attempt; `None`
    /// when nothing was made. `say` is told what is left out, links too, which may lead anywhere; when `is_over` says so there is no time for the rest.
    pub(super) fn collect(
        &self,
        keep: &ArtifactStore,
        attempt: &str,
        manifest: Manifest,
        (mut say, is_over): (impl FnMut(&str), &dyn Fn() -> bool),
    ) -> Result<Option<KeptArtifacts>, Failed> {
        if self.top.symlink_metadata().is_ok_and(|about| !about.is_dir()) {
            say("nothing is kept: something else lies in the place of the job's folder");
        }
        let found = self.wanted()?;
        let (made, odd): (Vec<&FileEntry>, Vec<&FileEntry>) = found
            .iter()
            .filter(|found| self.before.get(&found.below) != Some(*found))
            .partition(|found| found.kind == EntryKind::File && !self.is_in_place_of_folder(found));
        self.tell_left_out(&odd, &mut say);
        if made.len() > FILES_MAX {
            let why = format!("it made {} files that are to be kept, more than {FILES_MAX}", made.len());
            return Err(Failed::ByTheJob(why));
        }
        let folder = keep.folder.join(attempt);
        let (mut artifacts, mut copies, mut room): (Vec<Artifact>, _, _) =
            (Vec::new(), Vec::new(), COPIES_BYTES_MAX);
        for found in made {
            if self.is_masked(found) {
                say("a file is not kept: its name holds what is masked");
                continue;
            }
            let Some(file) = name(&found.below, &artifacts, &self.patterns) else {
                say(&format!("not kept, because of its name: {}", found.below.escape_debug()));
                continue;
            };
            let (from, to) = (self.top.join(&found.below), folder.join(&file));
            // What only its owner could not read, or the job itself made unreadable, is its own doing.
            if !files::is_readable(&from) {
                return Err(Failed::ByTheJob(format!("its file `{file}` cannot be read")));
            }
            let server = |why: String| Failed::ByTheServer(why);
            let moved = if keep.leaves_originals {
                files::copy_file(&from, &to, is_over)
            } else {
                files::move_file(&from, &to, is_over)
            };
            let can_keep = || disk::may_write_in(&disk::nearest(&folder));
            moved.map_err(|error| whose(&error, can_keep()))?;
            let (size, sha256) = digest::sha256(&to, is_over)
                .map_err(|error| server(format!("cannot read `{file}`: {error}")))?;
            let url = keep.url.as_ref().map(|url| format!("{}/{attempt}/{file}", url.trim_end_matches('/')));
            let is_copied = size <= keep.copy_bytes_max.min(room);
            let mut copy = None;
            if is_copied {
                let bytes = files::read_bytes(&to).map_err(|error| server(error.to_string()))?;
                if holds_any(&bytes, &self.secrets) {
                    say(&format!("`{file}` is not copied to the hub: it holds what is masked"));
                } else {
                    let path = format!("{}/artifacts/{attempt}/{file}", manifest.server);
                    room -= size;
                    copies.push((path.clone(), bytes));
                    copy = Some(path);
                }
            }
            artifacts.push(Artifact { file, size: Some(size), sha256, url, copy });
        }
        if artifacts.is_empty() {
            return Ok(None);
        }
        artifacts.sort_by(|one, other| one.file.cmp(&other.file));
        let folder = Some(folder.display().to_string());
        let manifest = Manifest { artifacts, folder, at: Some(clock::wall()), ..manifest };
        // For who prunes the folder while the hub is away.
        let beside = keep.folder.join(manifest_name(attempt));
        files::write(&beside, &manifest.write()).map_err(|error| Failed::ByTheServer(error.to_string()))?;
        Ok(Some(KeptArtifacts { manifest, copies }))
    }

    /// Whether a file took the place of the folder of artifacts, and is not asked for by that name.
    fn is_in_place_of_folder(&self, found: &FileEntry) -> bool {
        found.below.trim_end_matches('/') == KEPT_FOLDER
            && !self.patterns.iter().any(|pattern| pattern.matches(KEPT_FOLDER))
    }

    fn is_masked(&self, found: &FileEntry) -> bool {
        self.secrets.iter().any(|secret| found.below.contains(secret))
    }

    /// Says what is no file, and is not kept because of that.
    fn tell_left_out(&self, odd: &[&FileEntry], mut say: impl FnMut(&str)) {
        for found in odd.iter().take(LINKS_TOLD_MAX) {
            let what = if found.kind == EntryKind::Link { "a link" } else { "no file" };
            let below = found.below.trim_end_matches('/');
            say(&match below {
                _ if self.is_masked(found) => format!("something is not kept: it is {what}"),
                KEPT_FOLDER => format!("nothing in `{KEPT_FOLDER}` is kept: it is no folder any more"),
                _ => format!("not kept, because it is {what}: {}", below.escape_debug()),
            });
        }
        if odd.len() > LINKS_TOLD_MAX {
            say(&format!("nor are {} more that are links or no files", odd.len() - LINKS_TOLD_MAX));
        }
    }
}

/// Whose fault it is that something of a job could not be looked at or kept; `can_keep`: this server's
/// folder takes files.
///
/// The job's is what it did to its own files, and what would happen on every server: so many of them, such
/// names, no right to read them or to take them away, no room for them (less than what was free when
/// it was claimed). All else is the server's, and the job may be tried elsewhere.
fn whose(error: &FileError, can_keep: bool) -> Failed {
    match error.kind() {
        ErrorKind::FileTooLarge
        | ErrorKind::InvalidFilename
        | ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::TooManyLinks
        | ErrorKind::NotADirectory
        | ErrorKind::NotFound => Failed::ByTheJob(error.to_string()),
        ErrorKind::PermissionDenied if can_keep => Failed::ByTheJob(error.to_string()),
        _ => Failed::ByTheServer(error.to_string()),
    }
}

/// Whether one of `secrets` stands in `bytes` as it is. What is compressed or written in another way is
/// not recognised.
fn holds_any(bytes: &[u8], secrets: &[String]) -> bool {
    secrets.iter().map(String::as_bytes).any(|secret| {
        let Some(first) = secret.first() else { return false };
        let starts = bytes.iter().enumerate().filter(|(_, byte)| *byte == first);
        starts.map(|(at, _)| at).any(|at| bytes.get(at..).is_some_and(|rest| rest.starts_with(secret)))
    })
}

/// What the file at `below` is called in the manifest: without the folder that every job has, unless
/// another file or folder is called so already, or a pattern asks for that folder. `None` for a name that
/// nobody should have to read.
fn name(below: &str, taken: &[Artifact], patterns: &[FilePattern]) -> Option<String> {
    let short = below.split_once('/').map_or(below, |(_, rest)| rest);
    let is_inside = |one: &str, other: &str| {
        one.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_free = |name: &&str| {
        let clashes =
            |artifact: &Artifact| is_inside(&artifact.file, name) || is_inside(name, &artifact.file);
        !taken.iter().any(clashes)
            && patterns.iter().all(|pattern| pattern.matches(name) || !pattern.matches(below))
    };
    let name = [short, below].into_iter().find(is_free)?;
    (is_below(name) && credential_in(name).is_none()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        serde_json::from_str(r#"{"job":"j","server":"build1","token":1}"#).expect("manifest")
    }

    #[test]
    fn a_file_that_holds_what_is_masked_stays_on_this_server() {
        let folder = tempfile::tempdir().expect("folder");
        let (top, kept) = (folder.path().join("job"), folder.path().join("kept"));
        std::fs::create_dir_all(&top).expect("folder");
        let secrets = vec!["first-line-of-it".to_owned(), "second".to_owned()];
        let collector = Collector::new(&top, &[], secrets.clone()).expect("looks");
        assert!(holds_any(b"\xff\x00 first-line-of-it", &secrets));
        let put = |name: &str, text: &str| files::write(&top.join("artifacts").join(name), text).expect(name);
        put("plain", "nothing");
        put("end", "\0 first-line-of-it");
        put("within", "xxsecsecondxx");
        // On both sides of what is copied at once.
        put("far", &("f".repeat(256 * 1024 - 3) + "first-line-of-it"));
        put("part", "first-line-of-");
        let keep =
            ArtifactStore { folder: kept, url: None, copy_bytes_max: 1 << 20, leaves_originals: false };
        let mut said = Vec::new();
        let made = collector.collect(
            &keep,
            "a1",
            manifest(),
            (|words: &str| said.push(words.to_owned()), &|| false),
        );
        let made = made.expect("kept").expect("something");
        assert_eq!(made.manifest.files(), ["end", "far", "part", "plain", "within"]);
        let copies: Vec<&str> = made.copies.iter().map(|copy| copy.0.as_str()).collect();
        assert_eq!(copies, ["build1/artifacts/a1/part", "build1/artifacts/a1/plain"]);
        let named =
            made.manifest.artifacts.iter().filter(|one| one.copy.is_some()).map(|one| one.file.as_str());
        assert_eq!(named.collect::<Vec<_>>(), ["part", "plain"]);
        said.sort();
        let words = |file: &str| format!("`{file}` is not copied to the hub: it holds what is masked");
        assert_eq!(said, ["end", "far", "within"].map(words));
    }

    #[test]
    fn whose_fault_it_is_that_something_is_not_kept() {
        let folder = tempfile::tempdir().expect("folder");
        let from = |kind: ErrorKind| whose(&FileError::of(kind), true);
        for kind in [
            ErrorKind::FileTooLarge,
            ErrorKind::InvalidFilename,
            ErrorKind::StorageFull,
            ErrorKind::QuotaExceeded,
            ErrorKind::NotFound,
            ErrorKind::PermissionDenied,
        ] {
            assert!(matches!(from(kind), Failed::ByTheJob(_)), "{kind}");
        }
        for kind in [ErrorKind::Other, ErrorKind::ReadOnlyFilesystem, ErrorKind::StaleNetworkFileHandle] {
            assert!(matches!(from(kind), Failed::ByTheServer(_)), "{kind}");
        }
        assert!(matches!(whose(&FileError::of(ErrorKind::PermissionDenied), false), Failed::ByTheServer(_)));
        for name in ["a", "b", "c"] {
            files::write(&folder.path().join(name), "").expect(name);
        }
        let many = files::walk(folder.path(), ".git", 2).expect_err("too many");
        assert!(matches!(whose(&many, true), Failed::ByTheJob(_)), "{many}");
    }

    #[test]
    fn links_that_a_job_made_are_told_and_not_followed() {
        let folder = tempfile::tempdir().expect("folder");
        let top = folder.path().join("job");
        let link = |name: &str| {
            std::os::unix::fs::symlink("/etc/passwd", top.join("artifacts").join(name)).expect("link");
        };
        files::create_dir(&top.join("artifacts")).expect("folder");
        link("before");
        let collector = Collector::new(&top, &[], vec!["hidden".to_owned()]).expect("looks");
        files::write(&top.join("artifacts/real"), "real").expect("written");
        for number in 0..11 {
            link(&format!("to-{number:02}"));
        }
        link("so-hidden");
        let kept = folder.path().join("kept");
        let keep = ArtifactStore { folder: kept, url: None, copy_bytes_max: 0, leaves_originals: false };
        let mut said = Vec::new();
        let say = |words: &str| said.push(words.to_owned());
        let made = collector.collect(&keep, "a1", manifest(), (say, &|| false)).expect("kept");
        assert_eq!(made.expect("something").manifest.files(), ["real"]);
        let mut expected = vec!["something is not kept: it is a link".to_owned()];
        expected
            .extend((0..9).map(|number| format!("not kept, because it is a link: artifacts/to-{number:02}")));
        expected.push("nor are 2 more that are links or no files".to_owned());
        assert_eq!(said, expected);
    }

    #[test]
    fn what_the_job_made_is_kept_and_nothing_else() {
        let folder = tempfile::tempdir().expect("folder");
        let (top, kept) = (folder.path().join("job"), folder.path().join("kept"));
        let put = |path: &str, text: &str| files::write(&top.join(path), text).expect(path);
        put("source/old.deb", "old");
        put("source/changed.deb", "old");
        put("source/.git/x.deb", "git");
        let collector =
            Collector::new(&top, &["*.deb".to_owned()], vec!["hidden".to_owned()]).expect("looks");
        put("source/changed.deb", "new one");
        put("hello.deb", "one");
        put("source/dist/hello.deb", "two");
        put("source/hello.deb", "three");
        put("source/note.txt", "no");
        put("artifacts/report.xml", "report");
        put("artifacts/password=hunter2hunter2", "no");
        put("artifacts/so hidden.deb", "no");
        put("artifacts/a/b.deb", "1");
        put("source/a/b.deb/c.deb", "22");
        std::os::unix::fs::symlink("/etc/passwd", top.join("link.deb")).expect("link");
        let keep = ArtifactStore {
            folder: kept.clone(),
            url: Some("https://x/".to_owned()),
            copy_bytes_max: 3,
            leaves_originals: false,
        };
        let mut said = Vec::new();
        let made = collector.collect(
            &keep,
            "a1",
            manifest(),
            (|words: &str| said.push(words.to_owned()), &|| false),
        );
        let made = made.expect("kept").expect("something");
        assert_eq!(
            made.manifest.files(),
            [
                "a/b.deb",
                "changed.deb",
                "dist/hello.deb",
                "hello.deb",
                "report.xml",
                "source/a/b.deb/c.deb",
                "source/hello.deb"
            ]
        );
        said.sort();
        assert_eq!(
            said,
            [
                "a file is not kept: its name holds what is masked",
                "not kept, because it is a link: link.deb",
                "not kept, because of its name: artifacts/password=hunter2hunter2"
            ]
        );
        let paths: Vec<&str> = made.copies.iter().map(|copy| copy.0.as_str()).collect();
        let expected = ["a/b.deb", "hello.deb", "source/a/b.deb/c.deb", "dist/hello.deb"];
        assert_eq!(paths, expected.map(|file| format!("build1/artifacts/a1/{file}")));
        assert_eq!(made.manifest.artifacts[1].url.as_deref(), Some("https://x/a1/changed.deb"));
        assert_eq!(files::read(&kept.join("a1/dist/hello.deb")).expect("reads").as_deref(), Some("two"));
        let beside = files::read(&kept.join("a1.artifacts.json")).expect("reads").expect("there");
        assert_eq!(beside, made.manifest.write());
        assert!(top.join("source/old.deb").exists() && !top.join("hello.deb").exists());
        let asked = Collector::new(&top, &["artifacts/*.xml".to_owned()], Vec::new()).expect("looks");
        put("artifacts/second.xml", "report");
        let made = asked.collect(&keep, "a3", manifest(), (|_: &str| {}, &|| false)).expect("kept");
        assert_eq!(made.expect("something").manifest.files(), ["artifacts/second.xml"]);
        // What lies behind a link is not the job's.
        let (dear, linked) = (folder.path().join("dear"), folder.path().join("linked"));
        files::write(&dear.join("artifacts/x"), "dear").expect("written");
        std::os::unix::fs::symlink(&dear, &linked).expect("link");
        for top in [&linked, &top] {
            let collector = Collector::new(top, &[], Vec::new()).expect("looks");
            if *top != linked {
                files::remove_all(&top.join("artifacts")).expect("removed");
                std::os::unix::fs::symlink(dear.join("artifacts"), top.join("artifacts")).expect("link");
            }
            let mut said = Vec::new();
            let say = |words: &str| said.push(words.to_owned());
            let made = collector.collect(&keep, "a4", manifest(), (say, &|| false)).expect("kept");
            assert!(made.is_none() && dear.join("artifacts/x").exists());
            let words = if *top == linked {
                "nothing is kept: something else lies in the place of the job's folder"
            } else {
                "nothing in `artifacts` is kept: it is no folder any more"
            };
            assert_eq!(said, [words]);
        }
        files::remove(&top.join("artifacts")).expect("removed");
        let again = Collector::new(&top, &[], Vec::new()).expect("looks");
        assert!(again.collect(&keep, "a2", manifest(), (|_: &str| {}, &|| false)).expect("kept").is_none());
    }
}
