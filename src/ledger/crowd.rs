//! Whether many write to a hub at the same time: then who just succeeded asks first, as the others must.
//!
//! Judged by the last commits alone. Reads nothing.

use crate::domain::time::Timestamp;
use std::ops::ControlFlow;

/// Two writes of one host so close together come from one script.
const JUST_NOW_SECONDS: i64 = 5;

/// How close, and within how many commits, the writes of others are to count as a crowd.
const CROWD_SECONDS: i64 = 30;
const CROWD_COMMITS_MAX: usize = 32;

/// What was seen of the last commits.
pub(super) struct Crowd<'a> {
    me: &'a str,
    /// In whole seconds, as stores keep the times of commits.
    now: i64,
    /// When the newest was made, and how many were seen before it.
    newest: Option<(i64, usize)>,
    is_there: bool,
}

impl<'a> Crowd<'a> {
    /// Nothing yet, for who writes as `me` at `now`.
    pub(super) fn new(me: &'a str, now: Timestamp) -> Self {
        Self { me, now: now.unix_seconds(), newest: None, is_there: false }
    }

    /// Takes one commit, the newest first; says whether more are wanted.
    pub(super) fn see(&mut self, author: &str, at: Option<Timestamp>) -> ControlFlow<()> {
        let Some(at) = at.map(Timestamp::unix_seconds) else { return ControlFlow::Break(()) };
        let is_mine = author == self.me;
        let Some((newest, before)) = &mut self.newest else {
            self.newest = Some((at, 0));
            let is_just_made = is_mine && self.now.saturating_sub(at) <= JUST_NOW_SECONDS;
            return if is_just_made { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        };
        *before += 1;
        if newest.saturating_sub(at) > CROWD_SECONDS || *before > CROWD_COMMITS_MAX {
            return ControlFlow::Break(());
        }
        self.is_there = !is_mine;
        if is_mine { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Whether the newest is ours, just made, and others wrote shortly before.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_just_wrote_among_others_is_known() {
        let at = |second: i64| Timestamp::from_unix_millis(second * 1000);
        let many = vec![("me", 999); CROWD_COMMITS_MAX];
        let far = |mine: usize| [&[("bob", 999)], &many[..mine]].concat();
        for (history, expected) in [
            // The oldest first; the time is 1000.
            (vec![("bob", 990), ("me", 1000)], true),
            (vec![("bob", 990), ("me", 998), ("me", 1000)], true),
            (vec![("me", 990), ("me", 1000)], false),
            (vec![("me", 990), ("bob", 1000)], false),
            (vec![("bob", 990), ("me", 995)], true),
            (vec![("bob", 990), ("me", 994)], false),
            (vec![("bob", 970), ("me", 1000)], true),
            (vec![("bob", 969), ("me", 1000)], false),
            (far(CROWD_COMMITS_MAX), true),
            ([far(CROWD_COMMITS_MAX), vec![("me", 999)]].concat(), false),
        ] {
            let mut crowd = Crowd::new("me", at(1000).expect("a time"));
            let _ = history.iter().rev().try_for_each(|(author, second)| crowd.see(author, at(*second)));
            assert_eq!(crowd.is_there(), expected, "{history:?}");
        }
        let mut crowd = Crowd::new("me", at(1000).expect("a time"));
        assert!(crowd.see("me", at(1000)).is_continue());
        assert!(crowd.see("bob", None).is_break(), "of what nobody can date nothing is known");
        assert!(!crowd.is_there());
    }
}
