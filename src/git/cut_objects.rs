//! Objects whose files were cut off, by a loss of power or by somebody, and which libgit2 reads for ever.
//!
//! libgit2 inflates what a file holds until it has as much as its beginning promises; of a file that
//! ends before, it asks again and again for the rest. git notices the end. So when a thread of this
//! process only turns round ([`crate::machine::threads`]), git is asked which objects of the repositories
//! that were opened are cut off. Nothing is looked at before that: to inflate every object a second time
//! would cost each command as much as it takes.

use super::program::GitProgram;
use super::pruning;
use crate::machine::Machine;
use git2::{Oid, Repository};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long git may take to read the objects of one repository that lie in files of their own. There are
/// some thousand at most: with more, git packs them.
const READING_MAX: Duration = Duration::from_secs(60);

/// What git says before the place of an object that it cannot read.
const CORRUPT: &str = ": object corrupt or missing: ";

/// What was opened by this process: the folders of the repositories, and whether they are bare.
static OPENED: Mutex<BTreeSet<(PathBuf, bool)>> = Mutex::new(BTreeSet::new());

/// An object that is cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutObject {
    /// Its id.
    pub id: String,
    /// The folder of the repository.
    pub repository: PathBuf,
    /// Its file.
    pub file: PathBuf,
    /// Where the file lies now, if it could be moved away. In a clone of a user it stays.
    pub aside: Option<PathBuf>,
}

/// Notes that a repository is read from now on.
pub(super) fn note(repository: &Repository) {
    let opened = (repository.commondir().to_owned(), repository.is_bare());
    OPENED.lock().unwrap_or_else(PoisonError::into_inner).insert(opened);
}

/// The objects that are cut off in the repositories that were opened. Those of a hub or of our copy are
/// moved away: what is needed of a copy is fetched again, and of a hub it is told as missing.
#[must_use]
pub fn cut_objects() -> Vec<CutObject> {
    let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    opened.into_iter().flat_map(|(folder, is_bare)| in_repository(&folder, is_bare)).collect()
}

fn in_repository(folder: &Path, is_bare: bool) -> Vec<CutObject> {
    let words = ["fsck", "--no-full", "--no-dangling", "--no-reflogs", "--no-progress"].map(str::to_owned);
    let done = GitProgram::default().run(folder, &words, &Machine::real().deadline(READING_MAX));
    let said = done.map(|done| done.stderr).unwrap_or_default();
    let ids = said.lines().filter_map(|line| {
        let (before, _) = line.split_once(CORRUPT)?;
        Oid::from_str(before.rsplit(' ').next()?).ok()
    });
    ids.filter_map(|id| {
        let file = pruning::file_below(folder, id);
        // One that is only missing is none that is read for ever.
        if !file.exists() {
            return None;
        }
        let aside = if is_bare { pruning::set_aside(folder, id) } else { None };
        Some(CutObject { id: id.to_string(), repository: folder.to_owned(), file, aside })
    })
    .collect()
}
