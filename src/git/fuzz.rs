//! What must hold of what git prints, whatever it is: for the fuzz targets of `crate::fuzz`.
//!
//! No part of the program.

use super::classify::{FetchVerdict, broken_store, classify_fetch, classify_push};
use crate::ledger::Publication;

/// The branches of the push that is judged.
const BRANCHES: [&str; 2] = ["main", "heartbeat-build1"];

/// No output of git is a push that was applied, unless it says of each branch that it moved.
pub(crate) fn git_output(exit_code: Option<i32>, stdout: &str, stderr: &str) {
    let moved = |branch: &str| {
        let target = format!(":refs/heads/{branch}\t");
        stdout.split('\n').any(|line| {
            line.get(..2).is_some_and(|flag| [" \t", "+\t", "*\t", "-\t"].contains(&flag))
                && line.contains(&target)
        })
    };
    let verdict = classify_push((&BRANCHES, &[]), exit_code, stdout, stderr);
    if verdict == Publication::Applied {
        assert!(BRANCHES.iter().all(|branch| moved(branch)), "applied without an answer for each branch");
        assert!(!stdout.lines().any(|line| line.starts_with("!\t")), "applied with a rejection");
    }
    let fetched = classify_fetch(exit_code, stdout, stderr);
    assert!((exit_code == Some(0)) == (fetched == FetchVerdict::Fetched), "{fetched:?}");
    let said = [reason_of_push(verdict), reason_of_fetch(fetched), broken_store(stderr)];
    for reason in said.iter().flatten() {
        assert!(!reason.contains(char::is_control), "not a line for people: {reason:?}");
    }
}

fn reason_of_push(verdict: Publication) -> Option<String> {
    match verdict {
        Publication::Applied | Publication::Stale | Publication::StaleOrRepeated | Publication::Busy(_) => {
            None
        }
        Publication::Denied(why) | Publication::Doubted(why) | Publication::Unreachable(why) => {
            Some(why.words)
        }
        Publication::Unknown(why) | Publication::Failed { why, .. } => Some(why),
    }
}

fn reason_of_fetch(verdict: FetchVerdict) -> Option<String> {
    match verdict {
        FetchVerdict::Fetched | FetchVerdict::MissingBranch => None,
        FetchVerdict::Unreachable(why) | FetchVerdict::Denied(why) => Some(why.words),
        FetchVerdict::BrokenCache(why) | FetchVerdict::HubDamaged(why, _) | FetchVerdict::Failed(why) => {
            Some(why)
        }
    }
}
