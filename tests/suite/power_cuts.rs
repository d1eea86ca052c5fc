//! Losses of power: the system calls of one write are recorded, and the hub is looked at as each of them
//! may have left it.
//!
//! What was not flushed may be there, not be there, or be there without its content. What was flushed is
//! there, and with a new file its name: what file systems of Linux keep to. Whatever is left, the branch
//! names the old commit or the new one, of which everything is there; what was acknowledged is there; and
//! the next command works.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{Fleet, Host, MAIN, Transport, eventually, git, inspect, need, try_git, wait_for};

/// The calls that change what is on a disk, and those that flush it.
const CALLS: &str =
    "openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat";

/// How many calls of each kind a write makes at least: with fewer, something was not recorded.
const FLUSHES_MIN: usize = 6;
const STATES_MIN: usize = 10;

/// How long a worker may take on a busy machine.
const BOUND: Duration = Duration::from_secs(120);

/// A file by what it is, whatever its names are.
#[derive(Debug, Clone, Default)]
struct Content {
    /// What was in it at the end; `None`: it had no name any more.
    bytes: Option<Vec<u8>>,
    is_flushed: bool,
}

/// Something that the write did.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    Create(PathBuf),
    Write(PathBuf),
    Flush(PathBuf),
    Link(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    /// The answer is printed.
    Answer,
}

/// The parts in double quotes, and those in angle brackets: arguments, and what descriptors stand for.
fn between(line: &str, open: char, close: char) -> Vec<PathBuf> {
    let mut parts = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find(open) {
        rest = &rest[start + open.len_utf8()..];
        let Some(end) = rest.find(close) else { break };
        parts.push(PathBuf::from(&rest[..end]));
        rest = &rest[end + close.len_utf8()..];
    }
    parts
}

/// One whole line of the record as what it did to files in `hub`.
fn call(line: &str, hub: &Path) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    if line.contains("= -1 ") {
        return None;
    }
    let of_hub = |path: &PathBuf| path.starts_with(hub);
    let named: Vec<PathBuf> = between(rest, '"', '"').into_iter().filter(of_hub).collect();
    let opened = || between(rest.split(',').next().unwrap_or(rest), '<', '>').into_iter().find(of_hub);
    match name {
        "openat" if rest.contains("O_CREAT") => Some(Call::Create(named.first()?.clone())),
        "write" if rest.starts_with("1<") => Some(Call::Answer),
        "write" | "pwrite64" => Some(Call::Write(opened()?)),
        "fsync" | "fdatasync" => Some(Call::Flush(opened()?)),
        "link" | "linkat" => Some(Call::Link(named.first()?.clone(), named.get(1)?.clone())),
        "rename" | "renameat" | "renameat2" => {
            Some(Call::Rename(named.first()?.clone(), named.get(1)?.clone()))
        }
        "unlink" | "unlinkat" => Some(Call::Remove(named.first()?.clone())),
        _ => None,
    }
}

/// The record of all threads, each call where it ended.
fn calls(record: &str, hub: &Path) -> Vec<Call> {
    let mut begun = BTreeMap::new();
    let mut calls = Vec::new();
    for line in record.lines() {
        let (thread, line) = line.split_once(' ').unwrap_or_default();
        let line = line.trim_start();
        if let Some(head) = line.strip_suffix("<unfinished ...>") {
            begun.insert(thread, head.to_owned());
        } else if let Some((_, tail)) =
            line.strip_prefix("<... ").and_then(|rest| rest.split_once("resumed>"))
        {
            let head = begun.remove(thread).unwrap_or_default();
            calls.extend(call(&format!("{head}{tail}"), hub));
        } else {
            calls.extend(call(line, hub));
        }
    }
    calls
}

/// What a loss of power left under each name: which file, and what is in it.
type Left = BTreeMap<PathBuf, (usize, Vec<u8>)>;

/// The files of a hub: what is in them, and their names as they are and as they are on the disk.
#[derive(Debug, Clone, Default)]
struct Disk {
    contents: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    flushed: BTreeMap<PathBuf, usize>,
    is_acknowledged: bool,
}

impl Disk {
    /// Everything that lies in `hub` is on the disk.
    fn of(hub: &Path) -> Self {
        let mut disk = Self::default();
        for path in files(hub) {
            let bytes = Some(fs::read(&path).unwrap());
            disk.contents.push(Content { bytes, is_flushed: true });
            disk.names.insert(path.clone(), disk.contents.len() - 1);
            disk.flushed.insert(path, disk.contents.len() - 1);
        }
        disk
    }

    fn content(&mut self, path: &Path) -> Option<&mut Content> {
        self.names.get(path).copied().map(|index| &mut self.contents[index])
    }

    fn apply(&mut self, call: &Call) {
        match call {
            Call::Create(path) => {
                if !self.names.contains_key(path) {
                    self.contents.push(Content::default());
                    self.names.insert(path.clone(), self.contents.len() - 1);
                }
            }
            Call::Write(path) => {
                if let Some(content) = self.content(path) {
                    content.is_flushed = false;
                }
            }
            Call::Flush(path) if self.names.contains_key(path) => {
                let index = self.names[path];
                self.contents[index].is_flushed = true;
                self.flushed.insert(path.clone(), index);
            }
            Call::Flush(folder) => {
                self.flushed.retain(|name, _| name.parent() != Some(folder));
                let inside = self.names.iter().filter(|(name, _)| name.parent() == Some(folder));
                self.flushed.extend(inside.map(|(name, index)| (name.clone(), *index)));
            }
            Call::Link(from, to) => {
                if let Some(index) = self.names.get(from).copied() {
                    self.names.insert(to.clone(), index);
                }
            }
            Call::Rename(from, to) => {
                if let Some(index) = self.names.remove(from) {
                    self.names.insert(to.clone(), index);
                }
            }
            Call::Remove(path) => drop(self.names.remove(path)),
            Call::Answer => self.is_acknowledged = true,
        }
    }

    /// What a loss of power may leave: the names as they are on the disk or as they were seen, of objects
    /// and of everything else, and of unflushed content nothing or half.
    fn cuts(&self, hub: &Path) -> Vec<Left> {
        let objects = hub.join("objects");
        let mut cuts = Vec::new();
        for (objects_seen, others_seen, half) in
            [(false, false, 0), (true, true, 0), (true, true, 2), (true, false, 2), (false, true, 0)]
        {
            let left = |names: &BTreeMap<PathBuf, usize>, of_objects: bool| -> Vec<(PathBuf, usize)> {
                let wanted = |name: &&PathBuf| name.starts_with(&objects) == of_objects;
                names.keys().filter(wanted).map(|name| (name.clone(), names[name])).collect()
            };
            let chosen = |seen: bool| if seen { &self.names } else { &self.flushed };
            let names = left(chosen(objects_seen), true).into_iter().chain(left(chosen(others_seen), false));
            cuts.push(
                names
                    .map(|(name, index)| {
                        let content = &self.contents[index];
                        let bytes = content.bytes.clone().unwrap_or_default();
                        let length = match half {
                            _ if content.is_flushed => bytes.len(),
                            0 => 0,
                            half => bytes.len() / half,
                        };
                        (name, (index, bytes[..length].to_vec()))
                    })
                    .collect(),
            );
        }
        cuts
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Records a write of `host` to its hub.
fn recorded(host: &Host, args: &[&str]) -> String {
    let record = host.directory().join("record");
    let words = args.join(" ");
    // In a shell: strace waits for all children of its process, and the leash of a test is one.
    let line = format!(
        "strace -f -y -s 16 -e trace={CALLS} -o '{}' '{}' {words}; exit $?",
        record.display(),
        env!("CARGO_BIN_EXE_git-muster")
    );
    host.program("sh").args(["-c", &line]).run().success();
    fs::read_to_string(record).unwrap()
}

/// Lets the hub at `place` be what a loss of power left of it, and looks at it.
fn look(host: &Host, place: &Path, left: &Left, tips: [&str; 2], is_acknowledged: bool) {
    let hub = host.hub().path();
    fs::remove_dir_all(place).ok();
    for folder in ["objects/pack", "objects/info", "refs/heads", "refs/tags"] {
        fs::create_dir_all(place.join(folder)).unwrap();
    }
    let mut made: BTreeMap<usize, PathBuf> = BTreeMap::new();
    for (name, (index, bytes)) in left {
        let to = place.join(name.strip_prefix(hub).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // Two names of one file stay that.
        match made.get(index) {
            Some(other) => fs::hard_link(other, &to).unwrap(),
            None => fs::write(&to, bytes).unwrap(),
        }
        made.insert(*index, to);
    }
    let main = git(place, ["rev-parse", "refs/heads/main"]).trim().to_owned();
    let whole = if is_acknowledged { &tips[1..] } else { &tips[..] };
    assert!(whole.contains(&main.as_str()), "{main} of {tips:?}");
    let everything = |what: &str| {
        let script = "git rev-list --objects main | cut -d' ' -f1 | git cat-file --batch";
        let alias = format!("alias.everything=!{script}");
        let read = try_git(place, ["-c", &alias, "everything"]);
        let text = String::from_utf8_lossy(&read.stdout);
        assert!(read.status.success() && !text.contains(" missing\n"), "{what}: {read:?}");
    };
    everything("as it was left");
    let next =
        host.command(["lock", "acquire", "next"]).env("MUSTER_HUB", place).env("MUSTER_TIMEOUT", "20s");
    next.run().success();
    everything("after the next command");
}

#[test]
fn a_loss_of_power_at_any_moment_of_a_write_loses_nothing_acknowledged_and_tears_no_branch() {
    for args in [&["lock", "acquire", "gate"][..], &["job", "add", "--type", "test"]] {
        let fleet = Fleet::over(Transport::Path).founded();
        let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
        if !need::is_here(&["strace"]) {
            return;
        }
        let hub = fleet.hub().path();
        let old = fleet.hub().tip(MAIN).unwrap();
        let mut disk = Disk::of(hub);
        let calls = calls(&recorded(&ada, args), hub);
        let new = fleet.hub().tip(MAIN).unwrap();
        // What was written is what is there in the end: nothing is written over.
        let mut end = disk.clone();
        calls.iter().for_each(|call| end.apply(call));
        for (path, index) in &end.names {
            if *index >= disk.contents.len() {
                end.contents[*index].bytes = fs::read(path).ok();
            }
        }
        let flushes = calls.iter().filter(|call| matches!(call, Call::Flush(_))).count();
        assert!(flushes >= FLUSHES_MIN && end.is_acknowledged, "{flushes} flushes: {calls:#?}");
        let place = bob.directory().join("left.git");
        let mut seen = BTreeSet::new();
        for done in 0..=calls.len() {
            if done > 0 {
                disk.apply(&calls[done - 1]);
            }
            for (index, content) in disk.contents.iter_mut().enumerate() {
                content.bytes.clone_from(&end.contents[index].bytes);
            }
            for left in disk.cuts(hub) {
                if seen.insert((left.clone(), disk.is_acknowledged)) {
                    look(&bob, &place, &left, [&old, &new], disk.is_acknowledged);
                }
            }
        }
        assert!(seen.len() >= STATES_MIN, "{} states only", seen.len());
    }
}

/// The object that a name of the hub leads to, and its file.
fn object(fleet: &Fleet, name: &str) -> PathBuf {
    let id = fleet.hub().git(["rev-parse", name]).trim().to_owned();
    fleet.hub().path().join("objects").join(&id[..2]).join(&id[2..])
}

#[test]
fn an_object_that_is_cut_off_is_named_and_nothing_reads_it_for_ever() {
    let tree = format!("{MAIN}^{{tree}}");
    let jobs = format!("{MAIN}:coordination/jobs.json");
    let mut never_ending = 0;
    for name in [MAIN, &tree, &jobs] {
        for part in [3, 2, 1] {
            let fleet = Fleet::over(Transport::Path).founded();
            let ada = fleet.server("ada");
            ada.run(["job", "add", "--type", "test"]).success();
            let clone = fleet.hub().path().with_file_name("clone.git");
            git(fleet.hub().path(), ["clone", "--quiet", "--bare", ".", &clone.display().to_string()]);
            let file = object(&fleet, name);
            let bytes = fs::read(&file).unwrap();
            fs::remove_file(&file).unwrap();
            fs::write(&file, &bytes[..bytes.len() * part / 4]).unwrap();
            let run = ada.run(["job", "add", "--type", "test"]).code(1);
            if run.stderr().contains("is damaged") {
                // Cut off in its first bytes, it is told at once.
                continue;
            }
            assert!(run.stderr().contains("is truncated") && !file.exists(), "{name} {part}: {run}");
            never_ending += 1;
            // It is only missing from now on, and is had back as the hint says.
            ada.run(["job", "list"]).code(1);
            let line = run.stderr().split('`').find(|part| part.contains("--refetch")).unwrap();
            let line = line.replace("CLONE", &clone.display().to_string());
            ada.program("sh").args(["-c", &line]).run().success();
            ada.run(["job", "add", "--type", "test"]).success();
        }
    }
    assert!(never_ending > 2, "what this is about was met: {never_ending}");
}

#[test]
fn an_object_of_our_copy_that_is_cut_off_is_fetched_again() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    let ada = fleet.server("ada");
    ada.run(["job", "add", "--type", "test"]).success();
    let copies = ada.place("XDG_CACHE_HOME").join("git-muster/hubs");
    let copy = fs::read_dir(copies).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap().path();
    let id = fleet.hub().git(["rev-parse", &format!("{MAIN}:coordination/jobs.json")]).trim().to_owned();
    let file = copy.join("objects").join(&id[..2]).join(&id[2..]);
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    ada.run(["job", "list"]).code(1);
    ada.run(["job", "list"]).success();
    ada.run(["job", "add", "--type", "test"]).success();
}

/// The worker reads the object while a job is at work: it begins anew, and the job is not left at work until it
/// counts as lost.
#[test]
fn a_worker_that_meets_an_object_that_is_cut_off_begins_anew_and_gives_its_job_back() {
    let fleet = Fleet::over(Transport::Ssh).founded();
    let (ada, bob) = (fleet.server("ada"), fleet.server("bob"));
    let add = |script: &str| {
        let words = ["job", "add", "--type", "x", "--", "sh", "-c", script];
        bob.run(words).success().stdout().trim().to_owned()
    };
    let (begun, go) = (ada.directory().join("begun"), ada.directory().join("go"));
    // The second time it ends.
    let script = format!("echo >> '{}'; [ -e '{}' ] || sleep 600", begun.display(), go.display());
    let job = add(&script);
    let mut worker = ada.command(["worker", "run", "--allow-any", "--poll", "200ms"]).bound(BOUND).spawn();
    eventually(BOUND, || begun.exists());
    worker.signal("STOP");
    fs::write(&go, "").unwrap();
    let other = add("exit 0");
    // What is new lies in the copy already, cut off, when the worker goes on and asks for it.
    let copies = ada.place("XDG_CACHE_HOME").join("git-muster/hubs");
    let copy = fs::read_dir(copies).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap().path();
    let fetch = ["-C", &copy.display().to_string(), "fetch", "--quiet", &fleet.hub().url(), MAIN];
    ada.program("git").args(fetch).run().success();
    let id = fleet.hub().git(["rev-parse", &format!("{MAIN}:coordination/jobs.json")]).trim().to_owned();
    let file = copy.join("objects").join(&id[..2]).join(&id[2..]);
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    worker.signal("CONT");
    let are_completed = || {
        let is_completed = |id: &&String| inspect::job(fleet.hub(), id)["status"] == "completed";
        [&job, &other].iter().all(is_completed).then_some(())
    };
    let completed = wait_for(BOUND, are_completed);
    assert!(completed.is_some(), "{}", worker.stderr());
    assert_eq!(fs::read_to_string(&begun).unwrap().lines().count(), 2);
    worker.signal("TERM");
    let run = worker.wait();
    assert!(run.stderr().contains("is truncated") && run.stderr().contains("restarts"), "{run}");
}

#[test]
fn a_hub_whose_list_of_refs_was_lost_is_not_made_anew() {
    let fleet = Fleet::over(Transport::Path).founded();
    let ada = fleet.server("ada");
    ada.run(["job", "add", "--type", "test"]).success();
    let tip = fleet.hub().tip(MAIN);
    git(fleet.hub().path(), ["pack-refs", "--all"]);
    fs::write(fleet.hub().path().join("packed-refs"), "").unwrap();
    let run = ada.run(["job", "list"]).code(78);
    assert!(!run.stderr().contains("init"), "{run}");
    let line = run.stderr().split('`').find(|part| part.contains("update-ref")).unwrap().to_owned();
    ada.program("sh").args(["-c", &line]).run().success();
    assert_eq!(fleet.hub().tip(MAIN), tip);
    ada.run(["job", "add", "--type", "test"]).success();
}
