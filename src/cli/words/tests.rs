//! That each refusal has its words, and what some of them are.

use super::*;
use crate::domain::code::Code;
use crate::domain::finding::tests::samples as findings;
use crate::domain::finding::{Alike, Fact, Finding, FindingCode, FleetFact};
use crate::domain::id::ServerName;
use crate::domain::pause::Paused;
use crate::domain::refusal::tests::samples;

fn of(code: Code) -> String {
    let refusal = samples().into_iter().find(|refusal| refusal.code() == code).expect("one of each");
    sentence(&refusal)
}

#[test]
fn each_refusal_has_a_sentence_and_at_most_a_hint() {
    for refusal in samples() {
        let (code, sentence, hint) = (refusal.code(), sentence(&refusal), hint(&refusal));
        for words in hint.iter().chain([&sentence]) {
            assert!(!words.is_empty() && !words.ends_with('.') && !words.contains('\n'), "{code}: {words}");
            assert_eq!(words.matches('`').count() % 2, 0, "{code}: {words}");
        }
    }
}

#[test]
fn it_is_known_which_sentences_say_that_nothing_was_written() {
    for refusal in samples() {
        let is_said = sentence(&refusal).contains("nothing was written");
        assert_eq!(says_unwritten(&refusal), is_said, "{}", refusal.code());
    }
}

#[test]
fn a_sentence_says_who_holds_a_lock_and_why_a_token_is_not_valid() {
    for (code, expected) in [
        (
            Code::LockHeld,
            "lock `deploy` is held by `build1` (build1 pid 1) since 2025-10-29T11:59:55Z (5s ago)",
        ),
        (
            Code::TokenSuperseded,
            "cannot renew lock `deploy`: token 1 has been superseded; `build2` holds the lock with token 2",
        ),
        (
            Code::TokenEnded,
            "cannot renew lock `deploy`: token 2 is no longer valid; `build2` holds the lock with token 2",
        ),
        (
            Code::TokenNeverIssued,
            "cannot renew lock `deploy`: token 3 was never issued; `build2` holds the lock with token 2",
        ),
        (
            Code::LockConditionFailed,
            "lock `deploy` is not held with token 3: token 3 was never issued; the lock has never been held",
        ),
    ] {
        assert_eq!(of(code), expected);
    }
}

#[test]
fn what_a_hub_holds_is_counted() {
    assert_eq!(
        of(Code::HubInUse),
        "nothing was imported: the hub is in use; it contains 2 jobs, 1 held lock and 2 marks of what was done once"
    );
}

#[test]
fn each_finding_has_a_sentence_and_at_most_a_hint() {
    for finding in findings() {
        let (code, what, advice) = (finding.code(), finding::what(&finding), finding::advice(&finding));
        for words in advice.iter().chain([&what]) {
            assert!(!words.is_empty() && !words.ends_with('.') && !words.contains('\n'), "{code}: {words}");
            assert_eq!(words.matches('`').count() % 2, 0, "{code}: {words}");
            assert!(words.starts_with(|c: char| c.is_lowercase() || c == '`' || c.is_numeric()), "{words}");
        }
    }
}

/// What is said of a fleet, with the advice.
fn told(of: impl Fn(&FleetFact) -> bool) -> Vec<(String, Option<String>)> {
    let is_meant = |finding: &Finding| matches!(&finding.fact, Fact::Fleet(fact) if of(fact));
    let found = findings().into_iter().filter(is_meant);
    found.map(|finding| (finding::what(&finding), finding::advice(&finding))).collect()
}

#[test]
fn who_takes_over_a_lock_that_is_over_depends_on_what_it_is_for() {
    let [claims, other] = &*told(|fact| matches!(fact, FleetFact::LockExpired { .. })) else { panic!("two") };
    assert_eq!(
        claims.0,
        "lock `x`, held by `b`, expired 2m 30s ago: no job is claimed until it is taken over"
    );
    let hint = claims.1.as_deref().unwrap_or_default();
    assert!(hint.starts_with("a worker or `git muster job claim --wait 50s` takes it over"), "{hint}");
    assert_eq!(other.0, "lock `x`, held by `b`, expired 2m 30s ago");
    let hint = other.1.as_deref().unwrap_or_default();
    assert!(hint.contains("`git muster lock acquire x --wait 50s`"), "{hint}");
}

#[test]
fn jobs_that_no_worker_will_take_are_counted_and_named() {
    let [one, nine] = &*told(|fact| matches!(fact, FleetFact::NoWorker { .. })) else { panic!("two") };
    assert_eq!(
        one.0,
        "1 job waits, and no worker runs on any server that could take it, and none ever has: `j1`"
    );
    assert_eq!(
        nine.0,
        "9 jobs wait, and no worker runs on any server that could take them, since 2025-10-29T12:00:00Z, 0s ago: `j1`, `j2` and 7 more"
    );
}

#[test]
fn a_pause_is_told_with_the_command_that_ends_it() {
    let [paused] = &*told(|fact| matches!(fact, FleetFact::Paused { .. })) else { panic!("one") };
    assert_eq!(paused.0, "label `a b` is paused by b 3d ago: disk; 2 jobs wait for the end of that");
    assert_eq!(
        paused.1.as_deref(),
        Some("if it is over, end it with `git muster queue resume --label 'a b'`")
    );
    for (what, command) in [
        (Paused::Queue, "git muster queue resume"),
        (Paused::Server(ServerName::new("build1").expect("name")), "git muster worker resume build1"),
    ] {
        assert_eq!(fleet::resume(&what), command);
    }
}

#[test]
fn many_alike_are_told_as_one_with_some_names() {
    let first = findings().into_iter().find(|one| one.code() == FindingCode::HeartbeatNever).expect("one");
    let examples = vec!["y".to_owned(), "z".to_owned()];
    let many = Finding { alike: Some(Alike { count: 30, examples }), ..first };
    assert_eq!(finding::subject(&many), "30 times");
    assert_eq!(finding::what(&many), "server `x` has never sent a heartbeat; the same of y, z and 27 more");
    assert_eq!(
        finding::advice(&many).as_deref(),
        Some("run `git muster heartbeat` on `x`, best from cron; all of them with `git muster health --all`")
    );
}
