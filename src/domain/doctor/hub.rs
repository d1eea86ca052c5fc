//! Rules about what a hub holds and how it answers.

use super::{Finding, Judgement, TOLD_MAX, number, size};
use crate::domain::bad_branch::{BadBranch, BranchFault};
use crate::domain::clocks::{ClockSkew, SKEW_MAX};
use crate::domain::heartbeat::{Freshness, Heartbeat};
use crate::domain::id::HEARTBEAT_BRANCH_PREFIX;
use crate::domain::server::Server;
use crate::domain::time::{Timestamp, show_span};
use std::collections::BTreeSet;
use std::time::Duration;

/// A hub that takes longer than this for one answer makes every write take several times that.
const ANSWER_SLOW: Duration = Duration::from_secs(5);

/// How far ahead of our clock a commit may be: times are whole seconds, and clocks that are set by
/// others differ by less.
const AHEAD_MAX: Duration = Duration::from_secs(5);

/// The live documents are one file each, read and written whole: up to about a thousand records
/// that costs milliseconds.
const RECORDS_MANY: usize = 1000;
const BYTES_MANY: u64 = 1 << 20;

/// Why a hub could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub why: String,
    /// What follows, or what it is about.
    pub what: String,
    /// What mends it, or tells more.
    pub mend: Option<String>,
}

impl Fault {
    fn finding(&self) -> Finding {
        let finding = Finding::problem(self.what.clone());
        match &self.mend {
            Some(command) => finding.mend(command.clone()),
            None => finding,
        }
    }

    /// What a check says that this fault keeps from its work.
    #[must_use]
    pub fn judged(&self) -> Judgement {
        Judgement::of(self.why.clone()).and(self.finding())
    }
}

/// Judges the way to the hub `name`; `way`: why it is reached through git.
#[must_use]
pub fn reachable(name: &str, way: Option<&str>, took: Duration) -> Judgement {
    let how = match way {
        None => format!("opened in place in {} ms", took.as_millis()),
        Some(why) => format!("answered in {} ms; through git, because {why}", took.as_millis()),
    };
    let slow = (took >= ANSWER_SLOW).then(|| {
        Finding::warning(format!(
            "one answer took {}, and a write needs two or three; give writes more time by MUSTER_TIMEOUT, such as 2m",
            show_span(took)
        ))
    });
    Judgement::of(format!("{name}, {how}")).with(slow)
}

/// A document of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Where it lies.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// What keeps it from being read.
    pub wrong: Option<String>,
    /// The layout version that it names, if that is newer than ours.
    pub newer: Option<String>,
    /// Its records that need a person.
    pub records: Vec<String>,
}

/// Judges whether all documents can be read; `fsck` is the command that tells all about them.
#[must_use]
pub fn documents(documents: &[Document], fsck: &str) -> Judgement {
    let bytes = documents.iter().map(|document| document.bytes).sum();
    let wrong: Vec<&Document> = documents.iter().filter(|document| document.wrong.is_some()).collect();
    let newer = documents.iter().filter_map(|document| {
        let version = document.newer.as_ref()?;
        Some(Finding::warning(format!(
            "{} is of layout version {version}, newer than this program, which will not write it; install the git-muster of the other servers here",
            document.path
        )))
    });
    let told = wrong.iter().take(TOLD_MAX).filter_map(|document| {
        let why = document.wrong.as_ref()?;
        Some(
            Finding::problem(format!(
                "{} cannot be read, and nothing that needs it works: {why}; `{fsck}` shows all that is wrong; `git muster import --check` shows what of it is mended and what is taken from the history, and `git muster import` does it",
                document.path
            )),
        )
    });
    let rest = wrong.len().saturating_sub(TOLD_MAX);
    let more = (rest > 0).then(|| Finding::problem(format!("{rest} more cannot be read")));
    let records: Vec<&String> = documents.iter().flat_map(|document| &document.records).collect();
    let broken = records.iter().take(TOLD_MAX).map(|record| {
        Finding::warning(format!("{record}; all else works, and that record is left alone"))
            .mend(format!("{fsck} --mend"))
    });
    let rest = records.len().saturating_sub(TOLD_MAX);
    let more_records = (rest > 0).then(|| Finding::warning(format!("{rest} more records are no good")));
    Judgement::of(format!("{}, {}", number(documents.len(), "document"), size(bytes)))
        .with(newer.take(TOLD_MAX))
        .with(told)
        .with(more)
        .with(broken)
        .with(more_records)
}

/// This host, as it would register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Here<'a> {
    /// The server it says to be.
    pub server: &'a str,
    /// The machine's own name.
    pub host: &'a str,
    /// The id that `join` made, if it did.
    pub machine: Option<&'a str>,
}

/// What the register says of this host's name.
#[derive(Debug, Clone, Copy)]
pub struct Registered<'a> {
    /// How many servers are registered.
    pub servers: usize,
    /// The record of this name.
    pub record: Option<&'a Server>,
    /// Whether the hub has a folder of this name.
    pub has_folder: bool,
}

/// Judges whether this host is the server it says to be; `join` registers it.
#[must_use]
pub fn registration(here: Here<'_>, registered: Registered<'_>, join: &str) -> Judgement {
    let name = here.server;
    match registered.record {
        None if registered.servers == 0 && registered.has_folder => {
            Judgement::of(format!("the hub has no register; {name} has a folder and counts as a server"))
        }
        None => Judgement::of(format!(
            "{} known to the hub, and {name} is not",
            number(registered.servers, "server")
        ))
        .and(Finding::problem("beats, statuses and claims of this host are refused").mend(join)),
        Some(server) if server.is_of(here.machine, here.host) => {
            let since = server.joined_at.map_or(String::new(), |at| format!(" since {}", at.told()));
            Judgement::of(format!("{name} is registered by this machine{since}"))
        }
        Some(server) => {
            let other = server.host.as_deref().unwrap_or("another machine");
            let machine = here
                .machine
                .map_or("this machine never joined".to_owned(), |id| format!("this machine's id is {id}"));
            Judgement::of(format!("{name} is registered by {other}; {machine}")).and(
                Finding::problem(
                    "two machines under one name take each other's jobs and locks for their own; join under another name with `--as`, or take this one if the other machine is gone",
                )
                .mend(format!("{join} --replace")),
            )
        }
    }
}

/// Judges the last beat of the server that this host is; `send` sends one.
#[must_use]
pub fn beat(beat: Option<&Heartbeat>, now: Timestamp, send: &str) -> Judgement {
    let Some((beat, at)) = beat.and_then(|beat| Some((beat, beat.at()?))) else {
        return Judgement::of("this server has never sent a beat").and(
            Finding::warning(format!("others cannot tell whether it lives: {KEEP_BEATING}")).mend(send),
        );
    };
    let interval = show_span(beat.interval());
    let ahead = at.since(now);
    if ahead > SKEW_MAX {
        let ahead = show_span(ahead);
        return Judgement::of(format!("{ahead} ahead of this clock, one is meant every {interval}")).and(
            Finding::warning(format!(
                "this host's clock was set back by {ahead} or more, or another machine beats under this name; others cannot tell from its beat whether this server lives"
            ))
            .mend(send),
        );
    }
    let evidence = format!("{} old, one is meant every {interval}", show_span(now.since(at)));
    let stale = match beat.freshness(now) {
        Freshness::Fresh | Freshness::Unknown | Freshness::Stopped => None,
        Freshness::Late => Some(Finding::warning(format!("it is late: {KEEP_BEATING}"))),
        Freshness::Stale => Some(Finding::problem(format!(
            "nothing on this host beats for it, and others take its jobs back: {KEEP_BEATING}"
        ))),
    };
    let revoked = beat.revoked.as_ref().map(|why| {
        Finding::warning(format!("another server ended its session ({why}); the next beat begins a new one"))
    });
    Judgement::of(evidence).with(stale.into_iter().chain(revoked).map(|finding| finding.mend(send)))
}

/// What to set up where nothing beats.
const KEEP_BEATING: &str = "set up a line for cron, `* * * * * git muster heartbeat -q`, or a service with `git muster heartbeat run`";

/// The newest commit of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Which branch.
    pub branch: String,
    /// When it was made, by the clock of whoever made it.
    pub at: Option<Timestamp>,
    /// Who says to have made it.
    pub author: String,
    /// How many commits the branch holds, where more than the newest was looked at.
    pub commits: Option<usize>,
    /// Whether there are commits before it.
    pub has_history: bool,
}

/// Judges our clock and those of others by the newest commits: none can be from the future. `set` is
/// the command that has this machine's clock set, where there is one.
#[must_use]
pub fn clock(tips: &[Tip], me: Option<&str>, now: Timestamp, set: Option<&str>) -> Judgement {
    let newest = tips.iter().filter_map(|tip| Some((tip.at?, tip))).max_by_key(|(at, _)| *at);
    let Some((at, tip)) = newest else { return Judgement::skipped("no commit of the hub has a time") };
    let ahead: Vec<(&Tip, Duration)> = tips
        .iter()
        .filter_map(|tip| Some((tip, tip.at?.since(now))))
        .filter(|(_, ahead)| *ahead > AHEAD_MAX)
        .collect();
    let authors: BTreeSet<&str> = ahead.iter().map(|(tip, _)| tip.author.as_str()).collect();
    let several = authors.len() > 1;
    let findings = ahead.iter().take(TOLD_MAX).map(|(tip, ahead)| {
        let ahead_by = show_span(*ahead);
        let whose = if me == Some(tip.author.as_str()) {
            "which is this server: its clock was set back meanwhile, or another machine writes in its name"
                .to_owned()
        } else if several {
            format!(
                "and so are those of {} others: this host's clock is likelier the wrong one",
                authors.len() - 1
            )
        } else {
            format!("so the clock of {} is ahead or this host's is behind, by that much at least; set the one that is wrong", tip.author)
        };
        let what = format!(
            "the newest commit of {} is {ahead_by} ahead of this clock, by {}, {whose}",
            tip.branch, tip.author
        );
        let finding = if *ahead > SKEW_MAX { Finding::problem(what) } else { Finding::warning(what) };
        set.map_or(finding.clone(), |set| finding.mend(set))
    });
    let when = match at.since(now) {
        Duration::ZERO => format!("{} old", show_span(now.since(at))),
        ahead => format!("{} ahead of that", show_span(ahead)),
    };
    Judgement::of(format!(
        "it is {now} here; the newest commit, by {} on {}, is {when}",
        tip.author, tip.branch
    ))
    .with(findings)
}

/// Our clock is ahead of those of the servers, which no commit shows: what is past may be the last there was.
#[must_use]
pub fn clock_ahead(off: &ClockSkew, set: Option<&str>) -> Finding {
    let finding = match off.is_doubtful {
        true => Finding::warning(off.to_string()),
        false => Finding::problem(off.to_string()),
    };
    match set {
        Some(set) => finding.mend(set),
        None => finding,
    }
}

/// A heartbeat branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeatBranch {
    /// Its newest commit.
    pub tip: Tip,
    /// Whether it holds a beat of a registered server.
    pub is_of_member: bool,
    /// What keeps a beat on it from being read.
    pub wrong: Option<String>,
}

/// Judges the heartbeat branches; `squash` is the command that reduces one, if the hub takes that.
#[must_use]
pub fn heartbeat_branches(
    branches: &[BeatBranch],
    has_register: bool,
    squash: impl Fn(&str) -> Option<String>,
) -> Judgement {
    let mut findings = Vec::new();
    for BeatBranch { tip, is_of_member, wrong } in branches {
        let branch = &tip.branch;
        let server = branch.strip_prefix(HEARTBEAT_BRANCH_PREFIX).unwrap_or(branch);
        if let Some(why) = wrong {
            findings.push(Finding::problem(format!(
                "{branch}: the beat cannot be read, so {server} looks dead: {why}; the next `git muster heartbeat` on {server} replaces it"
            )));
        }
        if tip.has_history {
            let count = tip
                .commits
                .map_or_else(|| "more than one commit".to_owned(), |count| number(count, "commit"));
            let what = format!(
                "{branch} holds {count} and grows with each beat; a hub that lets no history be replaced makes it so"
            );
            findings.push(match squash(branch) {
                Some(squash) => Finding::warning(what).mend(squash),
                None => Finding::warning(format!("{what}: see hub-protection first")),
            });
        }
        if has_register && !is_of_member {
            findings.push(Finding::warning(format!(
                "{branch} holds no beat of a registered server; if {server} was removed it can stay, it is one commit"
            )));
        }
    }
    let rest = findings.len().saturating_sub(TOLD_MAX);
    findings.truncate(TOLD_MAX);
    let more = (rest > 0).then(|| Finding::warning(format!("{rest} more of this kind")));
    Judgement::of(number(branches.len(), "heartbeat branch")).with(findings).with(more)
}

/// What is said of the branches of the hub at `hub` that cannot be used.
#[must_use]
pub fn bad_branches(bad: &[BadBranch], hub: &str) -> Vec<Finding> {
    let finding = |bad: &BadBranch| {
        let (command, place) = bad.mend(hub);
        let follows = match bad.server() {
            None => String::new(),
            // Its next heartbeat makes it anew, or whoever owns its files can send one.
            Some(server)
                if matches!(
                    bad.flaw,
                    BranchFault::Incomplete | BranchFault::Untold | BranchFault::Forbidden
                ) =>
            {
                format!(", so whether {server} lives cannot be seen")
            }
            Some(server) => format!(", so {server} cannot send heartbeats"),
        };
        let place = if place.is_empty() {
            String::new()
        } else {
            let what = if bad.flaw == BranchFault::Untold { "look" } else { "remove it" };
            format!("; {what}{}", place.trim_end_matches(','))
        };
        Finding::problem(format!("{} {}{follows}{place}", bad.branch, bad.why())).mend(command)
    };
    bad.iter().take(TOLD_MAX).map(finding).collect()
}

/// How much is in a live document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// `job` or `message`.
    pub what: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its records.
    pub records: usize,
    /// How many of them could be archived.
    pub over: usize,
}

/// Judges how full the live documents are; `archive` is the command that empties them.
#[must_use]
pub fn document_size(loads: &[Load], archive: &str) -> Judgement {
    let told: Vec<String> = loads
        .iter()
        .map(|load| {
            format!("{} ({} to archive), {}", number(load.records, load.what), load.over, size(load.bytes))
        })
        .collect();
    let full =
        loads.iter().filter(|load| load.records > RECORDS_MANY || load.bytes > BYTES_MANY).map(|load| {
            let finding = Finding::warning(format!(
                "every write reads and writes all {}; {} of them could be archived",
                number(load.records, load.what),
                load.over
            ));
            if load.over > 0 { finding.mend(archive) } else { finding }
        });
    Judgement::of(told.join("; ")).with(full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::doctor::Mend;
    use crate::domain::doctor::Verdict::{Ok as Fine, Problem, Skipped, Warning};

    const NOW: &str = "2025-10-29T12:00:00Z";

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).expect(text)
    }

    fn tip(branch: &str, author: &str, at: &str) -> Tip {
        Tip {
            branch: branch.to_owned(),
            at: Timestamp::parse(at),
            author: author.to_owned(),
            commits: Some(1),
            has_history: false,
        }
    }

    #[test]
    fn a_commit_from_the_future_names_whose_clock_may_be_wrong() {
        for (tips, verdict, said) in [
            (vec![tip("main", "bob", "2025-10-29T11:00:00Z")], Fine, ""),
            (vec![tip("main", "bob", "2025-10-29T12:00:05Z")], Fine, ""),
            (vec![tip("main", "bob", "2025-10-29T12:00:06Z")], Warning, "clock of bob is ahead or this"),
            (vec![tip("main", "bob", "2025-10-29T12:01:00Z")], Warning, "1m ahead"),
            (vec![tip("main", "bob", "2025-10-29T12:01:01Z")], Problem, "1m 1s ahead"),
            (vec![tip("main", "ada", "2025-10-29T13:00:00Z")], Problem, "its clock was set back"),
            (
                vec![
                    tip("main", "bob", "2025-10-29T13:00:00Z"),
                    tip("heartbeat-cyd", "cyd", "2025-10-29T13:00:00Z"),
                ],
                Problem,
                "this host's clock is likelier",
            ),
            (vec![tip("main", "bob", "no time")], Skipped, ""),
        ] {
            let judged = clock(&tips, Some("ada"), time(NOW), None);
            assert_eq!(judged.verdict(), verdict, "{judged:?}");
            assert!(judged.findings.iter().all(|finding| finding.what.contains(said)), "{judged:?}");
        }
    }

    #[test]
    fn the_own_beat_is_judged_by_the_interval_it_declares() {
        for (text, verdict) in [
            (r#"{"timestamp":"2025-10-29T11:59:00Z"}"#, Fine),
            (r#"{"timestamp":"2025-10-29T11:57:00Z"}"#, Warning),
            (r#"{"timestamp":"2025-10-29T11:00:00Z"}"#, Problem),
            (r#"{"timestamp":"2025-10-29T12:01:00Z"}"#, Fine),
            (r#"{"timestamp":"2025-10-29T12:01:01Z"}"#, Warning),
            (r#"{"timestamp":"2025-10-29T11:00:00Z","interval_seconds":3600}"#, Fine),
            (r#"{"timestamp":"2025-10-29T11:59:00Z","revoked":"by bob"}"#, Warning),
            (r#"{"healthy":false}"#, Warning),
        ] {
            let read: Heartbeat = serde_json::from_str(text).expect(text);
            assert_eq!(beat(Some(&read), time(NOW), "send").verdict(), verdict, "{text}");
        }
        assert_eq!(beat(None, time(NOW), "send").verdict(), Warning);
    }

    #[test]
    fn a_name_belongs_to_the_machine_that_joined_with_it() {
        let here = Here { server: "ada", host: "h1", machine: Some("m1") };
        let server = |text: &str| -> Server { serde_json::from_str(text).expect(text) };
        for (servers, record, has_folder, verdict) in [
            (1, Some(r#"{"id":"ada","machine":"m1","host":"h1"}"#), true, Fine),
            // A home that was copied, or a machine that was renamed.
            (1, Some(r#"{"id":"ada","machine":"m1","host":"other"}"#), true, Problem),
            (1, Some(r#"{"id":"ada","machine":"m2","host":"h1"}"#), true, Problem),
            (1, Some(r#"{"id":"ada"}"#), true, Fine),
            (1, None, true, Problem),
            (0, None, true, Fine),
            (0, None, false, Problem),
        ] {
            let record = record.map(server);
            let registered = Registered { servers, record: record.as_ref(), has_folder };
            assert_eq!(registration(here, registered, "join").verdict(), verdict, "{record:?} {has_folder}");
        }
    }

    #[test]
    fn heartbeat_branches_are_of_members_short_and_readable() {
        let branch = |commits, is_of_member, wrong: Option<&str>| BeatBranch {
            tip: Tip { commits, has_history: commits != Some(1), ..tip("heartbeat-bob", "bob", NOW) },
            is_of_member,
            wrong: wrong.map(str::to_owned),
        };
        for (branch, has_register, verdict) in [
            (branch(Some(1), true, None), true, Fine),
            (branch(Some(9), true, None), true, Warning),
            (branch(None, true, None), true, Warning),
            (branch(Some(1), false, None), true, Warning),
            (branch(Some(1), false, None), false, Fine),
            (branch(Some(1), true, Some("empty")), true, Problem),
        ] {
            assert_eq!(
                heartbeat_branches(std::slice::from_ref(&branch), has_register, |branch| Some(
                    branch.to_owned()
                ))
                .verdict(),
                verdict,
                "{branch:?}"
            );
        }
        let refused = heartbeat_branches(&[branch(Some(9), true, None)], true, |_| None);
        assert!(refused.findings.iter().all(|one| one.mend.is_none()), "{refused:?}");
        let many: Vec<_> = (0..50).map(|_| branch(Some(2), true, None)).collect();
        assert_eq!(
            heartbeat_branches(&many, true, |branch| Some(branch.to_owned())).findings.len(),
            TOLD_MAX + 1
        );
    }

    #[test]
    fn documents_are_readable_and_not_too_large() {
        let document = |wrong: Option<&str>, newer: Option<&str>| Document {
            path: "coordination/jobs.json".to_owned(),
            bytes: 10,
            wrong: wrong.map(str::to_owned),
            newer: newer.map(str::to_owned),
            records: Vec::new(),
        };
        assert_eq!(documents(&[document(None, None)], "fsck").verdict(), Fine);
        assert_eq!(documents(&[document(None, Some("2"))], "fsck").verdict(), Warning);
        assert_eq!(documents(&[document(Some("empty"), None)], "fsck").verdict(), Problem);
        let broken = Document { records: vec!["record jobs[1]".to_owned(); 50], ..document(None, None) };
        let judged = documents(&[broken], "fsck");
        assert_eq!((judged.verdict(), judged.findings.len()), (Warning, TOLD_MAX + 1));
        assert_eq!(judged.findings[0].mend, Some(Mend::Run("fsck --mend".to_owned())));
        let many: Vec<_> = (0..50).map(|_| document(Some("empty"), None)).collect();
        assert_eq!(documents(&many, "fsck").findings.len(), TOLD_MAX + 1);
        let load = |records, over, bytes| Load { what: "job", bytes, records, over };
        for (load, verdict) in [
            (load(1_000, 10, 1_048_576), Fine),
            (load(1_001, 10, 0), Warning),
            (load(1, 0, 1_048_577), Warning),
        ] {
            assert_eq!(document_size(&[load], "archive").verdict(), verdict);
        }
        for (over, mend) in [(0, None), (1, Some(Mend::Run("archive".to_owned())))] {
            assert_eq!(document_size(&[load(RECORDS_MANY + 1, over, 0)], "archive").findings[0].mend, mend);
        }
    }

    #[test]
    fn a_slow_hub_is_told() {
        assert_eq!(reachable("hub", None, Duration::ZERO).verdict(), Fine);
        assert_eq!(reachable("hub", Some("ssh"), ANSWER_SLOW).verdict(), Warning);
        let fault = Fault { why: "no route".to_owned(), what: "x".to_owned(), mend: None };
        assert_eq!(fault.judged().verdict(), Problem);
    }

    #[test]
    fn a_branch_that_cannot_be_used_is_a_problem_with_the_command_that_removes_it() {
        let bad = |branch: &str, flaw| BadBranch { branch: branch.to_owned(), flaw };
        let told = bad_branches(
            &[bad("heartbeat-s2", BranchFault::Unreadable), bad("main", BranchFault::Missing)],
            "ssh://h/hub.git",
        );
        let [first, second] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((first.verdict, second.verdict), (Problem, Problem));
        assert_eq!(
            first.what,
            "heartbeat-s2 is empty or damaged, so s2 cannot send heartbeats; remove it in the directory of the hub, on its machine"
        );
        let command =
            |finding: &Finding| finding.mend.as_ref().map(|mend| format!("{mend:?}")).unwrap_or_default();
        assert!(command(first).contains("rm refs/heads/heartbeat-s2"), "{first:?}");
        assert!(second.what.starts_with("main leads to a commit that the hub does not have; "), "{second:?}");
        assert!(command(second).contains("update-ref --no-deref -d refs/heads/main"), "{second:?}");
        let many: Vec<BadBranch> =
            (0..TOLD_MAX + 1).map(|n| bad(&format!("b{n}"), BranchFault::Missing)).collect();
        assert_eq!(bad_branches(&many, "/hub").len(), TOLD_MAX);
    }
}
