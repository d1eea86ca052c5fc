//! Samples of each refusal, and that codes and facts fit.

use super::*;
use std::collections::BTreeSet;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis((1_761_739_200 + seconds) * 1000).expect("a time")
}

fn held() -> Box<HeldLockFacts> {
    Box::new(HeldLockFacts {
        lock: "deploy".to_owned(),
        holder: Some("build1".to_owned()),
        process: Some("build1 pid 1".to_owned()),
        since: Some(at(-5)),
        token: Some(3),
        lease_seconds: 60,
        expired_seconds: None,
        at: at(0),
    })
}

fn lost_lock(token: u64) -> Refusal {
    Refusal::token(Token {
        kind: Kind::Lock,
        id: "deploy".to_owned(),
        action: Action::RenewLock,
        token,
        last_token: Some(2),
        status: None,
        holder: Some("build2".to_owned()),
    })
}

/// One of each.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn samples() -> Vec<Refusal> {
    let text = str::to_owned;
    let (job, server, lock) = (|| text("job_1"), || text("build1"), || text("deploy"));
    let action = Action::SendMessage;
    vec![
        Refusal::JobNotFound { job: job(), archived: true },
        Refusal::NeededJobNotFound { need: job() },
        Refusal::ServerNotFound { server: server(), action },
        Refusal::LockNotFound { lock: lock() },
        Refusal::MessageNotFound { message: text("msg_1"), action },
        Refusal::ArtifactsNotFound { job: job(), known: true, run: false },
        Refusal::NotFound { kind: Kind::Commit, id: text("abc") },
        Refusal::NothingToClaim { server: server(), queued: 2 },
        Refusal::ServerPaused(Box::new(Pausing {
            server: server(),
            by: Some(text("build2")),
            since: Some(at(-300)),
            until: Some(at(300)),
            note: Some(text("disk")),
            at: at(0),
        })),
        Refusal::NotPaused { what: text("label:gpu") },
        Refusal::AlreadyDone { lock: lock(), at: at(0), by: Some(server()) },
        Refusal::LockHeld(held()),
        Refusal::LockNotWatched(held()),
        Refusal::TokenExhausted { kind: Kind::Lock, id: lock() },
        Refusal::NotHolder {
            kind: Kind::Job,
            id: job(),
            action: Action::StartJob,
            token: 1,
            holder: Some(server()),
            caller: text("build2"),
        },
        Refusal::JobFinished { job: job(), status: JobStatus::Completed, action: Action::CancelJob },
        Refusal::JobNotFinished { job: job(), status: JobStatus::Queued },
        Refusal::JobNotDead { job: job(), status: JobStatus::Completed },
        Refusal::JobNotCancelled { job: job(), status: JobStatus::Failed },
        Refusal::LogPathInvalid { job: job(), path: text("../log") },
        Refusal::StopUnconfirmed { job: job(), server: server(), token: 4, until: Some(at(60)) },
        Refusal::ArtifactRequired { job: job(), pattern: text("*.deb") },
        Refusal::JobNotClaimable {
            job: job(),
            status: JobStatus::Queued,
            waits_for: text("it has no command"),
        },
        Refusal::NeededJobFailed { need: job(), status: JobStatus::Dead },
        Refusal::NothingReclaimed { jobs: vec![job()] },
        Refusal::AlreadyApplied { kind: Kind::Job, id: job(), op: text("op") },
        Refusal::ServerNameTaken { server: server(), host: Some(text("b1")), is_same_host: false },
        Refusal::ServerNameAlike { server: server(), other: text("Build1") },
        Refusal::ServerBusy { server: server(), kind: Kind::Job, id: job() },
        Refusal::ServerNotRegistered { server: server() },
        Refusal::NotRecipient {
            message: text("msg_1"),
            from: text("a"),
            to: text("b"),
            caller: server(),
            action: Action::MarkMessage,
        },
        Refusal::AutomaticReply { message: text("msg_1") },
        Refusal::StatusOutdated { server: server(), status: text("idle"), at: at(0) },
        Refusal::PauseOver { until: at(0), present: at(9) },
        Refusal::ChangedSince {
            kind: Kind::Pause,
            id: text("queue"),
            then: None,
            now: text("there is none"),
        },
        Refusal::HubInUse {
            holds: vec![
                Holding { what: Holdable::Job, count: 2 },
                Holding { what: Holdable::HeldLock, count: 1 },
                Holding { what: Holdable::DoneOnce, count: 2 },
            ],
        },
        Refusal::RecordUnusable(Box::new(UnusableRecord {
            action: Action::ChangeLock,
            subject: lock(),
            path: text("coordination/locks.json"),
            place: text("locks[3]"),
            id: lock(),
            problem: text("token: no number"),
        })),
        Refusal::AssignmentUnusable {
            lock: text("job_assignment"),
            holder: server(),
            problem: text("token"),
        },
        Refusal::DocumentTooLarge { kind: Kind::Document, path: text("jobs.json"), bytes: 9, limit: 8 },
        Refusal::TooManyRecords { path: text("jobs.json"), records: 9, limit: 8 },
        Refusal::ArchivesFull { directory: text("archive"), path: text("a.json"), last: text("2025-10") },
        Refusal::ClaimsWithheld { server: server(), cause: None },
        lost_lock(1),
        lost_lock(2),
        lost_lock(3),
        crate::domain::lock::Lock::free("deploy").fails(3, LockCondition::NotHeld, None),
        Refusal::SessionEnded { server: server() },
        Refusal::NameInvalid { kind: text("job id"), given: text("/"), rule: text("is too long") },
        Refusal::ValueInvalid { action, field: "key", given: text(""), expected: Expected::ShortText },
        Refusal::PatternInvalid { field: "produces", given: text("/x"), why: text("it begins with a slash") },
        Refusal::TextEmpty { action, field: "subject" },
        Refusal::TextTooLong { action, field: "subject", length: 101, limit: 100 },
        Refusal::CharacterNotAllowed { action, field: "subject" },
        Refusal::CredentialFound { action, field: "body", credential: "a GitHub token" },
        Refusal::ListTooLong(TooLong {
            action: Action::AddJobs,
            field: "needs",
            count: 9,
            limit: 8,
            bytes: None,
            bytes_limit: None,
        }),
        Refusal::BatchTooLarge { count: 9, limit: 8 },
        Refusal::ExitCodeContradicts { job: job(), exit_code: 0, action: Action::FailJob },
    ]
}

#[test]
fn each_refusal_has_a_code_of_its_own_and_tells_the_facts_that_it_names() {
    let mut seen = BTreeSet::new();
    for refusal in samples() {
        let code = refusal.code();
        assert!(seen.insert(code), "{code} twice");
        let told = serde_json::to_value(&refusal).expect("JSON");
        assert_eq!(told["code"], code.as_str());
        let facts: BTreeSet<String> = told["facts"].as_object().expect("facts").keys().cloned().collect();
        let named: BTreeSet<String> = code.facts().iter().map(|&fact| fact.to_owned()).collect();
        assert_eq!(facts, named, "{code}");
        assert_eq!(refusal.facts(), told["facts"], "{code}");
    }
}

#[test]
fn a_refusal_of_one_of_many_jobs_has_its_code_and_says_which_it_is() {
    let refusal =
        Box::new(Refusal::PatternInvalid { field: "produces", given: "/x".into(), why: "no".into() });
    let of_job = Refusal::OfJob { number: 3, of: 4, refusal: refusal.clone() };
    assert_eq!((of_job.code(), of_job.facts()), (refusal.code(), refusal.facts()));
    assert_eq!((of_job.pointer().as_deref(), refusal.pointer()), (Some("/jobs/2"), None));
}

#[test]
fn a_token_is_superseded_ended_or_was_never_issued() {
    for (token, expected) in [(1, Code::TokenSuperseded), (2, Code::TokenEnded), (3, Code::TokenNeverIssued)]
    {
        assert_eq!(lost_lock(token).code(), expected, "{token}");
    }
}

#[test]
fn a_log_gets_the_code_and_the_facts() {
    let refusal = Refusal::LockNotFound { lock: "deploy".to_owned() };
    assert_eq!(refusal.to_string(), r#"lock-not-found {"lock":"deploy"}"#);
}
