//! Heartbeat branches that are reduced to one commit on a hub that misbehaves.

use super::super::error::LedgerError;
use super::super::squash::SquashResult;
use super::{Fault, LONG, Look, Memory, SHORT, ledger, memory, now};
use std::time::Duration;

const BEATS: &str = "heartbeat-x";
const BACKUP: &str = "backup/heartbeat-x";

/// A hub with a heartbeat branch of so many commits.
fn beating(commits: usize, faults: &[Fault], looks: &[Look]) -> Memory {
    let memory = memory(faults);
    let tip = (0..commits).fold(None, |parent, number| {
        Some(memory.store(parent, &[("x/heartbeat.json", &number.to_string())], "beat"))
    });
    memory.refs().extend(tip.map(|tip| (BEATS.to_owned(), tip)));
    memory.script.borrow_mut().looks.extend(looks);
    memory
}

fn length(memory: &Memory, branch: &str) -> usize {
    let tip = memory.tip(branch);
    memory.commits_to(tip.as_ref()).len()
}

fn squash(memory: &Memory, budget: Duration, dry_run: bool) -> Result<SquashResult, LedgerError> {
    let mut ledger = ledger(memory, budget);
    ledger.settings.dry_run = dry_run;
    ledger.squash(BEATS, Some(BACKUP), now())
}

#[test]
fn whatever_the_hub_does_a_squash_happens_once_and_keeps_what_was_there() {
    use Fault::{Busy, LoseAnswer, Repeat, Vanish};
    for faults in [&[][..], &[Busy, Busy], &[LoseAnswer], &[Repeat], &[Vanish], &[Vanish, LoseAnswer]] {
        let memory = beating(3, faults, &[]);
        let squashed = squash(&memory, LONG, false).expect("no fault");
        assert_eq!(squashed, SquashResult { commits: 3, backup: Some(BACKUP.to_owned()) }, "{faults:?}");
        assert_eq!((length(&memory, BEATS), length(&memory, BACKUP)), (1, 3), "{faults:?}");
        let publications = usize::try_from(memory.script.borrow().publications).expect("few");
        let landed = matches!(faults.last(), Some(LoseAnswer | Repeat));
        assert_eq!(publications, faults.len() + usize::from(!landed), "{faults:?}");
    }
}

#[test]
fn one_commit_is_left_as_it_is_and_a_try_moves_nothing() {
    for (commits, dry_run, backup) in [(1, false, None), (1, true, None), (2, true, Some(BACKUP.to_owned()))]
    {
        let memory = beating(commits, &[], &[]);
        let squashed = squash(&memory, LONG, dry_run).expect("no fault");
        assert_eq!(squashed, SquashResult { commits, backup }, "{commits} {dry_run}");
        assert_eq!((memory.script.borrow().publications, length(&memory, BEATS)), (0, commits));
    }
}

#[test]
fn a_squash_that_fails_says_what_is_known() {
    use Fault::{Busy, Cut, Deny, Vanish};
    for (commits, faults, looks, budget, expected) in [
        (3, vec![Deny], &[][..], LONG, "refuses: protected"),
        (3, vec![Cut], &[], LONG, "cannot be reached: cut"),
        (3, vec![], &[Look::Deny], LONG, "refuses: away"),
        (3, vec![Vanish], &[Look::Sees, Look::Deny], LONG, "may or may not have it: vanished"),
        (3, vec![Vanish; 8], &[], LONG, "may or may not have it: vanished"),
        // No time is left to send it again.
        (3, vec![Vanish], &[], SHORT, "may or may not have it: vanished"),
        (3, vec![Busy; 8], &[], LONG, "moved 8 times while it was to be squashed"),
        (0, vec![], &[], LONG, "has no branch `heartbeat-x`"),
    ] {
        let memory = beating(commits, &faults, looks);
        let error = squash(&memory, budget, false).expect_err("a fault").to_string();
        assert!(error.contains(expected), "{faults:?} {looks:?}: {error}");
        assert_eq!(length(&memory, BEATS), commits, "{faults:?}");
    }
}
