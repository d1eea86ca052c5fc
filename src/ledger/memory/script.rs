//! A hub in memory, and what happens to the handles on it, as a test wrote it down.

use super::super::causes::StoreCause;
use super::super::document::Document;
use super::super::error::LedgerError;
use super::super::far_side::{Cause, Reason};
use super::super::memory_hub::{Files, Refs, Stored};
use super::super::memory_store::{Fate, MemoryStore, Misfortune, Seen, SharedHub};
use super::super::vocabulary::{Changed, Commit, Move, Publication, Scope, Version};
use super::now;
use crate::domain::time::Timestamp;
use crate::machine::random;
use crate::machine::{Deadline, clock};
use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What happens to the next publication.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Somebody else is faster.
    Lose,
    /// Another process lands the same operation, with the same beat, in a commit unlike ours.
    Forestall,
    /// A ref is locked.
    Busy,
    /// A rule of the hub.
    Deny,
    /// The words of a refusal of a push that had begun; it is not applied.
    Doubt,
    /// The same, and it is applied.
    DoubtAndApply,
    /// The hub is not reached.
    Cut,
    /// It is applied and the answer is lost.
    LoseAnswer,
    /// It is applied and the answer is lost, and the transport asks once more by itself.
    Repeat,
    /// It is not applied and nobody knows.
    Vanish,
    /// It is applied, but only after the next look at the hub.
    Delay,
    /// It is applied and the answer is lost; the next look finds an old state, and right after what
    /// was sent was looked for, another process of this host brings our copy up to date.
    LoseAnswerAndLookTooEarly,
}

/// What kind of hub it is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kind {
    /// On this disk: what is known is what it has.
    pub(super) is_on_this_disk: bool,
    /// Over a transport that never asks twice.
    pub(super) is_honest: bool,
}

/// What comes of a look at the hub.
#[derive(Debug, Clone, Copy)]
pub(super) enum Look {
    /// What the hub has is known.
    Sees,
    /// It is not reached.
    Cut,
    /// It does not answer until the time is up.
    Hang,
    /// It refuses.
    Deny,
    /// Another process of this host begins our copy anew right after it.
    Forget,
}

/// What happens to the handles on a hub, as a test wrote it down, and what was seen of them.
#[derive(Default)]
pub(super) struct Script {
    pub(super) faults: VecDeque<Fault>,
    pub(super) delayed: Vec<Move>,
    pub(super) publications: u32,
    pub(super) refreshes: u32,
    pub(super) looks_too_early: bool,
    /// How many commits of the history are here, if not all.
    pub(super) reach: Option<usize>,
    pub(super) kind: Kind,
    /// What comes of the next looks at the hub.
    pub(super) looks: VecDeque<Look>,
    pub(super) reads: u32,
    /// How many of the next readings find our copy damaged, and how often it was begun anew.
    pub(super) damaged: u32,
    pub(super) healings: u32,
    /// What each look asked for, and how long the pushes were given.
    pub(super) scopes: Vec<Scope>,
    pub(super) push_times: Vec<Duration>,
    pub(super) settled: u32,
    /// Of each commit of ours which records it changed, by whom it was made, and when.
    pub(super) told: Vec<Vec<Changed>>,
    pub(super) made: Vec<(String, Timestamp)>,
}

/// A hub in memory that misbehaves on script.
#[derive(Clone, Default)]
pub(super) struct Memory {
    pub(super) hub: SharedHub,
    pub(super) script: Rc<RefCell<Script>>,
}

impl Memory {
    pub(super) fn engine(&self) -> MemoryStore {
        let is_here = self.script.borrow().kind.is_on_this_disk;
        let store = if is_here { MemoryStore::on_this_disk } else { MemoryStore::remote };
        store(&self.hub).with(Rc::new(self.clone()))
    }

    pub(super) fn store(&self, parent: Option<Version>, files: &[(&str, &str)], message: &str) -> Version {
        let document =
            |(path, text): &(&str, &str)| ((*path).into(), Arc::new(Document::new(text.as_bytes().to_vec())));
        let files: Files = files.iter().map(document).collect();
        self.hub.borrow_mut().store(parent, Arc::new(files), message.into(), None)
    }

    pub(super) fn refs(&self) -> RefMut<'_, Refs> {
        RefMut::map(self.hub.borrow_mut(), |hub| Arc::make_mut(&mut hub.refs))
    }

    pub(super) fn tip(&self, branch: &str) -> Option<Version> {
        self.hub.borrow().refs.get(branch).cloned()
    }

    /// A commit like that at `tip`, with one document more, on `parent`.
    pub(super) fn beside(&self, tip: &Version, parent: Option<Version>, message: &str) -> Version {
        let mut files = Files::clone(&self.hub.borrow().files(Some(tip)));
        files.insert("other".into(), Arc::new(Document::new(random::id().into_bytes())));
        self.hub.borrow_mut().store(parent, Arc::new(files), message.into(), None)
    }

    /// Another writer counts one up in a document of its own.
    pub(super) fn somebody_else_writes(&self) {
        let tip = self.tip("main").expect("a hub");
        let version = self.beside(&tip, Some(tip.clone()), "other");
        self.refs().insert("main".to_owned(), version);
    }

    /// Somebody else wrote a moment ago.
    pub(super) fn crowd(&self) {
        let tip = self.tip("main").expect("a hub");
        let files = self.hub.borrow().files(Some(&tip));
        let made = Some(("another".into(), now()));
        let version = self.hub.borrow_mut().store(Some(tip), files, "another".into(), made);
        self.refs().insert("main".to_owned(), version);
    }

    /// What another version of the program makes of the operation of `moves`.
    pub(super) fn forestall(&self, moves: &[Move]) {
        let [first, ..] = moves else { return };
        let ours = self.hub.borrow().commits[&first.to].clone();
        let twin = self.beside(&first.to, ours.parent, &ours.message);
        let mut refs = self.refs();
        refs.extend(moves.iter().map(|one| (one.branch.clone(), one.to.clone())));
        refs.insert(first.branch.clone(), twin);
    }

    pub(super) fn commits_to(&self, tip: Option<&Version>) -> Vec<(Version, Stored)> {
        let hub = self.hub.borrow();
        hub.history(tip).map(|(version, stored)| (version.clone(), stored.clone())).collect()
    }
}

impl Misfortune for Memory {
    fn look(&self, scope: &Scope, deadline: &Deadline) -> Result<Seen, LedgerError> {
        let hub = || "memory".to_owned();
        let look = {
            let mut script = self.script.borrow_mut();
            script.refreshes += 1;
            script.scopes.push(scope.clone());
            script.looks.pop_front().unwrap_or(Look::Sees)
        };
        match look {
            Look::Sees if self.script.borrow().looks_too_early => Ok(Seen::Nothing),
            Look::Sees => Ok(Seen::Now),
            Look::Forget => Ok(Seen::Lost),
            Look::Deny => Err(LedgerError::Denied { hub: hub(), why: Reason::of(Cause::MayNotRead, "away") }),
            Look::Cut | Look::Hang => {
                clock::sleep(if matches!(look, Look::Hang) { deadline.left() } else { Duration::ZERO });
                Err(LedgerError::Unreachable { hub: hub(), why: Reason::of(Cause::Network, "cut") })
            }
        }
    }
    fn after_look(&self) {
        let delayed = std::mem::take(&mut self.script.borrow_mut().delayed);
        for late in delayed {
            self.hub.borrow_mut().swap(&[late]);
        }
    }
    fn push(&self, moves: &[Move], deadline: &Deadline) -> Fate {
        let mut script = self.script.borrow_mut();
        script.publications += 1;
        script.push_times.push(deadline.left());
        let doubt = || Publication::Doubted(Reason::of(Cause::Hook, "aborted by hook"));
        match script.faults.pop_front() {
            None => Fate::Arrives,
            Some(Fault::Lose) => {
                self.somebody_else_writes();
                Fate::Arrives
            }
            Some(Fault::Forestall) => {
                self.forestall(moves);
                Fate::Arrives
            }
            Some(Fault::Busy) => Fate::Never(Publication::Busy(None)),
            Some(Fault::Deny) => Fate::Never(Publication::Denied(Reason::of(Cause::Protected, "protected"))),
            Some(Fault::Doubt) => Fate::Never(doubt()),
            Some(Fault::DoubtAndApply) => Fate::ArrivesBut(doubt()),
            Some(Fault::Cut) => Fate::Never(Publication::Unreachable(Reason::of(Cause::Network, "cut"))),
            Some(Fault::Vanish) => Fate::Never(Publication::Unknown("vanished".to_owned())),
            Some(Fault::Delay) => {
                script.delayed.extend(moves.iter().cloned());
                Fate::Never(Publication::Unknown("delayed".to_owned()))
            }
            Some(fault @ (Fault::LoseAnswer | Fault::LoseAnswerAndLookTooEarly)) => {
                script.looks_too_early = matches!(fault, Fault::LoseAnswerAndLookTooEarly);
                Fate::ArrivesBut(Publication::Unknown("the answer is lost".to_owned()))
            }
            Some(Fault::Repeat) => Fate::ArrivesBut(Publication::Stale),
        }
    }
    fn read(&self) -> Result<(), LedgerError> {
        let mut script = self.script.borrow_mut();
        script.reads += 1;
        if script.damaged == 0 {
            return Ok(());
        }
        script.damaged -= 1;
        let (what, why) = ("cannot read".to_owned(), "damaged".to_owned());
        Err(LedgerError::Store { what, why, cause: StoreCause::Damaged })
    }
    fn commit(&self, commit: &Commit<'_>) {
        let mut script = self.script.borrow_mut();
        script.told.push(commit.records.to_vec());
        script.made.push((commit.author.to_owned(), commit.at));
    }
    fn reach(&self) -> usize {
        self.script.borrow().reach.unwrap_or(usize::MAX)
    }
    fn is_brought_up_to_date(&self) -> bool {
        std::mem::take(&mut self.script.borrow_mut().looks_too_early)
    }
    fn repeats(&self) -> bool {
        !self.script.borrow().kind.is_honest
    }
    fn heal(&self) {
        self.script.borrow_mut().healings += 1;
    }
    fn settle(&self) -> Option<String> {
        self.script.borrow_mut().settled += 1;
        Some("the clone follows".to_owned())
    }
}
