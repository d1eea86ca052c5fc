//! Refs of a hub that cannot be used: found, named and left out, so that one stops nobody.
//!
//! git gives up on a whole fetch, and on every push, when one ref of the other side leads nowhere.

use super::classify::FetchVerdict;
use super::far_side::{Cause, Reason};
use super::git_engine::tracking;
use super::marks;
use super::objects::Objects;
use crate::domain::bad_branch::{BadBranch, Flaw};
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, is_side_branch};
use crate::host::clock::Deadline;
use git2::{ErrorClass, ErrorCode, ObjectType, Oid, Reference, ReferenceType, Repository};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// How often a fetch is tried with one more set of refs left out: git names one at a time.
pub(super) const ROUNDS_MAX: u32 = 8;

/// The refs that are known to be bad, by their branch.
pub(super) type Bad = BTreeMap<String, Flaw>;

/// How many fetches are spent on telling which branches lack an object, if there is time for as many.
const HALVINGS_MAX: u32 = 200;

/// The part of the time of a command that they may take.
const TIME_SHARE: u32 = 3;

/// What a fetch of some branches tells of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// They come.
    Comes,
    /// The hub has lost an object that one of them needs.
    Lacks,
    /// Nothing, as the time is over or the hub does not answer.
    Nothing,
}

impl Told {
    /// What a fetch of some branches came to.
    pub(super) fn by(verdict: &FetchVerdict) -> Self {
        match verdict {
            FetchVerdict::HubDamaged(..) => Self::Lacks,
            FetchVerdict::Unreachable(_) => Self::Nothing,
            _ => Self::Comes,
        }
    }
}

/// Until when it is looked for branches that lack an object.
pub(super) fn search_ends(deadline: Deadline) -> Deadline {
    Deadline::after(deadline.left() / TIME_SHARE)
}

/// The heartbeat branches among `specs` of which the hub has lost an object, where a fetch of these failed for
/// that with the words `why`. `list` gives what `git ls-remote` prints of the branches; `fetch` tells of some.
pub(super) fn incomplete<E>(
    specs: &[String],
    why: &str,
    list: impl FnOnce() -> Result<String, E>,
    mut fetch: impl FnMut(&[String]) -> Result<Told, E>,
) -> Result<Bad, E> {
    let pattern = |spec: &String| Some(spec.strip_prefix("+refs/heads/")?.split(':').next()?.to_owned());
    let (beats, others): (Vec<String>, Vec<String>) =
        specs.iter().filter_map(pattern).partition(|name| name.starts_with(HEARTBEAT_BRANCH_PREFIX));
    let others: Vec<String> = others.iter().map(|name| tracking(name)).collect();
    if beats.is_empty() || (!others.is_empty() && fetch(&others)? != Told::Comes) {
        return Ok(Bad::new());
    }
    let left_out: HashSet<&str> = specs.iter().filter_map(|spec| spec.strip_prefix("^refs/heads/")).collect();
    let is_asked = |name: &&str| {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => pattern == name,
        };
        beats.iter().any(fits) && !left_out.contains(name)
    };
    let listing = list()?;
    let names = listing.lines().filter_map(|line| Some(line.split_once("\trefs/heads/")?.1));
    // What may not be read is not lost, and must not be removed.
    let flaw = match why.to_lowercase().contains("permission denied") {
        true => Flaw::Forbidden,
        false => Flaw::Incomplete,
    };
    by_halves(names.filter(is_asked).map(str::to_owned).collect(), flaw, |branches| {
        fetch(&branches.iter().map(|branch| tracking(branch)).collect::<Vec<_>>())
    })
}

/// Those of `branches` that do not come: git names the object that is lost, and not who needs it, so they are
/// asked for by halves. Of what could not be told apart in time that is said.
fn by_halves<E>(
    branches: Vec<String>,
    flaw: Flaw,
    mut fetch: impl FnMut(&[String]) -> Result<Told, E>,
) -> Result<Bad, E> {
    let mut found = Bad::new();
    let mut groups = vec![branches];
    let mut fetches = 0..HALVINGS_MAX;
    let mut is_over = false;
    while let Some(mut group) = groups.pop() {
        if group.is_empty() {
            continue;
        }
        let told = match fetches.next().filter(|_| !is_over) {
            Some(_) => fetch(&group)?,
            None => Told::Nothing,
        };
        match told {
            Told::Comes => {}
            Told::Nothing => {
                is_over = true;
                found.extend(group.into_iter().map(|branch| (branch, Flaw::Untold)));
            }
            Told::Lacks if group.len() == 1 => found.extend(group.into_iter().map(|branch| (branch, flaw))),
            Told::Lacks => {
                let rest = group.split_off(group.len() / 2);
                groups.extend([rest, group]);
            }
        }
    }
    Ok(found)
}

/// Whether a failed fetch may be the fault of a ref that leads nowhere.
pub(super) fn may_be_one(why: &str) -> bool {
    why.contains("not our ref")
}

/// What comes before the verb of git where a name may be at fault that git cannot have, such as `main 2`:
/// only the first protocol tells all of it, the newer ones end it at its space.
pub(super) const WHOLE_NAMES: [&str; 2] = ["-c", "protocol.version=0"];

/// The bad branches in what `git ls-remote` printed, where git named `why` a fetch failed. A ref that is
/// listed a second time and leads somewhere is none of them.
pub(super) fn find(listing: &str, why: &str) -> Bad {
    let lines =
        || listing.lines().filter_map(|line| line.split_once('\t')).filter(|(_, name)| *name != "HEAD");
    let flaw = |id: &str, name: &str| match Oid::from_str(id) {
        Ok(id) if !id.is_zero() => Some(Flaw::Missing).filter(|_| why.contains(&id.to_string())),
        _ => Some(flaw_of_name(name).unwrap_or(Flaw::Unreadable)),
    };
    let sound: HashSet<&str> =
        lines().filter(|(id, name)| flaw(id, name).is_none()).map(|(_, name)| name).collect();
    let bad = lines().filter(|(_, name)| !sound.contains(name));
    bad.filter_map(|(id, name)| Some((BadBranch::at(name, Flaw::NoName).branch, flaw(id, name)?))).collect()
}

/// What is wrong with a ref by its name alone.
pub(super) fn flaw_of_name(reference: &str) -> Option<Flaw> {
    (!Reference::is_valid_name(reference)).then_some(Flaw::NoName)
}

/// What is added to a fetch to leave them out. What has no name git leaves out by itself.
pub(super) fn left_out(bad: &Bad) -> impl Iterator<Item = String> + '_ {
    let named = bad.iter().filter(|(_, flaw)| **flaw != Flaw::NoName);
    named.map(|(branch, _)| format!("^{}", BadBranch::reference_of(branch)))
}

/// Why the ref at `file` cannot be read: what may not be read is not damaged, and must not be removed.
pub(super) fn why_unreadable(file: &Path) -> Flaw {
    match std::fs::File::open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Flaw::Forbidden,
        _ => Flaw::Unreadable,
    }
}

/// What is wrong with a heartbeat branch that is here, if anything. What is lost in the `hub` itself is the
/// branch's fault; what is lost in a copy of it is the copy's, and told where it is read.
pub(super) fn flaw(objects: &Objects, branch: &str, reference: &str, is_hub: bool) -> Option<Flaw> {
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
        _ if is_symbolic(repository, reference) && holds_hub(repository, id) => Some(Flaw::AnotherName),
        _ if below => Some(Flaw::InTheWay),
        Ok((_, ObjectType::Commit)) => None,
        Ok(_) => Some(Flaw::NotACommit),
        Err(error) if error.code() == ErrorCode::NotFound => Some(Flaw::Missing),
        Err(error) if is_hub && is_lost(&error) => Some(Flaw::Incomplete),
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
pub(super) fn unreadable_files(objects: &Objects) -> Bad {
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
        Flaw::InTheWay => Cause::NameTaken,
        Flaw::Forbidden => Cause::MayNotRead,
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
            ("heartbeat-a", Flaw::Unreadable),
            ("heartbeat-b", Flaw::Missing),
            ("main 2", Flaw::NoName),
            ("odd", Flaw::Unreadable),
            ("refs/tags/a..b", Flaw::NoName),
            ("refs/tags/t", Flaw::Unreadable),
        ];
        let expected: Bad = expected.map(|(name, flaw)| (name.to_owned(), flaw)).into();
        let found = find(&listing, &why);
        assert_eq!(found, expected);
        let left: Vec<String> = left_out(&found).collect();
        let expected =
            ["^refs/heads/heartbeat-a", "^refs/heads/heartbeat-b", "^refs/heads/odd", "^refs/tags/t"];
        assert_eq!(left, expected);
    }

    /// What is found of so many branches where some lack an object, and how many fetches that takes, if there
    /// is time for `most`.
    fn found_of(branches: usize, lacking: &[usize], main_comes: bool, most: usize) -> (Bad, usize) {
        let name = |number: usize| format!("heartbeat-{number:04}");
        let lines = (0..branches).map(|number| format!("id\trefs/heads/{}\n", name(number)));
        let listing: String = lines.chain(["id\trefs/heads/main\n".to_owned()]).collect();
        let lacking: Vec<String> = lacking.iter().map(|number| tracking(&name(*number))).collect();
        let mut fetches = 0;
        let specs = ["main", "heartbeat-*"].map(tracking);
        let found = incomplete::<()>(
            &specs,
            "lost",
            || Ok(listing),
            |specs| {
                fetches += 1;
                let is_main = specs == [tracking("main")];
                let comes =
                    if is_main { main_comes } else { !specs.iter().any(|spec| lacking.contains(spec)) };
                Ok(match comes {
                    _ if fetches > most => Told::Nothing,
                    true => Told::Comes,
                    false => Told::Lacks,
                })
            },
        );
        (found.expect("no error"), fetches)
    }

    #[test]
    fn branches_that_lack_an_object_are_found_by_halves() {
        let of = |numbers: &[usize], flaw: Flaw| -> Bad {
            numbers.iter().map(|number| (format!("heartbeat-{number:04}"), flaw)).collect()
        };
        for (branches, lacking, fetches) in [
            (1, &[0][..], 2),
            (3, &[1], 6),
            (1000, &[7, 900], 40),
            (300, &[1, 100, 200, 299], 62),
            (0, &[], 1),
        ] {
            assert_eq!(found_of(branches, lacking, true, 200), (of(lacking, Flaw::Incomplete), fetches));
        }
        // Where the other branches do not come either, nothing is known of these.
        assert_eq!(found_of(5, &[1], false, 200), (Bad::new(), 1));
        // What is not told apart in time is not told as lost.
        let (found, fetches) = found_of(4, &[0, 3], true, 4);
        assert_eq!((found.get("heartbeat-0000"), fetches), (Some(&Flaw::Incomplete), 5));
        assert!(found.values().skip(1).all(|flaw| *flaw == Flaw::Untold), "{found:?}");
        let (found, fetches) = found_of(1000, &(0..1000).collect::<Vec<_>>(), true, 1000);
        assert_eq!((found.len(), fetches), (1000, 201));
    }

    #[test]
    fn only_the_branches_that_were_asked_for_are_looked_at() {
        let listing = "id\trefs/heads/heartbeat-a\nid\trefs/heads/heartbeat-ab\nid\trefs/heads/heartbeat-b\n";
        for (specs, why, expected) in [
            (
                vec![tracking("heartbeat-a*")],
                "lost",
                vec![("heartbeat-a", Flaw::Incomplete), ("heartbeat-ab", Flaw::Incomplete)],
            ),
            (
                vec![tracking("heartbeat-b*")],
                "remote: Permission denied",
                vec![("heartbeat-b", Flaw::Forbidden)],
            ),
            (
                vec![tracking("heartbeat-*"), "^refs/heads/heartbeat-a".to_owned()],
                "lost",
                vec![("heartbeat-ab", Flaw::Incomplete), ("heartbeat-b", Flaw::Incomplete)],
            ),
            (vec![tracking("main")], "lost", vec![]),
        ] {
            let found = incomplete::<()>(&specs, why, || Ok(listing.to_owned()), |_| Ok(Told::Lacks));
            let expected: Bad = expected.into_iter().map(|(name, flaw)| (name.to_owned(), flaw)).collect();
            assert_eq!(found, Ok(expected), "{specs:?}");
        }
    }
}
