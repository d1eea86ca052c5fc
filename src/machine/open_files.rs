//! Which processes use a file or work in a folder, as `fuser` tells it and a little more.

use crate::domain::ref_lock::ProcessEvidence;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The number of the first namespace of processes: in it all processes of the machine are seen.
const NAMESPACE_OF_ALL: u64 = 0xefff_fffc;

/// What this program is called; and how git's programs begin.
const OURS: &[u8] = b"git-muster";
const GITS: &[u8] = b"git";

/// By what word git starts this program.
const VERB: &[u8] = b"muster";

/// How the variables begin by which git is told where it works.
const GIT_SETTINGS: &[u8] = b"GIT_";

/// Where a repository keeps what a server of it has open.
const STORE: [&str; 2] = ["objects", "refs"];

/// Whether a process that this user may look at has the file at `path` open; `None` where the
/// system does not tell.
#[must_use]
pub fn is_open(path: &Path) -> Option<bool> {
    let wanted = identity(path)?;
    let mut known = false;
    for process in processes()? {
        // Those of other users are closed to us, and those that ended are gone.
        let Ok(files) = fs::read_dir(process.join("fd")) else { continue };
        known = true;
        if files.flatten().any(|file| identity(&file.path()) == Some(wanted)) {
            return Some(true);
        }
    }
    known.then_some(false)
}

/// Who may be about to put the file at `path` in the place of another in `folder`: has it open, or is a
/// git program that works in `folder`. git closes such a file before it renames it. With words for
/// people that name the process.
///
/// This program itself does not count: of its own files it knows more.
#[must_use]
pub fn users(path: &Path, folder: &Path) -> (ProcessEvidence, Option<String>) {
    let wanted = identity(path);
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let Some(processes) = processes() else { return (ProcessEvidence::NotAll, None) };
    let own = crate::machine::environment::process_id().to_string();
    let processes: Vec<PathBuf> = processes.filter(|process| !is_dead(process)).collect();
    let started_us: Vec<PathBuf> =
        processes.iter().filter(|one| is_ours(one)).filter_map(|one| parent(one)).collect();
    for process in processes.into_iter().filter(|process| !process.ends_with(&own)) {
        // `git muster` waits for us, and its command line names what ours does.
        let only_waits = started_us.contains(&process) && arguments(&process).any(|word| word == VERB);
        if !only_waits && uses(&process, wanted, &folder) {
            return (ProcessEvidence::Somebody, Some(told(&process)));
        }
    }
    (if all_are_seen() { ProcessEvidence::Nobody } else { ProcessEvidence::NotAll }, None)
}

/// The git program that runs one of `verbs` in the work tree at `top`, in words for people. git goes there before
/// it looks at anything. Those of other users are not seen.
#[must_use]
pub fn git_at_work(top: &Path, verbs: &[&str]) -> Option<String> {
    let top = top.canonicalize().ok()?;
    let is_there = |process: &PathBuf| {
        name(process).starts_with(GITS)
            && !is_dead(process)
            && fs::read_link(process.join("cwd")).is_ok_and(|at| at == top)
    };
    processes()?.filter(is_there).find_map(|process| {
        let verb = verb(arguments(&process))?;
        let verb = verbs.iter().find(|one| one.as_bytes() == verb)?;
        Some(format!("`git {verb}`, process {}", number(&process)))
    })
}

/// The options of git before its verb that have a value of their own.
const WITH_VALUE: [&[u8]; 7] =
    [b"-C", b"-c", b"--git-dir", b"--work-tree", b"--namespace", b"--super-prefix", b"--config-env"];

/// What a command line of git is to do.
fn verb(line: impl Iterator<Item = Vec<u8>>) -> Option<Vec<u8>> {
    let mut words = line.skip(1);
    while let Some(word) = words.next() {
        if !word.starts_with(b"-") {
            return Some(word);
        }
        if WITH_VALUE.contains(&&*word) {
            words.next();
        }
    }
    None
}

fn processes() -> Option<impl Iterator<Item = PathBuf>> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let numbered = entries.filter(|entry| entry.file_name().as_bytes().iter().all(u8::is_ascii_digit));
    Some(numbered.map(|entry| entry.path()))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).map(|data| (data.dev(), data.ino())).ok()
}

/// Whether no process of this machine is hidden from us.
fn all_are_seen() -> bool {
    fs::metadata("/proc/self/ns/pid").is_ok_and(|data| data.ino() == NAMESPACE_OF_ALL)
        && fs::metadata("/proc/1/stat").is_ok()
}

/// What the system says of a process after its name, which stands in brackets and may hold any.
fn stat(process: &Path) -> Option<String> {
    let text = fs::read(process.join("stat")).ok()?;
    let after = text.iter().rposition(|byte| *byte == b')')?;
    Some(String::from_utf8_lossy(text.get(after + 2..)?).into_owned())
}

/// Whether only the end of a process is left, for its parent to ask about.
fn is_dead(process: &Path) -> bool {
    stat(process).is_none_or(|stat| stat.starts_with(['Z', 'X']))
}

fn parent(process: &Path) -> Option<PathBuf> {
    Some(process.with_file_name(stat(process)?.split(' ').nth(1)?))
}

fn is_ours(process: &Path) -> bool {
    name(process).starts_with(OURS)
}

fn arguments(process: &Path) -> impl Iterator<Item = Vec<u8>> {
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter()
}

fn name(process: &Path) -> Vec<u8> {
    let mut name = fs::read(process.join("comm")).unwrap_or_default();
    name.retain(|byte| *byte != b'\n');
    name
}

fn uses(process: &Path, wanted: Option<(u64, u64)>, folder: &Path) -> bool {
    let name = name(process);
    let is_ours = name.starts_with(OURS);
    for file in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
        if wanted.is_some() && identity(&file.path()) == wanted {
            return true;
        }
        // Whatever a program is called: who has objects or refs open may be a server of its own kind.
        let is_of_store = |file: &Path| STORE.iter().any(|part| file.starts_with(folder.join(part)));
        if !is_ours && fs::read_link(file.path()).is_ok_and(|file| is_of_store(&file)) {
            return true;
        }
    }
    if is_ours || !name.starts_with(GITS) {
        return false;
    }
    match fs::read_link(process.join("cwd")) {
        Ok(at) if at.starts_with(folder) => return true,
        // A git program of another user: it may be any.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return true,
        _ => {}
    }
    let folder = folder.as_os_str().as_bytes();
    let names_it = |text: &[u8]| text.windows(folder.len()).any(|part| part == folder);
    let read = |what: &str| fs::read(process.join(what)).unwrap_or_default();
    // Of its environment only what git itself looks at.
    names_it(&read("cmdline"))
        || read("environ")
            .split(|byte| *byte == 0)
            .any(|entry| entry.starts_with(GIT_SETTINGS) && names_it(entry))
}

fn told(process: &Path) -> String {
    // The system keeps only the beginning of a name; its command line has all of it.
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let first = line.split(|byte| matches!(byte, 0 | b' ')).next().unwrap_or_default();
    let whole = first.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let short = name(process);
    let name = String::from_utf8_lossy(if whole.starts_with(&short) { whole } else { &short }).into_owned();
    format!("`{name}`, process {}", number(process))
}

fn number(process: &Path) -> String {
    process.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::process::command;
    use std::process::Stdio;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_is_open_until_it_is_closed() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        let file = fs::File::create(&path).expect("file");
        assert_eq!(is_open(&path), Some(true));
        drop(file);
        assert_eq!(is_open(&path), Some(false));
        assert_eq!(is_open(&folder.path().join("none")), None);
    }

    #[test]
    fn the_verb_of_a_line_of_git_stands_behind_its_options() {
        for (line, expected) in [
            ("git commit -m x", Some("commit")),
            ("git -C /a -c b=c --git-dir /d --no-pager commit", Some("commit")),
            ("git --git-dir=/d log", Some("log")),
            ("git -c commit", None),
            ("git", None),
        ] {
            let words = line.split(' ').map(|word| word.as_bytes().to_vec());
            assert_eq!(verb(words).as_deref(), expected.map(str::as_bytes), "{line}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn who_works_in_a_folder_is_seen_while_it_lives() {
        let folder = tempfile::tempdir().expect("folder");
        let lock = folder.path().join("main.lock");
        crate::machine::files::write(&lock, "").expect("file");
        let seen = || users(&lock, folder.path());
        // What another test starts meanwhile has it open until it has begun its program.
        let nobody = || {
            let bound = crate::machine::Machine::real().deadline(std::time::Duration::from_secs(10));
            while seen().0 == ProcessEvidence::Somebody && !bound.passed() {
                std::thread::yield_now();
            }
            seen().0 != ProcessEvidence::Somebody
        };
        assert!(nobody());
        // A git program that waits for its input, by the folder it is in or that it was told.
        let told = format!("--git-dir={}", folder.path().display());
        for (at, arguments) in [
            (folder.path(), &["hash-object", "--stdin"][..]),
            (Path::new("/"), &[&told, "hash-object", "--stdin"]),
        ] {
            let mut git = command(Path::new("git"));
            git.current_dir(at).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
            let mut git = git.spawn().expect("git");
            let started = crate::machine::Machine::real().deadline(std::time::Duration::from_secs(10));
            while seen().0 != ProcessEvidence::Somebody && !started.passed() {
                std::thread::yield_now();
            }
            let (who, words) = seen();
            git.kill().expect("ends");
            // What is left of it before somebody asks how it ended does nothing any more.
            let has_ended = nobody();
            git.wait().expect("ended");
            assert_eq!(who, ProcessEvidence::Somebody, "{arguments:?}");
            assert!(words.is_some_and(|words| words.starts_with("`git`, process ")), "{arguments:?}");
            assert!(has_ended, "{arguments:?}");
        }
        // A program of any name that has it open.
        let file = fs::File::open(&lock).expect("file");
        let mut reader = command(Path::new("cat")).stdin(file).stdout(Stdio::piped()).spawn().expect("cat");
        reader.wait().expect("ended");
        assert!(nobody());
    }
}
