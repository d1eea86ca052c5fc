//! What merges bring in. Each commit is looked at once in a walk, however many merges lead to it:
//! what led to the merges before is known, with the number of its steps.
//!
//! All of it is bounded, because a hub's merges are made by others. Where a bound is hit, less is
//! told, and the walk says so.

use super::told::{ASIDE_MAX, READING, told};
use crate::git::commits::CommitText;
use crate::git::libgit2::failed;
use crate::ledger::{CommitTrailers, LedgerError};
use git2::{ErrorCode, Odb, Oid};
use std::collections::{HashMap, VecDeque};

/// The most parents of one merge that are looked at.
pub(super) const PARENTS_MAX: usize = 16;

/// The most commits behind all merges of a walk, and how often they are looked up in all to tell
/// what leads to which.
const ASIDES_MAX: usize = 200_000;
const LOOKUPS_MAX: usize = 5_000_000;

/// A commit that a merge brought in.
struct MergedCommit {
    /// The place of that merge on the way.
    at: usize,
    steps: u64,
    parents: Vec<Oid>,
}

/// What is known of the way so far.
#[derive(Default)]
pub(super) struct Merges {
    /// The commits of the way, by their place, and the last of them.
    way: HashMap<Oid, usize>,
    last: Option<Oid>,
    /// How many steps led to each of them, itself included.
    steps: Vec<u64>,
    asides: HashMap<Oid, MergedCommit>,
    lookups: usize,
    /// Whether something was left out.
    pub(super) is_cut: bool,
}

/// What a commit brings in besides itself.
pub(super) struct MergedIn {
    /// The commits that it merged in, the nearest first.
    pub aside: Vec<CommitTrailers>,
    /// The parents that it merged in, and how many steps it brought to each.
    pub to: Vec<(Oid, u64)>,
}

impl Merges {
    /// Takes the next commit of the way. What the first one merged is where the history begins.
    pub(super) fn follow(
        &mut self,
        odb: &Odb<'_>,
        told: &CommitTrailers,
        (id, commit): (Oid, &CommitText<'_>),
    ) -> Result<MergedIn, LedgerError> {
        self.is_cut |= told.is_cut;
        let place = self.steps.len();
        let mut others: Vec<Oid> = Vec::new();
        if place > 0 {
            let mut parents: Vec<Oid> = commit.parents().take(PARENTS_MAX + 1).collect();
            self.is_cut |= parents.len() > PARENTS_MAX;
            parents.truncate(PARENTS_MAX);
            others.extend(parents.into_iter().filter(|parent| Some(*parent) != self.last));
        }
        let (aside, steps) = self.take_in(odb, &others, place)?;
        let so_far = self.steps.last().copied().unwrap_or_default().saturating_add(steps);
        let to = others.into_iter().map(|parent| (parent, so_far.saturating_sub(self.led_to(parent))));
        let to = to.collect();
        self.way.insert(id, place);
        self.last = Some(id);
        self.steps.push(so_far.saturating_add(steps_of(told)));
        Ok(MergedIn { aside, to })
    }

    /// Takes in what leads to `tips` and was not known, and counts its steps.
    fn take_in(
        &mut self,
        odb: &Odb<'_>,
        tips: &[Oid],
        place: usize,
    ) -> Result<(Vec<CommitTrailers>, u64), LedgerError> {
        let (mut open, mut aside, mut steps) = (VecDeque::from(tips.to_vec()), Vec::new(), 0_u64);
        while let Some(id) = open.pop_front() {
            if self.way.contains_key(&id) || self.asides.contains_key(&id) {
                continue;
            }
            if aside.len() == ASIDE_MAX || self.asides.len() == ASIDES_MAX {
                self.is_cut = true;
                break;
            }
            let commit = match CommitText::read(odb, id) {
                // A shallow clone ends somewhere.
                Err(error) if error.code() == ErrorCode::NotFound => continue,
                commit => failed(READING, commit)?,
            };
            let told = told(id, &commit);
            self.is_cut |= told.is_cut;
            let parents: Vec<Oid> = commit.parents().take(PARENTS_MAX).collect();
            open.extend(&parents);
            steps = steps.saturating_add(steps_of(&told));
            self.asides.insert(id, MergedCommit { at: place, steps: steps_of(&told), parents });
            aside.push(told);
        }
        Ok((aside, steps))
    }

    /// How many steps led to a commit that is known, itself included.
    fn led_to(&mut self, tip: Oid) -> u64 {
        // All that led to a commit of the way is counted there: of several the latest counts.
        let (mut latest, mut open, mut met) = (None, vec![tip], HashMap::new());
        while let Some(id) = open.pop() {
            self.lookups += 1;
            if self.lookups > LOOKUPS_MAX {
                self.is_cut = true;
                break;
            }
            if let Some(place) = self.way.get(&id) {
                latest = latest.max(Some(*place));
            } else if let Some(aside) = self.asides.get(&id).filter(|aside| Some(aside.at) > latest)
                && met.insert(id, aside).is_none()
            {
                open.extend(&aside.parents);
            }
        }
        let counted = latest.and_then(|place| self.steps.get(place)).copied().unwrap_or_default();
        let others = met.values().filter(|aside| Some(aside.at) > latest).map(|aside| aside.steps);
        others.fold(counted, u64::saturating_add)
    }
}

/// Of how many steps a commit consists that may do what each of its operations may do.
fn steps_of(told: &CommitTrailers) -> u64 {
    u64::try_from(told.ops.len().max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Version;
    use git2::{ObjectType, Repository};

    fn op(number: usize) -> String {
        format!("Muster-Op: 019a7c3e-5f0e-7d31-b1ce-{number:012}\n")
    }

    /// A history, each commit with a letter, the letters of its parents and how many operations it
    /// carries, the way in capitals.
    fn walked(history: &[&str]) -> (Vec<String>, bool) {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        let odb = repository.odb().expect("odb");
        let mut ids: HashMap<char, Oid> = HashMap::new();
        let (mut merges, mut lines) = (Merges::default(), Vec::new());
        for one in history {
            let letter = one.chars().next().expect("a letter");
            let (letters, ops) = one.split_at(one.find(char::is_numeric).unwrap_or(one.len()));
            let parents: String =
                letters.chars().skip(1).map(|parent| format!("parent {}\n", ids[&parent])).collect();
            let ops: String = (0..ops.parse().unwrap_or(0)).map(op).collect();
            let text = format!(
                "tree {}\n{parents}author a <> 1 +0000\ncommitter a <> 1 +0000\n\n{letter}\n\n{ops}",
                "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
            );
            let id = odb.write(ObjectType::Commit, text.as_bytes()).expect("writes");
            ids.insert(letter, id);
            if letter.is_uppercase() {
                let commit = CommitText::read(&odb, id).expect("reads");
                let brought = merges.follow(&odb, &told(id, &commit), (id, &commit)).expect("walks");
                let aside: String = brought.aside.iter().map(|told| told.subject.as_str()).collect();
                let to: Vec<u64> = brought.to.iter().map(|(_, steps)| *steps).collect();
                lines.push(format!("{letter}:{aside}:{to:?}"));
            }
        }
        (lines, merges.is_cut)
    }

    #[test]
    fn a_merge_tells_what_came_to_each_side_and_each_commit_once() {
        for (history, expected) in [
            // Two commits beside two of the way.
            (&["A", "BA", "CB", "xA", "yx", "DCy"][..], "D:yx:[2]"),
            // The same branch again, with one commit more and two of the way since, of which one merged.
            (&["A", "BA", "xA", "CBx", "DC", "yx", "EDy"], "E:y:[3]"),
            // What is merged already brings nothing, and lacks what came since.
            (&["A", "xA", "BAx", "CB", "DCx"], "D::[2]"),
            // Two at once: to each came the way and the other.
            (&["A", "BA", "xA", "yA", "CBxy"], "C:xy:[2, 2]"),
            // A branch that merged the way itself lacks only what came later.
            (&["A", "BA", "CB", "xA", "yxC", "DC", "EDy"], "E:yx:[1]"),
            // The way goes on by the second parent.
            (&["A", "BA", "CB", "xA", "DxC"], "D:x:[2]"),
            // What was merged into the way before is counted there, and not once more beside it.
            (&["A", "BA", "xA", "CBx", "yCx", "DC", "EDy"], "E:y:[1]"),
            // Each operation is a step, and a commit without one is one, too.
            (&["A", "BA3", "xA4", "CBx"], "C:x:[3]"),
            (&["A", "BA3", "xA1", "CBx"], "C:x:[3]"),
            // An unrelated history.
            (&["A", "BA", "x", "CBx"], "C:x:[2]"),
        ] {
            let (lines, is_cut) = walked(history);
            assert_eq!((lines.last().map(String::as_str), is_cut), (Some(expected), false), "{history:?}");
        }
    }

    #[test]
    fn a_merge_of_more_parents_than_are_looked_at_is_told_to_be_cut() {
        for (parents, expected) in [(PARENTS_MAX, false), (PARENTS_MAX + 1, true)] {
            let letters: Vec<char> = ('a'..='z').take(parents - 1).collect();
            let mut history = vec!["A".to_owned(), "BA".to_owned()];
            history.extend(letters.iter().map(|letter| format!("{letter}A")));
            history.push(format!("CB{}", letters.iter().collect::<String>()));
            let (lines, is_cut) = walked(&history.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(is_cut, expected, "{parents}: {lines:?}");
        }
    }

    #[test]
    fn of_a_message_without_bounds_a_part_is_kept() {
        let told_of = |message: &str| {
            let folder = tempfile::tempdir().expect("folder");
            let repository = Repository::init_bare(folder.path()).expect("repository");
            let odb = repository.odb().expect("odb");
            let text =
                format!("tree {}\nauthor a <> 1 +0000\ncommitter a <> 1 +0000\n\n{message}", Oid::ZERO_SHA1);
            let id = odb.write(ObjectType::Commit, text.as_bytes()).expect("writes");
            let told = told(id, &CommitText::read(&odb, id).expect("reads"));
            assert_eq!(told.version, Version::new(id.to_string()));
            (told.ops.len(), told.is_cut)
        };
        let many = |count: usize| format!("x\n\n{}", (0..count).map(op).collect::<String>());
        assert_eq!(told_of(&many(1_000)), (1_000, false));
        assert_eq!(told_of(&many(1_001)), (1_000, true));
        let late = |bytes: usize| format!("{}\n\n{}", "x".repeat(bytes), op(1));
        assert_eq!(told_of(&late(1_000)), (1, false));
        assert_eq!(told_of(&late(2 * 1024 * 1024)), (0, true));
    }
}
