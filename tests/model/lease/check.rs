//! What is tried with locks, and what must come of it.

use super::{Action, Doing, Host, Leases, Op, Record, Rule, Sent, State, WATCH_AGE_MAX};
use crate::explore::{breaks, holds};
use stateright::{Model, Property};

const ONE_ACTS: &str = "no two hosts trust the lock at the same true time";
const TOKENS_RISE: &str = "each token is higher than all before, so it has one holder";
const NO_LATE_WRITE: &str = "no guarded write lands after the next token was given";
const FREE_AGAIN: &str = "a lock whose holder is gone is taken by who watches, in time";

impl Model for Leases {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let record = Record { holder: None, token: 0, renewal: 0 };
        let host = Host { fresh: true, seen: None, doing: None, term: None, looked: false, gone: false };
        vec![State {
            hub: record,
            hosts: vec![host; self.hosts.into()],
            flying: Vec::new(),
            faults: self.faults,
            guards: self.guards,
            unchanged: 0,
            highest: 0,
            token_reused: false,
            late_write: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !self.diligent || self.settled(state) {
            actions.push(Action::Tick);
        }
        actions.extend((0..state.flying.len()).map(Action::Land));
        for (host, me) in (0..self.hosts).zip(&state.hosts).filter(|(_, me)| !me.gone) {
            match me.doing {
                None => self.begin(state, host, actions),
                Some(doing) => self.push(state, host, doing, actions),
            }
            actions.push(Action::Look(host));
            if state.faults > 0 {
                if self.diligent {
                    actions.push(Action::LookOld(host));
                    actions.extend((host == 0).then_some(Action::Leave(host)));
                } else {
                    actions.extend([false, true].map(|reboot| Action::Crash { host, reboot }));
                }
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Tick => self.tick(&mut state),
            Action::Land(index) => {
                let (push, record, op) = state.flying[index];
                Self::commit(&mut state, push.host, op, record);
                let sender = &mut state.hosts[usize::from(push.host)];
                sender.fresh = false;
                if let Some(doing) = sender.doing.as_mut().filter(|_| push.awaited) {
                    doing.sent = Sent::Landed { token: record.token };
                }
            }
            Action::Begin(host, op) => {
                let me = &mut state.hosts[usize::from(host)];
                if let (Op::Release { .. }, Some(term)) = (op, &mut me.term) {
                    term.wanted = false;
                }
                let extra = matches!(op, Op::Guarded { .. })
                    || (me.term.is_none() && matches!(op, Op::Release { .. }));
                state.guards -= u8::from(extra);
                me.doing = Some(Doing { op, age: 0, sent: Sent::Nothing });
            }
            Action::Push(host) => self.publish(&mut state, host, Some(true))?,
            Action::LoseAnswer(host) => self.publish(&mut state, host, Some(false))?,
            Action::Delay(host) => self.publish(&mut state, host, None)?,
            Action::Look(host) => self.look(&mut state, host),
            action => self.end(&mut state, action),
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONE_ACTS, |model: &Self, state: &State| {
                (0..model.hosts).filter(|host| Self::acts(state, *host)).count() <= 1
            }),
            Property::always(TOKENS_RISE, |_, state: &State| !state.token_reused),
            Property::always(NO_LATE_WRITE, |_, state: &State| !state.late_write),
            Property::always(FREE_AGAIN, |model: &Self, state: &State| {
                !model.diligent
                    || !Self::is_abandoned(state)
                    || state.unchanged <= WATCH_AGE_MAX + model.faults
            }),
        ];
        if self.faults > 0 {
            properties.push(Property::sometimes(
                "an operation is found after its answer was lost",
                |_, state: &State| {
                    state
                        .hosts
                        .iter()
                        .any(|host| host.doing.is_some_and(|doing| matches!(doing.sent, Sent::Landed { .. })))
                },
            ));
        }
        if self.diligent {
            properties
                .push(Property::sometimes("the lock of one who is gone is taken", |_, state: &State| {
                    state.hosts[0].gone && state.hub.token == 2 && state.hub.holder == Some(1)
                }));
            return properties;
        }
        if self.tokens > 2 {
            properties.push(Property::sometimes("the old holder takes it back", |_, state: &State| {
                state.hosts[0].term.is_some_and(|term| term.token == 3) && state.hub.holder == Some(0)
            }));
        }
        if self.renewals > 0 {
            properties.push(Property::sometimes("a renewed lock is taken over", |_, state: &State| {
                state.hosts[1].doing.is_some_and(|doing| {
                    matches!(doing.op, Op::Take { expired: Some(seen) } if seen.renewal > 0 && seen == state.hub)
                })
            }));
        }
        properties.push(Property::sometimes(
            "a lock is taken over while its holder does not know",
            |_, state: &State| {
                let old = state.hosts[0].term;
                old.is_some_and(|term| term.wanted && term.token < state.hub.token) && Self::acts(state, 1)
            },
        ));
        if self.guards > 0 {
            properties.push(Property::sometimes("a guarded write is too late", |_, state: &State| {
                state.hosts.iter().any(|host| {
                    host.doing.is_some_and(
                        |doing| matches!(doing.op, Op::Guarded { token } if token < state.hub.token),
                    )
                })
            }));
        }
        properties
    }
}

const TWO: Leases = Leases {
    rule: Rule::Right,
    hosts: 2,
    faults: 1,
    guards: 0,
    tokens: 3,
    renewals: 1,
    releases: true,
    diligent: false,
};

#[test]
fn two_hosts_share_a_lock() {
    holds("lock, two hosts, renewed", Leases { tokens: 2, ..TWO });
    holds("lock, two hosts, to and fro", Leases { renewals: 0, ..TWO });
}

#[test]
fn no_write_comes_after_its_guard_is_lost() {
    holds("lock, guarded writes", Leases { guards: 1, tokens: 2, renewals: 0, ..TWO });
}

#[test]
fn three_hosts_share_a_lock() {
    holds(
        "lock, three hosts",
        Leases { hosts: 3, faults: 0, tokens: 2, renewals: 0, releases: false, ..TWO },
    );
}

#[test]
fn a_lock_is_free_again_when_its_holder_is_gone() {
    holds("lock, holder gone", Leases { faults: 2, tokens: 2, diligent: true, ..TWO });
}

#[test]
fn each_broken_rule_is_noticed() {
    for (rule, guards, property) in [
        (Rule::WallClock, 0, ONE_ACTS),
        (Rule::TrustFromAnswer, 0, ONE_ACTS),
        (Rule::TrustFromUnknown, 0, ONE_ACTS),
        (Rule::SameToken, 0, TOKENS_RISE),
        (Rule::TokenForgotten, 0, TOKENS_RISE),
        (Rule::AnybodyReleases, 1, ONE_ACTS),
        (Rule::WatchGoesOn, 0, ONE_ACTS),
        (Rule::AnyVersion, 0, ONE_ACTS),
        (Rule::NoPatience, 0, ONE_ACTS),
        (Rule::GuardOnce, 1, NO_LATE_WRITE),
    ] {
        eprint!("{rule:?}: ");
        breaks(Leases { rule, guards, tokens: 2, ..TWO }, property);
    }
}
