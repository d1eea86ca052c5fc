//! The ledger on repositories of this machine, without the git program.

use super::commits::leads_to;
use super::in_process::why_not_in_process;
use super::libgit2::version;
use super::objects::{Objects, init_bare};
use super::open::{OpenOptions, configure, configured, is_tracked, open};
use super::refs::LOST;
use super::{lost_hub, walk};
use crate::domain::id::OpId;
use crate::domain::record::Record;
use crate::domain::time::Timestamp;
use crate::ledger::Location;
use crate::ledger::{
    Abort, Content, Documents as _, Ledger, LedgerError, LostCommits, Outcome, Past, Reached, Settings,
    StoreCause, Transaction, Version,
};
use crate::machine::{clock, files, random};
use git2::{ObjectType, Oid, Repository};
use std::path::Path;
use std::time::Duration;

fn ledger_at(path: &Path, founding: bool) -> Result<Ledger, LedgerError> {
    let settings = Settings {
        main: "main".to_owned(),
        author: "ada".to_owned(),
        budget: Duration::from_secs(20),
        lock_wait: Duration::ZERO,
        dry_run: false,
        founding,
    };
    open(OpenOptions { location: Location::Path(path.to_owned()), clone: None, settings })
}

struct HubOnDisk {
    folder: tempfile::TempDir,
    ledger: Ledger,
}

impl HubOnDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        init_bare(folder.path(), "main").expect("repository");
        let ledger = ledger_at(folder.path(), true).expect("opens");
        Self { folder, ledger }
    }

    fn repository(&self) -> Repository {
        Repository::open_bare(self.folder.path()).expect("opens")
    }

    /// Applies an operation, which `says` what it does.
    fn write(
        &mut self,
        says: &str,
        apply: impl Fn(&mut Transaction<'_>) -> Result<(), Abort>,
    ) -> (OpId, Version) {
        let op = OpId::new(&random::id()).expect("an id");
        let apply = |transaction: &mut Transaction<'_>| {
            transaction.describe(says);
            apply(transaction)
        };
        match self.ledger.update_one(op.clone(), now(), apply) {
            Ok(Outcome::Applied(receipt)) => (op, receipt.version.expect("a commit")),
            other => panic!("{says}: {other:?}"),
        }
    }

    /// Puts a commit of others on the main branch.
    fn commit(&self, parents: &[&Version], files: &[(&str, &str, i32)]) -> Version {
        let repository = self.repository();
        let mut tree = repository.treebuilder(None).expect("a tree");
        for (name, text, mode) in files {
            let blob = repository.blob(text.as_bytes()).expect("writes");
            tree.insert(name, blob, *mode).expect("inserts");
        }
        let tree = tree.write().expect("writes");
        let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let text =
            format!("tree {tree}\n{parents}author bob <> 1 +0000\ncommitter bob <> 1 +0000\n\nby hand");
        let id = repository.odb().and_then(|odb| odb.write(ObjectType::Commit, text.as_bytes()));
        version(id.expect("writes"))
    }

    fn point(&self, reference: &str, to: &Version) {
        let path = self.folder.path().join(reference);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
        files::write(&path, &format!("{to}\n")).expect("writes");
    }
}

fn now() -> Timestamp {
    Timestamp::parse("2025-10-29T12:00:00Z").expect("time")
}

const JOBS: &str = "coordination/jobs.json";

fn put<'a>(path: &'a str, text: &'a str) -> impl Fn(&mut Transaction<'_>) -> Result<(), Abort> + 'a {
    move |transaction| {
        transaction.put_text(path, text.to_owned());
        Ok(())
    }
}

#[test]
fn what_is_written_is_read_as_it_stands() {
    let mut hub = HubOnDisk::new();
    assert_eq!(hub.ledger.known_tip(), None);
    hub.write("found", put(JOBS, "1"));
    hub.write("more", |transaction| {
        assert!(!transaction.changes_main());
        let beat = Record::new(serde_json::json!({"beat": 1}), 0);
        transaction.put_record_on("heartbeat-ada", "ada/heartbeat.json", &beat)?;
        assert!(!transaction.changes_main());
        transaction.put_record_on("main", "ada/status.json", &beat)?;
        assert!(transaction.changes_main());
        transaction.put_text("coordination/archive/x.json", "2".to_owned());
        transaction.put_text("README", "3".to_owned());
        // An operation sees what it did.
        let seen = transaction.document("main", "README")?;
        assert_eq!(seen.expect("is there").bytes(), b"3");
        transaction.remove("README");
        assert!(transaction.document("main", "README")?.is_none());
        assert_eq!(transaction.document("main", JOBS)?.expect("is there").bytes(), b"1");
        assert_eq!((transaction.main(), transaction.branches("heartbeat-")?.len()), ("main", 0));
        assert_eq!(transaction.list("coordination")?, ["archive/", "jobs.json"]);
        assert_eq!(transaction.list("coordination/archive")?, ["x.json"]);
        transaction.put_text("coordination/gone.json", "4".to_owned());
        transaction.remove("coordination/gone.json");
        assert_eq!(transaction.list("coordination")?, ["archive/", "jobs.json"]);
        assert_eq!(transaction.now(), now());
        Ok(())
    });
    let snapshot = hub.ledger.read(true).expect("a hub");
    for (folder, expected) in [
        ("", &["ada/", "coordination/"][..]),
        ("coordination", &["archive/", "jobs.json"]),
        ("coordination/archive", &["x.json"]),
        (JOBS, &[]),
        ("nowhere", &[]),
    ] {
        assert_eq!(snapshot.list(folder).expect("lists"), expected, "{folder}");
    }
    assert_eq!(snapshot.branches("heartbeat-").expect("lists"), ["heartbeat-ada"]);
    assert_eq!(snapshot.list_on("heartbeat-ada", "ada").expect("lists"), ["heartbeat.json"]);
    assert_eq!(snapshot.list_on("heartbeat-bob", "").expect("lists"), [""; 0]);
    let read = |branch: &str, path: &str| {
        snapshot
            .document(branch, path)
            .map(|found| found.map(|one| String::from_utf8_lossy(one.bytes()).into_owned()))
    };
    assert_eq!(read("main", JOBS).expect("reads").as_deref(), Some("1"));
    assert_eq!(read("main", "README").expect("reads"), None);
    assert_eq!(read("nowhere", JOBS).expect("reads"), None);
    assert!(
        read("heartbeat-ada", "ada/heartbeat.json")
            .expect("reads")
            .is_some_and(|text| text.contains("\"beat\": 1"))
    );
    let folder = read("main", "coordination").expect_err("a folder").to_string();
    assert!(folder.contains("it is not a file"), "{folder}");
    let beat: Option<Record<serde_json::Value>> = snapshot.record("ada/status.json").expect("reads");
    assert!(beat.is_some_and(|beat| beat["beat"] == 1));
}

#[test]
fn an_operation_is_found_where_it_happened() {
    let mut hub = HubOnDisk::new();
    let (first, at_first) = hub.write("job add: a", put(JOBS, "1"));
    let (second, at_second) = hub.write("job add: b", put(JOBS, "2"));
    for (op, since, expected) in [
        (&first, None, Some((&at_first, "job add: a"))),
        (&second, None, Some((&at_second, "job add: b"))),
        (&second, Some(&at_first), Some((&at_second, "job add: b"))),
        (&first, Some(&at_first), None),
        (&OpId::new(&random::id()).expect("an id"), None, None),
    ] {
        let found = hub.ledger.find(op, since).expect("searches");
        let told = found.as_ref().map(|found| (&found.version, found.subject.as_str()));
        assert_eq!(told, expected, "{op}");
        assert!(found.is_none_or(|found| found.at == Some(now())));
    }
    assert_eq!(hub.ledger.known_tip().as_ref(), Some(&at_second));
    let oid = |version: &Version| Oid::from_str(version.as_str()).expect("an id");
    assert!(leads_to(&hub.repository(), oid(&at_first), oid(&at_second)).expect("walks"));
    assert_eq!(at_first.short(), &at_first.as_str()[..at_first.short().len()]);
    assert!(at_first.short().len() >= 7);
}

#[test]
fn a_walk_shows_each_commit_with_what_it_changed() {
    const LINK: i32 = 0o120_000;
    const FILE: i32 = 0o100_644;
    let mut hub = HubOnDisk::new();
    hub.write("one", put(JOBS, "1"));
    hub.write("elsewhere", put("README", "x"));
    let (_, third) = hub.write("two", |transaction| {
        transaction.put_text(JOBS, "2".to_owned());
        transaction.put_text("coordination/archive/x.json", "3".to_owned());
        Ok(())
    });
    let fourth = hub.commit(&[&third], &[("coordination", "no folder", FILE), ("link.json", "x", LINK)]);
    hub.point("refs/heads/main", &fourth);
    let wants =
        |path: &str| path == "link.json" || path.starts_with("coordination/") && path.ends_with(['/', 'n']);
    let objects = Objects::new(hub.repository());
    let mut told = Vec::new();
    let reached = walk::walk(&objects, &fourth, &wants, &mut |stride| {
        let content = |content: &Content| match content {
            Content::Missing => "-".to_owned(),
            Content::File(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Content::Unusable(why) => why.problem.clone(),
        };
        let mut changed: Vec<String> =
            stride.changed.iter().map(|(path, now)| format!("{path}={}", content(now))).collect();
        changed.sort();
        let (before, after) = (stride.before(JOBS)?, stride.after(JOBS)?);
        told.push(format!(
            "{}/{} {} by {}: {} ({} to {}, {} merged)",
            stride.number,
            stride.of,
            stride.told.subject,
            stride.told.author,
            changed.join(" "),
            content(&before),
            content(&after),
            stride.aside.len()
        ));
        assert!(!stride.is_merge());
        Ok(())
    })
    .expect("walks");
    assert_eq!(reached, Reached::Beginning);
    assert_eq!(
        told,
        [
            "1/4 one by ada: coordination/jobs.json=1 (- to 1, 0 merged)",
            "2/4 elsewhere by ada:  (1 to 1, 0 merged)",
            "3/4 two by ada: coordination/archive/x.json=3 coordination/jobs.json=2 (1 to 2, 0 merged)",
            "4/4 by hand by bob: coordination/archive/x.json=- coordination/jobs.json=- link.json=it is not a file (2 to -, 0 merged)",
        ]
    );
}

#[test]
fn a_merge_shows_what_it_is_to_each_side() {
    const FILE: i32 = 0o100_644;
    let hub = HubOnDisk::new();
    let base = hub.commit(&[], &[("a.json", "1", FILE), ("b.json", "1", FILE)]);
    let ours = hub.commit(&[&base], &[("a.json", "2", FILE), ("b.json", "1", FILE)]);
    let theirs = hub.commit(&[&base], &[("a.json", "1", FILE), ("b.json", "2", FILE)]);
    let merge = hub.commit(&[&ours, &theirs], &[("a.json", "2", FILE), ("b.json", "2", FILE)]);
    let objects = Objects::new(hub.repository());
    let mut told = Vec::new();
    walk::walk(&objects, &merge, &|_| true, &mut |stride| {
        for merged in &stride.merged {
            let theirs = stride.merged_in(merged, "b.json")?;
            told.push((merged.changed.clone(), merged.brought, theirs == Content::File(b"2".to_vec())));
        }
        assert_eq!(
            (stride.is_merge(), stride.aside.len()),
            (stride.number == 3, usize::from(stride.number == 3))
        );
        Ok(())
    })
    .expect("walks");
    assert_eq!(told, [(vec!["a.json".to_owned()], 1, true)]);
}

#[test]
fn what_a_history_lost_is_told_once_with_what_led_to_it() {
    let hub = HubOnDisk::new();
    let base = hub.commit(&[], &[]);
    let tip = hub.commit(&[&base], &[("a", "1", 0o100_644)]);
    let gone = hub.commit(&[&base], &[("b", "1", 0o100_644)]);
    let newer = hub.commit(&[&gone], &[("b", "2", 0o100_644)]);
    hub.point("refs/heads/main", &tip);
    let objects = || Objects::new(hub.repository());
    let lost = || {
        let lost = walk::lost(&objects(), &objects(), "refs/heads/main", &tip).expect("reads");
        let told = |lost: LostCommits| (lost.tip, lost.kept_as, lost.commits.len());
        lost.into_iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(lost(), []);
    for (name, at) in [("tip", &tip), ("base", &base)] {
        hub.point(&format!("{LOST}{name}"), at);
    }
    assert_eq!(lost(), [], "what is in the history is not lost");
    hub.point(&format!("{LOST}newer"), &newer);
    assert_eq!(lost(), [(newer.clone(), Some(format!("{LOST}newer")), 2)]);
}

#[test]
fn a_hub_that_lost_its_documents_says_where_they_are() {
    let mut hub = HubOnDisk::new();
    let (_, last) = hub.write("found", put(JOBS, "{}"));
    let without = hub.commit(&[&last], &[("README", "x", 0o100_644)]);
    hub.point("refs/heads/main", &without);
    let lost = ledger_at(hub.folder.path(), false).expect("opens").read(false).map(drop);
    let Err(LedgerError::WasAHub { past, .. }) = lost else { panic!("{lost:?}") };
    assert_eq!(past, Past::InHistory(last.clone()));
    let repository = hub.repository();
    assert_eq!(lost_hub::in_history(&repository, &without), Some(last.clone()));
    assert!(
        !lost_hub::is_hub(&repository, "refs/heads/main")
            && !lost_hub::is_hub(&repository, "refs/heads/none")
    );
    hub.point("refs/remotes/origin/main", &last);
    assert!(lost_hub::is_hub(&repository, "refs/remotes/origin/main"));
    let place = repository.path().display().to_string().trim_end_matches('/').to_owned();
    let known = Past::Known { version: last.clone(), place };
    assert_eq!(lost_hub::known_in(hub.folder.path(), "main"), Some(known));
    assert_eq!(lost_hub::known_in(hub.folder.path(), "other"), None);
}

#[test]
fn only_a_bare_repository_without_hooks_is_opened_in_place() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    let refused = |name: &str| ledger_at(&at(name), false).map(drop).expect_err(name);
    assert!(matches!(refused("none"), LedgerError::Unreachable { .. }));
    std::fs::create_dir(at("empty")).expect("creates");
    assert!(matches!(refused("empty"), LedgerError::Configuration { .. }));
    Repository::init(at("clone")).expect("repository");
    assert!(refused("clone").to_string().contains("has a work tree"));
    let hub = Repository::init_bare(at("hub")).expect("repository");
    assert_eq!(why_not_in_process(&hub), None);
    assert!(!ledger_at(&at("hub"), false).expect("opens").is_remote());
    files::write(&at("hub/hooks/update"), "").expect("writes");
    assert!(why_not_in_process(&hub).is_some_and(|why| why.contains("hooks")));
    std::fs::remove_file(at("hub/hooks/update")).expect("is there");
    files::write(&at("hub/config"), "[core]\n\tbare = true\n\tsharedRepository = group\n").expect("writes");
    let hub = Repository::open_bare(at("hub")).expect("opens");
    assert!(why_not_in_process(&hub).is_some_and(|why| why.contains("shared")));
}

#[test]
fn what_a_clone_says_of_itself() {
    let folder = tempfile::tempdir().expect("folder");
    let top = folder.path().canonicalize().expect("is there");
    let repository = Repository::init(&top).expect("repository");
    std::fs::create_dir(top.join("coordination")).expect("creates");
    files::write(&top.join(JOBS), "{}").expect("writes");
    configure(&top, "remote.origin.url", "ssh://x/y").expect("writes");
    assert_eq!(configured(&top, "remote.origin.url").as_deref(), Some("ssh://x/y"));
    assert_eq!(configured(&top, "remote.origin.nothing"), None);
    assert!(!is_tracked(&top, Path::new(JOBS)));
    let mut index = repository.index().expect("an index");
    index.add_path(Path::new(JOBS)).and_then(|()| index.write()).expect("adds");
    assert!(is_tracked(&top, Path::new(JOBS)));
}

#[test]
fn what_is_damaged_is_not_taken_for_what_is_not_there() {
    let mut hub = HubOnDisk::new();
    let (_, tip) = hub.write("found", put(JOBS, "{}"));
    let folder = Objects::new(hub.repository());
    assert!(folder.read(&tip, JOBS).expect("reads").is_some());
    let repository = hub.repository();
    let commit = Oid::from_str(tip.as_str()).expect("an id");
    let tree = super::commits::tree_of(&repository, commit).expect("is there");
    let below = tree.get_name("coordination").expect("is there").id().to_string();
    let object = hub.folder.path().join("objects").join(&below[..2]).join(&below[2..]);
    std::fs::remove_file(object).expect("is there");
    let objects = Objects::new(hub.repository());
    for result in [objects.read(&tip, JOBS).map(drop), objects.list(&tip, "coordination").map(drop)] {
        assert!(matches!(result, Err(LedgerError::Store { cause: StoreCause::Damaged, .. })), "{result:?}");
    }
}

/// The files below a folder, copied.
fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("folder");
    for found in files::walk(from, "", 10_000).expect("lists") {
        files::copy_file(&from.join(&found.below), &to.path().join(&found.below), &|| false).expect("copies");
    }
    to
}

#[test]
fn an_object_that_a_loss_of_power_left_torn_is_written_anew() {
    let mut hub = HubOnDisk::new();
    hub.write("found", put(JOBS, "1"));
    let (op, document) = (OpId::new(&random::id()).expect("an id"), "2".repeat(100));
    let objects = |folder: &Path| files::walk(&folder.join("objects"), "", 10_000).expect("lists");
    let write = |folder: &Path| {
        let written =
            ledger_at(folder, false).expect("opens").update_one(op.clone(), now(), put(JOBS, &document));
        let Ok(Outcome::Applied(receipt)) = written else { panic!("{written:?}") };
        receipt.version.expect("a commit")
    };
    // What the write makes: the same each time.
    let whole = copied(hub.folder.path());
    let version = write(whole.path());
    let before: Vec<_> = objects(hub.folder.path()).into_iter().map(|found| found.below).collect();
    let mut made = objects(whole.path());
    made.retain(|found| !before.contains(&found.below));
    assert_eq!(made.len(), 4, "a blob, two folders, a commit: {made:?}");
    for torn in made {
        // Empty, as most file systems leave it. Some that are cut in the middle libgit2 reads for ever.
        let folder = copied(hub.folder.path());
        let (from, to) =
            (whole.path().join("objects").join(&torn.below), folder.path().join("objects").join(&torn.below));
        let bytes = files::read_bytes(&from).expect("reads");
        files::replace(&to, b"", false, folder.path()).expect("writes");
        // It is older than the write.
        clock::sleep(Duration::from_millis(50));
        assert_eq!(write(folder.path()), version, "{}", torn.below);
        assert_eq!(files::read_bytes(&to).expect("reads"), bytes, "{}", torn.below);
        let aside = folder.path().join("muster.torn").join(torn.below.replace('/', ""));
        assert!(files::read_bytes(&aside).expect("is kept").is_empty());
        let objects = Objects::new(Repository::open_bare(folder.path()).expect("opens"));
        assert_eq!(objects.read(&version, JOBS).expect("reads").as_deref(), Some(document.as_bytes()));
    }
}

#[test]
fn a_document_is_read_up_to_its_bound() {
    use crate::domain::json::DOCUMENT_BYTES_MAX;
    let hub = HubOnDisk::new();
    let (fits, too_large) = (" ".repeat(DOCUMENT_BYTES_MAX), " ".repeat(DOCUMENT_BYTES_MAX + 1));
    let tip = hub.commit(&[], &[("fits.json", &fits, 0o100_644), ("large.json", &too_large, 0o100_644)]);
    let objects = Objects::new(hub.repository());
    assert!(objects.read(&tip, "fits.json").expect("reads").is_some());
    let error = objects.read(&tip, "large.json").expect_err("too large").to_string();
    assert!(error.contains("it has 33554433 bytes, more than the 33554432 allowed"), "{error}");
    walk::walk(&objects, &tip, &|_| true, &mut |stride| {
        let usable =
            |(path, content): &(String, Content)| (path.clone(), matches!(content, Content::File(_)));
        let told: Vec<_> = stride.changed.iter().map(usable).collect();
        assert_eq!(told, [("fits.json".to_owned(), true), ("large.json".to_owned(), false)]);
        Ok(())
    })
    .expect("walks");
}
