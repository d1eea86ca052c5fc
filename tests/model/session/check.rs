//! What is tried with jobs, and what must come of it.

use super::{
    Action, Doing, HOSTS, Host, LastBeat, Op, Record, Rule, Sent, Sessions, State, Status, WATCH_AGE_MAX,
};
use crate::explore::{breaks, holds};
use stateright::{Model, Property};

const ONE_WORKS: &str = "no two hosts trust their claim of the job at the same true time";
const TOKENS_RISE: &str = "each claim gets a higher token";
const DONE_ONCE: &str = "a job is reported done once";
const NO_LATE_REPORT: &str = "no report is taken from a claim that is over";
const TAKEN_BACK: &str = "a job whose holder is gone is taken back by who watches, in time";

impl Model for Sessions {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let host = Host {
            fresh_main: true,
            fresh_beat: [true; 2],
            session: 1,
            beaten: None,
            claim: None,
            seen: None,
            doing: None,
            looked: false,
            gone: false,
        };
        vec![State {
            job: Record { status: Status::Queued, holder: 0, token: 0, session: 0 },
            beats: [LastBeat { session: 0, revoked: false }; 2],
            hosts: [host; 2],
            flying: None,
            faults: self.faults,
            abandoned: 0,
            token_reused: false,
            completed: 0,
            late_report: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !self.diligent || self.settled(state) {
            actions.push(Action::Tick);
        }
        actions.extend(state.flying.map(|_| Action::Land));
        for (host, me) in (0..HOSTS).zip(&state.hosts).filter(|(_, me)| !me.gone) {
            match me.doing {
                None => self.begin(state, host, actions),
                Some(doing) => self.push(state, host, doing, actions),
            }
            actions.push(Action::Look(host));
            if state.faults > 0 && host == 0 {
                actions.extend([Action::Restart(host), Action::Forget(host)]);
                actions.extend(self.diligent.then_some(Action::Leave(host)));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Tick => self.tick(&mut state),
            Action::Land => {
                let push = state.flying?;
                let change = self.applied(&state, push.host, push.op)?;
                Self::commit(&mut state, push.host, push.op, &change);
                state.flying = None;
                state.abandoned = 0;
                let sender = &mut state.hosts[usize::from(push.host)];
                sender.fresh_main &= change.job.is_none();
                if let Some((whose, _)) = change.beat {
                    sender.fresh_beat[usize::from(whose)] = false;
                }
                if let Some(doing) = sender.doing.as_mut().filter(|_| push.awaited) {
                    doing.sent = Sent::Landed(change.answer);
                }
            }
            Action::Begin(host, op) => {
                state.hosts[usize::from(host)].doing = Some(Doing { op, age: 0, sent: Sent::Nothing });
            }
            Action::Push(host) => self.publish(&mut state, host, Some(true))?,
            Action::LoseAnswer(host) => self.publish(&mut state, host, Some(false))?,
            Action::Delay(host) => self.publish(&mut state, host, None)?,
            Action::Look(host) => self.look(&mut state, host),
            action => self.end(&mut state, action),
        }
        let sessions = state.hosts.iter().map(|host| host.session).max();
        (state != *before && sessions <= Some(self.sessions)).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONE_WORKS, |_: &Self, state: &State| {
                !(Self::works(state, 0) && Self::works(state, 1))
            }),
            Property::always(TOKENS_RISE, |_, state: &State| !state.token_reused),
            Property::always(DONE_ONCE, |_, state: &State| state.completed <= 1),
            Property::always(NO_LATE_REPORT, |_, state: &State| !state.late_report),
            Property::always(TAKEN_BACK, |model: &Self, state: &State| {
                state.abandoned <= WATCH_AGE_MAX + model.faults
            }),
            Property::sometimes("a job is taken back and done by another", |_, state: &State| {
                state.job.status == Status::Completed && state.job.token == 2 && state.beats[0].revoked
            }),
        ];
        if !self.diligent {
            properties.extend([
                Property::sometimes(
                    "a holder works on while it does not know that it lost",
                    |_, state: &State| {
                        state.hosts[0].claim.is_some_and(|claim| claim.token < state.job.token)
                            && Self::works(state, 1)
                    },
                ),
                Property::sometimes("a session learns that it was ended", |_, state: &State| {
                    state.hosts[0].session == 2 && state.beats[0].session == 1 && state.job.token == 2
                }),
                Property::sometimes("a report comes too late", |_, state: &State| {
                    state.hosts[0].doing.is_some_and(
                        |doing| matches!(doing.op, Op::Complete { token } if token < state.job.token),
                    )
                }),
                Property::sometimes("a lost answer is found", |_, state: &State| {
                    state.hosts[0].doing.is_some_and(|doing| matches!(doing.sent, Sent::Landed(_)))
                }),
            ]);
        }
        properties
    }
}

const TWO: Sessions = Sessions { rule: Rule::Right, faults: 1, sessions: 2, diligent: false };

#[test]
fn two_hosts_work_on_a_job() {
    holds("job, two hosts", TWO);
}

#[test]
fn a_job_is_taken_back_when_its_holder_is_gone() {
    holds("job, holder gone", Sessions { diligent: true, faults: 2, ..TWO });
}

#[test]
fn each_broken_rule_is_noticed() {
    for (rule, property) in [
        (Rule::NoRevocation, ONE_WORKS),
        (Rule::BlindRevocation, ONE_WORKS),
        (Rule::ForgottenRevocation, ONE_WORKS),
        (Rule::SameIncarnation, ONE_WORKS),
        (Rule::NoPatience, ONE_WORKS),
        (Rule::SameToken, TOKENS_RISE),
        (Rule::NoTokenAsked, NO_LATE_REPORT),
    ] {
        eprint!("{rule:?}: ");
        breaks(Sessions { rule, ..TWO }, property);
    }
}
