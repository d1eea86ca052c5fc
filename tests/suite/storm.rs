//! Storms: many clones write to one hub at the same time, each command a process of its own.
//!
//! What counts is compared from outside, with plain git: the new commits of the hub are exactly
//! what the commands acknowledged, one commit and one operation id each; nothing that was refused
//! left a trace; documents, clones and hub are sound.
//!
//! By default the whole storm (8 clones of 50 operations) runs by path, and smaller ones over the
//! transports that cost a connection per write. `MUSTER_STORM=full cargo test storm -- --nocapture` runs 2, 4 and 8
//! clones of 50 operations over all five (a quarter of an hour on two cores) and prints how long each took.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Fleet, Host, Hub, MAIN, Run, Transport, git, inspect};

/// The locks that everybody wants.
const LOCKS: [&str; 2] = ["alpha", "beta"];

/// How long one command may try: in a storm nobody gives up.
const PATIENCE: &str = "10m";
const PATIENCE_BOUND: Duration = Duration::from_secs(660);

/// What one clone was told by the commands it ran, one after the other.
#[derive(Debug, Default)]
struct Account {
    /// How many commands it ran.
    ops: usize,
    /// The first lines of the commits that its acknowledged writes must have made.
    subjects: Vec<String>,
    jobs: Vec<String>,
    messages: Vec<String>,
    /// Job, token, server.
    claims: Vec<(String, u64, String)>,
    completed: BTreeSet<String>,
    /// Lock and token.
    terms: Vec<(String, u64)>,
    took: Duration,
}

impl Account {
    fn run(&mut self, host: &Host, args: &[&str]) -> Run {
        self.ops += 1;
        host.command(args).env("MUSTER_TIMEOUT", PATIENCE).bound(PATIENCE_BOUND).run()
    }

    /// Runs a command that may be refused with `no`; what it printed if it was not.
    #[track_caller]
    fn ask(&mut self, host: &Host, args: &[&str], no: i32) -> Option<Run> {
        let run = self.run(host, args);
        if run.exit_code() == Some(no) { None } else { Some(run.success()) }
    }

    /// What `host` does in a storm, `ops` commands at least.
    fn storm(host: &Host, seed: usize, ops: usize) -> Self {
        let mut account = Self::default();
        let start = Instant::now();
        for turn in seed.. {
            if account.ops >= ops {
                break;
            }
            match turn % 4 {
                0 => account.add(host),
                1 => account.claim(host, ops),
                2 => account.send(host, turn),
                _ => account.lock(host, LOCKS[turn / 4 % LOCKS.len()]),
            }
        }
        account.took = start.elapsed();
        account
    }

    fn add(&mut self, host: &Host) {
        let run = self.run(host, &["job", "add", "--type", "storm"]).success();
        let id = run.stdout().trim().to_owned();
        self.subjects.push(format!("job add: {id} (storm) by {}", host.name()));
        self.jobs.push(id);
    }

    fn claim(&mut self, host: &Host, ops: usize) {
        let Some(run) = self.ask(host, &["job", "claim", "--json"], 3) else { return };
        let job = run.json();
        let (id, token) = (text(&job, "id"), job["token"].as_u64().unwrap());
        self.subjects.push(format!("job claim: {id} by {}", host.name()));
        self.claims.push((id.clone(), token, host.name().to_owned()));
        if self.ops < ops {
            self.run(host, &["job", "complete", &id, "--token", &token.to_string()]).success();
            self.subjects.push(format!("job complete: {id} by {}", host.name()));
            self.completed.insert(id);
        }
    }

    fn send(&mut self, host: &Host, turn: usize) {
        let subject = format!("turn {turn}");
        let run = self.run(host, &["message", "send", "--to", "all", "--subject", &subject]).success();
        self.subjects.push(format!("message send: {} to all: {subject}", host.name()));
        self.messages.push(run.stdout().trim().to_owned());
    }

    fn lock(&mut self, host: &Host, lock: &str) {
        let Some(run) = self.ask(host, &["lock", "acquire", lock], 4) else { return };
        let token: u64 = run.stdout().trim().parse().unwrap();
        self.subjects.push(format!("lock acquire: {lock} by {}, token {token}", host.name()));
        self.terms.push((lock.to_owned(), token));
        self.run(host, &["lock", "release", lock, "--token", &token.to_string()]).success();
        self.subjects.push(format!("lock release: {lock} by {}", host.name()));
    }

    fn add_up(accounts: Vec<Self>) -> Self {
        let mut sum = Self::default();
        for one in accounts {
            sum.ops += one.ops;
            sum.subjects.extend(one.subjects);
            sum.jobs.extend(one.jobs);
            sum.messages.extend(one.messages);
            sum.claims.extend(one.claims);
            sum.completed.extend(one.completed);
            sum.terms.extend(one.terms);
            sum.took = sum.took.max(one.took);
        }
        sum
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}")).to_owned()
}

fn sorted<T: Ord>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort();
    values
}

/// Lets all hosts loose at once and adds up what they were told.
fn let_loose(hosts: &[Host], ops: usize) -> Account {
    let start = Barrier::new(hosts.len());
    let accounts = thread::scope(|scope| {
        let storm = |(seed, host)| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                Account::storm(host, seed, ops)
            })
        };
        let threads: Vec<_> = hosts.iter().enumerate().map(storm).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    Account::add_up(accounts)
}

/// Compares what was acknowledged since `before` with what plain git finds.
#[track_caller]
fn assert_exactly_once(hub: &Hub, before: &str, account: &Account) {
    let old: BTreeSet<String> = hub.git(["rev-list", before]).lines().map(str::to_owned).collect();
    let log = inspect::log(hub, MAIN);
    let new: Vec<_> = log.iter().filter(|commit| !old.contains(&commit.id)).collect();
    let found = sorted(new.iter().map(|commit| commit.subject.clone()));
    assert_eq!(found, sorted(account.subjects.clone()), "the commits are what was acknowledged");
    assert_eq!(hub.git(["rev-list", "--merges", "--count", MAIN]).trim(), "0");
    let ops = inspect::ops_in_history(hub, MAIN);
    assert_eq!(ops.len(), log.len(), "one operation for each commit");
    assert!(ops.values().all(|count| *count == 1), "{ops:?}");

    let document = |path: &str| inspect::document(hub, MAIN, path);
    let jobs = document("coordination/jobs.json");
    let jobs = jobs["jobs"].as_array().unwrap();
    assert_eq!(sorted(jobs.iter().map(|job| text(job, "id"))), sorted(account.jobs.clone()));
    let claims: BTreeMap<&str, (u64, &str)> =
        account.claims.iter().map(|(job, token, server)| (job.as_str(), (*token, server.as_str()))).collect();
    assert_eq!(claims.len(), account.claims.len(), "each job was claimed once");
    for job in jobs {
        let claim = claims.get(text(job, "id").as_str()).copied();
        let status = match claim {
            None => "queued",
            Some(_) if account.completed.contains(&text(job, "id")) => "completed",
            Some(_) => "claimed",
        };
        let found = job["token"].as_u64().map(|token| (token, job["assigned_to"].as_str().unwrap()));
        assert_eq!((found, job["status"].as_str()), (claim, Some(status)), "{job}");
    }
    let messages = document("coordination/messages.json");
    let messages = messages["messages"].as_array().unwrap();
    assert_eq!(sorted(messages.iter().map(|one| text(one, "id"))), sorted(account.messages.clone()));
    let locks = document("coordination/locks.json");
    for name in LOCKS {
        let tokens = account.terms.iter().filter(|(lock, _)| lock == name).map(|(_, token)| *token);
        let tokens = sorted(tokens);
        let last = u64::try_from(tokens.len()).unwrap();
        assert_eq!(tokens, (1..=last).collect::<Vec<_>>(), "each term of {name} has a token of its own");
        let lock = &locks["locks"][name];
        assert_eq!((lock["token"].as_u64().unwrap_or(0), &lock["locked_by"]), (last, &Value::Null));
    }
    inspect::assert_hub_is_sound(hub);
}

/// The storm was one: the writers took turns again and again, or commits were built in vain, because
/// another was faster. `log` names the steps of all commands.
#[track_caller]
fn assert_contention(hub: &Hub, before: &str, writers: usize, log: &Path) {
    let authors = hub.git(["log", "--reverse", "--format=%an", &format!("{before}..{MAIN}")]);
    let authors: Vec<&str> = authors.lines().collect();
    let turns = authors.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let built = std::fs::read_to_string(log).unwrap().lines().filter(|step| *step == "commit").count();
    // The steps of commands that end together may be noted in one line.
    let in_vain = built.saturating_sub(authors.len());
    assert!(
        turns >= 2 * writers || in_vain > 0,
        "{writers} writers took only {turns} turns and lost no race in {} commits",
        authors.len()
    );
}

/// Every commit of the storm was a step that the rules allow.
#[track_caller]
fn assert_history_is_sound(host: &Host) {
    let found = host.run(["fsck", "--history", "--fail-on", "note", "--json"]).success().json();
    assert_eq!(found["commits_by_hand"], 0, "{found}");
    assert_eq!(found["checked"]["commits"], found["checked"]["operations"], "{found}");
}

fn storm(transport: Transport, clones: usize, ops: usize) {
    let fleet = Fleet::over(transport).founded();
    let steps = fleet.hub().path().with_extension("steps");
    let host = |number: usize| {
        let mut host = fleet.host_in_clone(&format!("build{number}"));
        host.run(["join", "--as", host.name()]).success();
        host.set("MUSTER_FAILPOINT_LOG", &steps);
        host
    };
    let hosts: Vec<Host> = (1..=clones).map(host).collect();
    let before = fleet.hub().tip(MAIN).unwrap();
    let account = let_loose(&hosts, ops);
    report(&format!("{transport:?}, {clones} clones"), &account);
    assert!(account.ops >= clones * ops);
    assert_exactly_once(fleet.hub(), &before, &account);
    assert_contention(fleet.hub(), &before, clones, &steps);
    let tip = fleet.hub().tip(MAIN).unwrap();
    assert_history_is_sound(&hosts[0]);
    for host in &hosts {
        inspect::assert_clone_is_clean(host.directory());
        // Without tidying in the background, which would be at work while we look.
        host.git(["-c", "maintenance.auto=false", "pull", "--quiet", "--ff-only"]).success();
        assert_eq!(git(host.directory(), ["rev-parse", "HEAD"]).trim(), tip);
        inspect::assert_clone_is_clean(host.directory());
    }
}

fn is_full() -> bool {
    std::env::var("MUSTER_STORM").is_ok_and(|what| what == "full")
}

#[expect(clippy::print_stderr, reason = "shown by --nocapture")]
fn report(what: &str, account: &Account) {
    let (ops, seconds, written) = (account.ops, account.took.as_secs_f64(), account.subjects.len());
    #[expect(clippy::as_conversions, reason = "a small count, to be printed")]
    let rate = ops as f64 / seconds;
    eprintln!("{what}: {ops} commands, {written} commits, {seconds:.1} s, {rate:.1}/s");
}

/// Storms over one transport: those given, or the whole matrix.
fn storms(transport: Transport, usual: &[(usize, usize)]) {
    let full = [(2, 50), (4, 50), (8, 50)];
    for (clones, ops) in if is_full() { &full } else { usual } {
        storm(transport, *clones, *ops);
    }
}

#[test]
fn by_path_nothing_is_lost() {
    storms(Transport::Path, &[(8, 50)]);
}

#[test]
fn by_file_url_nothing_is_lost() {
    storms(Transport::FileUrl, &[(4, 8)]);
}

#[test]
fn over_ssh_nothing_is_lost() {
    storms(Transport::Ssh, &[(2, 6), (4, 4)]);
}

#[test]
fn over_http_nothing_is_lost() {
    storms(Transport::Http, &[(2, 6), (4, 4)]);
}

#[test]
fn over_git_daemon_nothing_is_lost() {
    storms(Transport::Daemon, &[(2, 6), (4, 5)]);
}

#[test]
fn eight_processes_of_one_host_lose_nothing() {
    let fleet = Fleet::over(Transport::Path).founded();
    let host = fleet.host("build1");
    host.run(["join", "--as", "build1"]).success();
    let before = fleet.hub().tip(MAIN).unwrap();
    let account = let_loose(&vec![host; 8], if is_full() { 50 } else { 25 });
    report("Path, 8 processes of one host", &account);
    assert_exactly_once(fleet.hub(), &before, &account);
    assert_history_is_sound(&fleet.host("auditor"));
}
