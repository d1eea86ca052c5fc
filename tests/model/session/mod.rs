//! Jobs: two hosts claim one, and each shows by beats on a branch of its own that it is alive.
//!
//! A worker and the sender of its host's beats are two processes: the worker trusts its claim as
//! long as the session it was made in is the present one and its last answered beat is young
//! enough. A rescue moves two branches together. A job's own time limit is watched like a lock's
//! lease (`lease`) and does not run out here.

// What is tried and what must hold.
mod check;

use crate::clock::{TICK, measured, older};
use git_muster::inside::lease::{margin, patience, trust};
use git_muster::inside::{AttemptResult, Claim, Claimant, FailReason, Job, JobStatus};
use git_muster::inside::{Beat, Heartbeat, OpId, ServerName, Timestamp};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;

/// How many hosts there are: one that holds the job and one that wants it, in turn.
const HOSTS: u8 = 2;
/// No answered beat matters longer than this many ticks, by the slow clock and by the fast one.
const BEAT_AGE_MAX: [u8; 2] = [5, 4];
/// Nobody watches longer than this many ticks, by any clock.
const WATCH_AGE_MAX: u8 = 6;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rule {
    /// The rules as they are.
    Right,
    /// A rescue takes the job and leaves the session.
    NoRevocation,
    /// A rescue overwrites the beat, whatever it is by then.
    BlindRevocation,
    /// The next beat clears the revocation, whether or not its sender learns of it.
    ForgottenRevocation,
    /// A session that was ended goes on under its name.
    SameIncarnation,
    /// A rescue does not wait for the patience, only for the lease.
    NoPatience,
    /// A claim keeps the token.
    SameToken,
    /// A report is taken from whoever sends it.
    NoTokenAsked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Status {
    Queued,
    Held,
    Completed,
    Dead,
}

/// The record of the job, as far as it differs between states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    status: Status,
    holder: u8,
    token: u8,
    session: u8,
}

/// The last beat of a host. Which number it has is not told apart: who watched it knows whether it
/// is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct LastBeat {
    session: u8,
    revoked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Beat,
    Claim,
    Complete {
        token: u8,
    },
    /// `current`: whether the beat that was watched is still the newest.
    Rescue {
        token: u8,
        current: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Doing {
    op: Op,
    /// Since it began.
    age: u8,
    sent: Sent,
}

/// What the history of the hub says of attempts with an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sent {
    Nothing,
    Unknown,
    Landed(Answer),
}

/// What an operation answers: the token of a claim, whether a beat found its session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Answer {
    token: u8,
    revoked: bool,
}

/// What a worker believes to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct HeldClaim {
    token: u8,
    session: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Host {
    /// Whether its copy of the main branch and of the two heartbeat branches is the hub's.
    fresh_main: bool,
    fresh_beat: [bool; 2],
    session: u8,
    /// Since the last beat of this session that was answered began.
    beaten: Option<u8>,
    claim: Option<HeldClaim>,
    /// How long it has watched the other's last beat, and whether that is still the newest.
    seen: Option<(bool, u8)>,
    doing: Option<Doing>,
    looked: bool,
    gone: bool,
}

/// A push that lands late or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Flying {
    host: u8,
    op: Op,
    awaited: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    job: Record,
    beats: [LastBeat; 2],
    hosts: [Host; 2],
    flying: Option<Flying>,
    faults: u8,
    /// For how long the host that holds the job is gone and nothing of it arrives.
    abandoned: u8,
    token_reused: bool,
    /// How often the job was reported done, and whether ever from a claim that was over.
    completed: u8,
    late_report: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    Begin(u8, Op),
    Push(u8),
    LoseAnswer(u8),
    Delay(u8),
    Land,
    Refuse(u8),
    Look(u8),
    GiveUp(u8),
    /// The sender of beats starts again.
    Restart(u8),
    /// The worker forgets what it was at.
    Forget(u8),
    Leave(u8),
}

#[derive(Clone)]
pub(crate) struct Sessions {
    rule: Rule,
    faults: u8,
    sessions: u8,
    diligent: bool,
}

static NOW: LazyLock<Timestamp> = LazyLock::new(|| Timestamp::parse("2025-10-29T12:00:00Z").unwrap());
static OP: LazyLock<OpId> = LazyLock::new(|| OpId::new("019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f").unwrap());

fn name(host: u8) -> ServerName {
    ServerName::new(&format!("build{}", host + 1)).unwrap()
}

fn incarnation(host: u8, session: u8) -> String {
    format!("{host}/{session}")
}

/// The program's own record.
fn job_of(record: Record) -> Job {
    let held = record.status == Status::Held;
    let mut job = Job::new("job_1".to_owned(), "build".to_owned(), *NOW);
    job.status = match record.status {
        Status::Queued => JobStatus::Queued,
        Status::Held => JobStatus::Running,
        Status::Completed => JobStatus::Completed,
        Status::Dead => JobStatus::Dead,
    };
    job.assigned_to = held.then(|| name(record.holder).to_string());
    job.token = (record.token > 0).then(|| record.token.into());
    job.attempts = Some(record.token.into());
    job.incarnation = held.then(|| incarnation(record.holder, record.session));
    job
}

fn record_of(job: &Job, (holder, session): (u8, u8)) -> Record {
    let status = match &job.status {
        JobStatus::Queued => Status::Queued,
        status if status.is_held() => Status::Held,
        JobStatus::Completed => Status::Completed,
        _ => Status::Dead,
    };
    // Who held it makes no difference when nobody does.
    let (holder, session) = if status == Status::Held { (holder, session) } else { (0, 0) };
    Record { status, holder, token: u8::try_from(job.token.unwrap_or(0)).unwrap(), session }
}

/// The program's own beat, after the next one of `session`.
fn beat_after(host: u8, last: LastBeat, session: u8) -> LastBeat {
    let mut heartbeat = Heartbeat::blank(&name(host));
    heartbeat.incarnation = Some(incarnation(host, last.session));
    heartbeat.revoked = last.revoked.then(|| "ended".to_owned());
    let beat = Beat {
        server: name(host),
        incarnation: incarnation(host, session),
        uptime_seconds: 1,
        interval_seconds: TICK.as_secs(),
        system: None,
        by_worker: false,
        origin: None,
        stopping: None,
    };
    heartbeat.advance(&beat, *NOW);
    LastBeat { session, revoked: heartbeat.revoked.is_some() }
}

/// The lease of a session with that interval.
fn lease() -> std::time::Duration {
    let mut heartbeat = Heartbeat::blank(&name(0));
    heartbeat.interval_seconds = Some(TICK.as_secs());
    heartbeat.lease()
}

static LEASE: LazyLock<std::time::Duration> = LazyLock::new(lease);

thread_local! {
    /// What [`Question::answer`] said before: the same few questions are asked a million times.
    static KNOWN: RefCell<HashMap<Question, Option<Change>>> = RefCell::default();
}

/// What `op` of `host`, in its session, is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Question {
    rule: Rule,
    host: u8,
    op: Op,
    job: Record,
    beats: [LastBeat; 2],
    session: u8,
}

/// What an operation writes: the job, a beat, or both together.
#[derive(Clone, Copy, Debug)]
struct Change {
    job: Option<Record>,
    beat: Option<(u8, LastBeat)>,
    answer: Answer,
}

impl Question {
    /// What it writes; `None`: the answer is no.
    fn answer(self) -> Option<Change> {
        let Self { rule, host, op, job: record, beats, session } = self;
        let mut job = job_of(record);
        let other = 1 - host;
        let last = beats[usize::from(host)];
        match op {
            Op::Beat => {
                let mut beat = beat_after(host, last, session);
                beat.revoked &= rule != Rule::ForgottenRevocation;
                let answer = Answer { token: 0, revoked: last.revoked };
                Some(Change { job: None, beat: Some((host, beat)), answer })
            }
            Op::Claim => {
                if job.status != JobStatus::Queued {
                    return None;
                }
                let claimant = Claimant { server: name(host), incarnation: incarnation(host, session) };
                job.claim(&claimant, *NOW).ok()?;
                if rule == Rule::SameToken && record.token > 0 {
                    job.token = Some(record.token.into());
                }
                let next = record_of(&job, (host, session));
                Some(Change {
                    job: Some(next),
                    beat: None,
                    answer: Answer { token: next.token, revoked: false },
                })
            }
            Op::Complete { token } => {
                let (server, token) = match rule {
                    Rule::NoTokenAsked if record.status == Status::Held => {
                        (name(record.holder), record.token)
                    }
                    _ => (name(host), token),
                };
                job.complete(Claim { server: &server, token: token.into() }, &AttemptResult::default(), *NOW)
                    .ok()?;
                let next = record_of(&job, (host, session));
                Some(Change { job: Some(next), beat: None, answer: Answer { token, revoked: false } })
            }
            Op::Rescue { token, current } => {
                let held = record.status == Status::Held && record.holder == other;
                // On its old copy it is as it was watched.
                if !held || !(current || rule == Rule::BlindRevocation) {
                    return None;
                }
                job.rescue(token.into(), FailReason::Lost, (*NOW, &OP)).ok()?;
                let ended = LastBeat { revoked: true, ..beats[usize::from(other)] };
                let beat = (rule != Rule::NoRevocation).then_some((other, ended));
                let next = record_of(&job, (other, record.session));
                Some(Change { job: Some(next), beat, answer: Answer { token, revoked: false } })
            }
        }
    }
}

impl Sessions {
    fn applied(&self, state: &State, host: u8, op: Op) -> Option<Change> {
        let session = state.hosts[usize::from(host)].session;
        let asked = Question { rule: self.rule, host, op, job: state.job, beats: state.beats, session };
        KNOWN.with_borrow_mut(|known| *known.entry(asked).or_insert_with(|| asked.answer()))
    }

    /// Whether the branches that `change` moves are where `host` believes them to be.
    fn is_fresh(&self, host: &Host, change: &Change, op: Op) -> bool {
        let blind = self.rule == Rule::BlindRevocation && matches!(op, Op::Rescue { .. });
        (change.job.is_none() || host.fresh_main)
            && change.beat.is_none_or(|(whose, _)| blind || host.fresh_beat[usize::from(whose)])
    }

    fn commit(state: &mut State, host: u8, op: Op, change: &Change) {
        match op {
            Op::Claim => state.token_reused |= change.answer.token <= state.job.token,
            Op::Complete { token } => {
                state.completed += 1;
                state.late_report |= token < state.job.token || state.job.holder != host;
            }
            Op::Beat | Op::Rescue { .. } => {}
        }
        if let Some(job) = change.job {
            state.job = job;
        }
        let moved = state.flying.is_some_and(|push| match push.op {
            Op::Beat => change.beat.is_some_and(|(whose, _)| whose == push.host),
            Op::Claim | Op::Complete { .. } => change.job.is_some(),
            Op::Rescue { .. } => {
                change.job.is_some() || change.beat.is_some_and(|(whose, _)| whose != push.host)
            }
        });
        if moved {
            state.flying = None;
        }
        for (index, other) in (0..).zip(&mut state.hosts) {
            other.fresh_main &= change.job.is_none() || index == host;
            if let Some((whose, _)) = change.beat {
                other.fresh_beat[usize::from(whose)] &= index == host;
            }
        }
        let Some((whose, beat)) = change.beat else { return };
        state.beats[usize::from(whose)] = beat;
        // A revocation does not change the name of the beat.
        if matches!(op, Op::Beat) {
            let watcher = &mut state.hosts[usize::from(1 - whose)];
            if let Some((current, _)) = &mut watcher.seen {
                *current = false;
            }
            if let Some(Doing { op: Op::Rescue { current, .. }, .. }) = &mut watcher.doing {
                *current = false;
            }
        }
    }

    /// The host learns that what it was doing is done.
    fn done(&self, host: &mut Host, answer: Answer) {
        let Some(doing) = host.doing.take() else { return };
        match doing.op {
            Op::Beat if answer.revoked && self.rule != Rule::SameIncarnation => {
                host.session += 1;
                host.beaten = None;
            }
            Op::Beat => host.beaten = Some(doing.age),
            Op::Claim => host.claim = Some(HeldClaim { token: answer.token, session: host.session }),
            Op::Complete { .. } => host.claim = None,
            Op::Rescue { .. } => {}
        }
    }

    /// Whether the worker of `host` may be at the job.
    fn works(state: &State, host: u8) -> bool {
        let me = &state.hosts[usize::from(host)];
        let until = trust(*LEASE) + margin(*LEASE);
        me.claim.is_some_and(|claim| claim.session == me.session)
            && me.beaten.is_some_and(|age| measured(host, age) < until)
    }

    /// The rescue that `host` may try.
    fn lost(&self, state: &State, host: u8) -> Option<Op> {
        let me = &state.hosts[usize::from(host)];
        let held = state.job.status == Status::Held && state.job.holder == 1 - host;
        // Only the session that claimed the job speaks for it.
        let speaks = state.beats[usize::from(1 - host)].session == state.job.session;
        let wait = if self.rule == Rule::NoPatience { *LEASE } else { patience(*LEASE) };
        let (current, age) = me.seen?;
        (held && speaks && measured(host, age) >= wait)
            .then_some(Op::Rescue { token: state.job.token, current })
    }

    /// Whether everybody who is there has done all that it can before time goes on.
    fn settled(&self, state: &State) -> bool {
        (0..HOSTS).zip(&state.hosts).all(|(index, host)| {
            let waits = host.looked && self.lost(state, index).is_none();
            host.gone || (host.doing.is_none() && waits)
        })
    }

    fn is_abandoned(state: &State) -> bool {
        state.job.status == Status::Held && state.hosts[usize::from(state.job.holder)].gone
            // One that began a session since has only the time limit of the job.
            && state.beats[usize::from(state.job.holder)].session == state.job.session
    }

    /// The first host has the job first and may lose it; the second watches, takes it back, claims
    /// it and works. What one can do to the other needs no more.
    fn begin(&self, state: &State, host: u8, actions: &mut Vec<Action>) {
        let me = &state.hosts[usize::from(host)];
        // A second beat in the same tick says nothing new.
        let beats = me.beaten.is_none_or(|age| age > 0 && host == 0);
        if beats && (host == 0 || me.claim.is_some()) {
            actions.push(Action::Begin(host, Op::Beat));
        }
        match me.claim {
            Some(HeldClaim { token, .. }) => actions.push(Action::Begin(host, Op::Complete { token })),
            None if state.job.status == Status::Queued && state.job.token == host => {
                actions.push(Action::Begin(host, Op::Claim));
            }
            None => {}
        }
        if host == 1 {
            actions.extend(self.lost(state, host).map(|op| Action::Begin(host, op)));
        }
    }

    fn push(&self, state: &State, host: u8, doing: Doing, actions: &mut Vec<Action>) {
        let me = &state.hosts[usize::from(host)];
        match self.applied(state, host, doing.op) {
            Some(change) if self.is_fresh(me, &change, doing.op) => {
                actions.push(Action::Push(host));
                if state.faults > 0 {
                    actions.push(Action::LoseAnswer(host));
                    actions.extend(state.flying.is_none().then_some(Action::Delay(host)));
                }
            }
            None if me.fresh_main && me.fresh_beat == [true; 2] => actions.push(Action::Refuse(host)),
            _ => {}
        }
        if doing.sent != Sent::Nothing {
            actions.push(Action::GiveUp(host));
        }
    }
}

impl Sessions {
    fn tick(&self, state: &mut State) {
        state.abandoned = if self.diligent && Self::is_abandoned(state) {
            older(state.abandoned, WATCH_AGE_MAX + self.faults + 1)
        } else {
            0
        };
        for (index, host) in state.hosts.iter_mut().enumerate() {
            host.looked = false;
            if let Some((_, age)) = &mut host.seen {
                *age = older(*age, WATCH_AGE_MAX);
            }
            if let Some(doing) = host.doing.as_mut().filter(|doing| doing.op == Op::Beat) {
                doing.age = older(doing.age, BEAT_AGE_MAX[index]);
            }
            if let Some(age) = &mut host.beaten {
                *age = older(*age, BEAT_AGE_MAX[index]);
            }
        }
    }

    /// Pushes. `answered`: whether the answer arrives; `None`: it does not land yet.
    fn publish(&self, state: &mut State, host: u8, answered: Option<bool>) -> Option<()> {
        let op = state.hosts[usize::from(host)].doing?.op;
        let change = self.applied(state, host, op)?;
        if answered != Some(true) {
            state.faults -= 1;
        }
        match answered {
            None => state.flying = Some(Flying { host, op, awaited: true }),
            Some(_) => Self::commit(state, host, op, &change),
        }
        let me = &mut state.hosts[usize::from(host)];
        match answered {
            Some(true) => self.done(me, change.answer),
            Some(false) => {
                me.fresh_main &= change.job.is_none();
                if let Some((whose, _)) = change.beat {
                    me.fresh_beat[usize::from(whose)] = false;
                }
                me.doing.as_mut()?.sent = Sent::Landed(change.answer);
            }
            None => me.doing.as_mut()?.sent = Sent::Unknown,
        }
        Some(())
    }

    fn look(&self, state: &mut State, host: u8) {
        let me = &mut state.hosts[usize::from(host)];
        (me.fresh_main, me.fresh_beat) = (true, [true; 2]);
        me.looked = self.diligent;
        me.seen = match me.seen {
            // Nobody watches for a job that is not held; what was seen before stays.
            seen if host == 0 || state.job.status != Status::Held || state.job.holder == host => seen,
            Some((true, age)) => Some((true, age)),
            _ => Some((true, 0)),
        };
        if let Some(Doing { sent: Sent::Landed(answer), .. }) = me.doing {
            self.done(me, answer);
        }
    }

    fn end(&self, state: &mut State, action: Action) {
        let (host, is_fault) = match action {
            Action::Restart(host) | Action::Forget(host) | Action::Leave(host) => (host, true),
            Action::GiveUp(host) | Action::Refuse(host) => (host, false),
            _ => return,
        };
        let me = &mut state.hosts[usize::from(host)];
        let doing = me.doing.take();
        match action {
            Action::Refuse(_) if doing.is_some_and(|doing| matches!(doing.op, Op::Complete { .. })) => {
                me.claim = None;
            }
            Action::Restart(_) => {
                me.beaten = None;
                if self.rule != Rule::SameIncarnation {
                    me.session += 1;
                }
            }
            Action::Forget(_) => me.claim = None,
            Action::Leave(_) => (me.claim, me.beaten, me.seen, me.gone) = (None, None, None, true),
            _ => {}
        }
        state.faults -= u8::from(is_fault);
        if let Some(push) = state.flying.as_mut().filter(|push| push.host == host) {
            push.awaited = false;
        }
    }
}
