//! Several workers at once, with real processes: every job runs, in legal order, and is reported once;
//! also when the workers are killed all the time.

use crate::support::{Fleet, Host, MAIN, Transport, eventually, inspect};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// How long the storms may take in full, and a step of them on a busy machine.
const FULL_BOUND: Duration = Duration::from_secs(1200);
const BOUND: Duration = Duration::from_secs(60);

/// How large the storm of workers is.
struct Size {
    transport: Transport,
    jobs: usize,
    /// How often each worker is killed.
    kills: usize,
}

/// By default what fits into a minute; all of it with `MUSTER_WORKERS=full`.
fn size() -> Size {
    if std::env::var("MUSTER_WORKERS").is_ok_and(|size| size == "full") {
        Size { transport: Transport::Ssh, jobs: 200, kills: 40 }
    } else {
        Size { transport: Transport::Path, jobs: 30, kills: 4 }
    }
}

/// Three servers, each with a label of its own, and a queue of jobs with priorities, needs and labels.
struct Storm {
    fleet: Fleet,
    hosts: Vec<Host>,
    /// Where jobs leave their id and server when they begin and when they end.
    begun: PathBuf,
    ended: PathBuf,
}

const NAMES: [&str; 3] = ["ada", "bob", "eve"];

impl Storm {
    fn begin(size: &Size) -> Self {
        let fleet = Fleet::over(size.transport).founded();
        let join = |name: &&str| {
            let host = fleet.host(name);
            host.run(["join", &fleet.hub().url(), "--as", name, "--label", &format!("only={name}")])
                .success();
            host
        };
        let hosts: Vec<Host> = NAMES.iter().map(join).collect();
        let (begun, ended) = (hosts[0].directory().join("begun"), hosts[0].directory().join("ended"));
        let storm = Self { fleet, hosts, begun, ended };
        storm.add(size.jobs);
        storm
    }

    fn add(&self, jobs: usize) {
        let mark = |file: &PathBuf| format!("echo $MUSTER_JOB_ID $MUSTER_SERVER >>{}", file.display());
        let script = format!("{}; sleep 0.1; {}", mark(&self.begun), mark(&self.ended));
        let line = |number: usize| {
            let mut line = json!({"type": "test", "max_attempts": 30, "key": format!("k{number}")});
            line["priority"] = json!([1, 3, 5, 8][number % 4]);
            line["command"] = json!(["sh", "-c", script]);
            if number % 3 == 2 {
                line["needs"] = json!([format!("k{}", number - 1)]);
            }
            if number % 5 == 4 {
                line["labels"] = json!([format!("only={}", NAMES[number / 5 % 3])]);
            }
            if number % 7 == 6 {
                line["group"] = json!("licence");
            }
            format!("{line}\n")
        };
        let file = self.hosts[0].directory().join("jobs.jsonl");
        fs::write(&file, (0..jobs).map(line).collect::<String>()).unwrap();
        self.hosts[0].run(["job", "add", "--from", file.to_str().unwrap()]).success();
    }

    fn jobs(&self) -> Vec<Value> {
        let document = inspect::document(self.fleet.hub(), MAIN, "coordination/jobs.json");
        document["jobs"].as_array().unwrap().clone()
    }

    fn is_done(&self) -> bool {
        self.jobs().iter().all(|job| job["status"] == "completed" || job["status"] == "dead")
    }

    /// What jobs left in one of the files: id and server.
    fn runs(file: &PathBuf) -> Vec<(String, String)> {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(id, by)| (id.into(), by.into()))
            .collect()
    }

    /// Every claim in the history took what was most urgent of what its server could take then.
    fn assert_legal_order(&self) {
        let mut claims = 0;
        for commit in inspect::log(self.fleet.hub(), MAIN) {
            if !commit.subject.starts_with("job claim:") && !commit.body.contains("job claim:") {
                continue;
            }
            let at = |revision: &str| -> BTreeMap<String, Value> {
                let text = self.fleet.hub().git(["show", &format!("{revision}:coordination/jobs.json")]);
                let document: Value = serde_json::from_str(&text).unwrap();
                let jobs = document["jobs"].as_array().unwrap().iter();
                jobs.map(|job| (job["id"].as_str().unwrap().to_owned(), job.clone())).collect()
            };
            let (before, after) = (at(&format!("{}^", commit.id)), at(&commit.id));
            let is_claimed = |job: &&Value| job["token"] != before[job["id"].as_str().unwrap()]["token"];
            let claimed: Vec<&Value> = after.values().filter(is_claimed).collect();
            for job in &claimed {
                claims += 1;
                let (by, now) = (job["assigned_to"].as_str().unwrap(), job["started_at"].as_str().unwrap());
                assert_eq!(wrong_with(job, by, now, &before), None, "{}: {job}", commit.subject);
                let level = |job: &Value| job["priority"].as_u64().unwrap();
                let passed_over = before.values().filter(|other| {
                    other["status"] == "queued"
                        && level(other) < level(job)
                        && claimed.iter().all(|one| one["id"] != other["id"])
                        // Two of a group are not taken at once either.
                        && claimed.iter().all(|one| one["group"].is_null() || one["group"] != other["group"])
                        && wrong_with(other, by, now, &before).is_none()
                });
                let passed_over: Vec<&Value> = passed_over.collect();
                assert!(passed_over.is_empty(), "{}: {job} before {passed_over:?}", commit.subject);
            }
        }
        assert!(claims > 0);
    }
}

/// What keeps `by` from claiming `job` at `now`.
fn wrong_with(job: &Value, by: &str, now: &str, jobs: &BTreeMap<String, Value>) -> Option<&'static str> {
    let texts = |field: &str| -> Vec<String> {
        let list = job[field].as_array().cloned().unwrap_or_default();
        list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    if texts("needs").iter().any(|need| jobs[need]["status"] != "completed") {
        return Some("a need is not completed");
    }
    if texts("labels").iter().any(|label| *label != format!("only={by}")) {
        return Some("a label is missing");
    }
    // Both are written in one shape, in which text and time have one order.
    if job["not_before"].as_str().is_some_and(|at| at > now) {
        return Some("it is too early");
    }
    let is_at_work = |other: &&Value| {
        ["claimed", "running"].contains(&other["status"].as_str().unwrap())
            && other["id"] != job["id"]
            && !job["group"].is_null()
            && other["group"] == job["group"]
    };
    jobs.values().find(is_at_work).map(|_| "another of its group is at work")
}

#[test]
fn several_workers_run_every_job_once_in_legal_order() {
    let size = size();
    let storm = Storm::begin(&size);
    let words = ["worker", "run", "--allow", "sh *", "--jobs", "2", "--poll", "50ms"];
    let mut workers: Vec<_> =
        storm.hosts.iter().map(|host| host.command(words).bound(FULL_BOUND).spawn()).collect();
    eventually(FULL_BOUND, || storm.is_done());
    for worker in &mut workers {
        worker.signal("TERM");
    }
    for worker in workers {
        worker.wait().success();
    }
    let (begun, ended) = (Storm::runs(&storm.begun), Storm::runs(&storm.ended));
    assert_eq!((begun.len(), ended.len()), (size.jobs, size.jobs));
    let ids: BTreeSet<&String> = ended.iter().map(|run| &run.0).collect();
    assert_eq!(ids.len(), size.jobs, "each ran once");
    for job in storm.jobs() {
        let told = (job["status"].as_str(), job["attempts"].as_u64(), job["token"].as_u64());
        assert_eq!(told, (Some("completed"), Some(1), Some(1)), "{job}");
        let by = &ended.iter().find(|run| run.0 == job["id"].as_str().unwrap()).unwrap().1;
        assert_eq!(job["assigned_to"].as_str(), Some(by.as_str()));
    }
    assert!(NAMES.iter().all(|name| ended.iter().any(|run| run.1 == *name)), "all took part");
    storm.assert_legal_order();
    storm.hosts[0].run(["fsck", "--history"]).success();
}

/// Starts the worker of `host` again and again, kills it a moment later, and lets the last one end by
/// itself.
fn work_under_a_killer(host: &Host, kills: usize, is_done: &dyn Fn() -> bool) {
    let words = ["worker", "run", "--allow-any", "--jobs", "2", "--poll", "100ms", "--interval", "2s"];
    for kill in 0..kills {
        let mut worker = host.command(words).bound(FULL_BOUND).spawn();
        let start = std::time::Instant::now();
        // Not a sleep: another moment each time, and no longer than it takes to be done.
        let moment = Duration::from_millis(400 + 200 * u64::try_from(kill % 4).unwrap());
        eventually(BOUND, || start.elapsed() > moment || is_done());
        worker.signal("KILL");
        worker.wait().killed_by(9);
    }
    let mut worker = host.command(words).bound(FULL_BOUND).spawn();
    eventually(FULL_BOUND, is_done);
    worker.signal("TERM");
    worker.wait().success();
}

#[test]
fn workers_that_are_killed_all_the_time_complete_every_job_once() {
    let size = size();
    let storm = Storm::begin(&size);
    std::thread::scope(|scope| {
        for host in &storm.hosts {
            scope.spawn(|| work_under_a_killer(host, size.kills, &|| storm.is_done()));
        }
    });
    let subjects: Vec<String> =
        inspect::log(storm.fleet.hub(), MAIN).into_iter().map(|commit| commit.subject).collect();
    let count = |verb: &str, id: &str| {
        subjects.iter().filter(|subject| subject.starts_with(&format!("job {verb}: {id} "))).count()
    };
    let (begun, ended) = (Storm::runs(&storm.begun), Storm::runs(&storm.ended));
    let mut lost = 0;
    for job in storm.jobs() {
        let id = job["id"].as_str().unwrap();
        assert_eq!(job["status"], "completed", "{job}");
        assert_eq!(count("complete", id), 1, "{job}");
        let attempts = usize::try_from(job["attempts"].as_u64().unwrap()).unwrap();
        let token = usize::try_from(job["token"].as_u64().unwrap()).unwrap();
        // Every claim ended in one way: completed, lost, or handed back before anything ran.
        assert_eq!(token, 1 + count("fail", id) + count("rescue", id) + count("release", id), "{job}");
        assert_eq!(attempts, token - count("release", id), "{job}");
        let runs = |of: &[(String, String)]| of.iter().filter(|run| run.0 == id).count();
        assert!(runs(&ended) >= 1 && runs(&begun) <= attempts, "{job}: {} of {}", runs(&ended), runs(&begun));
        lost += attempts - 1;
    }
    assert!(lost > 0, "no job was lost: the test proved little");
    storm.assert_legal_order();
    storm.hosts[0].run(["fsck", "--history"]).success();
}
