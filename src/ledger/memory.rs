//! A store in memory whose hub misbehaves on script, and the update loop on it.
//!
//! The rules are those of the real ones: what is known may be old, a move compares, an answer may
//! get lost on the way back.

mod batches;
mod looks;
mod squashed;

use super::causes::StoreCause;
use super::document::Document;
use super::engine::{Engine, EngineHistory, EngineUpkeep};
use super::error::{LedgerError, Stop};
use super::far_side::{Cause, Reason};
use super::history::{Below, Earlier, IsWhole, Lost, Ours, Sides, Visit, VisitCommit, VisitVersion};
use super::lost::Past;
use super::outcome::Outcome;
use super::request::Request;
use super::snapshot::Documents as _;
use super::transaction::Transaction;
use super::update::{Ledger, Settings};
use super::vocabulary::{Changed, Commit, Found, Move, Publication, Reached, Scope, Search, Version};
use crate::domain::id::OpId;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::machine::clock::{self, Deadline};
use crate::machine::{Machine, random};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What happens to the next publication.
#[derive(Debug, Clone)]
enum Fault {
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

#[derive(Debug, Clone)]
struct Stored {
    parent: Option<Version>,
    files: BTreeMap<String, String>,
    message: String,
}

#[derive(Default)]
struct Hub {
    commits: BTreeMap<Version, Stored>,
    refs: BTreeMap<String, Version>,
    faults: VecDeque<Fault>,
    delayed: Vec<Move>,
    publications: u32,
    refreshes: u32,
    looks_too_early: bool,
    /// How many commits of the history are here, if not all.
    reach: Option<usize>,
    kind: Kind,
    /// What comes of the next looks at the hub.
    looks: VecDeque<Look>,
    /// How many of the next readings find our copy damaged, and how often it was begun anew.
    damaged: u32,
    healings: u32,
    /// What each look asked for, and how long the pushes were given.
    scopes: Vec<Scope>,
    push_times: Vec<Duration>,
    settled: u32,
    /// Of each commit of ours which records it changed, by whom it was made, and when.
    told: Vec<Vec<Changed>>,
    made: Vec<(String, Timestamp)>,
}

/// What kind of hub it is.
#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    /// On this disk: what is known is what it has.
    is_on_this_disk: bool,
    /// Over a transport that never asks twice.
    is_honest: bool,
    is_crowded: bool,
}

/// What comes of a look at the hub.
#[derive(Debug, Clone, Copy)]
enum Look {
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

#[derive(Clone, Default)]
struct Memory {
    hub: Rc<RefCell<Hub>>,
    known: RefCell<BTreeMap<String, Version>>,
}

impl Memory {
    fn store(&self, parent: Option<Version>, files: BTreeMap<String, String>, message: &str) -> Version {
        let version = Version::new(random::id());
        self.hub
            .borrow_mut()
            .commits
            .insert(version.clone(), Stored { parent, files, message: message.to_owned() });
        version
    }

    /// Another writer counts one up in a document of its own.
    fn somebody_else_writes(&self) {
        let tip = self.hub.borrow().refs["main"].clone();
        let mut files = self.hub.borrow().commits[&tip].files.clone();
        files.insert("other".to_owned(), random::id());
        let version = self.store(Some(tip), files, "other");
        self.hub.borrow_mut().refs.insert("main".to_owned(), version);
    }

    /// What another version of the program makes of the operation of `moves`.
    fn forestall(&self, moves: &[Move]) {
        let Stored { parent, mut files, message } = self.hub.borrow().commits[&moves[0].to].clone();
        files.insert("other".to_owned(), random::id());
        let twin = self.store(parent, files, &message);
        let mut hub = self.hub.borrow_mut();
        hub.refs.extend(moves.iter().map(|one| (one.branch.clone(), one.to.clone())));
        hub.refs.insert(moves[0].branch.clone(), twin);
    }

    fn commits_to(&self, tip: Option<Version>) -> Vec<(Version, Stored)> {
        let hub = self.hub.borrow();
        std::iter::successors(tip, |version| hub.commits[version].parent.clone())
            .map(|version| (version.clone(), hub.commits[&version].clone()))
            .collect()
    }

    fn swap(hub: &mut Hub, moves: &[Move]) -> Publication {
        if moves.iter().any(|one| hub.refs.get(&one.branch) != one.from.as_ref()) {
            return Publication::Stale;
        }
        for one in moves {
            hub.refs.insert(one.branch.clone(), one.to.clone());
        }
        Publication::Applied
    }
}

impl Engine for Memory {
    fn hub(&self) -> &'static str {
        "memory"
    }
    fn is_always_fresh(&self) -> bool {
        self.hub.borrow().kind.is_on_this_disk
    }
    fn tip(&self, branch: &str) -> Result<Option<Version>, LedgerError> {
        if self.hub.borrow().kind.is_on_this_disk {
            return Ok(self.hub.borrow().refs.get(branch).cloned());
        }
        Ok(self.known.borrow().get(branch).cloned())
    }
    fn branches(&self, prefix: &str) -> Result<Vec<String>, LedgerError> {
        let known = self.known.borrow();
        let hub = self.hub.borrow();
        let refs = if hub.kind.is_on_this_disk { &hub.refs } else { &*known };
        Ok(refs.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }
    fn refresh(
        &mut self,
        _main: &str,
        scope: &Scope,
        deadline: &Deadline,
    ) -> Result<Option<String>, LedgerError> {
        let mut hub = self.hub.borrow_mut();
        hub.refreshes += 1;
        hub.scopes.push(scope.clone());
        match hub.looks.pop_front().unwrap_or(Look::Sees) {
            Look::Sees => {}
            Look::Forget => {
                self.known.borrow_mut().clear();
                return Ok(None);
            }
            Look::Deny => {
                return Err(LedgerError::Denied {
                    hub: "memory".to_owned(),
                    why: Reason::of(Cause::MayNotRead, "away"),
                });
            }
            look @ (Look::Cut | Look::Hang) => {
                clock::sleep(if matches!(look, Look::Hang) { deadline.left() } else { Duration::ZERO });
                return Err(LedgerError::Unreachable {
                    hub: "memory".to_owned(),
                    why: Reason::of(Cause::Network, "cut"),
                });
            }
        }
        if hub.looks_too_early {
            return Ok(None);
        }
        *self.known.borrow_mut() = hub.refs.clone();
        for late in std::mem::take(&mut hub.delayed) {
            Self::swap(&mut hub, &[late]);
        }
        Ok(None)
    }
    fn read(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        let mut hub = self.hub.borrow_mut();
        if hub.damaged > 0 {
            hub.damaged -= 1;
            let (what, why) = ("cannot read".to_owned(), "damaged".to_owned());
            return Err(LedgerError::Store { what, why, cause: StoreCause::Damaged });
        }
        let text = hub.commits[version].files.get(path);
        Ok(text.map(|text| Arc::new(Document::new(text.clone().into_bytes()))))
    }
    fn list(&self, version: &Version, folder: &str) -> Result<Vec<String>, LedgerError> {
        let prefix = format!("{folder}/");
        let hub = self.hub.borrow();
        Ok(hub.commits[version].files.keys().filter(|path| path.starts_with(&prefix)).cloned().collect())
    }
    fn commit(&mut self, commit: &Commit<'_>) -> Result<Version, LedgerError> {
        let mut files =
            commit.base.map(|base| self.hub.borrow().commits[base].files.clone()).unwrap_or_default();
        for (path, change) in commit.changes {
            match change {
                Some(document) => {
                    let text = String::from_utf8_lossy(document.bytes()).into_owned();
                    files.insert(path.clone(), text);
                }
                None => drop(files.remove(path)),
            }
        }
        let mut hub = self.hub.borrow_mut();
        hub.told.push(commit.records.to_vec());
        hub.made.push((commit.author.to_owned(), commit.at));
        drop(hub);
        let parent = commit.base.filter(|_| commit.follows).cloned();
        Ok(self.store(parent, files, commit.message))
    }
    fn publish(&mut self, moves: &[Move], deadline: &Deadline) -> Publication {
        let fault = {
            let mut hub = self.hub.borrow_mut();
            hub.publications += 1;
            hub.push_times.push(deadline.left());
            hub.faults.pop_front()
        };
        match fault {
            Some(Fault::Lose) => self.somebody_else_writes(),
            Some(Fault::Forestall) => self.forestall(moves),
            _ => {}
        }
        let mut hub = self.hub.borrow_mut();
        let publication = match fault {
            Some(Fault::Busy) => return Publication::Busy(None),
            Some(Fault::Deny) => return Publication::Denied(Reason::of(Cause::Protected, "protected")),
            Some(fault @ (Fault::Doubt | Fault::DoubtAndApply)) => {
                if matches!(fault, Fault::DoubtAndApply) {
                    Self::swap(&mut hub, moves);
                }
                return Publication::Doubted(Reason::of(Cause::Hook, "aborted by hook"));
            }
            Some(Fault::Cut) => return Publication::Unreachable(Reason::of(Cause::Network, "cut")),
            Some(Fault::Vanish) => return Publication::Unknown("vanished".to_owned()),
            Some(Fault::Delay) => {
                hub.delayed.extend(moves.iter().cloned());
                return Publication::Unknown("delayed".to_owned());
            }
            Some(fault @ (Fault::LoseAnswer | Fault::LoseAnswerAndLookTooEarly)) => {
                hub.looks_too_early = matches!(fault, Fault::LoseAnswerAndLookTooEarly);
                Self::swap(&mut hub, moves);
                return Publication::Unknown("the answer is lost".to_owned());
            }
            Some(Fault::Repeat) => {
                Self::swap(&mut hub, moves);
                Self::swap(&mut hub, moves)
            }
            Some(Fault::Lose | Fault::Forestall) | None => Self::swap(&mut hub, moves),
        };
        if publication == Publication::Stale && !hub.kind.is_honest {
            return Publication::StaleOrRepeated;
        }
        if publication == Publication::Applied {
            *self.known.borrow_mut() = hub.refs.clone();
        }
        publication
    }
    fn leads_to(&self, version: &Version, tip: &Version) -> Result<bool, LedgerError> {
        let leads = self.commits_to(Some(tip.clone())).iter().any(|(seen, _)| seen == version);
        let mut hub = self.hub.borrow_mut();
        if std::mem::take(&mut hub.looks_too_early) {
            *self.known.borrow_mut() = hub.refs.clone();
        }
        Ok(leads)
    }
    fn find(&self, tip: &Version, op: &OpId, _since: Option<&Version>) -> Result<Search, LedgerError> {
        let history = self.commits_to(Some(tip.clone()));
        let reach = self.hub.borrow().reach.unwrap_or(usize::MAX);
        let mut looked_at = history.iter().take(reach);
        Ok(match looked_at.find(|(_, stored)| stored.message.contains(op.as_str())) {
            Some((version, stored)) => {
                let (version, subject) = (version.clone(), stored.message.clone());
                Search::Found(Found { version, before: None, at: None, subject })
            }
            None if history.len() > reach => Search::CannotTell(Reached::Shallow),
            None => Search::NotThere,
        })
    }
    fn history(&self) -> Option<&dyn EngineHistory> {
        Some(self)
    }
    fn upkeep(&self) -> Option<&dyn EngineUpkeep> {
        Some(self)
    }
    fn upkeep_mut(&mut self) -> Option<&mut dyn EngineUpkeep> {
        Some(self)
    }
}

impl EngineUpkeep for Memory {
    fn lock_path(&self) -> PathBuf {
        PathBuf::from("/dev/null/none")
    }
    fn heal(&mut self) -> Result<bool, LedgerError> {
        self.hub.borrow_mut().healings += 1;
        Ok(true)
    }
    fn settle(&mut self, _branch: &str) -> Option<String> {
        self.hub.borrow_mut().settled += 1;
        Some("the clone follows".to_owned())
    }
}

impl EngineHistory for Memory {
    fn last_commits(&self, _: &Version, visit: &mut VisitCommit<'_>) -> Result<(), LedgerError> {
        if self.hub.borrow().kind.is_crowded && visit("test", Some(now())).is_continue() {
            let _ = visit("another", Some(now()));
        }
        Ok(())
    }
    fn count(&self, version: &Version) -> Result<usize, LedgerError> {
        Ok(self.commits_to(Some(version.clone())).len())
    }
    fn walk(&self, _: &Version, _: &dyn Fn(&str) -> bool, _: &mut Visit<'_>) -> Result<Reached, LedgerError> {
        Ok(Reached::Beginning)
    }
    fn lost(&self, _: &str, _: &Version) -> Result<Vec<Lost>, LedgerError> {
        Ok(Vec::new())
    }
    fn past(&self, _: &str) -> Result<Option<Past>, LedgerError> {
        Ok(None)
    }
    fn below_foreign(
        &self,
        _: &Version,
        _: &dyn Fn(&Ours) -> Result<bool, LedgerError>,
    ) -> Result<Option<Below>, LedgerError> {
        Ok(None)
    }
    fn earlier(&self, _: &Version, _: &str) -> Result<Earlier, LedgerError> {
        Ok(Earlier::default())
    }
    fn changed(&self, _: &Version, _: &Version) -> Result<BTreeSet<String>, LedgerError> {
        Ok(BTreeSet::new())
    }
    fn content(&self, _: &Version, _: &str) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }
    fn versions(&self, _: &str, _: &Version, _: &str, _: &mut VisitVersion<'_>) -> Result<(), LedgerError> {
        Ok(())
    }
    fn sides(&self, _: &str, _: &Version, _: &str, _: &IsWhole<'_>) -> Result<Sides, LedgerError> {
        Ok(Sides::default())
    }
}

const COUNTER: &str = "coordination/counter";

fn memory(faults: &[Fault]) -> Memory {
    let memory = Memory::default();
    let files = BTreeMap::from([(COUNTER.to_owned(), "0".to_owned())]);
    let version = memory.store(None, files, "first");
    memory.hub.borrow_mut().refs.insert("main".to_owned(), version);
    memory.hub.borrow_mut().faults.extend(faults.iter().cloned());
    memory
}

fn ledger(memory: &Memory, budget: Duration) -> Ledger {
    let settings = Settings {
        main: "main".to_owned(),
        author: "test".to_owned(),
        budget,
        lock_wait: Duration::ZERO,
        dry_run: false,
        founding: false,
    };
    Ledger::new(Box::new(memory.clone()), settings, Machine::real())
}

fn now() -> Timestamp {
    Timestamp::parse("2025-10-29T12:00:00Z").expect("time")
}

fn counter(transaction: &Transaction<'_>) -> Result<u32, Stop> {
    let document = transaction.document("main", COUNTER)?.unwrap_or_default();
    let bytes = document.bytes();
    Ok(String::from_utf8_lossy(bytes).parse().unwrap_or(0))
}

/// Counts one up and answers the new number.
fn count(transaction: &mut Transaction<'_>) -> Result<u32, Stop> {
    let next = counter(transaction)? + 1;
    transaction.put_text(COUNTER, next.to_string());
    transaction.describe("count");
    Ok(next)
}

fn stored(memory: &Memory) -> String {
    let hub = memory.hub.borrow();
    hub.commits[&hub.refs["main"]].files[COUNTER].clone()
}

fn op() -> OpId {
    OpId::new(&random::id()).expect("an id")
}

/// An operation that answers a number, written down on the spot.
type Counting<'a> = &'a dyn Fn(&mut Transaction<'_>) -> Result<u32, Stop>;

fn asked(what: Counting<'_>) -> Request<Counting<'_>> {
    Request { op: op(), now: now(), author: None, what }
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(150);

#[test]
fn whatever_the_hub_does_an_applied_operation_has_one_effect() {
    use Fault::{Busy, Cut, Delay, Lose, LoseAnswer, LoseAnswerAndLookTooEarly, Repeat, Vanish};
    for faults in [
        &[][..],
        &[Lose],
        &[Lose, Lose, Busy],
        &[LoseAnswer],
        &[Repeat],
        &[Lose, Repeat, Busy],
        &[Lose, LoseAnswer],
        &[Vanish],
        &[Vanish, Vanish, Lose],
        &[Delay],
        &[Delay, Delay],
        &[Vanish, LoseAnswer],
        &[Cut, Cut, Lose],
        &[Delay, Cut, LoseAnswer],
        &[LoseAnswerAndLookTooEarly],
    ] {
        let memory = memory(faults);
        let outcome = ledger(&memory, LONG).update_one(op(), now(), count).expect("no fault");
        let Outcome::Applied(receipt) = outcome else { panic!("{faults:?}: {outcome:?}") };
        assert_eq!((receipt.answer, stored(&memory).as_str()), (1, "1"), "{faults:?}");
        let tip = memory.hub.borrow().refs.get("main").cloned();
        let carrying = memory
            .commits_to(tip)
            .iter()
            .filter(|(_, one)| one.message.contains(receipt.op.as_str()))
            .count();
        assert_eq!(carrying, 1, "{faults:?}");
    }
}

#[test]
fn what_may_lie_behind_the_end_of_a_shallow_clone_does_not_happen_again() {
    let memory = memory(&[]);
    let once = |transaction: &mut Transaction<'_>| {
        if transaction.has_happened(None)? { Ok(0) } else { count(transaction) }
    };
    let mut ledger = ledger(&memory, LONG);
    let (first, second) = (op(), op());
    for op in [&first, &second] {
        assert!(matches!(ledger.update_one(op.clone(), now(), once), Ok(Outcome::Applied(_))));
    }
    memory.hub.borrow_mut().reach = Some(1);
    let untold = ledger.update_one(first.clone(), now(), once);
    assert!(matches!(untold, Err(LedgerError::Untold { .. })), "{untold:?}");
    assert!(matches!(ledger.find(&first, None), Err(LedgerError::Untold { .. })));
    assert!(matches!(ledger.find(&second, None), Ok(Some(_))));
    let seen = ledger.update_one(second, now(), once).expect("no fault");
    assert!(matches!(seen, Outcome::Applied(ref receipt) if receipt.answer == 0), "{seen:?}");
    assert_eq!(stored(&memory), "2");
}

#[test]
fn a_rule_of_the_hub_is_final_and_never_tried_again() {
    let memory = memory(&[Fault::Deny]);
    let denied = ledger(&memory, LONG).update_one(op(), now(), count);
    assert!(matches!(denied, Err(LedgerError::Denied { .. })), "{denied:?}");
    assert_eq!((memory.hub.borrow().publications, stored(&memory).as_str()), (1, "0"));
}

#[test]
fn after_an_unknown_outcome_no_fault_claims_that_nothing_was_written() {
    for second in [Fault::Deny, Fault::Cut] {
        let faults = [vec![Fault::Vanish], vec![second.clone(); 100]].concat();
        let outcome = ledger(&memory(&faults), SHORT).update_one(op(), now(), count).expect("no fault");
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{second:?}: {outcome:?}");
    }
}

#[test]
fn a_hub_out_of_reach_is_tried_a_few_times_only() {
    let memory = memory(&vec![Fault::Cut; 100]);
    let cut = ledger(&memory, LONG).update_one(op(), now(), count);
    assert!(matches!(cut, Err(LedgerError::Unreachable { .. })), "{cut:?}");
    assert!(memory.hub.borrow().publications < 10);
}

#[test]
fn losing_until_the_time_is_up_is_contention_and_writes_nothing() {
    let memory = memory(&vec![Fault::Lose; 1000]);
    let outcome = ledger(&memory, SHORT).update_one(op(), now(), count).expect("no fault");
    assert!(matches!(outcome, Outcome::Contended { attempts: 1.., .. }), "{outcome:?}");
    assert_eq!(stored(&memory), "0");
}

#[test]
fn what_nobody_can_tell_until_the_time_is_up_stays_unknown() {
    let memory = memory(&vec![Fault::Vanish; 1000]);
    let outcome = ledger(&memory, SHORT).update_one(op(), now(), count).expect("no fault");
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
}

#[test]
fn a_no_on_old_documents_is_asked_again_on_fresh_ones() {
    let memory = memory(&[]);
    let mut ledger = ledger(&memory, LONG);
    let only_if_two = |transaction: &mut Transaction<'_>| {
        if counter(transaction)? < 2 {
            return Err(Refusal::NothingReclaimed { jobs: Vec::new() }.into());
        }
        count(transaction)
    };
    assert!(matches!(ledger.update_one(op(), now(), count), Ok(Outcome::Applied(_))));
    // Behind this ledger's back the counter goes on; what it knows still says one.
    let mut other = self::ledger(&memory, LONG);
    assert!(matches!(other.update_one(op(), now(), count), Ok(Outcome::Applied(_))));
    let outcome = ledger.update_one(op(), now(), only_if_two).expect("no fault");
    assert!(matches!(outcome, Outcome::Applied(ref receipt) if receipt.answer == 3), "{outcome:?}");
}

#[test]
fn a_known_tip_is_written_upon_without_asking_first() {
    let memory = memory(&[]);
    let mut ledger = ledger(&memory, LONG);
    for _ in 0..5 {
        assert!(matches!(ledger.update_one(op(), now(), count), Ok(Outcome::Applied(_))));
    }
    let hub = memory.hub.borrow();
    assert_eq!((hub.refreshes, hub.publications), (1, 5));
}

#[test]
fn what_nobody_could_read_again_is_not_written() {
    use crate::domain::json::DOCUMENT_BYTES_MAX;
    let memory = memory(&[]);
    let grow = |bytes: usize| {
        move |transaction: &mut Transaction<'_>| -> Result<u32, Stop> {
            transaction.put_text("coordination/large", "x".repeat(bytes));
            Ok(0)
        }
    };
    let (large, small) = (grow(DOCUMENT_BYTES_MAX + 1), grow(DOCUMENT_BYTES_MAX));
    let outcomes = ledger(&memory, LONG).update(&[asked(&large), asked(&small)]).expect("no fault of all");
    assert!(
        matches!(outcomes.as_slice(), [Ok(Outcome::Refused(_)), Ok(Outcome::Applied(_))]),
        "{outcomes:?}"
    );
}

#[test]
fn an_id_with_a_line_break_makes_no_trailer_of_its_own() {
    let memory = memory(&[]);
    let forge = |transaction: &mut Transaction<'_>| {
        transaction.trailer("Muster-Job", "job_1\nMuster-Op: forged");
        count(transaction)
    };
    assert!(matches!(ledger(&memory, LONG).update_one(op(), now(), forge), Ok(Outcome::Applied(_))));
    let (_, newest) = memory.commits_to(memory.hub.borrow().refs.get("main").cloned()).remove(0);
    assert!(
        newest.message.starts_with("count\n\nMuster-Job: job_1 Muster-Op: forged\n"),
        "{}",
        newest.message
    );
}

/// Counts one up with a beat on another branch.
fn count_and_beat(transaction: &mut Transaction<'_>) -> Result<u32, Stop> {
    let record = crate::domain::record::Record::new(serde_json::json!({"beat": 1}), 0);
    transaction.put_record_on("heartbeat-x", "x/heartbeat.json", &record)?;
    count(transaction)
}

#[test]
fn a_beat_is_no_proof_of_what_it_went_along_with() {
    for is_honest in [true, false] {
        let memory = memory(&[Fault::Forestall]);
        memory.hub.borrow_mut().kind.is_honest = is_honest;
        let resumed = |transaction: &mut Transaction<'_>| {
            if transaction.has_happened(None)? { Ok(0) } else { count_and_beat(transaction) }
        };
        let outcome = ledger(&memory, LONG).update_one(op(), now(), resumed).expect("no fault");
        let Outcome::Applied(receipt) = outcome else { panic!("{outcome:?}") };
        assert_eq!((receipt.answer, receipt.version, stored(&memory).as_str()), (0, None, "1"));
    }
}

#[test]
fn two_branches_move_together_or_not_at_all() {
    let memory = memory(&[Fault::Lose]);
    let outcome = ledger(&memory, LONG).update_one(op(), now(), count_and_beat).expect("no fault");
    let Outcome::Applied(receipt) = outcome else { panic!("{outcome:?}") };
    assert!(memory.hub.borrow().refs.contains_key("heartbeat-x"));
    assert_eq!(receipt.version.as_ref(), memory.hub.borrow().refs.get("main"));
}

#[test]
fn an_unchanged_document_makes_no_commit() {
    let memory = memory(&[]);
    let same = |transaction: &mut Transaction<'_>| {
        transaction.put_text(COUNTER, "0".to_owned());
        Ok(())
    };
    let outcome = ledger(&memory, LONG).update_one(op(), now(), same).expect("no fault");
    assert!(matches!(outcome, Outcome::Applied(ref receipt) if receipt.version.is_none()));
    assert_eq!(memory.hub.borrow().publications, 0);
}

#[test]
fn a_branch_that_is_no_hub_is_refused() {
    let memory = Memory::default();
    let version = memory.store(None, BTreeMap::from([("README".to_owned(), String::new())]), "source");
    memory.hub.borrow_mut().refs.insert("main".to_owned(), version);
    let refused = ledger(&memory, LONG).update_one(op(), now(), count);
    assert!(matches!(refused, Err(LedgerError::NotAHub { .. })), "{refused:?}");
    memory.hub.borrow_mut().refs.clear();
    let refused = ledger(&memory, LONG).update_one(op(), now(), count);
    assert!(matches!(refused, Err(LedgerError::NoBranch { .. })), "{refused:?}");
}

/// Another process replaces a damaged copy, or somebody removes it, between the look and the question.
#[test]
fn whether_an_operation_happened_is_asked_of_what_was_looked_at() {
    let memory = memory(&[]);
    let op = op();
    let applied = ledger(&memory, LONG).update_one(op.clone(), now(), count);
    assert!(matches!(applied, Ok(Outcome::Applied(_))));
    memory.known.borrow_mut().clone_from(&memory.hub.borrow().refs);
    let snapshot = super::Snapshot::new(&memory, "main");
    assert!(snapshot.tip("main").expect("a store in memory").is_some());
    memory.known.borrow_mut().clear();
    assert!(snapshot.holds(&op, None).expect("a store in memory"));
}
