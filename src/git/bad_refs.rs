//! Refs of a hub that cannot be used: found, named and left out, so that one stops nobody.
//!
//! git gives up on a whole fetch, and on every push, when one ref of the other side leads nowhere.

use super::classify::{FetchVerdict, is_about_ref, is_about_rights};
use super::marks;
use super::objects::Objects;
use super::refs::tracking;
use crate::domain::bad_branch::{BadBranch, BranchFault};
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, is_side_branch};
use crate::ledger::{Cause, Reason};
use crate::machine::{Deadline, Machine};
use git2::{ErrorClass, ErrorCode, ObjectType, Oid, Reference, ReferenceType, Repository};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::path::Path;

/// How often a fetch is tried with one more set of refs left out: git names one at a time.
pub(super) const ROUNDS_MAX: u32 = 8;

/// The refs that are known to be bad, by their branch.
pub(super) type BadRefs = BTreeMap<String, BranchFault>;

/// How many fetches are spent on telling which branches lack an object, if there is time for as many.
const HALVINGS_MAX: u32 = 200;

/// The part of the time of a command that they may take.
const TIME_SHARE: u32 = 3;

/// What a fetch of some branches tells of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FetchedRefs {
    /// They come.
    Comes,
    /// The hub has lost an object that one of them needs, or cannot read it, which is the flaw of that one.
    Lacks(BranchFault),
    /// Nothing, as the time is over, the hub does not answer or something else went wrong.
    Nothing,
}

impl FetchedRefs {
    /// What a fetch of some branches came to.
    pub(super) fn by(verdict: &FetchVerdict) -> Self {
        match verdict {
            // What may not be read is not lost, and must not be removed.
            FetchVerdict::HubDamaged(why, _) if is_about_rights(why) => Self::Lacks(BranchFault::Forbidden),
            FetchVerdict::HubDamaged(..) => Self::Lacks(BranchFault::Incomplete),
            FetchVerdict::Fetched | FetchVerdict::MissingBranch => Self::Comes,
            _ => Self::Nothing,
        }
    }
}

/// Until when it is looked for branches that lack an object.
pub(super) fn search_ends(deadline: &Deadline) -> Deadline {
    Machine::real().deadline(deadline.left() / TIME_SHARE)
}

/// What was found out before of the heartbeat branches of a hub.
pub(super) struct Before<'a> {
    /// Where our copy has a branch: it came whole when it came.
    pub(super) at: &'a dyn Fn(&str) -> Option<String>,
    /// Those of which some did not come, in the groups in which they are told apart.
    pub(super) groups: Groups,
}

/// Branches in groups. Of each group one may lack an object.
pub(super) type Groups = Vec<Vec<String>>;

/// The heartbeat branches among `specs` of which the hub has lost an object, where a fetch of these failed for
/// that. `list` gives what `git ls-remote` prints of the branches; `fetch` tells of some.
///
/// What came before and stands where it stood needs no fetch, and of what did not come the groups are put down
/// in `before`, so that a search that ran out of time goes on with the next look.
pub(super) fn incomplete<E>(
    specs: &[String],
    before: &mut Before<'_>,
    list: impl FnOnce() -> Result<String, E>,
    mut fetch: impl FnMut(&[String]) -> Result<FetchedRefs, E>,
) -> Result<BadRefs, E> {
    let (beats, others): (Vec<String>, Vec<String>) =
        patterns(specs).partition(|name| name.starts_with(HEARTBEAT_BRANCH_PREFIX));
    let others: Vec<String> = others.iter().map(|name| tracking(name)).collect();
    if beats.is_empty() {
        return Ok(BadRefs::new());
    }
    let others = if others.is_empty() { FetchedRefs::Comes } else { fetch(&others)? };
    if matches!(others, FetchedRefs::Lacks(_)) {
        return Ok(BadRefs::new());
    }
    let left_out: HashSet<&str> = specs.iter().filter_map(|spec| spec.strip_prefix("^refs/heads/")).collect();
    let fits = |name: &str| {
        beats.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => pattern == name,
        })
    };
    let is_asked = |name: &str| fits(name) && !left_out.contains(name);
    let listing = list()?;
    let stands = listing.lines().filter_map(|line| line.split_once("\trefs/heads/"));
    let is_unknown = |id: &str, name: &str| is_asked(name) && (before.at)(name).as_deref() != Some(id);
    let mut unknown: BTreeSet<String> =
        stands.filter(|(id, name)| is_unknown(id, name)).map(|(_, name)| name.to_owned()).collect();
    let named: Vec<String> = beats.iter().filter_map(|pattern| unknown.take(name_of(pattern))).collect();
    let of_group = |group: &Vec<String>| group.iter().filter_map(|name| unknown.take(name)).collect();
    let known: Groups = before.groups.iter().map(of_group).collect();
    let rest = unknown.into_iter().collect();
    let mut groups: VecDeque<Vec<String>> = [named, rest].into_iter().chain(known).collect();
    groups.retain(|group| !group.is_empty());
    // What came until now leaves nothing else that could lack it.
    if let ([group], FetchedRefs::Comes) = (groups.make_contiguous(), others)
        && group.len() > 1
    {
        let rest = group.split_off(group.len() / 2);
        groups.push_back(rest);
    }
    let (found, left) = by_halves(groups, |branches| match others {
        FetchedRefs::Nothing => Ok(FetchedRefs::Nothing),
        _ => fetch(&branches.iter().map(|branch| tracking(branch)).collect::<Vec<_>>()),
    })?;
    // What nobody asked for is as it was.
    before.groups.iter_mut().for_each(|group| group.retain(|name| !fits(name)));
    before.groups.retain(|group| !group.is_empty());
    before.groups.extend(left);
    Ok(found)
}

/// What `specs` ask for.
fn patterns(specs: &[String]) -> impl Iterator<Item = String> + '_ {
    specs.iter().filter_map(|spec| Some(spec.strip_prefix("+refs/heads/")?.split(':').next()?.to_owned()))
}

/// The branch that a pattern for its name, and for all that begin so, was made of.
fn name_of(pattern: &str) -> &str {
    pattern.strip_suffix('*').unwrap_or(pattern)
}

/// Whether `specs` ask for a branch by its name: then that one is needed, as a server needs the branch of its own
/// heartbeat.
pub(super) fn is_named(specs: &[String], branch: &str) -> bool {
    patterns(specs).any(|pattern| name_of(&pattern) == branch)
}

/// Those of `groups` of branches that do not come: git names the object that is lost, and not who needs it, so
/// they are asked for by halves, the larger first, so that as many as can be are told of. Of what could not be
/// told apart in time that is said. With the groups that are left to look at, those first that were not.
pub(super) fn by_halves<E>(
    mut groups: VecDeque<Vec<String>>,
    mut fetch: impl FnMut(&[String]) -> Result<FetchedRefs, E>,
) -> Result<(BadRefs, Groups), E> {
    let (mut found, mut untold) = (BadRefs::new(), Groups::new());
    let mut fetches = 0..HALVINGS_MAX;
    let mut is_over = false;
    while let Some(mut group) = groups.pop_front() {
        let told = match fetches.next().filter(|_| !is_over) {
            Some(_) => fetch(&group)?,
            None => FetchedRefs::Nothing,
        };
        match told {
            FetchedRefs::Comes => {}
            FetchedRefs::Nothing => {
                is_over = true;
                untold.push(group);
            }
            FetchedRefs::Lacks(flaw) if group.len() == 1 => {
                found.extend(group.into_iter().map(|branch| (branch, flaw)));
            }
            FetchedRefs::Lacks(_) => {
                let rest = group.split_off(group.len() / 2);
                groups.extend([group, rest]);
            }
        }
    }
    let alone: Groups = found.keys().map(|branch| vec![branch.clone()]).collect();
    found.extend(untold.iter().flatten().map(|branch| (branch.clone(), BranchFault::Untold)));
    Ok((found, [untold, alone].concat()))
}

/// Whether a failed fetch may be the fault of a ref that leads nowhere.
pub(super) fn may_be_one(why: &str) -> bool {
    is_about_ref(why)
}

/// What comes before the verb of git where a name may be at fault that git cannot have, such as `main 2`:
/// only the first protocol tells all of it, the newer ones end it at its space.
pub(super) const WHOLE_NAMES: [&str; 2] = ["-c", "protocol.version=0"];

/// The bad branches in what `git ls-remote` printed, where git named `why` a fetch failed. A ref that is
/// listed a second time and leads somewhere is none of them.
pub(super) fn find(listing: &str, why: &str) -> BadRefs {
    let lines =
        || listing.lines().filter_map(|line| line.split_once('\t')).filter(|(_, name)| *name != "HEAD");
    let flaw = |id: &str, name: &str| match Oid::from_str(id) {
        Ok(id) if !id.is_zero() => Some(BranchFault::Missing).filter(|_| why.contains(&id.to_string())),
        _ => Some(flaw_of_name(name).unwrap_or(BranchFault::Unreadable)),
    };
    let sound: HashSet<&str> =
        lines().filter(|(id, name)| flaw(id, name).is_none()).map(|(_, name)| name).collect();
    let bad = lines().filter(|(_, name)| !sound.contains(name));
    bad.filter_map(|(id, name)| Some((BadBranch::at(name, BranchFault::NoName).branch, flaw(id, name)?)))
        .collect()
}

/// What is wrong with a ref by its name alone.
pub(super) fn flaw_of_name(reference: &str) -> Option<BranchFault> {
    (!Reference::is_valid_name(reference)).then_some(BranchFault::NoName)
}

/// What is added to a fetch to leave them out. What has no name git leaves out by itself.
pub(super) fn left_out(bad: &BadRefs) -> impl Iterator<Item = String> + '_ {
    let named = bad.iter().filter(|(_, flaw)| **flaw != BranchFault::NoName);
    named.map(|(branch, _)| format!("^{}", BadBranch::reference_of(branch)))
}

/// Why the ref at `file` cannot be read: what may not be read is not damaged, and must not be removed.
pub(super) fn why_unreadable(file: &Path) -> BranchFault {
    match std::fs::File::open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => BranchFault::Forbidden,
        _ => BranchFault::Unreadable,
    }
}

/// What is wrong with a heartbeat branch that is here, if anything. What is lost in the `hub` itself is the
/// branch's fault; what is lost in a copy of it is the copy's, and told where it is read.
pub(super) fn flaw(objects: &Objects, branch: &str, reference: &str, is_hub: bool) -> Option<BranchFault> {
    let repository = objects.repository();
    let id = match repository.refname_to_id(reference) {
        Ok(id) => id,
        // A symbolic ref that leads nowhere is a branch that is not there.
        Err(error) if error.code() == ErrorCode::NotFound => return None,
        Err(_) => return Some(why_unreadable(&repository.commondir().join(reference))),
    };
    let below = branch.strip_prefix(HEARTBEAT_BRANCH_PREFIX).is_some_and(|name| name.contains('/'));
    let header = repository.odb().and_then(|odb| odb.read_header(id));
    match header {
        _ if is_symbolic(repository, reference) && holds_hub(repository, id) => {
            Some(BranchFault::AnotherName)
        }
        _ if below => Some(BranchFault::InTheWay),
        Ok((_, ObjectType::Commit)) => None,
        Ok(_) => Some(BranchFault::NotACommit),
        Err(error) if error.code() == ErrorCode::NotFound => Some(BranchFault::Missing),
        Err(error) if is_hub && is_lost(&error) => Some(BranchFault::Incomplete),
        // A damaged object is told where it is read.
        Err(_) => None,
    }
}

/// Whether an object is gone, or its file cut off or garbled: not, that it may not be read.
fn is_lost(error: &git2::Error) -> bool {
    error.code() == ErrorCode::NotFound
        || matches!(error.class(), ErrorClass::Odb | ErrorClass::Object | ErrorClass::Zlib)
}

/// Whether a ref of this repository is another name of another ref.
pub(super) fn is_symbolic(repository: &Repository, reference: &str) -> bool {
    repository.find_reference(reference).is_ok_and(|found| found.kind() == Some(ReferenceType::Symbolic))
}

/// Whether a commit of a branch that a server keeps for itself holds the documents of the hub.
pub(super) fn holds_hub(repository: &Repository, id: Oid) -> bool {
    repository
        .find_commit(id)
        .is_ok_and(|commit| marks::holds_documents(&commit) || marks::marker(repository, &commit).is_some())
}

/// Whether a commit of our copy lies on one line with a branch of the hub that no server keeps for itself:
/// before it, after it or at it.
pub(super) fn is_of_one_line_with_others(repository: &Repository, id: Oid) -> bool {
    let Ok(refs) = repository.references_glob("refs/remotes/origin/*") else { return true };
    let tips = refs.flatten().filter_map(|found| {
        let branch = found.name().ok()?.strip_prefix("refs/remotes/origin/")?;
        (!is_side_branch(branch)).then(|| found.target())?
    });
    let is_after = |one, other| repository.graph_descendant_of(one, other).unwrap_or(true);
    tips.into_iter().any(|tip| tip == id || is_after(tip, id) || is_after(id, tip))
}

/// The heartbeat branches and tags of a hub of this machine whose files hold no ref, and files whose names
/// no ref can have, which no list of refs shows, and which stop pushes of those who reach it by git.
pub(super) fn unreadable_files(objects: &Objects) -> BadRefs {
    let repository = objects.repository();
    let files = |folder: &'static str| {
        let entries = std::fs::read_dir(repository.commondir().join(folder));
        entries.into_iter().flatten().filter_map(move |entry| {
            let entry = entry.ok().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))?;
            Some(format!("{folder}/{}", entry.file_name().into_string().ok()?))
        })
    };
    let beats = format!("refs/heads/{HEARTBEAT_BRANCH_PREFIX}");
    let is_known = |name: &String| {
        !name.starts_with("refs/heads/") || name.starts_with(&beats) || flaw_of_name(name).is_some()
    };
    let is_bad = |name: &String| {
        let found = repository.refname_to_id(name);
        matches!(found, Err(error) if error.code() != ErrorCode::NotFound)
    };
    let names = ["refs", "refs/heads", "refs/tags"].into_iter().flat_map(files);
    let bad = names.filter(|name| is_known(name) && !name.ends_with(".lock")).filter(is_bad);
    let told = |name: String| {
        let flaw = flaw_of_name(&name).unwrap_or_else(|| why_unreadable(&repository.commondir().join(&name)));
        (BadBranch::at(&name, flaw).branch, flaw)
    };
    bad.map(told).collect()
}

/// What a push says that would move a bad branch.
pub(super) fn refusal(bad: BadBranch) -> Reason {
    let cause = match bad.flaw {
        BranchFault::InTheWay => Cause::NameTaken,
        BranchFault::Forbidden => Cause::MayNotRead,
        _ => Cause::DamagedRef,
    };
    let words = format!("its {} {}", bad.shown(), bad.why());
    Reason { about: Some(bad), ..Reason::of(cause, words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_refs_are_found_in_a_listing() {
        let (zero, gone, well) = ("0".repeat(40), "1".repeat(40), "2".repeat(40));
        let listing = format!(
            "{gone}\tHEAD\n{well}\trefs/heads/main\n{zero}\trefs/heads/heartbeat-a\n\
             {gone}\trefs/heads/heartbeat-b\nodd\trefs/heads/odd\n{zero}\trefs/tags/t\n\
             {zero}\trefs/heads/main 2\n{zero}\trefs/heads/main\n{zero}\trefs/tags/a..b\n"
        );
        let why = format!("git upload-pack: not our ref {gone}");
        assert!(may_be_one(&why));
        let expected = [
            ("heartbeat-a", BranchFault::Unreadable),
            ("heartbeat-b", BranchFault::Missing),
            ("main 2", BranchFault::NoName),
            ("odd", BranchFault::Unreadable),
            ("refs/tags/a..b", BranchFault::NoName),
            ("refs/tags/t", BranchFault::Unreadable),
        ];
        let expected: BadRefs = expected.map(|(name, flaw)| (name.to_owned(), flaw)).into();
        let found = find(&listing, &why);
        assert_eq!(found, expected);
        let left: Vec<String> = left_out(&found).collect();
        let expected =
            ["^refs/heads/heartbeat-a", "^refs/heads/heartbeat-b", "^refs/heads/odd", "^refs/tags/t"];
        assert_eq!(left, expected);
    }

    /// What is found of so many branches where some lack an object, and how many fetches that takes, if there
    /// is time for `most`.
    fn found_of(branches: usize, lacking: &[usize], main_comes: bool, most: usize) -> (BadRefs, usize) {
        let name = |number: usize| format!("heartbeat-{number:04}");
        let lines = (0..branches).map(|number| format!("id\trefs/heads/{}\n", name(number)));
        let listing: String = lines.chain(["id\trefs/heads/main\n".to_owned()]).collect();
        let lacking: Vec<String> = lacking.iter().map(|number| tracking(&name(*number))).collect();
        let mut fetches = 0;
        let specs = ["main", "heartbeat-*"].map(tracking);
        let mut before = Before { at: &|_| None, groups: Groups::new() };
        let found = incomplete::<()>(
            &specs,
            &mut before,
            || Ok(listing),
            |specs| {
                fetches += 1;
                let is_main = specs == [tracking("main")];
                let comes =
                    if is_main { main_comes } else { !specs.iter().any(|spec| lacking.contains(spec)) };
                Ok(match comes {
                    _ if fetches > most => FetchedRefs::Nothing,
                    true => FetchedRefs::Comes,
                    false => FetchedRefs::Lacks(BranchFault::Incomplete),
                })
            },
        );
        (found.expect("no error"), fetches)
    }

    #[test]
    fn branches_that_lack_an_object_are_found_by_halves() {
        let of = |numbers: &[usize], flaw: BranchFault| -> BadRefs {
            numbers.iter().map(|number| (format!("heartbeat-{number:04}"), flaw)).collect()
        };
        for (branches, lacking, fetches) in [
            (1, &[0][..], 2),
            (3, &[1], 5),
            (1000, &[7, 900], 39),
            (300, &[1, 100, 200, 299], 61),
            (0, &[], 1),
        ] {
            assert_eq!(
                found_of(branches, lacking, true, 200),
                (of(lacking, BranchFault::Incomplete), fetches)
            );
        }
        // Where the other branches do not come either, nothing is known of these.
        assert_eq!(found_of(5, &[1], false, 200), (BadRefs::new(), 1));
        // What is not told apart in time is not told as lost.
        let (found, fetches) = found_of(4, &[0, 3], true, 4);
        assert_eq!((found.get("heartbeat-0000"), fetches), (Some(&BranchFault::Incomplete), 5));
        assert!(found.values().skip(1).all(|flaw| *flaw == BranchFault::Untold), "{found:?}");
        let (found, fetches) = found_of(1000, &(0..1000).collect::<Vec<_>>(), true, 1000);
        assert_eq!((found.len(), fetches), (1000, 201));
    }

    /// A fleet behind a line over which one look has time for so many fetches of a search.
    struct Line {
        most: usize,
        /// Where each branch stands in the hub, and which lack an object.
        stands: BTreeMap<String, String>,
        lacking: HashSet<String>,
        /// What our copy has, and what it knows of the rest.
        came: BTreeMap<String, String>,
        known: Groups,
    }

    impl Line {
        fn of(branches: usize, lacking: &[usize], most: usize) -> Self {
            let name = |number: usize| format!("heartbeat-{number:04}");
            let stands = (0..branches).map(|number| (name(number), "1".to_owned())).collect();
            let lacking = lacking.iter().map(|number| name(*number)).collect();
            Self { most, stands, lacking, came: BTreeMap::new(), known: Groups::new() }
        }

        /// What the next look finds.
        fn look(&mut self, specs: &[String]) -> BadRefs {
            let listing: String =
                self.stands.iter().map(|(name, id)| format!("{id}\trefs/heads/{name}\n")).collect();
            let came = self.came.clone();
            let mut before =
                Before { at: &|name| came.get(name).cloned(), groups: std::mem::take(&mut self.known) };
            let mut fetches = 0;
            let found = incomplete::<()>(
                specs,
                &mut before,
                || Ok(listing),
                |specs| {
                    fetches += 1;
                    let names =
                        || self.stands.keys().filter(|name| specs.iter().any(|spec| *spec == tracking(name)));
                    Ok(if fetches > self.most {
                        FetchedRefs::Nothing
                    } else if names().any(|name| self.lacking.contains(name)) {
                        FetchedRefs::Lacks(BranchFault::Incomplete)
                    } else {
                        self.came.extend(names().map(|name| (name.clone(), self.stands[name].clone())));
                        FetchedRefs::Comes
                    })
                },
            );
            self.known = before.groups;
            found.expect("no error")
        }
    }

    #[test]
    fn a_search_that_ran_out_of_time_goes_on_with_the_next_look() {
        let untold = |found: &BadRefs| found.values().filter(|flaw| **flaw == BranchFault::Untold).count();
        let specs = ["main", "heartbeat-*"].map(tracking);
        for (branches, lacking, most, looks) in [
            (20, &[4][..], 3, 5),
            (20, &[4], 4, 4),
            (1000, &[7, 900], 8, 6),
            (300, &[1, 100, 200, 299], 8, 9),
        ] {
            let mut line = Line::of(branches, lacking, most);
            let taken = (1..=2 * looks).find(|_| untold(&line.look(&specs)) == 0);
            assert_eq!(taken, Some(looks), "{branches} {lacking:?}");
            // What was found out stays known, whatever the others send meanwhile.
            for (name, id) in &mut line.stands {
                if !line.lacking.contains(name) {
                    "2".clone_into(id);
                }
            }
            line.most = lacking.len() + 2;
            let found = line.look(&specs);
            assert_eq!((untold(&found), found.len()), (0, lacking.len()), "{found:?}");
            // What was put back is seen at once.
            line.lacking.clear();
            assert_eq!((line.look(&specs), &line.known), (BadRefs::new(), &Groups::new()));
        }
    }

    #[test]
    fn who_asks_for_few_branches_forgets_nothing_of_the_others() {
        let specs = ["main", "heartbeat-*"].map(tracking);
        let mut line = Line::of(20, &[4], 3);
        line.look(&specs);
        let known = line.known.clone();
        let own = ["main", "heartbeat-0015*"].map(tracking);
        assert_eq!((line.look(&own), &line.known), (BadRefs::new(), &known));
        // One that leads nowhere by now is another matter.
        let left_out = [specs.to_vec(), vec!["^refs/heads/heartbeat-0004".to_owned()]].concat();
        line.most = 20;
        assert_eq!((line.look(&left_out), &line.known), (BadRefs::new(), &Groups::new()));
    }

    #[test]
    fn each_branch_is_told_of_in_its_turn_although_all_lack_an_object() {
        let specs = ["main", "heartbeat-*"].map(tracking);
        let mut line = Line::of(30, &(0..30).collect::<Vec<_>>(), 8);
        let mut told = BTreeSet::new();
        for _ in 0..20 {
            let found = line.look(&specs);
            told.extend(
                found.into_iter().filter(|(_, flaw)| *flaw == BranchFault::Incomplete).map(|(name, _)| name),
            );
        }
        assert_eq!(told.len(), 30);
    }

    #[test]
    fn who_asks_for_one_branch_by_its_name_gets_that_one_first() {
        for named in ["heartbeat-0003*", "heartbeat-0003"] {
            let specs = ["main", "heartbeat-*", named].map(tracking);
            let mut line = Line::of(20, &[4], 2);
            let found = line.look(&specs);
            assert_eq!((found.get("heartbeat-0003"), found.len()), (None, 19), "{found:?}");
            // If it is the one that lacks an object that is told in time, too.
            let mut line = Line::of(20, &[3, 4], 2);
            assert_eq!(line.look(&specs).get("heartbeat-0003"), Some(&BranchFault::Incomplete));
            // Where not even the main branch came in time nothing is told of any.
            let mut line = Line::of(20, &[4], 0);
            assert!(line.look(&specs).values().all(|flaw| *flaw == BranchFault::Untold));
        }
    }

    #[test]
    fn only_the_branches_that_were_asked_for_are_looked_at() {
        let listing = "id\trefs/heads/heartbeat-a\nid\trefs/heads/heartbeat-ab\nid\trefs/heads/heartbeat-b\n";
        for (specs, expected) in [
            (vec![tracking("heartbeat-a*")], &["heartbeat-a", "heartbeat-ab"][..]),
            (vec![tracking("heartbeat-b*")], &["heartbeat-b"]),
            (
                vec![tracking("heartbeat-*"), "^refs/heads/heartbeat-a".to_owned()],
                &["heartbeat-ab", "heartbeat-b"],
            ),
            (vec![tracking("main")], &[]),
        ] {
            let mut before = Before { at: &|_| None, groups: Groups::new() };
            let list = || Ok(listing.to_owned());
            let lacks = |_: &[String]| Ok(FetchedRefs::Lacks(BranchFault::Incomplete));
            let found = incomplete::<()>(&specs, &mut before, list, lacks);
            let expected =
                expected.iter().map(|name| ((*name).to_owned(), BranchFault::Incomplete)).collect();
            assert_eq!(found, Ok(expected), "{specs:?}");
        }
    }

    #[test]
    fn what_may_not_be_read_is_not_told_as_lost() {
        let why = Reason::of(Cause::Network, "it did not answer");
        for (verdict, expected) in [
            (FetchVerdict::Fetched, FetchedRefs::Comes),
            (
                FetchVerdict::HubDamaged("unable to read 1".to_owned(), None),
                FetchedRefs::Lacks(BranchFault::Incomplete),
            ),
            (
                FetchVerdict::HubDamaged("unable to open 1: Permission denied".to_owned(), None),
                FetchedRefs::Lacks(BranchFault::Forbidden),
            ),
            (FetchVerdict::Unreachable(why), FetchedRefs::Nothing),
            // Nobody knows whether it came.
            (FetchVerdict::Failed("cannot lock ref".to_owned()), FetchedRefs::Nothing),
        ] {
            assert_eq!(FetchedRefs::by(&verdict), expected, "{verdict:?}");
        }
    }
}
