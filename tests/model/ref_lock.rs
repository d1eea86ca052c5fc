//! The lock file of a ref, moved by programs that may stand still at any step and for any time.
//!
//! Three programs move one branch, or only remove locks. A file has content and an owner, and a name
//! may come to mean another file between two steps: so git renames what lies under the name of its lock,
//! whosoever it is. Whose a lock is and when it is nobody's is decided by the program's own table
//! (`domain::ref_lock`); the steps around it are written here again in small. To stand still is to be
//! overtaken by the others, which every order of steps has in it. Time is not counted: where a lock is
//! nobody's after a while, that while is over for the locks of the dead, and, where a rule is broken, for
//! those of the living.

use crate::explore::{breaks, holds};
use git_muster::inside::ref_lock::{
    Holder, LockMark, OwnerEvidence, ProcessEvidence, Risk, holder, patience,
};
use stateright::{Model, Property};

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The rules as they are.
    Right,
    /// A lock is nobody's after a while, whoever is seen.
    ByAge,
    /// The mark of a lock is let go before the lock is in place.
    FreedEarly,
    /// Between the look whose the lock is and the rename nobody does anything.
    InOneStep,
    /// The same, and what lies under the name of the lock is renamed, whosoever it is.
    ForeignRename,
    /// The ref is compared before it is locked.
    ComparedBefore,
    /// What was put in place is not read back.
    NotReadBack,
    /// Several remove locks at the same time, and look at what they moved.
    RemoversTogether,
    /// Several remove locks at the same time, and do not look.
    RemoversBlind,
}

/// Who moves the branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// git, in sight of the others.
    Git,
    /// git in another container: nobody sees it.
    HiddenGit,
    /// This program.
    Ours,
    /// Who takes a lock of this program for abandoned all the same: an older version, or a person. It only
    /// removes here.
    Old,
}

/// The content of a file: the number of a commit.
type Commit = u8;

/// The commit that the branch names first.
const FIRST: Commit = 0;

/// What is in a file that is empty.
const EMPTY: Commit = u8::MAX;

/// How often this program tries.
const ATTEMPTS_MAX: u8 = 2;

/// A file, by its place in [`State::files`].
type File = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Begins,
    /// Knows where the branch is, and wants its lock.
    Knows,
    /// Has the lock.
    Locked(File),
    /// The branch is where it has to be.
    Compared(File),
    /// The new value is in the lock.
    Written(File),
    /// The lock was still its own.
    Looked(File),
    /// It may be in place.
    Moved {
        /// Whether the system said so.
        is_done: bool,
    },
    /// This lock is nobody's.
    Judged(File),
    /// It still has its name, and nobody else is removing.
    Removes(File),
    /// This file was moved away in place of the other.
    Aside(File, File),
    Ended {
        acknowledged: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Program {
    kind: Kind,
    phase: Phase,
    /// Where it knows the branch to be.
    from: Commit,
    attempts: u8,
    is_alive: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    branch: Commit,
    /// What lies under the name of the lock.
    lock: Option<File>,
    /// Owner and content of every file that was a lock.
    files: Vec<(usize, Commit)>,
    /// The commit before each.
    before: Vec<(Commit, Commit)>,
    programs: Vec<Program>,
    /// Who alone may remove a lock.
    remover: Option<usize>,
    /// How many may still be killed.
    faults: u8,
    /// Whether a lock was removed whose owner was dead.
    is_cleared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Step(usize),
    /// Judges the lock that stands in its way.
    Judge(usize),
    Kill(usize),
}

#[derive(Clone)]
struct Locks {
    rule: Rule,
    programs: Vec<Kind>,
    faults: u8,
}

const KEPT: &str = "what anybody was told is done is in the history of the branch";
const NEVER_EMPTY: &str = "the branch names a commit";
const CLEARED: &str = "the lock of a dead one is removed, and the next one is done";
const LOST: &str = "one finds that its lock is gone";

impl State {
    fn is_in_history(&self, commit: Commit) -> bool {
        let mut at = self.branch;
        loop {
            if at == commit {
                return true;
            }
            match self.before.iter().find(|(made, _)| *made == at) {
                Some((_, before)) => at = *before,
                None => return false,
            }
        }
    }
}

/// The commit that a program makes with its present attempt.
fn made(who: usize, program: &Program) -> Commit {
    u8::try_from(who).unwrap() * ATTEMPTS_MAX + program.attempts + 1
}

impl Locks {
    /// What can be known of the owner of a lock.
    fn traces(&self, state: &State, file: File) -> OwnerEvidence {
        let owner = &state.programs[state.files[file].0];
        let is_freed = matches!(owner.phase, Phase::Compared(_) | Phase::Looked(_));
        let is_at_it = !(self.rule == Rule::FreedEarly && is_freed);
        let mark = LockMark { is_of_this_boot: true, is_kept: Some(owner.is_alive && is_at_it) };
        let seen = match owner.kind {
            Kind::HiddenGit => ProcessEvidence::NotAll,
            _ if owner.is_alive => ProcessEvidence::Somebody,
            _ => ProcessEvidence::Nobody,
        };
        let mark = (owner.kind == Kind::Ours).then_some(mark);
        OwnerEvidence { mark, is_local: true, is_before_boot: false, seen }
    }

    /// Whether `who` may take the lock for nobody's, sooner or later.
    fn may_remove(&self, state: &State, who: usize, file: File) -> bool {
        if state.programs[who].kind == Kind::Old {
            return state.programs[state.files[file].0].kind == Kind::Ours;
        }
        if self.rule == Rule::ByAge {
            return true;
        }
        let holder = holder(&self.traces(state, file));
        let is_over = |_| match holder {
            Holder::Unseen { .. } => !state.programs[state.files[file].0].is_alive,
            _ => true,
        };
        patience(holder, Risk::Shared).is_some_and(is_over)
    }

    fn step(&self, state: &mut State, who: usize) -> Option<()> {
        let program = state.programs[who];
        let is_git = matches!(program.kind, Kind::Git | Kind::HiddenGit);
        let mine = made(who, &program);
        let next = match program.phase {
            Phase::Begins if program.kind == Kind::Old => Phase::Knows,
            Phase::Begins if state.branch == EMPTY => Phase::Ended { acknowledged: false },
            Phase::Begins => {
                state.programs[who].from = state.branch;
                state.before.push((mine, state.branch));
                Phase::Knows
            }
            Phase::Knows if program.kind == Kind::Old => return None,
            Phase::Knows if state.lock.is_some() && is_git => Phase::Ended { acknowledged: false },
            Phase::Knows if state.lock.is_some() => return None,
            Phase::Knows => {
                let file = state.files.len();
                // Ours is complete before it has its name.
                state.files.push((who, if is_git { EMPTY } else { mine }));
                state.lock = Some(file);
                if self.rule == Rule::ComparedBefore && !is_git {
                    Phase::Compared(file)
                } else {
                    Phase::Locked(file)
                }
            }
            Phase::Locked(file) if state.branch == program.from => Phase::Compared(file),
            Phase::Locked(file) => {
                // git removes by name, and this program what is its own.
                if is_git || state.lock == Some(file) {
                    state.lock = None;
                }
                again(&mut state.programs[who])
            }
            Phase::Compared(file) if is_git => {
                state.files[file].1 = mine;
                Phase::Written(file)
            }
            Phase::Written(_) => match state.lock.take() {
                Some(there) => {
                    state.branch = state.files[there].1;
                    Phase::Ended { acknowledged: true }
                }
                None => Phase::Ended { acknowledged: false },
            },
            Phase::Compared(file) => {
                if self.rule != Rule::ForeignRename && state.lock != Some(file) {
                    Phase::Moved { is_done: false }
                } else if matches!(self.rule, Rule::InOneStep | Rule::ForeignRename) {
                    put_in_place(state)
                } else {
                    Phase::Looked(file)
                }
            }
            Phase::Looked(_) => put_in_place(state),
            Phase::Moved { is_done } if self.rule == Rule::NotReadBack && is_done => {
                Phase::Ended { acknowledged: true }
            }
            Phase::Moved { .. } => Phase::Ended { acknowledged: state.is_in_history(mine) },
            Phase::Judged(_) | Phase::Removes(_) | Phase::Aside(..) => self.remove(state, who)?,
            Phase::Ended { .. } => return None,
        };
        state.programs[who].phase = next;
        Some(())
    }

    /// A step of who removes the lock of another.
    fn remove(&self, state: &mut State, who: usize) -> Option<Phase> {
        let program = state.programs[who];
        Some(match program.phase {
            Phase::Judged(file) => {
                let together = matches!(self.rule, Rule::RemoversTogether | Rule::RemoversBlind);
                if state.lock != Some(file) {
                    Phase::Knows
                } else if state.remover.is_some() && !together {
                    return None;
                } else {
                    state.remover = Some(who);
                    Phase::Removes(file)
                }
            }
            Phase::Removes(file) => match state.lock.take() {
                Some(moved) => Phase::Aside(moved, file),
                None => free(state, who),
            },
            Phase::Aside(moved, file) => {
                if moved != file && self.rule != Rule::RemoversBlind && program.kind != Kind::Old {
                    state.lock = state.lock.or(Some(moved));
                } else {
                    state.is_cleared |= !state.programs[state.files[moved].0].is_alive;
                }
                free(state, who)
            }
            phase => phase,
        })
    }
}

/// Tries again, if there is another attempt.
fn again(program: &mut Program) -> Phase {
    program.attempts += 1;
    if program.kind == Kind::Ours && program.attempts < ATTEMPTS_MAX {
        Phase::Begins
    } else {
        program.attempts -= 1;
        Phase::Ended { acknowledged: false }
    }
}

fn put_in_place(state: &mut State) -> Phase {
    match state.lock.take() {
        Some(there) => {
            state.branch = state.files[there].1;
            Phase::Moved { is_done: true }
        }
        None => Phase::Moved { is_done: false },
    }
}

fn free(state: &mut State, who: usize) -> Phase {
    if state.remover == Some(who) {
        state.remover = None;
    }
    if state.programs[who].kind == Kind::Old { Phase::Ended { acknowledged: false } } else { Phase::Knows }
}

impl Model for Locks {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let program = |kind: &Kind| Program {
            kind: *kind,
            phase: Phase::Begins,
            from: FIRST,
            attempts: 0,
            is_alive: true,
        };
        vec![State {
            branch: FIRST,
            lock: None,
            files: Vec::new(),
            before: Vec::new(),
            programs: self.programs.iter().map(program).collect(),
            remover: None,
            faults: self.faults,
            is_cleared: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (who, program) in state.programs.iter().enumerate().filter(|(_, program)| program.is_alive) {
            if matches!(program.phase, Phase::Ended { .. }) {
                continue;
            }
            actions.push(Action::Step(who));
            if program.phase == Phase::Knows && matches!(program.kind, Kind::Ours | Kind::Old) {
                actions.push(Action::Judge(who));
            }
            if state.faults > 0 {
                actions.push(Action::Kill(who));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Step(who) => self.step(&mut state, who)?,
            Action::Judge(who) => {
                let file = state.lock.filter(|file| self.may_remove(&state, who, *file))?;
                state.programs[who].phase = Phase::Judged(file);
            }
            Action::Kill(who) => {
                state.faults -= 1;
                state.programs[who].is_alive = false;
                if state.remover == Some(who) {
                    state.remover = None;
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::<Self>::always(KEPT, |_, state| {
                let told = state.programs.iter().enumerate();
                told.filter(|(_, program)| program.phase == Phase::Ended { acknowledged: true })
                    .all(|(who, program)| state.is_in_history(made(who, program)))
            }),
            Property::<Self>::always(NEVER_EMPTY, |_, state| state.branch != EMPTY),
        ];
        if self.faults > 0 {
            properties.push(Property::<Self>::sometimes(CLEARED, |_, state| {
                let is_done = |program: &Program| program.phase == Phase::Ended { acknowledged: true };
                state.is_cleared && state.programs.iter().any(is_done)
            }));
        }
        if self.programs.contains(&Kind::Old) {
            properties.push(Property::<Self>::sometimes(LOST, |_, state| {
                state.programs.iter().any(|program| program.phase == Phase::Moved { is_done: false })
            }));
        }
        properties
    }
}

fn locks(rule: Rule, programs: &[Kind], faults: u8) -> Locks {
    Locks { rule, programs: programs.to_vec(), faults }
}

#[test]
fn nothing_acknowledged_is_lost_however_long_anybody_stands_still_with_a_lock() {
    use Kind::{Git, HiddenGit, Old, Ours};
    for (name, rule, programs, faults) in [
        ("ref lock, git and two of ours", Rule::Right, [Git, Ours, Ours], 2),
        ("ref lock, two of git and one of ours", Rule::Right, [Git, Git, Ours], 2),
        ("ref lock, three of ours", Rule::Right, [Ours, Ours, Ours], 2),
        ("ref lock, a git that nobody sees", Rule::Right, [HiddenGit, Ours, Ours], 2),
        ("ref lock, two of ours and who removes", Rule::Right, [Ours, Ours, Old], 0),
        ("ref lock, git, ours and who removes", Rule::InOneStep, [Git, Ours, Old], 0),
    ] {
        holds(name, locks(rule, &programs, faults));
    }
}

#[test]
fn a_broken_rule_about_locks_of_refs_is_found() {
    use Kind::{Git, Old, Ours};
    for (rule, programs, faults, property) in [
        (Rule::ByAge, &[Git, Ours, Ours][..], 0, KEPT),
        (Rule::ByAge, &[Git, Git, Ours], 0, NEVER_EMPTY),
        (Rule::FreedEarly, &[Ours, Ours, Git], 0, NEVER_EMPTY),
        (Rule::ForeignRename, &[Git, Ours, Old], 0, NEVER_EMPTY),
        (Rule::ComparedBefore, &[Ours, Ours, Git], 0, KEPT),
        (Rule::NotReadBack, &[Ours, Ours, Old], 0, KEPT),
        (Rule::RemoversTogether, &[Git, Git, Ours, Ours], 1, NEVER_EMPTY),
        (Rule::RemoversBlind, &[Git, Git, Ours, Ours], 1, KEPT),
        // What remains: somebody takes the lock between the look and the rename.
        (Rule::Right, &[Git, Ours, Old], 0, NEVER_EMPTY),
    ] {
        breaks(locks(rule, programs, faults), property);
    }
}
