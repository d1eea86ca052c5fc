//! How often a command asks a hub behind a connection, and how often it pushes: each costs a handshake, and
//! forges count the pushes.

use crate::support::{Fleet, Host, Transport, gits, inspect};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A git that writes the command it is given into `log`, a line each, and then does it.
fn counting_git(folder: &Path, log: &Path) -> std::path::PathBuf {
    let program = folder.join("counting-git");
    let git = gits().first().unwrap().program.display().to_string();
    let script = format!("#!/bin/sh\necho \"$*\" >> '{}'\nexec '{git}' \"$@\"\n", log.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// A server of a hub behind a connection, each of whose commands is counted.
struct Counted {
    folder: tempfile::TempDir,
    host: Host,
    other: Host,
    fleet: Fleet,
}

impl Counted {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let git = counting_git(folder.path(), &folder.path().join("log"));
        let fleet = Fleet::over(Transport::Daemon).with_git(&git).founded();
        let (mut host, mut other) = (fleet.server("ada"), fleet.server("bob"));
        // Who wrote right after others asks first. Here the others wrote long ago.
        other.set("MUSTER_CLOCK", "2025-10-29T12:00:00Z");
        host.set("MUSTER_CLOCK", "2035-10-29T12:00:00Z");
        Self { folder, host, other, fleet }
    }

    /// How often `words` ask the hub, and how often they push.
    #[track_caller]
    fn count(&self, words: &[&str]) -> (usize, usize) {
        let log = self.folder.path().join("log");
        fs::write(&log, "").unwrap();
        self.host.run(words).success();
        let lines = fs::read_to_string(&log).unwrap();
        let of =
            |command: &str| lines.lines().filter(|line| line.split(' ').any(|word| word == command)).count();
        (of("fetch") + of("ls-remote"), of("push"))
    }

    fn add(&self, host: &Host) -> String {
        let run = host.run(["job", "add", "--type", "test", "--", "true"]).success();
        run.stdout().trim().to_owned()
    }

    /// Another server writes: what this one knows of the hub is old.
    fn elsewhere(&self) {
        self.other.run(["status", "set", "idle"]).success();
    }
}

#[test]
fn a_command_asks_and_pushes_no_more_often_than_it_must() {
    let counted = Counted::new();
    assert_eq!(counted.count(&["heartbeat"]), (1, 1), "the first heartbeat");
    assert_eq!(counted.count(&["heartbeat"]), (0, 1), "the next ones");
    assert_eq!(counted.count(&["job", "list"]), (1, 0));
    let id = counted.add(&counted.host);
    let claim = ["--token", "1"];
    assert_eq!(counted.count(&["job", "claim", &id]), (0, 1));
    assert_eq!(counted.count(&[&["job", "heartbeat", &id], &claim[..]].concat()), (0, 1));
    counted.elsewhere();
    let after_others = counted.count(&[&["job", "heartbeat", &id], &claim[..]].concat());
    assert_eq!(after_others, (1, 2), "what was judged is judged again where others wrote meanwhile");
    assert_eq!(counted.count(&[&["job", "complete", &id], &claim[..]].concat()), (0, 1));
    counted.add(&counted.host);
    assert_eq!(counted.count(&["job", "run", "--allow-any"]), (1, 3));
    inspect::assert_hub_is_sound(counted.fleet.hub());
}

#[test]
fn a_heartbeat_for_a_claim_that_was_lost_meanwhile_is_refused() {
    let counted = Counted::new();
    let id = counted.add(&counted.host);
    counted.host.run(["heartbeat"]).success();
    counted.host.run(["job", "claim", &id]).success();
    let beat = || inspect::document(counted.fleet.hub(), "heartbeat-ada", "ada/heartbeat.json");
    let before = beat();
    // What this host knows of the hub says that the job is its own.
    counted.other.run(["job", "cancel", &id]).success();
    let told = counted.host.run(["job", "heartbeat", &id, "--token", "1"]).code(5);
    assert!(told.stderr().contains("cancelled"), "{told:?}");
    assert_eq!(beat(), before, "nothing of it is written");
    inspect::assert_hub_is_sound(counted.fleet.hub());
}

#[test]
fn a_heartbeat_for_a_claim_that_the_hub_refuses_is_refused_and_not_unknown() {
    let counted = Counted::new();
    let id = counted.add(&counted.host);
    counted.host.run(["heartbeat"]).success();
    counted.host.run(["job", "claim", &id]).success();
    let hook = counted.fleet.hub().path().join("hooks/update");
    fs::write(&hook, "#!/bin/sh\ncase $1 in refs/heads/heartbeat-*) exit 1;; esac\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    counted.host.run(["job", "heartbeat", &id, "--token", "1"]).code(4);
    assert_eq!(counted.host.unsettled(), serde_json::json!([]));
}
