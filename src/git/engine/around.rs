//! Around the refs of a hub that cannot be used: fetches and pushes that leave them out. A part of the engine,
//! in a file of its own for its length: so these two use each other.

use super::{Access, GitEngine};
use crate::domain::bad_branch::{BadBranch, BranchFault};
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, is_side_branch};
use crate::git::bad_refs::{self, Before, FetchedRefs, Groups};
use crate::git::classify::{FetchVerdict, classify_fetch};
use crate::git::program::TOO_SLOW;
use crate::git::publish::{self, To};
use crate::git::refs::{heartbeats_spec, tracking};
use crate::ledger::{Cause, Engine as _, LedgerError, Move, Publication, Reason, Scope};
use crate::machine::{Deadline, Machine, files};
use std::path::Path;
use std::time::Duration;

/// How long the hub is asked at most whether two of its branches are one.
const ASK_TIME_MAX: Duration = Duration::from_secs(10);

/// A fetch of exactly what we name. What is gone from the hub goes from our copy: a branch that
/// only we remember would be written upon for ever, and the hub would refuse for ever.
const FETCH: &[&str] = &[
    "fetch",
    "--quiet",
    "--no-tags",
    "--prune",
    "--no-recurse-submodules",
    "--no-write-fetch-head",
    "--refmap=",
    "origin",
];

/// Where it is kept beside our copy which heartbeat branches of the hub did not come.
const GROUPS_FILE: &str = "muster.groups";

/// The most branches that are kept there.
const GROUPED_MAX: usize = 1000;

/// How a heartbeat branch is asked for that our copy knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BranchQuery {
    /// By its name, with what may lie below it: what others have of names that begin so is no matter. If it is
    /// gone, nothing comes.
    Name,
    /// As the others, with all of which the names begin so: one that is not there must not make the fetch fail.
    Pattern,
}

/// What a branch is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LookupReason {
    Read,
    Replace,
}

impl GitEngine {
    /// A fetch of the main branch and of what `scope` asks for.
    pub(super) fn fetch(
        &self,
        main: &str,
        (scope, by): (&Scope, BranchQuery),
        deadline: &Deadline,
    ) -> Result<FetchVerdict, LedgerError> {
        let is_known = |branch: &str| {
            by == BranchQuery::Name
                && branch.starts_with(HEARTBEAT_BRANCH_PREFIX)
                && !scope.heartbeats
                && self.objects.tip(&self.reference(branch)).is_ok_and(|tip| tip.is_some())
        };
        let spec = |branch: &String| match is_known(branch) {
            true => vec![tracking(branch), tracking(&format!("{branch}/*"))],
            false => vec![tracking(&format!("{branch}*"))],
        };
        let heartbeats = scope.heartbeats.then(heartbeats_spec);
        let named = scope.branches.iter().flat_map(spec);
        let specs: Vec<String> = [tracking(main)].into_iter().chain(heartbeats).chain(named).collect();
        self.fetch_all(&specs, deadline)
    }

    pub(super) fn fetch_once(
        &self,
        options: &[&str],
        specs: &[String],
        deadline: &Deadline,
    ) -> Result<FetchVerdict, LedgerError> {
        let begin = options.iter().chain(FETCH).map(ToString::to_string);
        let arguments: Vec<String> = begin.chain(specs.iter().cloned()).collect();
        let done = self.git.run(self.directory(), &arguments, deadline)?;
        if done.timed_out {
            return Ok(FetchVerdict::Unreachable(Reason::of(Cause::Network, TOO_SLOW)));
        }
        Ok(classify_fetch(done.exit_code, &done.stdout, &done.stderr))
    }

    /// A fetch that leaves out, if it has to, what leads nowhere in the hub.
    pub(super) fn fetch_all(
        &self,
        specs: &[String],
        deadline: &Deadline,
    ) -> Result<FetchVerdict, LedgerError> {
        if let Some(verdict) = self.fetch_around_known(specs, deadline)? {
            return Ok(verdict);
        }
        let mut rounds = 0..bad_refs::ROUNDS_MAX;
        loop {
            let around: Vec<String> =
                specs.iter().cloned().chain(bad_refs::left_out(&self.bad.borrow())).collect();
            let options = if self.bad.borrow().is_empty() { &[][..] } else { &bad_refs::WHOLE_NAMES };
            let verdict = self.fetch_once(options, &around, deadline)?;
            let more = match &verdict {
                FetchVerdict::Failed(why) => bad_refs::may_be_one(why) && self.find_bad(why, deadline)?,
                FetchVerdict::HubDamaged(..) => self.find_incomplete(&around, deadline)?,
                _ => false,
            };
            if !more || rounds.next().is_none() {
                // All came: what was kept of those that did not is over, as of a branch that was removed.
                let is_whole = matches!(verdict, FetchVerdict::Fetched) && self.bad.borrow().is_empty();
                if is_whole && specs.contains(&heartbeats_spec()) {
                    self.keep_groups(&self.known_groups(), &Groups::new());
                }
                return Ok(verdict);
            }
        }
    }

    /// Asks the hub which of its branches lead nowhere; whether there are more than were known.
    pub(super) fn find_bad(&self, why: &str, deadline: &Deadline) -> Result<bool, LedgerError> {
        let ask = bad_refs::WHOLE_NAMES.iter().chain(&["ls-remote", "origin"]).map(ToString::to_string);
        let listing = self.git.run(self.directory(), &ask.collect::<Vec<_>>(), deadline)?;
        let mut bad = self.bad.borrow_mut();
        let known = bad.len();
        let found = bad_refs::find(&listing.stdout, why).into_iter().map(|(branch, flaw)| {
            // Where the hub lies on this machine it can be told whether that is damage.
            let file = Path::new(&self.name).join(BadBranch::reference_of(&branch));
            let forbidden =
                flaw == BranchFault::Unreadable && bad_refs::why_unreadable(&file) == BranchFault::Forbidden;
            (branch, if forbidden { BranchFault::Forbidden } else { flaw })
        });
        bad.extend(found);
        Ok(bad.len() > known)
    }

    /// A fetch around the heartbeat branches that did not come with an earlier look, and another of those, each
    /// group by itself: so what is lost of one branch takes little time from each look. `None` where that does
    /// not do.
    fn fetch_around_known(
        &self,
        specs: &[String],
        deadline: &Deadline,
    ) -> Result<Option<FetchVerdict>, LedgerError> {
        let known = self.known_groups();
        if known.is_empty() || !specs.contains(&heartbeats_spec()) {
            return Ok(None);
        }
        let others = known.iter().flatten().filter(|branch| !bad_refs::is_named(specs, branch));
        let others = others.map(|branch| format!("^{}", BadBranch::reference_of(branch)));
        let around: Vec<String> = specs.iter().cloned().chain(others).collect();
        let verdict = self.fetch_once(&[], &around, deadline)?;
        match verdict {
            FetchVerdict::Fetched => {}
            FetchVerdict::HubDamaged(..) | FetchVerdict::Failed(_) => return Ok(None),
            verdict => return Ok(Some(verdict)),
        }
        let ends = bad_refs::search_ends(deadline);
        let mut is_all_told = true;
        let (found, left) = bad_refs::by_halves(known.clone().into(), |branches| {
            let specs: Vec<String> = branches.iter().map(|branch| tracking(branch)).collect();
            let verdict = self.fetch_once(&[], &specs, &ends)?;
            // Of those that are named with one that is gone, or leads nowhere, nothing came either.
            is_all_told &= !matches!(verdict, FetchVerdict::MissingBranch | FetchVerdict::Failed(_));
            Ok::<_, LedgerError>(FetchedRefs::by(&verdict))
        })?;
        if !is_all_told {
            return Ok(None);
        }
        self.keep_groups(&known, &left);
        self.bad.borrow_mut().extend(found);
        Ok(Some(verdict))
    }

    /// The groups of heartbeat branches that did not come with an earlier look.
    fn known_groups(&self) -> Groups {
        let mut groups: Groups = files::recall(&self.directory().join(GROUPS_FILE));
        let is_one = |branch: &String| {
            branch.starts_with(HEARTBEAT_BRANCH_PREFIX)
                && bad_refs::flaw_of_name(&BadBranch::reference_of(branch)).is_none()
        };
        groups.iter_mut().for_each(|group| group.retain(is_one));
        groups.retain(|group| !group.is_empty());
        // More would not fit a command line: the search begins anew.
        if groups.iter().flatten().count() > GROUPED_MAX { Groups::new() } else { groups }
    }

    fn keep_groups(&self, known: &Groups, groups: &Groups) {
        if groups != known {
            // Without it the next search begins from the beginning.
            drop(files::remember(&self.directory().join(GROUPS_FILE), groups));
        }
    }

    /// Looks for the heartbeat branches of which the hub has lost an object, where a fetch failed for that;
    /// whether there are any.
    fn find_incomplete(&self, specs: &[String], deadline: &Deadline) -> Result<bool, LedgerError> {
        let ends = bad_refs::search_ends(deadline);
        let ask = ["ls-remote", "origin", "refs/heads/*"].map(str::to_owned);
        let list = || {
            let done = self.git.run(self.directory(), &ask, &ends)?;
            if done.exit_code == Some(0) {
                return Ok(done.stdout);
            }
            // Without it nobody can tell whose fault it is.
            let why = Reason::of(Cause::Network, TOO_SLOW);
            Err(LedgerError::Unreachable { hub: self.name.clone(), why })
        };
        let at = |branch: &str| {
            let tip = self.objects.tip(&self.reference(branch)).ok().flatten();
            tip.map(|tip| tip.to_string())
        };
        let known = self.known_groups();
        let mut before = Before { at: &at, groups: known.clone() };
        let found = bad_refs::incomplete(specs, &mut before, list, |specs| {
            Ok::<_, LedgerError>(FetchedRefs::by(&self.fetch_once(&[], specs, &ends)?))
        })?;
        self.keep_groups(&known, &before.groups);
        let is_found = !found.is_empty();
        self.bad.borrow_mut().extend(found);
        Ok(is_found)
    }

    /// Whether a heartbeat branch is left out of what is looked at.
    pub(super) fn is_left_out(&self, branch: &str) -> bool {
        self.is_unusable(branch) || self.bad.borrow().contains_key(branch)
    }

    /// Looks at a heartbeat branch and notes it if it cannot be used. One of which nobody could tell in time is
    /// where it was seen last: whoever has to write to it may try, and the hub compares.
    pub(super) fn is_unusable(&self, branch: &str) -> bool {
        if self.bad.borrow().get(branch).is_some_and(|flaw| *flaw != BranchFault::Untold) {
            return true;
        }
        if !branch.starts_with(HEARTBEAT_BRANCH_PREFIX) {
            return false;
        }
        let mut flaw = bad_refs::flaw(&self.objects, branch, &self.reference(branch), self.is_always_fresh());
        // What replaces or removes it might do that to what it names.
        if matches!(flaw, None | Some(BranchFault::InTheWay))
            && self.is_another_name(branch, LookupReason::Read)
        {
            flaw = Some(BranchFault::AnotherName);
        }
        if let Some(flaw) = flaw {
            self.bad.borrow_mut().insert(branch.to_owned(), flaw);
        }
        flaw.is_some()
    }

    /// The branch that keeps `moves` from being made, if one is known.
    pub(super) fn in_the_way(&self, moves: &[Move]) -> Option<BadBranch> {
        moves.iter().find_map(|one| {
            if let Some(flaw) =
                self.bad.borrow().get(&one.branch).filter(|flaw| **flaw != BranchFault::Untold)
            {
                return Some(BadBranch { branch: one.branch.clone(), flaw: *flaw });
            }
            let is_there = is_side_branch(&one.branch) && one.from.is_some();
            if is_there && self.is_another_name(&one.branch, LookupReason::Replace) {
                return Some(BadBranch { branch: one.branch.clone(), flaw: BranchFault::AnotherName });
            }
            let below = format!("{}/", one.branch);
            let rest = self.objects.names(&self.reference(&below)).ok()?.into_iter().next()?;
            Some(BadBranch { branch: format!("{below}{rest}"), flaw: BranchFault::InTheWay })
        })
    }

    /// Whether a branch that a server keeps for itself is another name of the hub's own. Over a connection
    /// not every protocol tells of symbolic refs: there it is one where both stand at the same commit, in one
    /// listing. The first scripts push the whole tree of the hub to the branches of their servers, which holds
    /// all that the hub's own branch holds and is no name of it.
    fn is_another_name(&self, branch: &str, look: LookupReason) -> bool {
        let (repository, reference) = (self.objects.repository(), self.reference(branch));
        let Ok(id) = repository.refname_to_id(&reference) else { return false };
        if self.is_always_fresh() {
            return bad_refs::is_symbolic(repository, &reference) && bad_refs::holds_hub(repository, id);
        }
        if self.own.borrow().get(branch) == Some(&id) || !bad_refs::holds_hub(repository, id) {
            return false;
        }
        // Two names of one branch are never two lines of work. A push asks all the same: main may have been
        // rewritten between two looks.
        if look == LookupReason::Read && !bad_refs::is_of_one_line_with_others(repository, id) {
            return false;
        }
        let is_another_name = self.stands_with_another(branch);
        if !is_another_name {
            self.own.borrow_mut().insert(branch.to_owned(), id);
        }
        is_another_name
    }

    /// Whether a branch and one that is no server's stand at one commit in the hub now, or nobody can tell.
    fn stands_with_another(&self, branch: &str) -> bool {
        let ask = ["ls-remote", "origin", "refs/heads/*"].map(str::to_owned);
        let asked = self.git.run(self.directory(), &ask, &Machine::real().deadline(ASK_TIME_MAX));
        let Some(listing) = asked.ok().filter(|done| done.exit_code == Some(0)) else { return true };
        let branches = || {
            let lines = listing.stdout.lines().filter_map(|line| line.split_once('\t'));
            lines.filter_map(|(id, name)| Some((id, name.strip_prefix("refs/heads/")?)))
        };
        let Some((at, _)) = branches().find(|(_, name)| *name == branch) else { return true };
        branches().any(|(id, name)| id == at && !is_side_branch(name))
    }

    /// Removes a heartbeat branch that leads to nothing of use: its server makes it anew with each
    /// beat, and while it is there git takes no push from anybody. What git itself cannot remove, and
    /// what is another branch, is left to a person.
    pub(super) fn remove_bad(&mut self, bad: &BadBranch, deadline: &Deadline) -> bool {
        let is_ours = bad.is_of_heartbeats()
            && matches!(bad.flaw, BranchFault::Missing | BranchFault::Incomplete | BranchFault::NotACommit);
        if !is_ours || (!self.is_always_fresh() && !self.asked) {
            return false;
        }
        let removed = match self.reach {
            Access::Itself => {
                let reference = self.reference(&bad.branch);
                publish::remove_note(self.objects.repository(), &reference);
                self.objects.repository().find_reference(&reference).is_err()
            }
            Access::Origin { .. } => {
                publish::remove_by_push(&self.git, self.directory(), &bad.branch, deadline)
            }
        };
        if removed {
            self.bad.get_mut().remove(&bad.branch);
            publish::remove_note(self.objects.repository(), &self.reference(&bad.branch));
            self.notes.push(format!("{} of the hub {}; it was removed", bad.shown(), bad.why()));
        }
        removed
    }

    /// A push, and once more where a ref that leads nowhere stops each push: then the git of the other
    /// side is told to look at nothing but what moves.
    pub(super) fn push(&mut self, moves: &[Move], deadline: &Deadline) -> Publication {
        let to = if matches!(self.reach, Access::Itself) { To::Itself } else { To::Origin };
        let by_push = |hub: &Self, hides_others: bool| {
            publish::by_push(&hub.git, (&hub.objects, to), moves, hides_others, deadline)
        };
        let (publication, damaged) = by_push(self, false);
        *self.suspect.get_mut() = damaged;
        let Publication::Denied(Reason { cause: Cause::DamagedRef, about: Some(bad), .. }) = &publication
        else {
            return publication;
        };
        let bad = bad.clone();
        // It moved there from where it was seen: either its commit is lost, of which the hub's own words say more, or
        // a file has a name that begins so and goes on in another line.
        let is_moved = moves.iter().any(|one| one.branch == bad.branch) && !bad.is_of_heartbeats();
        if !is_moved && let Some(done) = self.note_bad(&bad, deadline, &by_push) {
            return done;
        }
        let can_hide = !self.name.starts_with("http") && !self.name.starts_with("git://");
        if can_hide {
            let (again, _) = by_push(self, true);
            if !matches!(again, Publication::Denied(_) | Publication::Unreachable(_)) {
                return again;
            }
        }
        if is_moved {
            return publication;
        }
        let flaw = self.bad.borrow().get(&bad.branch).copied().unwrap_or(bad.flaw);
        Publication::Denied(bad_refs::refusal(BadBranch { flaw, ..bad }))
    }

    /// Notes a ref that stops pushes; what came of the push once more where it could be removed.
    fn note_bad(
        &mut self,
        bad: &BadBranch,
        deadline: &Deadline,
        push: &impl Fn(&Self, bool) -> (Publication, Option<String>),
    ) -> Option<Publication> {
        // It is the hub that says so, at this moment.
        self.asked = true;
        // Where the hub tells a whole name nothing is asked: over http git cuts names in what it lists.
        if bad.flaw == BranchFault::NoName || !self.find_bad("", deadline).unwrap_or(false) {
            self.bad.get_mut().entry(bad.branch.clone()).or_insert(bad.flaw);
        }
        let flaw = self.bad.borrow().get(&bad.branch).copied().unwrap_or(bad.flaw);
        let is_removed =
            flaw == BranchFault::Missing && self.remove_bad(&BadBranch { flaw, ..bad.clone() }, deadline);
        is_removed.then(|| push(self, false).0)
    }
}
