//! The update loop when looks at the hub go wrong, and where its bounds are.

use super::super::error::{Abort, LedgerError};
use super::super::outcome::{Locked, Outcome};
use super::super::snapshot::Documents as _;
use super::super::transaction::Transaction;
use super::super::update::PUSH_TIME_MIN;
use super::super::vocabulary::Scope;
use super::{
    COUNTER, Fault, Kind, LONG, Look, Memory, SHORT, asked, count, counter, ledger, memory, now, op, stored,
};
use crate::domain::json::DocumentError;
use crate::domain::refusal::Refusal;
use std::time::Duration;

/// A hub of another kind than most tests have.
fn hub_of(kind: Kind, faults: &[Fault], looks: &[Look]) -> Memory {
    let memory = memory(faults);
    memory.script.borrow_mut().kind = kind;
    memory.script.borrow_mut().looks.extend(looks);
    memory
}

const PLAIN: Kind = Kind { is_on_this_disk: false, is_honest: true };
const DISK: Kind = Kind { is_on_this_disk: true, ..PLAIN };

/// One word for what came of an update.
fn word<A>(outcome: &Result<Outcome<A>, LedgerError>) -> &'static str {
    match outcome {
        Ok(Outcome::Applied(_)) => "applied",
        Ok(Outcome::Refused(_)) => "refused",
        Ok(Outcome::Contended { locked: Locked::No, .. }) => "contended",
        Ok(Outcome::Contended { .. }) => "locked",
        Ok(Outcome::Unknown { .. }) => "unknown",
        Err(LedgerError::Unreachable { .. }) => "unreachable",
        Err(LedgerError::Denied { .. }) => "denied",
        Err(LedgerError::Store { .. }) => "damaged",
        Err(_) => "another error",
    }
}

#[test]
fn what_comes_of_looks_that_go_wrong() {
    use Fault::{Busy, Cut, Lose, LoseAnswer, Vanish};
    use Look::{Deny, Hang, Sees};
    const MOMENT: Duration = Duration::from_millis(40);
    for (faults, looks, budget, expected) in [
        // It answered until now, so it was our time that ran out.
        (&[Lose][..], &[Sees, Hang][..], MOMENT, "contended"),
        (&[Busy], &[Sees, Hang], MOMENT, "locked"),
        (&[], &[Hang], MOMENT, "unreachable"),
        (&[Cut], &[Sees, Hang], MOMENT, "unreachable"),
        (&[], &[Look::Cut; 3], LONG, "applied"),
        (&[], &[Look::Cut; 4], LONG, "unreachable"),
        (&[Lose], &[Sees, Look::Cut, Look::Cut, Look::Cut, Look::Cut], LONG, "unreachable"),
        (&[Vanish], &[Sees, Look::Cut, Look::Cut, Look::Cut, Look::Cut], LONG, "unknown"),
        (&[Busy], &[Sees, Deny], LONG, "denied"),
        (&[Vanish], &[Sees, Deny], LONG, "unknown"),
        (&[], &[Deny], LONG, "denied"),
        // However late it is, one attempt is made, and what became of it is looked for.
        (&[], &[], Duration::ZERO, "applied"),
        (&[LoseAnswer], &[], Duration::ZERO, "applied"),
        (&[Vanish], &[], Duration::ZERO, "unknown"),
        (&[Lose], &[], Duration::ZERO, "contended"),
        // Another process of this host begins our copy anew.
        (&[], &[Look::Forget], LONG, "applied"),
        (&[], &[Look::Forget, Look::Forget, Look::Forget], LONG, "another error"),
    ] {
        let memory = hub_of(PLAIN, faults, looks);
        let outcome = ledger(&memory, budget).update_one(op(), now(), count);
        assert_eq!(word(&outcome), expected, "{faults:?} {looks:?} {outcome:?}");
        assert_eq!(stored(&memory) == "1", expected == "applied", "{faults:?} {looks:?}");
    }
}

#[test]
fn a_push_that_may_have_been_sent_twice_is_looked_for_and_no_other() {
    let looks = [Look::Sees, Look::Cut, Look::Cut, Look::Cut, Look::Cut];
    for (is_honest, expected) in [(true, "unreachable"), (false, "unknown")] {
        let memory = hub_of(Kind { is_honest, ..PLAIN }, &[Fault::Lose], &looks);
        let outcome = ledger(&memory, LONG).update_one(op(), now(), count);
        assert_eq!(word(&outcome), expected, "{outcome:?}");
    }
}

#[test]
fn a_doubt_lasts_until_there_is_a_branch_to_search() {
    use Look::{Forget, Sees};
    for (looks, expected) in [
        (&[Sees, Sees][..], "applied"),
        (&[Sees, Forget, Sees], "applied"),
        // Other processes of this host begin our copy anew, again and again.
        (&[Sees, Forget, Forget, Forget, Forget, Forget], "applied"),
        // That is no accident any more: the hub has no branch.
        (&[Sees, Forget, Forget, Forget, Forget, Forget, Forget], "another error"),
    ] {
        let memory = hub_of(Kind { is_honest: false, ..PLAIN }, &[Fault::Repeat], looks);
        let outcome = ledger(&memory, LONG).update_one(op(), now(), count);
        assert_eq!((word(&outcome), stored(&memory).as_str()), (expected, "1"), "{looks:?} {outcome:?}");
    }
}

#[test]
fn only_a_hub_elsewhere_is_asked_what_it_has() {
    for (kind, is_crowded, faults, refreshes) in [
        (PLAIN, false, &[][..], 1),
        (PLAIN, false, &[Fault::Lose], 2),
        (PLAIN, false, &[Fault::Busy], 2),
        (DISK, false, &[], 0),
        (DISK, false, &[Fault::Lose, Fault::Busy], 0),
        // Who knows the newest tip because it just wrote asks as the others do.
        (PLAIN, true, &[], 3),
    ] {
        let memory = hub_of(kind, faults, &[]);
        if is_crowded {
            memory.crowd();
        }
        let mut ledger = ledger(&memory, LONG);
        for _ in 0..3 {
            assert_eq!(word(&ledger.update_one(op(), now(), count)), "applied", "{kind:?}");
        }
        assert_eq!(
            (memory.script.borrow().refreshes, stored(&memory).as_str()),
            (refreshes, "3"),
            "{kind:?}"
        );
        let before = memory.script.borrow().refreshes;
        drop(ledger.read(false).expect("a hub"));
        let asked = memory.script.borrow().refreshes - before;
        assert_eq!((asked, ledger.is_remote()), (u32::from(!kind.is_on_this_disk), !kind.is_on_this_disk));
    }
}

#[test]
fn no_push_is_begun_that_would_be_cut_and_each_leaves_time_to_look() {
    let always_lost = || vec![Fault::Lose; 1000];
    let memory = hub_of(PLAIN, &always_lost(), &[]);
    assert_eq!(word(&ledger(&memory, SHORT).update_one(op(), now(), count)), "contended");
    assert_eq!(memory.script.borrow().publications, 1, "less than {PUSH_TIME_MIN:?} is left");
    let memory = hub_of(DISK, &always_lost(), &[]);
    assert_eq!(word(&ledger(&memory, SHORT).update_one(op(), now(), count)), "contended");
    assert!(memory.script.borrow().publications > 1, "on this disk a push takes no time");
    let memory = hub_of(PLAIN, &[], &[]);
    assert_eq!(word(&ledger(&memory, LONG).update_one(op(), now(), count)), "applied");
    let time = memory.script.borrow().push_times[0];
    assert!(time <= LONG * 4 / 5 && time > LONG / 2, "{time:?}");
}

#[test]
fn a_hub_that_others_keep_locked_says_so() {
    let memory = hub_of(PLAIN, &vec![Fault::Busy; 1000], &[]);
    assert_eq!(word(&ledger(&memory, SHORT).update_one(op(), now(), count)), "locked");
}

#[test]
fn our_copy_is_begun_anew_a_few_times_only() {
    for (damaged, expected, healings) in [(1, "applied", 1), (3, "applied", 3), (4, "damaged", 3)] {
        let memory = hub_of(PLAIN, &[], &[]);
        memory.script.borrow_mut().damaged = damaged;
        let mut ledger = ledger(&memory, LONG);
        assert_eq!(word(&ledger.update_one(op(), now(), count)), expected, "{damaged}");
        assert_eq!(memory.script.borrow().healings, healings, "{damaged}");
        let told = ledger.take_notes().iter().filter(|note| note.contains("was damaged")).count();
        assert_eq!(u32::try_from(told), Ok(healings), "{damaged}");
        assert_eq!(ledger.take_notes(), [""; 0], "each is given once");
    }
}

#[test]
fn a_fault_of_what_is_known_is_looked_at_again() {
    let memory = hub_of(PLAIN, &[], &[]);
    let mut ledger = ledger(&memory, LONG);
    assert_eq!(word(&ledger.update_one(op(), now(), count)), "applied");
    // Somebody mends a document behind this ledger's back.
    memory.somebody_else_writes();
    let if_mended = |transaction: &mut Transaction<'_>| {
        use super::super::snapshot::Documents as _;
        match transaction.document("main", "other")? {
            Some(_) => count(transaction),
            None => Err(Abort::Fault(DocumentError::new("other", "it is empty").into())),
        }
    };
    assert_eq!(word(&ledger.update_one(op(), now(), if_mended)), "applied");
    let broken = |_: &mut Transaction<'_>| -> Result<(), Abort> {
        Err(Abort::Fault(DocumentError::new("other", "it is empty").into()))
    };
    let before = memory.script.borrow().refreshes;
    assert_eq!(word(&ledger.update_one(op(), now(), broken)), "another error");
    assert_eq!(memory.script.borrow().refreshes, before + 1);
}

#[test]
fn a_no_to_one_of_several_is_asked_again_on_fresh_documents() {
    let memory = hub_of(PLAIN, &[], &[]);
    let (mut first, mut second) = (ledger(&memory, LONG), ledger(&memory, LONG));
    for ledger in [&mut first, &mut second] {
        assert_eq!(word(&ledger.update_one(op(), now(), count)), "applied");
    }
    // With the first of the two it is three, if what the second ledger did is known.
    let at_three = |transaction: &mut Transaction<'_>| match counter(transaction)? {
        3 => count(transaction),
        _ => Err(Refusal::NothingReclaimed { jobs: Vec::new() }.into()),
    };
    let outcomes = first.update(&[asked(&count), asked(&at_three)]).expect("no fault of all");
    assert!(
        matches!(outcomes.as_slice(), [Ok(Outcome::Applied(_)), Ok(Outcome::Applied(_))]),
        "{outcomes:?}"
    );
    assert_eq!(stored(&memory), "4");
}

#[test]
fn what_seems_to_be_there_already_is_looked_for_on_fresh_documents() {
    let memory = hub_of(PLAIN, &[], &[]);
    let (mut first, mut second) = (ledger(&memory, LONG), ledger(&memory, LONG));
    for ledger in [&mut first, &mut second] {
        assert_eq!(word(&ledger.update_one(op(), now(), count)), "applied");
    }
    let one = |transaction: &mut Transaction<'_>| -> Result<(), Abort> {
        transaction.put_text(COUNTER, "1".to_owned());
        Ok(())
    };
    assert_eq!(word(&first.update_one(op(), now(), one)), "applied");
    assert_eq!(stored(&memory), "1", "what the first ledger knew was one already");
}

#[test]
fn who_founds_a_hub_finds_none_and_who_does_not_is_told_what_is_there() {
    for (kind, others, founding, expected) in [
        (DISK, 0, false, Some(true)),
        (DISK, 1, false, Some(false)),
        // Only the branches that were asked for are known of a hub elsewhere.
        (PLAIN, 0, false, Some(false)),
        (DISK, 0, true, None),
        (PLAIN, 0, true, None),
    ] {
        let memory = hub_of(kind, &[], &[]);
        let main = memory.refs().remove("main").expect("is there");
        memory.refs().extend((0..others).map(|n| (format!("other-{n}"), main.clone())));
        let mut ledger = ledger(&memory, LONG);
        ledger.settings.founding = founding;
        let found = match ledger.read(false) {
            Ok(_) => None,
            Err(LedgerError::NoBranch { empty, .. }) => Some(empty),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, expected, "{kind:?} {others} {founding}");
    }
}

#[test]
fn the_branches_that_were_looked_at_are_looked_at_again() {
    let memory = hub_of(PLAIN, &[Fault::Lose], &[]);
    let both = |transaction: &mut Transaction<'_>| {
        let record = crate::domain::record::Record::new(serde_json::json!({"beat": 1}), 0);
        transaction.put_record_on("heartbeat-x", "x/heartbeat.json", &record)?;
        count(transaction)
    };
    assert_eq!(word(&ledger(&memory, LONG).update_one(op(), now(), both)), "applied");
    // A heartbeat needs its own branch; whoever looks at another, or at which there are, all of them.
    let own = Scope { heartbeats: false, branches: ["heartbeat-x".to_owned()].into() };
    assert_eq!(memory.script.borrow().scopes, [Scope::default(), own.clone()]);
    type Look = fn(&Transaction<'_>) -> Result<(), Abort>;
    let looks: [Look; 3] = [
        |transaction| Ok(transaction.document("heartbeat-y", "y/heartbeat.json").map(drop)?),
        |transaction| Ok(transaction.branches("heartbeat-").map(drop)?),
        |transaction| Ok(transaction.branches_with("heartbeat-", "x").map(drop)?),
    ];
    for look in looks {
        let memory = hub_of(PLAIN, &[Fault::Lose], &[]);
        let all = |transaction: &mut Transaction<'_>| {
            look(transaction)?;
            both(transaction)
        };
        assert_eq!(word(&ledger(&memory, LONG).update_one(op(), now(), all)), "applied");
        let all = Scope { heartbeats: true, ..own.clone() };
        assert_eq!(memory.script.borrow().scopes, [Scope::default(), all]);
    }
    let memory = hub_of(PLAIN, &[Fault::Lose], &[]);
    assert_eq!(word(&ledger(&memory, LONG).update_one(op(), now(), count)), "applied");
    assert_eq!(memory.script.borrow().scopes, [Scope::default(), Scope::default()]);
}

#[test]
fn a_branch_that_may_not_be_replaced_is_followed_once() {
    for (denials, expected, publications) in [(0, "applied", 2), (1, "applied", 3), (2, "denied", 3)] {
        let memory = hub_of(PLAIN, &[], &[]);
        let mut ledger = ledger(&memory, LONG);
        let beat = |number: u32| {
            move |transaction: &mut Transaction<'_>| {
                let record = crate::domain::record::Record::new(serde_json::json!({ "beat": number }), 0);
                transaction.put_record_on("heartbeat-x", "x/heartbeat.json", &record)
            }
        };
        assert_eq!(word(&ledger.update_one(op(), now(), beat(1))), "applied");
        memory.script.borrow_mut().faults.extend(vec![Fault::Deny; denials]);
        assert_eq!(word(&ledger.update_one(op(), now(), beat(2))), expected, "{denials}");
        let tip = memory.tip("heartbeat-x");
        let length = memory.commits_to(tip.as_ref()).len();
        assert_eq!(
            (memory.script.borrow().publications, length),
            (publications, 1 + denials % 2),
            "{denials}"
        );
    }
}

#[test]
fn the_clone_around_follows_each_write_and_each_look() {
    let memory = hub_of(PLAIN, &[Fault::LoseAnswer], &[]);
    let mut ledger = ledger(&memory, LONG);
    for settled in 1..=2 {
        assert_eq!(word(&ledger.update_one(op(), now(), count)), "applied");
        assert_eq!(memory.script.borrow().settled, settled);
    }
    drop(ledger.read(true).expect("a hub"));
    assert_eq!(
        (memory.script.borrow().settled, memory.script.borrow().scopes.last()),
        (3, Some(&Scope::heartbeats()))
    );
    assert_eq!(ledger.take_notes(), ["the clone follows"; 3]);
    assert!(!ledger.is_dry_run());
    ledger.settings.dry_run = true;
    assert_eq!((word(&ledger.update_one(op(), now(), count)), stored(&memory).as_str()), ("applied", "2"));
    assert!(ledger.is_dry_run());
}

#[test]
fn what_is_kept_at_hand_has_a_bound() {
    use super::super::snapshot::Documents as _;
    // Three of these fit.
    const LARGE: usize = 20 * 1024 * 1024;
    let memory = hub_of(DISK, &[], &[]);
    let mut ledger = ledger(&memory, LONG);
    for n in 0..4 {
        let grow = |transaction: &mut Transaction<'_>| -> Result<(), Abort> {
            transaction.put_text(&format!("coordination/{n}"), "x".repeat(LARGE));
            Ok(())
        };
        assert_eq!(word(&ledger.update_one(op(), now(), grow)), "applied");
    }
    let snapshot = ledger.known();
    let reads_of_two = |path: &str| {
        let before = memory.script.borrow().reads;
        for _ in 0..2 {
            assert!(snapshot.document("main", path).expect("reads").is_some());
        }
        memory.script.borrow().reads - before
    };
    for n in 0..4 {
        assert_eq!(reads_of_two(&format!("coordination/{n}")), if n < 3 { 1 } else { 2 }, "{n}");
    }
    assert_eq!(reads_of_two(COUNTER), 1, "what still fits is kept");
}

#[test]
fn the_words_of_a_refusal_count_where_the_hub_does_not_have_the_push() {
    let doubted = memory(&[Fault::Doubt]);
    let denied = ledger(&doubted, LONG).update_one(op(), now(), count);
    assert!(matches!(denied, Err(LedgerError::Denied { .. })), "{denied:?}");
    assert_eq!((doubted.script.borrow().publications, stored(&doubted).as_str()), (1, "0"));
    let landed = memory(&[Fault::DoubtAndApply]);
    let outcome = ledger(&landed, LONG).update_one(op(), now(), count).expect("no fault");
    assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
    assert_eq!((landed.script.borrow().publications, stored(&landed).as_str()), (1, "1"));
    // Nobody can tell where the hub cannot be seen, or where something was sent before.
    let unseen = memory(&[Fault::Doubt]);
    unseen.script.borrow_mut().looks.extend([Look::Sees].into_iter().chain((0..100).map(|_| Look::Cut)));
    let outcome = ledger(&unseen, SHORT).update_one(op(), now(), count).expect("no fault");
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    let before = memory(&[Fault::Vanish, Fault::Doubt]);
    let outcome = ledger(&before, SHORT).update_one(op(), now(), count).expect("no fault");
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
}
