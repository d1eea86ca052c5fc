//! One operation: the update loop, pushes with unknown outcomes, and `op resume`.
//!
//! A process sends an operation, tries again, gives up or is killed; a second takes up what the
//! first left in its journal. Somebody else moves the branch now and then. What the operation
//! writes is allowed once; after `no_more` commits of others its answer is no.

use crate::explore::{breaks, holds};
use stateright::{Model, Property};

/// The process that begins the operation.
const FIRST: usize = 0;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The rules as they are.
    Right,
    /// After an unknown outcome it is simply tried again.
    NoLook,
    /// An unknown outcome is reported as "nothing was written".
    UnknownIsNo,
    /// The hub takes a push whatever its base was: what libgit2's push to a path does.
    NoCompare,
    /// What was kept can be taken up while the process that began it is at it.
    NoJournalLock,
    /// Who takes it up looks into the history once, and not again on each attempt.
    ResumeLooksOnce,
}

/// How an operation ended, for the process that ran it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Applied,
    Refused,
    Contended,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Not yet, or not taken up.
    Waiting,
    Running,
    Ended(Outcome),
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Process {
    phase: Phase,
    /// How many commits of the hub it knows.
    knows: u8,
    /// Whether it sent something and does not know what became of it.
    unsettled: bool,
}

const ONCE: &str = "an operation has at most one effect";
const KEPT: &str = "what was acknowledged is in the history";
const NOTHING: &str = "what was refused or given up as not written never arrives";

/// The most commits.
const COMMITS_MAX: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The history: who made each commit, `None` for another writer.
    history: Vec<Option<usize>>,
    processes: [Process; 2],
    /// Pushes that nobody hears of: who sent them, and the base they stand on.
    flying: Vec<(usize, u8)>,
    faults: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Another writer moves the branch.
    Other,
    Begin(usize),
    Push(usize),
    LoseAnswer(usize),
    Delay(usize),
    Land(usize),
    Look(usize),
    GiveUp(usize),
    Kill(usize),
}

#[derive(Clone)]
pub(crate) struct Operations {
    rule: Rule,
    faults: u8,
    /// From so many commits on the answer is no.
    no_more: usize,
}

impl Operations {
    fn effects(state: &State) -> usize {
        state.history.iter().flatten().count()
    }

    /// Whether the operation says yes to the documents that `process` knows.
    fn applies(&self, process: &Process) -> bool {
        usize::from(process.knows) < self.no_more
    }

    /// Whether a second process may take the operation up.
    fn may_resume(&self, state: &State) -> bool {
        match state.processes[FIRST].phase {
            Phase::Killed | Phase::Ended(Outcome::Unknown) => true,
            Phase::Running => self.rule == Rule::NoJournalLock,
            _ => false,
        }
    }

    fn is_current(&self, state: &State, base: u8) -> bool {
        self.rule == Rule::NoCompare || usize::from(base) == state.history.len()
    }

    /// Ends the run of `who` if the history that it knows says so.
    fn settle(&self, state: &mut State, who: usize, begins: bool) {
        let me = &mut state.processes[who];
        let mut known = state.history.iter().take(me.knows.into());
        let found = if who == FIRST {
            // The very commit that was sent is the proof.
            me.unsettled && self.rule != Rule::NoLook && known.any(|made| *made == Some(FIRST))
        } else {
            (begins || self.rule != Rule::ResumeLooksOnce) && known.any(Option::is_some)
        };
        if found {
            me.phase = Phase::Ended(Outcome::Applied);
        } else if !begins && !self.applies(me) {
            me.phase = Phase::Ended(Outcome::Refused);
        }
    }

    /// Pushes onto what `who` knows. `answered`: whether the answer arrives; `None`: it does not land yet.
    fn publish(state: &mut State, who: usize, answered: Option<bool>) {
        let me = &mut state.processes[who];
        match answered {
            None => state.flying.push((who, me.knows)),
            Some(_) => state.history.push(Some(who)),
        }
        if answered == Some(true) {
            me.phase = Phase::Ended(Outcome::Applied);
        } else {
            state.faults -= 1;
            me.unsettled = true;
        }
    }
}

impl Model for Operations {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let process = Process { phase: Phase::Waiting, knows: 0, unsettled: false };
        vec![State { history: Vec::new(), processes: [process; 2], flying: Vec::new(), faults: self.faults }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.history.len() < COMMITS_MAX {
            actions.push(Action::Other);
        }
        actions.extend((0..state.flying.len()).map(Action::Land));
        for (who, process) in state.processes.iter().enumerate() {
            match process.phase {
                Phase::Waiting if who == FIRST || self.may_resume(state) => actions.push(Action::Begin(who)),
                Phase::Running => {
                    let current = self.is_current(state, process.knows);
                    if self.applies(process) && current {
                        actions.push(Action::Push(who));
                        if state.faults > 0 {
                            actions.extend([Action::LoseAnswer(who), Action::Delay(who)]);
                        }
                    }
                    actions.extend([Action::Look(who), Action::GiveUp(who)]);
                    if state.faults > 0 && who == FIRST {
                        actions.push(Action::Kill(who));
                    }
                }
                _ => {}
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Other => state.history.push(None),
            Action::Begin(who) => {
                // Both use the same copy of the hub.
                let knows = state.processes[FIRST].knows;
                state.processes[who] = Process { phase: Phase::Running, knows, unsettled: false };
                self.settle(&mut state, who, true);
            }
            Action::Land(index) => {
                let (who, base) = state.flying.remove(index);
                if self.is_current(&state, base) {
                    state.history.push(Some(who));
                }
            }
            Action::Look(who) => {
                state.processes[who].knows = u8::try_from(state.history.len()).ok()?;
                self.settle(&mut state, who, false);
            }
            Action::Push(who) => Self::publish(&mut state, who, Some(true)),
            Action::LoseAnswer(who) => Self::publish(&mut state, who, Some(false)),
            Action::Delay(who) => Self::publish(&mut state, who, None),
            Action::GiveUp(who) => {
                let me = &mut state.processes[who];
                let known = !me.unsettled || self.rule == Rule::UnknownIsNo;
                me.phase = Phase::Ended(if known { Outcome::Contended } else { Outcome::Unknown });
            }
            Action::Kill(who) => {
                state.faults -= 1;
                state.processes[who].phase = Phase::Killed;
            }
        }
        (state != *before && state.history.len() <= COMMITS_MAX).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONCE, |_: &Self, state: &State| Self::effects(state) <= 1),
            Property::always(KEPT, |_, state: &State| {
                let applied = |process: &Process| process.phase == Phase::Ended(Outcome::Applied);
                Self::effects(state) == 1 || !state.processes.iter().any(applied)
            }),
            Property::always(NOTHING, |_, state: &State| {
                let first = state.processes[FIRST].phase;
                let alone = state.processes[1].phase == Phase::Waiting;
                let nothing = matches!(first, Phase::Ended(Outcome::Refused | Outcome::Contended));
                !(alone && nothing) || Self::effects(state) == 0
            }),
            Property::sometimes("a lost answer is found", |_, state: &State| {
                let first = state.processes[FIRST];
                first.unsettled && first.phase == Phase::Ended(Outcome::Applied)
            }),
            Property::sometimes("an outcome stays unknown, and it was applied", |_, state: &State| {
                state.processes[FIRST].phase == Phase::Ended(Outcome::Unknown) && Self::effects(state) == 1
            }),
            Property::sometimes("who takes it up does it", |_, state: &State| {
                state.history.contains(&Some(1))
            }),
            Property::sometimes("who takes it up finds it done", |_, state: &State| {
                state.processes[1].phase == Phase::Ended(Outcome::Applied)
                    && state.history.contains(&Some(FIRST))
            }),
            Property::sometimes("it lands under the feet of who takes it up", |_, state: &State| {
                let second = state.processes[1];
                let known = state.history.iter().take(second.knows.into()).any(Option::is_some);
                second.phase == Phase::Running && !known && state.history.contains(&Some(FIRST))
            }),
            Property::sometimes("the answer is no", |_, state: &State| {
                state.processes[FIRST].phase == Phase::Ended(Outcome::Refused)
            }),
        ]
    }
}

const THREE_FAULTS: Operations = Operations { rule: Rule::Right, faults: 3, no_more: 3 };

#[test]
fn an_operation_is_sent_and_taken_up() {
    holds("operation", THREE_FAULTS);
}

#[test]
fn each_broken_rule_is_noticed() {
    for (rule, property) in [
        (Rule::NoLook, ONCE),
        (Rule::UnknownIsNo, NOTHING),
        (Rule::NoCompare, ONCE),
        (Rule::NoJournalLock, ONCE),
        (Rule::ResumeLooksOnce, ONCE),
    ] {
        eprint!("{rule:?}: ");
        breaks(Operations { rule, ..THREE_FAULTS }, property);
    }
}
