//! In which branch a hub is: what its own HEAD names, and what its branches hold.
//!
//! The answer of a hub over a connection is recorded where its objects are kept, so that the question
//! is asked once.

use super::around::BRANCH_KEY;
use super::cache::{HubCopy, store_path};
use super::classify::{FetchVerdict, classify_fetch, store_cause};
use super::libgit2::fault;
use super::open::open_path;
use super::program::{GitProgram, TOO_SLOW};
use super::{look, marks, permitted};
use crate::domain::id::{check_hub_branch, is_side_branch};
use crate::ledger::Location;
use crate::ledger::{Cause, LedgerError, Pace, Reason};
use crate::machine::Deadline;
use git2::{ConfigLevel, ErrorCode, Repository};
use std::path::Path;

/// What could not be done.
const ASKING: &str = "cannot ask the hub for its branch";

/// The most branches of a hub that are looked into.
const BRANCHES_MAX: usize = 1000;

/// How often a hub that cannot be reached is asked.
const ASKED_MAX: u32 = 4;

/// The branch that the hub's own HEAD names and that is there; none where the hub answers and names
/// none. `again`: what was recorded does not count.
///
/// # Errors
/// When the hub cannot be asked: what is not known then is not taken for what is not there.
pub fn home_branch(
    location: &Location,
    clone: Option<&Path>,
    again: bool,
    deadline: &Deadline,
) -> Result<Option<String>, LedgerError> {
    let url = match location {
        // Whoever opens it tells why it cannot be opened.
        Location::Path(path) => return Ok(open_path(path).ok().and_then(|hub| head_of(&hub))),
        Location::Url(url) => url,
    };
    let repository = match clone {
        Some(top) => permitted::open(top).map_err(|error| fault(ASKING, &error))?,
        None => HubCopy::open(url)?.0,
    };
    if !again && let Some(branch) = recorded(&repository) {
        return Ok(Some(branch));
    }
    let Some(branch) = ask_patiently(repository.path(), &location.shown(), deadline)? else {
        return Ok(None);
    };
    // Otherwise it is asked again the next time.
    drop(record(&repository, &branch));
    Ok(Some(branch))
}

/// The same for who must leave no trace: nothing is made and nothing recorded.
#[must_use]
pub fn known_home_branch(location: &Location, clone: Option<&Path>) -> Option<String> {
    match location {
        Location::Path(path) => head_of(&open_path(path).ok()?),
        Location::Url(url) => {
            let store = clone.map_or_else(|| store_path(url), Path::to_owned);
            recorded(&permitted::open(&store).ok()?)
        }
    }
}

fn head_of(repository: &Repository) -> Option<String> {
    let head = repository.find_reference("HEAD").ok()?;
    let branch = head.symbolic_target().ok().flatten()?.strip_prefix("refs/heads/")?.to_owned();
    // One whose ref cannot be read is there all the same: whoever opens it tells what is wrong.
    let found = repository.find_reference(&format!("refs/heads/{branch}"));
    if found.is_err_and(|error| error.code() == ErrorCode::NotFound) {
        return None;
    }
    check_hub_branch(&branch).ok().map(|()| branch)
}

fn recorded(repository: &Repository) -> Option<String> {
    let config = repository.config().ok()?.open_level(ConfigLevel::Local).ok()?;
    config.get_string(BRANCH_KEY).ok().filter(|branch| check_hub_branch(branch).is_ok())
}

fn record(repository: &Repository, branch: &str) -> Result<(), git2::Error> {
    repository.config()?.open_level(ConfigLevel::Local)?.set_str(BRANCH_KEY, branch)
}

/// Asks a hub more than once that cannot be reached, as a write does.
fn ask_patiently(directory: &Path, hub: &str, deadline: &Deadline) -> Result<Option<String>, LedgerError> {
    let mut pace = Pace::network();
    let mut asked = 1;
    loop {
        match ask_head(directory, hub, deadline) {
            Err(LedgerError::Unreachable { .. }) if asked < ASKED_MAX && !deadline.passed() => {
                asked += 1;
                pace.wait(deadline);
            }
            answer => return answer,
        }
    }
}

/// Asks `origin` of the repository at `directory` which branch its HEAD names; none where it has no
/// commit.
fn ask_head(directory: &Path, hub: &str, deadline: &Deadline) -> Result<Option<String>, LedgerError> {
    let words = ["ls-remote", "--symref", "origin", "HEAD"].map(str::to_owned);
    let done = GitProgram::default().run(directory, &words, deadline)?;
    let hub = || hub.to_owned();
    if done.timed_out {
        return Err(LedgerError::Unreachable { hub: hub(), why: Reason::of(Cause::Network, TOO_SLOW) });
    }
    match classify_fetch(done.exit_code, &done.stdout, &done.stderr) {
        FetchVerdict::Fetched | FetchVerdict::MissingBranch => {}
        FetchVerdict::Unreachable(why) => return Err(LedgerError::Unreachable { hub: hub(), why }),
        FetchVerdict::Denied(why) => return Err(LedgerError::Denied { hub: hub(), why }),
        FetchVerdict::BrokenCache(why) | FetchVerdict::HubDamaged(why, _) | FetchVerdict::Failed(why) => {
            let cause = store_cause(&why);
            return Err(LedgerError::Store { what: ASKING.to_owned(), why, cause });
        }
    }
    let line = done.stdout.lines().find_map(|line| line.strip_prefix("ref: refs/heads/"));
    let branch = line.and_then(|line| line.split_whitespace().next()).map(str::to_owned);
    Ok(branch.filter(|branch| check_hub_branch(branch).is_ok()))
}

/// A branch that holds documents of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Which.
    pub branch: String,
    /// The branch that its marker names, if it has one.
    pub marked: Option<String>,
}

/// Has the HEAD of the repository at `path` name `branch`, if it names one that is not there: whoever
/// clones it would have nothing checked out, and a clone would not know which branch is the hub's.
/// Failing leaves it as it was.
pub fn head_names(path: &Path, branch: &str) {
    let Ok(repository) = permitted::open(path) else { return };
    if repository.head().is_err_and(|error| error.code() == git2::ErrorCode::UnbornBranch) {
        drop(repository.set_head(&format!("refs/heads/{branch}")));
    }
}

/// The branches of a repository that hold documents of a hub.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Homes {
    /// The branch that its HEAD names, whatever it holds.
    pub head: Option<String>,
    /// Those with documents.
    pub with_documents: Vec<Home>,
}

impl Homes {
    /// The branch that is the hub: that of HEAD, unless its marker names another; else the only one
    /// that is marked as itself.
    #[must_use]
    pub fn home(&self) -> Option<&str> {
        let at = |name: &str| self.with_documents.iter().find(|home| home.branch == name);
        if let Some(home) = self.head.as_deref().and_then(at) {
            let named = home.marked.as_deref().and_then(at);
            return Some(named.map_or(home.branch.as_str(), |named| named.branch.as_str()));
        }
        let is_marked = |home: &&Home| home.marked.as_ref() == Some(&home.branch);
        let mut marked = self.with_documents.iter().filter(is_marked);
        match (marked.next(), marked.next()) {
            (Some(one), None) => Some(&one.branch),
            _ => None,
        }
    }
}

/// Looks into the branches of the hub. One over a connection is fetched, one commit deep, into a
/// folder that goes again.
///
/// # Errors
/// When it cannot be reached or read.
pub fn homes(location: &Location, clone: Option<&Path>, deadline: &Deadline) -> Result<Homes, LedgerError> {
    match location {
        Location::Path(path) => {
            let repository = open_path(path)?;
            Ok(Homes {
                head: head_of(&repository),
                with_documents: with_documents(&repository, "refs/heads/"),
            })
        }
        Location::Url(url) => look::with_all_branches(url, clone, deadline, |folder, repository| {
            Ok(Homes {
                head: ask_patiently(folder, &location.shown(), deadline)?,
                with_documents: with_documents(repository, "refs/remotes/origin/"),
            })
        })?,
    }
}

fn with_documents(repository: &Repository, prefix: &str) -> Vec<Home> {
    let Ok(references) = repository.references_glob(&format!("{prefix}*")) else { return Vec::new() };
    let home = |reference: git2::Reference<'_>| {
        let branch = reference.name().ok()?.strip_prefix(prefix)?.to_owned();
        if branch == "HEAD" || is_side_branch(&branch) {
            return None;
        }
        let commit = reference.peel_to_commit().ok()?;
        let marker = marks::marker(repository, &commit);
        let is_home = marker.is_some() || marks::holds_documents(&commit);
        is_home.then(|| Home { branch, marked: marker.and_then(|marker| marker.branch) })
    };
    references.flatten().take(BRANCHES_MAX).filter_map(home).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_is_in_the_branch_that_its_head_or_else_a_marker_names() {
        let homes = |head: &str, held: &[(&str, &str)]| Homes {
            head: Some(head.to_owned()).filter(|head| !head.is_empty()),
            with_documents: held
                .iter()
                .map(|(branch, marked)| Home {
                    branch: (*branch).to_owned(),
                    marked: Some((*marked).to_owned()).filter(|marked| !marked.is_empty()),
                })
                .collect(),
        };
        for (head, held, expected) in [
            ("main", &[("main", "main"), ("fix", "main")][..], Some("main")),
            // A branch that was made from the hub and is the default one for a while.
            ("fix", &[("main", "main"), ("fix", "main")], Some("main")),
            // The hub got another name.
            ("master", &[("master", "main")], Some("master")),
            ("master", &[("master", "")], Some("master")),
            // A hub beside a project.
            ("main", &[("fleet", "fleet"), ("fix", "fleet")], Some("fleet")),
            ("", &[("fleet", "fleet")], Some("fleet")),
            // Nobody said that it is one.
            ("main", &[("fleet", "")], None),
            ("main", &[("a", "a"), ("b", "b")], None),
            ("main", &[], None),
        ] {
            assert_eq!(homes(head, held).home(), expected, "{head} {held:?}");
        }
    }
}
