//! One finding of each sort, for those who make words of them, and that codes are kept.

use super::*;
use crate::domain::bad_branch::{BadBranch, BranchFault};
use crate::domain::clocks::ClockSkew;
use crate::domain::job::JobStatus;
use crate::domain::pause::{Pause, Paused};
use crate::domain::time::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

fn at() -> Timestamp {
    Timestamp::parse("2025-10-29T12:00:00Z").expect("time")
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn of_fleet() -> Vec<FleetFact> {
    let record = || RecordFact { id: text("j"), problem: text("null") };
    let pause: Pause =
        serde_json::from_str(r#"{"id":"queue","by":"b","at":"2025-10-26T12:00:00Z","note":"disk"}"#)
            .expect("pause");
    let off = ClockSkew { by: Duration::from_secs(300), is_ahead: true, servers: 3, is_doubtful: true };
    let branch = BadBranch { branch: text("heartbeat-x"), flaw: BranchFault::Missing };
    vec![
        FleetFact::ClockOff(off),
        FleetFact::ClockOff(ClockSkew { is_doubtful: false, ..off }),
        FleetFact::HeartbeatNever,
        FleetFact::HeartbeatLate { age_seconds: 130, interval_seconds: 60 },
        FleetFact::HeartbeatStale { age_seconds: 7200, interval_seconds: 60 },
        FleetFact::HeartbeatBroken { problem: text("it is empty") },
        FleetFact::NameShared { host: text("h1"), other_host: text("h2") },
        FleetFact::ServerUnhealthy { age_seconds: 5 },
        FleetFact::ClockSkew { ahead_seconds: 320, is_beside_others: false },
        FleetFact::ClockSkew { ahead_seconds: 320, is_beside_others: true },
        FleetFact::BuildFailed { job: Some(text("job_1")), ago_seconds: Some(60) },
        FleetFact::ServerUnregistered { has_register: true },
        FleetFact::NoServers,
        FleetFact::JobStuck {
            status: JobStatus::Running,
            holder: Some(text("build1")),
            held_seconds: 7200,
            timeout_seconds: 3600,
        },
        FleetFact::JobHolderLost { status: JobStatus::Running, holder: text("build1"), age_seconds: 7200 },
        FleetFact::JobDead { attempts: 3, reason: Some(text("lost")) },
        FleetFact::JobBlocked { need: text("k"), status: Some(text("failed")) },
        FleetFact::JobBlocked { need: text("k"), status: None },
        FleetFact::JobUnclaimable { labels: vec![text("gpu")] },
        FleetFact::NoWorker { jobs: 1, examples: vec![text("j1")], since: None, at: at() },
        FleetFact::NoWorker { jobs: 9, examples: vec![text("j1"), text("j2")], since: Some(at()), at: at() },
        FleetFact::Paused { what: Paused::Label(text("a b")), pause: Box::new(pause), jobs: 2, at: at() },
        FleetFact::EachServerPaused { job: text("j"), jobs: 1 },
        FleetFact::GroupHeld {
            job: text("j"),
            server: text("a"),
            token: Some(3),
            cancelled_seconds: 3600,
            jobs: 1,
        },
        FleetFact::LockExpired {
            holder: text("b"),
            expired_seconds: 150,
            wait_seconds: 50,
            is_of_claims: true,
        },
        FleetFact::LockExpired {
            holder: text("b"),
            expired_seconds: 150,
            wait_seconds: 50,
            is_of_claims: false,
        },
        FleetFact::ClaimsHeldUp { holder: text("b"), held_seconds: 61 },
        FleetFact::DocumentBroken { problem: text("it is empty") },
        FleetFact::DocumentNewer { version: text("2") },
        FleetFact::RecordBroken(record()),
        FleetFact::RecordWithoutId(record()),
        FleetFact::IdDoubled(record()),
        FleetFact::TokenImpossible(record()),
        FleetFact::RecordsBroken { records: 2 },
        FleetFact::BranchBroken { branch, hub: text("/srv/hub.git") },
        FleetFact::Undone,
        FleetFact::UndoneUnknown { causes: vec![text("one"), text("another")] },
    ]
}

#[expect(clippy::too_many_lines, reason = "one list, an entry for each")]
fn of_hub() -> Vec<HubFact> {
    let name = || NameFact { kind: "job id", given: text("a b"), rule: "may hold no space" };
    let (queued, running) = (JobStatus::Queued, JobStatus::Running);
    let rewritten = |lost: &[&str], by_hand| {
        HubFact::HistoryRewritten(Box::new(Rewritten {
            commits: 3,
            by_hand,
            oldest: text("0123456789"),
            newest: text("abcdef0123"),
            lost: lost.iter().map(|op| text(op)).collect(),
            lost_more: 0,
            repository: text("/srv/my hub.git"),
            kept_as: (by_hand > 0).then(|| text("refs/muster/lost/1")),
        }))
    };
    vec![
        HubFact::Unreadable { problem: text("it is empty"), branch: None },
        HubFact::Unreadable { problem: text("it is empty"), branch: Some(text("heartbeat-a")) },
        HubFact::BrokenRecord { problem: text("null") },
        HubFact::Missing,
        HubFact::Removed { commit: text("0123456789") },
        HubFact::NewerLayout { version: text("2") },
        HubFact::BadId(name()),
        HubFact::MarkerWithoutId,
        HubFact::BadName(name()),
        HubFact::BadRecipient { to: text("a b") },
        HubFact::BadDirectory,
        HubFact::IdTwice,
        HubFact::LiveAndArchived { other: text("p"), is_same: true },
        HubFact::LiveAndArchived { other: text("p"), is_same: false },
        HubFact::UnknownStatus { status: text("on_hold") },
        HubFact::HeldByNobody { status: running.clone(), holder: String::new() },
        HubFact::HeldByNobody { status: running.clone(), holder: text("a b") },
        HubFact::HeldByStranger { status: running.clone(), holder: text("build9") },
        HubFact::HeldWithoutToken { status: Some(running.clone()) },
        HubFact::HeldWithoutToken { status: None },
        HubFact::UnknownNeed { need: text("k"), is_archived: true },
        HubFact::UnknownNeed { need: text("k"), is_archived: false },
        HubFact::NeedsInCircle,
        HubFact::UnknownMessage { message: text("m"), is_thread: true },
        HubFact::OtherServer { server: text("a"), named: text("b") },
        HubFact::NamesAlike { other: text("X") },
        HubFact::JobVanished { status: queued.clone() },
        HubFact::MessageVanished,
        HubFact::LockVanished { token: Some(3) },
        HubFact::LockVanished { token: None },
        HubFact::ServerVanished,
        HubFact::ArchiveVanished,
        HubFact::ArchiveRewritten,
        HubFact::BeganMidway { status: running.clone(), token: Some(1) },
        HubFact::IllegalStep { from: JobStatus::Failed, to: running.clone() },
        HubFact::ClaimedUnderOldToken { from: queued.clone(), to: running.clone(), token: 3 },
        HubFact::StoppedWrongly { status: running.clone() },
        HubFact::ClaimedWithoutToken { holder: Some(text("a")) },
        HubFact::JobRewritten { fields: vec!["branch", "key"] },
        HubFact::TokenLowered { from: 3, to: None },
        HubFact::TokenForgotten { token: Some(2), last_token: 3 },
        HubFact::TokenImpossible { problem: text("its token is no possible one") },
        HubFact::TokenSkipped { from: 1, to: 3 },
        HubFact::TokenWithoutClaim { from: 1, to: 2, status_before: queued.clone(), status: queued },
        HubFact::HandedOver { from: Some(text("a")), to: None, token: 3 },
        HubFact::TakenWithoutToken { by: text("a"), token: None },
        HubFact::TakenWithoutToken { by: text("a"), token: Some(3) },
        HubFact::DoneUndone,
        HubFact::MessageRewritten,
        HubFact::UnreadAgain(Unread::Acknowledged(text("a"))),
        HubFact::UnreadAgain(Unread::Read(text("a"))),
        HubFact::UnreadAgain(Unread::Marked),
        HubFact::OpTwice { first: 2, of: 9 },
        HubFact::Unsettled { at: at(), is_in_history: true },
        rewritten(&[], 0),
        rewritten(&[], 1),
        rewritten(&["op1", "op2"], 0),
        HubFact::HistoryCut { cause: CutBy::Shallow },
        HubFact::HistoryCut { cause: CutBy::Length },
        HubFact::HistoryCut { cause: CutBy::Width },
    ]
}

/// Findings of each sort, about something.
pub(crate) fn samples() -> Vec<Finding> {
    let about = || About {
        path: Some(text("coordination/jobs.json")),
        place: Some(text("jobs[3]")),
        ..About::server("x")
    };
    let fleet = of_fleet().into_iter().map(Fact::from);
    fleet.chain(of_hub().into_iter().map(Fact::from)).map(|fact| Finding::new(fact, about())).collect()
}

#[test]
fn each_code_is_one_word_of_its_own_and_has_one_sentence() {
    for codes in [FindingCode::FLEET, FindingCode::HUB] {
        let words: BTreeSet<&str> = codes.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), codes.len());
        for code in codes {
            let is_kebab = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase());
            assert!(code.as_str().split('-').all(is_kebab), "{code}");
            assert!(code.meaning().ends_with('.') && !code.meaning().contains(". "), "{code}");
        }
    }
}

#[test]
fn a_fact_is_written_under_its_code() {
    for finding in samples() {
        let written = serde_json::to_value(&finding).expect("text keys only");
        assert_eq!(written["code"], finding.code().as_str());
    }
}

#[test]
fn there_is_a_sample_of_each_code() {
    let sampled: BTreeSet<FindingCode> = samples().iter().map(Finding::code).collect();
    let missing: Vec<_> = [FindingCode::FLEET, FindingCode::HUB]
        .concat()
        .into_iter()
        .filter(|code| !sampled.contains(code))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_cause_stays_the_same_for_as_long_as_the_trouble_lasts() {
    let job = || About::new(Thing::Job, "j");
    let dead = |attempts| Finding::new(FleetFact::JobDead { attempts, reason: None }, job());
    assert_eq!(dead(3).cause(), "job-dead:j");
    assert_eq!(dead(3).cause(), dead(4).cause());
    let record = About { path: Some(text("p")), place: Some(text("jobs[3]")), ..job() };
    let broken = FleetFact::RecordBroken(RecordFact { id: text("j"), problem: text("null") });
    assert_eq!(Finding::new(broken, record).cause(), "record-broken:p:jobs[3]");
    let many = Finding { alike: Some(Alike { count: 30, examples: Vec::new() }), ..dead(3) };
    assert_eq!((many.cause().as_str(), many.count()), ("job-dead:*", Some(30)));
}

#[test]
fn one_breach_is_told_once_and_a_whole_document_is_one() {
    let in_jobs = |fact: HubFact| Finding::new(fact, About::new(Thing::Document, "x")).at("jobs.json");
    let unreadable = |problem| HubFact::Unreadable { problem: text(problem), branch: None };
    let empty = in_jobs(unreadable("it is empty"));
    for (other, expected) in [
        (empty.clone().place("jobs[0]"), true),
        // One document, whatever is said of it.
        (in_jobs(unreadable("it is a list")), true),
        (in_jobs(HubFact::Missing), false),
        (in_jobs(unreadable("it is empty")).at("locks.json"), false),
    ] {
        assert_eq!(empty.is_same_breach(&other), expected, "{other:?}");
    }
    let twice = |id| Finding::new(HubFact::IdTwice, About::new(Thing::Record, id)).at("jobs.json");
    assert!(twice("a").is_same_breach(&twice("a")));
    assert!(!twice("a").is_same_breach(&twice("b")), "another record");
    for (finding, expected) in [
        (&empty, true),
        (&in_jobs(HubFact::Missing), true),
        (&twice("a"), false),
        (&empty.clone().at("p"), false),
    ] {
        assert_eq!(finding.is_of_document("jobs.json"), expected, "{finding:?}");
    }
}

#[test]
fn a_log_names_the_code_what_it_is_about_and_the_facts() {
    let about = || About::new(Thing::Job, "a");
    assert_eq!(Finding::new(HubFact::NeedsInCircle, about()).to_string(), "needs-in-circle a");
    let skipped = Finding::new(HubFact::TokenSkipped { from: 1, to: 3 }, about());
    assert_eq!(skipped.to_string(), r#"token-skipped a {"from":1,"to":3}"#);
}
