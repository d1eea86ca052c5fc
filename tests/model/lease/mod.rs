//! Locks: two or three hosts want one.
//!
//! A host reads its copy of the hub, begins an operation, pushes, and learns what became of it or
//! does not. Time passes at any moment, so a pause may lie between any two steps.

// What is tried and what must hold.
mod check;

use crate::clock::{TICK, measured, older};
use git_muster::inside::lease::{margin, patience, trust};
use git_muster::inside::{Lock, LockRequest, ServerName, Timestamp};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

/// The lease: as short as makes whole ticks of trust (2), lease (3) and patience (above 4).
const LEASE: Duration = Duration::from_secs(15);
/// No lease matters longer than this many ticks, by the slow clock and by the fast ones.
const TERM_AGE_MAX: [u8; 2] = [4, 3];
/// Nobody watches longer than this many ticks, by any clock.
const WATCH_AGE_MAX: u8 = 5;
/// How far the wall clocks of two hosts are apart, for the rule that trusts them.
const SKEW: Duration = TICK;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rule {
    /// The rules as they are.
    Right,
    /// Who wants the lock compares `expires_at` with its own wall clock.
    WallClock,
    /// Trust begins with the answer.
    TrustFromAnswer,
    /// A renewal with an unknown outcome extends trust.
    TrustFromUnknown,
    /// A take-over keeps the token.
    SameToken,
    /// A release forgets the token.
    TokenForgotten,
    /// Anybody may release.
    AnybodyReleases,
    /// A renewal does not make a watcher begin again.
    WatchGoesOn,
    /// What was watched is not compared when it is taken.
    AnyVersion,
    /// Who watched for the lease, takes.
    NoPatience,
    /// A guard is asked when an operation begins, and not when it is applied again.
    GuardOnce,
}

/// The record of the lock, as far as it differs between states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    holder: Option<u8>,
    token: u8,
    renewal: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Take {
        expired: Option<Record>,
    },
    Renew {
        token: u8,
    },
    Release {
        token: u8,
    },
    /// Another write, with `--if-lock`.
    Guarded {
        token: u8,
    },
}

/// An operation on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Doing {
    op: Op,
    /// Since it began.
    age: u8,
    /// Attempts whose outcome the host does not know.
    sent: Sent,
}

/// What the history of the hub says of attempts with an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sent {
    /// There is none.
    Nothing,
    /// Not there, so far.
    Unknown,
    /// There, and this was the token then.
    Landed { token: u8 },
}

/// What a host believes to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Term {
    token: u8,
    /// Since the push that got or renewed it began.
    age: u8,
    /// Whether the host still wants to work under it.
    wanted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Host {
    /// Whether its copy is what the hub has now. From an old one nothing comes but a push that is
    /// refused, or a no that is not believed; so what stands in it is not told apart.
    fresh: bool,
    /// What it watches, and since when.
    seen: Option<(Record, u8)>,
    doing: Option<Doing>,
    term: Option<Term>,
    /// Whether it has looked in this tick, where all are diligent.
    looked: bool,
    /// Never comes back.
    gone: bool,
}

/// A push that nobody waits for any more. One whose base is not the tip can never land, and is
/// not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Flying {
    host: u8,
    /// Whether the operation that sent it goes on.
    awaited: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    hub: Record,
    hosts: Vec<Host>,
    flying: Vec<(Flying, Record, Op)>,
    /// How much may still go wrong.
    faults: u8,
    /// How many guarded writes may still begin.
    guards: u8,
    /// Since the record last changed, for the rule that trusts wall clocks and for the wait.
    unchanged: u8,
    /// The highest token that was ever given.
    highest: u8,
    /// A token was given that was not higher than all before.
    token_reused: bool,
    /// A write landed that was guarded by a term that was over.
    late_write: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    Begin(u8, Op),
    /// It is applied, and the answer arrives.
    Push(u8),
    /// It is applied, and the answer is lost.
    LoseAnswer(u8),
    /// Nobody knows, and it may land later.
    Delay(u8),
    /// A delayed one lands.
    Land(usize),
    /// The hub's documents say no.
    Refuse(u8),
    Look(u8),
    /// A look that does not reach the hub.
    LookOld(u8),
    GiveUp(u8),
    Crash {
        host: u8,
        reboot: bool,
    },
    /// It never comes back.
    Leave(u8),
}

#[derive(Clone)]
pub(crate) struct Leases {
    rule: Rule,
    hosts: u8,
    faults: u8,
    guards: u8,
    tokens: u8,
    renewals: u8,
    /// Whether holders ever hand back.
    releases: bool,
    /// Every host that is there looks in each tick and finishes what it began: only then anything
    /// can be promised to happen.
    diligent: bool,
}

fn name(host: u8) -> ServerName {
    ServerName::new(&format!("build{}", host + 1)).unwrap()
}

/// All times are one: no rule decides by them.
static NOW: LazyLock<Timestamp> = LazyLock::new(|| Timestamp::parse("2025-10-29T12:00:00Z").unwrap());

/// The program's own record.
fn lock_of(record: Record) -> Lock {
    Lock {
        released_by: None,
        locked_by: record.holder.map(|host| name(host).to_string()),
        token: (record.token > 0).then(|| record.token.into()),
        renewal: record.holder.map(|_| record.renewal.into()),
        lease_seconds: Some(LEASE.as_secs()),
        ..Lock::free("deploy")
    }
}

fn record_of(lock: &Lock, holder: Option<u8>) -> Record {
    let small = |number: Option<u64>| u8::try_from(number.unwrap_or(0)).unwrap();
    let holder = holder.filter(|_| lock.is_held());
    Record { holder, token: small(lock.token), renewal: small(lock.renewal) }
}

type Question = (Rule, u8, Op, Record);

thread_local! {
    /// What [`Leases::apply`] said before: the same few questions are asked a million times.
    static KNOWN: RefCell<HashMap<Question, Option<Record>>> = RefCell::default();
}

impl Leases {
    /// What `op` of `host` makes of `record`; `None`: the answer is no.
    fn applied(&self, host: u8, op: Op, record: Record) -> Option<Record> {
        let asked = (self.rule, host, op, record);
        KNOWN.with_borrow_mut(|known| *known.entry(asked).or_insert_with(|| self.apply(host, op, record)))
    }

    fn apply(&self, host: u8, op: Op, record: Record) -> Option<Record> {
        let mut lock = lock_of(record);
        let mut holder = record.holder;
        match op {
            Op::Take { expired } => {
                let taker = LockRequest {
                    server: name(host),
                    holder: String::new(),
                    lease_seconds: LEASE.as_secs(),
                    reason: None,
                };
                let expired = match self.rule {
                    Rule::AnyVersion => expired.map(|_| lock.version()),
                    _ => expired.map(|seen| lock_of(seen).version()),
                };
                lock.take(&taker, expired.as_deref(), *NOW).ok()?;
                if self.rule == Rule::SameToken && record.holder.is_some() {
                    lock.token = Some(record.token.into());
                }
                holder = Some(host);
            }
            Op::Renew { token } => lock.renew(&name(host), token.into(), None, *NOW).ok()?,
            Op::Release { token } => {
                let as_whom = match (self.rule, record.holder) {
                    (Rule::AnybodyReleases, Some(holder)) => holder,
                    _ => host,
                };
                lock.release(&name(as_whom), token.into()).ok()?;
                if self.rule == Rule::TokenForgotten {
                    lock.token = None;
                }
            }
            Op::Guarded { token } => {
                if self.rule != Rule::GuardOnce {
                    lock.check_token(token.into()).ok()?;
                }
            }
        }
        Some(record_of(&lock, holder))
    }

    /// Moves the hub's branch.
    fn commit(state: &mut State, host: u8, op: Op, record: Record) {
        match op {
            Op::Take { .. } => {
                state.token_reused |= record.token <= state.highest;
                state.highest = state.highest.max(record.token);
            }
            Op::Guarded { token } => state.late_write |= state.highest > token,
            Op::Renew { .. } | Op::Release { .. } => {}
        }
        if state.hub != record {
            state.unchanged = 0;
        }
        state.hub = record;
        state.flying.clear();
        for (index, other) in (0..).zip(&mut state.hosts) {
            other.fresh = index == host && other.fresh;
        }
    }

    /// The host learns that what it was doing is done.
    fn done(&self, host: &mut Host, token: u8) {
        let Some(doing) = host.doing.take() else { return };
        let age = if self.rule == Rule::TrustFromAnswer { 0 } else { doing.age };
        match doing.op {
            Op::Take { .. } => {
                host.term = Some(Term { token, age, wanted: true });
                host.seen = None;
            }
            Op::Renew { token } => host.term = Some(Term { token, age, wanted: true }),
            Op::Release { .. } => host.term = None,
            Op::Guarded { .. } => {}
        }
    }

    /// The host learns that the answer is no.
    fn refused(host: &mut Host) {
        let op = host.doing.take().map(|doing| doing.op);
        if matches!(op, Some(Op::Renew { .. } | Op::Release { .. })) {
            host.term = None;
        }
    }

    fn see(&self, host: &mut Host, record: Record) {
        host.seen = match host.seen {
            _ if record.holder.is_none() => None,
            Some((seen, age)) if seen == record => Some((seen, age)),
            Some((_, age)) if self.rule == Rule::WatchGoesOn => Some((record, age)),
            _ => Some((record, 0)),
        };
    }

    /// The version that `host` may take over now.
    fn expired(&self, state: &State, host: u8) -> Option<Record> {
        let me = &state.hosts[usize::from(host)];
        if self.rule == Rule::WallClock {
            let over = measured(host, state.unchanged) + SKEW >= LEASE;
            return (me.fresh && over && state.hub.holder.is_some()).then_some(state.hub);
        }
        let wait = if self.rule == Rule::NoPatience { LEASE } else { patience(LEASE) };
        me.seen.filter(|(_, age)| measured(host, *age) >= wait).map(|(seen, _)| seen)
    }

    /// Whether `host` may be at work under the lock. Its child has the margin to end in.
    fn acts(state: &State, host: u8) -> bool {
        let until = trust(LEASE) + margin(LEASE);
        state.hosts[usize::from(host)]
            .term
            .is_some_and(|term| term.wanted && measured(host, term.age) < until)
    }

    fn begin(&self, state: &State, host: u8, actions: &mut Vec<Action>) {
        let mut add = |op| actions.push(Action::Begin(host, op));
        match state.hosts[usize::from(host)].term {
            None => {
                // Begun earlier, it could only be trusted for less.
                let expired = self.expired(state, host).filter(|seen| *seen == state.hub);
                if state.hub.holder.is_none() || expired.is_some() {
                    add(Op::Take { expired });
                }
                // With a token that it saw in the record of another.
                if state.guards > 0 && state.hub.holder.is_some_and(|holder| holder != host) {
                    add(Op::Release { token: state.hub.token });
                }
            }
            Some(Term { token, wanted, .. }) => {
                if self.releases {
                    add(Op::Release { token });
                }
                if wanted {
                    add(Op::Renew { token });
                }
                if state.guards > 0 {
                    add(Op::Guarded { token });
                }
            }
        }
    }

    /// What can become of what `host` is doing.
    fn push(&self, state: &State, host: u8, doing: Doing, actions: &mut Vec<Action>) {
        if state.hosts[usize::from(host)].fresh {
            if self.applied(host, doing.op, state.hub).is_none() {
                actions.push(Action::Refuse(host));
            } else {
                actions.push(Action::Push(host));
                if state.faults > 0 {
                    actions.extend([Action::LoseAnswer(host), Action::Delay(host)]);
                }
            }
        }
        // Without anything sent it is as if it had not begun.
        if doing.sent != Sent::Nothing || matches!(doing.op, Op::Release { .. }) {
            actions.push(Action::GiveUp(host));
        }
    }

    /// Whether everybody who is there has done all that it can before time goes on.
    fn settled(&self, state: &State) -> bool {
        (0..self.hosts).zip(&state.hosts).all(|(index, host)| {
            // Who may not trust its term any more has to find out, and who has none watches.
            let waits = match host.term {
                Some(_) => Self::acts(state, index),
                None => host.looked && self.expired(state, index).is_none(),
            };
            host.gone || (host.doing.is_none() && waits)
        })
    }

    fn is_abandoned(state: &State) -> bool {
        state.hub.holder.is_some_and(|holder| state.hosts[usize::from(holder)].gone)
    }
}

impl Leases {
    fn tick(&self, state: &mut State) {
        let counted = self.diligent || self.rule == Rule::WallClock;
        if counted && state.hub.holder.is_some() {
            state.unchanged = older(state.unchanged, WATCH_AGE_MAX + self.faults + 1);
        }
        for (index, host) in state.hosts.iter_mut().enumerate() {
            let term_age_max = TERM_AGE_MAX[index.min(1)];
            host.looked = false;
            if let Some((_, age)) = &mut host.seen {
                *age = older(*age, WATCH_AGE_MAX);
            }
            if let Some(doing) = &mut host.doing {
                let counts = matches!(doing.op, Op::Take { .. } | Op::Renew { .. });
                doing.age = if counts { older(doing.age, term_age_max) } else { 0 };
            }
            if let Some(term) = &mut host.term {
                term.age = older(term.age, term_age_max);
            }
        }
    }

    /// Pushes. `answered`: whether the answer arrives; `None`: it does not land yet.
    fn publish(&self, state: &mut State, host: u8, answered: Option<bool>) -> Option<()> {
        let me = &state.hosts[usize::from(host)];
        let op = me.doing?.op;
        let record = self.applied(host, op, state.hub)?;
        if record.token > self.tokens || record.renewal > self.renewals {
            return None;
        }
        if answered != Some(true) {
            state.faults -= 1;
        }
        match answered {
            None => {
                state.flying.push((Flying { host, awaited: true }, record, op));
                state.flying.sort_by_key(|(push, ..)| *push);
            }
            Some(_) => Self::commit(state, host, op, record),
        }
        let me = &mut state.hosts[usize::from(host)];
        match answered {
            Some(true) => self.done(me, record.token),
            Some(false) => {
                me.fresh = false;
                me.doing.as_mut()?.sent = Sent::Landed { token: record.token };
            }
            None => {
                me.doing.as_mut()?.sent = Sent::Unknown;
            }
        }
        Some(())
    }

    fn look(&self, state: &mut State, host: u8) {
        let record = state.hub;
        let me = &mut state.hosts[usize::from(host)];
        me.fresh = true;
        me.looked = self.diligent;
        if me.term.is_none() {
            self.see(me, record);
        }
        // Whatever the hub says now, its history says that it was done.
        if let Some(Doing { sent: Sent::Landed { token }, .. }) = me.doing {
            self.done(me, token);
        }
    }

    fn end(&self, state: &mut State, action: Action) {
        let (host, fault) = match action {
            Action::LookOld(host) | Action::Crash { host, .. } | Action::Leave(host) => (host, 1),
            Action::GiveUp(host) | Action::Refuse(host) => (host, 0),
            _ => return,
        };
        let me = &mut state.hosts[usize::from(host)];
        match action {
            Action::LookOld(_) => me.looked = true,
            Action::Refuse(_) => Self::refused(me),
            Action::GiveUp(_) => match me.doing.take() {
                Some(Doing { op: Op::Release { .. }, .. }) => me.term = None,
                Some(Doing { op: Op::Renew { token }, age, sent: Sent::Unknown | Sent::Landed { .. } })
                    if self.rule == Rule::TrustFromUnknown =>
                {
                    me.term = Some(Term { token, age, wanted: true });
                }
                _ => {}
            },
            _ => {
                (me.doing, me.term) = (None, None);
                me.gone = matches!(action, Action::Leave(_));
                if matches!(action, Action::Crash { reboot: true, .. } | Action::Leave(_)) {
                    me.seen = None;
                }
            }
        }
        state.faults -= fault;
        if !matches!(action, Action::LookOld(_)) {
            for (push, ..) in state.flying.iter_mut().filter(|(push, ..)| push.host == host) {
                push.awaited = false;
            }
        }
    }
}
