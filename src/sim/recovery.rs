//! Whether what lost servers hold comes back although there is always something else to claim.
//!
//! Told by true time and by commits: a host that goes on claiming has to take back what a silent
//! session holds, within a bound. How it finds out is no matter here.

use std::collections::BTreeMap;
use std::time::Duration;

/// How far apart two claims of a host are that count: more than it waits between two looks at holders.
const SPACED: Duration = Duration::from_secs(13);

/// How many claims that count a host may make after it could have noticed. The one that would have may
/// have been killed or cut off.
const CLAIMS_MAX: u32 = 3;

/// A claim that somebody may have to take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldClaim {
    pub job: String,
    pub token: u64,
    /// Since when nothing was heard of its holder.
    pub silent_since: Duration,
    /// For how long its session may be silent, by what that said itself.
    pub patience: Duration,
}

/// What one host has done since the holder of a claim fell silent.
#[derive(Debug, Clone)]
struct Watch {
    silent_since: Duration,
    /// Its last claim that counts.
    last: Option<Duration>,
    /// By when it must have looked.
    looked: Option<Duration>,
    /// How many claims that count it made after it could have noticed.
    claims: u32,
}

/// Who should have noticed what.
#[derive(Debug, Clone, Default)]
pub(super) struct Recovery {
    /// Whether hosts see what there is and keep what they saw.
    pub is_sure: bool,
    watches: BTreeMap<(String, String, u64), Watch>,
}

impl Recovery {
    /// `host` has claimed, at `now`, and all these are still held by others. Gives the first that should
    /// not be.
    pub(super) fn claimed(&mut self, host: &str, now: Duration, held: &[HeldClaim]) -> Option<String> {
        let is_held = |job: &str, token: u64| held.iter().any(|one| one.job == job && one.token == token);
        self.watches.retain(|(by, job, token), _| by != host || is_held(job, *token));
        let mut overdue = None;
        for one in held {
            let fresh = Watch { silent_since: one.silent_since, last: None, looked: None, claims: 0 };
            let key = (host.to_owned(), one.job.clone(), one.token);
            let watch = self.watches.entry(key).or_insert_with(|| fresh.clone());
            if watch.silent_since != one.silent_since {
                *watch = fresh;
            }
            match (watch.last, watch.looked) {
                (None, _) => watch.last = Some(now),
                (Some(last), _) if now < last + SPACED => {}
                (Some(_), None) => (watch.last, watch.looked) = (Some(now), Some(now)),
                (Some(_), Some(looked)) => {
                    watch.last = Some(now);
                    watch.claims += u32::from(now >= looked + one.patience);
                }
            }
            if watch.claims > CLAIMS_MAX && overdue.is_none() {
                overdue = Some(one.job.clone());
            }
        }
        overdue.filter(|_| self.is_sure)
    }

    /// `host` lost what it had watched, or the hub what was to be seen there.
    pub(super) fn forget(&mut self, host: Option<&str>) {
        self.watches.retain(|(by, ..), _| host.is_some_and(|host| by != host));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn held(silent_since: u64, patience: Duration) -> [HeldClaim; 1] {
        [HeldClaim {
            job: "j".to_owned(),
            token: 1,
            silent_since: Duration::from_secs(silent_since),
            patience,
        }]
    }

    /// After how many claims of a host, one every `step` seconds, a claim is overdue.
    fn overdue_after(step: u64, is_sure: bool, silent: impl Fn(u64) -> u64) -> Option<u64> {
        overdue_with(PATIENCE, step, is_sure, silent)
    }

    fn overdue_with(
        patience: Duration,
        step: u64,
        is_sure: bool,
        silent: impl Fn(u64) -> u64,
    ) -> Option<u64> {
        let mut recovery = Recovery { is_sure, ..Recovery::default() };
        (1..=40).find(|number| {
            let now = Duration::from_secs(number * step);
            recovery.claimed("a", now, &held(silent(*number), patience)).is_some()
        })
    }

    #[test]
    fn a_host_that_goes_on_claiming_beside_a_silent_holder_is_noticed() {
        // Seen by the second; those after 60 s count, and the fourth of them is one too many.
        assert_eq!(overdue_after(20, true, |_| 0), Some(8));
        assert_eq!(overdue_after(20, false, |_| 0), None);
        assert_eq!(overdue_after(20, true, |number| number * 20), None);
    }

    /// As one that began anew and was cut off before its first beat of its own: it declares a minute.
    #[test]
    fn a_session_that_said_it_beats_seldom_is_given_that_long() {
        assert_eq!(overdue_with(PATIENCE * 6, 20, true, |_| 0), Some(23));
    }

    #[test]
    fn who_lost_what_it_had_seen_begins_again() {
        let mut recovery = Recovery { is_sure: true, ..Recovery::default() };
        for number in 1..40 {
            assert_eq!(recovery.claimed("a", Duration::from_secs(number * 20), &held(0, PATIENCE)), None);
            if number % 6 == 0 {
                recovery.forget(Some("a"));
            }
        }
    }
}
