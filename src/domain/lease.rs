//! What holds a record for a time: fencing tokens, and the three times of a lease.
//!
//! One rule for locks, claims and whatever else one holder has at a time. A token grows with each
//! new holder and is never given twice. A holder relies on its lease for [`trust`]; another server
//! takes over when it has seen one version of the record for [`patience`], measured on its own
//! clock. Nothing here knows what is held, and no wall clocks are compared (after Gray and
//! Cheriton, "Leases", 1989).

use super::planted::planted;
use super::refusal::{Kind, Refusal};
use super::time::Timestamp;
use std::time::Duration;

/// How much faster or slower than true a clock may run, in percent of a lease, before two
/// holders could overlap. NTP slews by 0.05 %.
const CLOCK_RATE_ERROR_PERCENT: u32 = 1;

/// The least margin on each side of a lease.
const MARGIN_MIN: Duration = Duration::from_secs(5);

/// The highest token that is given: each costs a commit, and no hub has so many. What is above was made up,
/// and nothing is given after it: every reader of JSON, such as `jq`, tells each from the next.
pub const TOKEN_MAX: u64 = (1 << 52) - 1;

/// What is wrong with a token that was never given one by one, if so.
#[must_use]
pub fn token_problem(token: Option<u64>) -> Option<String> {
    let token = token.filter(|token| *token >= TOKEN_MAX)?;
    Some(if token == TOKEN_MAX {
        format!("its token {token} is the last there is, and none can be given after it")
    } else {
        format!("its token {token} is no possible one, and none can be given after it")
    })
}

/// Where tokens go on after one that is no possible one: above all that were really given, as nobody gives
/// one each millisecond for decades.
#[must_use]
pub fn token_anew(token: Option<u64>, now: Timestamp) -> Option<u64> {
    if token_problem(token).is_none() {
        return token;
    }
    u64::try_from(now.unix_millis()).ok()
}

/// The token of the next holder of the `kind` `id`: higher than any before.
///
/// # Errors
/// When there is none. A token that stood still or began again would let two holders pass the
/// same fence.
pub fn next_token(token: Option<u64>, (kind, id): (Kind, &str)) -> Result<u64, Refusal> {
    let next = token.unwrap_or(0).checked_add(1).filter(|next| *next <= TOKEN_MAX);
    next.ok_or_else(|| Refusal::TokenExhausted { kind, id: id.to_owned() })
}

/// How much of a lease is given away on each side for safety: a tenth, at least five seconds,
/// but never more than a third, so that very short leases keep some use.
#[must_use]
pub fn margin(lease: Duration) -> Duration {
    (lease / 10).max(MARGIN_MIN).min(lease / 3)
}

/// How long a challenger must see one version of a leased record before it may take over: the
/// lease, an allowance for clocks that run at different speeds, and grace.
#[must_use]
pub fn patience(lease: Duration) -> Duration {
    if planted("impatient") {
        return lease / 2;
    }
    // Divided first and saturating: the lease was written by somebody else.
    let allowance = (lease / 100).saturating_mul(2 * CLOCK_RATE_ERROR_PERCENT);
    lease.saturating_add(allowance).saturating_add(margin(lease))
}

/// Until when a holder may trust a lease that it asked for at `started` on its own clock.
#[must_use]
pub fn trust(lease: Duration) -> Duration {
    if planted("gullible") {
        return lease * 3 / 2;
    }
    lease.saturating_sub(margin(lease))
}

/// A token as it is compared: one that nobody can have been given counts as none.
#[must_use]
pub(super) fn possible_token(token: Option<u64>) -> u64 {
    token.filter(|_| token_problem(token).is_none()).unwrap_or(0)
}

/// Whether a token was given before another, which is a possible one.
#[must_use]
pub fn is_token_before(token: Option<u64>, other: Option<u64>) -> bool {
    token.is_some() && token < other && token_problem(other).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_ends_before_patience_does() {
        for seconds in [1, 10, 60, 600, 86_400] {
            let lease = Duration::from_secs(seconds);
            assert!(trust(lease) < lease && lease < patience(lease), "{seconds}");
        }
    }

    #[test]
    fn spans_of_a_lease() {
        // In milliseconds: the lease, its margin, how long it is trusted, how long it is watched.
        for (lease, given_away, trusted, watched) in [
            (3_000, 1_000, 2_000, 4_060),
            (15_000, 5_000, 10_000, 20_300),
            (30_000, 5_000, 25_000, 35_600),
            (60_000, 6_000, 54_000, 67_200),
            (600_000, 60_000, 540_000, 672_000),
        ] {
            let span = Duration::from_millis(lease);
            let found = [margin(span), trust(span), patience(span)].map(|span| span.as_millis());
            assert_eq!(found, [given_away, trusted, watched], "{lease}");
        }
    }

    #[test]
    fn tokens_that_were_never_given_are_told_and_go_on_from_the_time() {
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        let millis = u64::try_from(now.unix_millis()).ok();
        for (token, why, anew) in [
            (None, None, None),
            (Some(TOKEN_MAX - 1), None, Some(TOKEN_MAX - 1)),
            (Some(TOKEN_MAX), Some("is the last there is"), millis),
            (Some(TOKEN_MAX + 1), Some("is no possible one"), millis),
        ] {
            let told = token_problem(token);
            assert_eq!(told.is_some(), why.is_some(), "{told:?}");
            assert!(told.unwrap_or_default().contains(why.unwrap_or_default()), "{token:?}");
            assert_eq!(token_anew(token, now), anew, "{token:?}");
        }
        assert_eq!(TOKEN_MAX + 1, 2_u64.pow(52), "a number that programs with floats tell from the next");
        let last = Timestamp::parse("9999-12-31T23:59:59Z").expect("the last there is");
        assert_eq!(token_problem(token_anew(Some(TOKEN_MAX), last)), None);
    }
}
