//! What can be said of a repository of this machine by looking at its files: hooks, settings, lock
//! files, size, rights, soundness. Nothing is written, and no object is made or moved.

use super::commits::{leads_to, tree_of};
use super::in_process::{SERVER_HOOKS, why_not_in_process};
use super::libgit2::fault;
use super::permitted;
use super::worktree::{self, OddIndex};
use crate::domain::id::HEARTBEAT_BRANCH_PREFIX;
use crate::ledger::LedgerError;
use crate::machine::disk;
use crate::machine::folder::{self, DirectoryEntry};
use git2::{ConfigLevel, ObjectType, Oid, Repository, TreeWalkMode, TreeWalkResult};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// How deep below a repository lock files lie: in `refs/heads/<name with slashes>`.
const LOCK_DEPTH_MAX: usize = 8;

/// How many folders of objects a repository has, named by two hexadecimal digits.
const FAN_OUT: usize = 256;

/// Where the branches of the hub lie in a copy or clone.
const FETCHED: &str = "refs/remotes/origin";

/// The most documents that a look at a copy reads.
const DOCUMENTS_READ_MAX: usize = 20_000;

/// A repository of this machine.
pub struct Store {
    repository: Repository,
}

/// A hook that lies in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: &'static str,
    /// Where it lies.
    pub path: String,
    /// Whether git would run it.
    pub is_executable: bool,
}

/// How large a repository is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Objects in files of their own.
    pub loose: usize,
    /// Their bytes.
    pub loose_bytes: u64,
    /// Packs.
    pub packs: usize,
    /// Their bytes.
    pub pack_bytes: u64,
}

impl Store {
    /// The repository at `path`, bare or with a work tree.
    ///
    /// # Errors
    /// When there is none that can be opened.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let repository = permitted::open(path);
        let failed = |error| fault(format!("cannot open `{}`", path.display()), &error);
        repository.map(|repository| Self { repository }).map_err(failed)
    }

    /// Where refs and objects lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.repository.commondir()
    }

    /// Whether git keeps the index of a clone in a form that keeps it from following.
    #[must_use]
    pub fn odd_index(&self) -> Option<OddIndex> {
        OddIndex::in_clone(&self.repository)
    }

    /// Why a hub here must be reached by `git push`, if so.
    #[must_use]
    pub fn why_through_git(&self) -> Option<&'static str> {
        why_not_in_process(&self.repository)
    }

    /// The hooks that git runs when something is pushed to it.
    #[must_use]
    pub fn server_hooks(&self) -> Vec<Hook> {
        self.hooks(SERVER_HOOKS)
    }

    /// Which of the hooks of these names there are.
    #[must_use]
    pub fn hooks(&self, names: &[&'static str]) -> Vec<Hook> {
        let folder = self.folder();
        let configured =
            self.repository.config().and_then(|mut config| config.snapshot()?.get_path("core.hooksPath"));
        let hooks = configured.map_or_else(|_| folder.join("hooks"), |hooks| folder.join(hooks));
        let hook = |name: &&'static str| {
            let path = hooks.join(name);
            path.is_file().then(|| Hook {
                name,
                is_executable: is_executable(&path),
                path: path.display().to_string(),
            })
        };
        names.iter().filter_map(hook).collect()
    }

    /// A setting that is true or false, as a command of this user in this repository sees it.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.repository.config().ok()?.snapshot().ok()?.get_bool(key).ok()
    }

    /// All values of a setting.
    #[must_use]
    pub fn values(&self, key: &str) -> Vec<String> {
        let mut values = Vec::new();
        let config = self.repository.config().and_then(|mut config| config.snapshot());
        if let Ok(entries) =
            config.as_ref().map_err(drop).and_then(|config| config.multivar(key, None).map_err(drop))
        {
            // One that is no text hides nothing that has a name of ours.
            drop(entries.for_each(|entry| values.extend(entry.value().ok().map(str::to_owned))));
        }
        values
    }

    /// The address of `origin` as it is written there.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        let config = self.repository.config().ok()?.open_level(ConfigLevel::Local).ok()?;
        config.get_string("remote.origin.url").ok()
    }

    /// All lock files, of refs, configuration and index.
    #[must_use]
    pub fn locks(&self) -> Vec<DirectoryEntry> {
        let is_lock = |found: &DirectoryEntry| !found.is_folder && found.name().ends_with(".lock");
        let mut locks = Vec::new();
        for folder in [self.folder(), self.repository.path()] {
            locks.extend(folder::find(folder, 0, &is_lock));
        }
        locks.extend(folder::find(&self.folder().join("refs"), LOCK_DEPTH_MAX, &is_lock));
        locks.extend(folder::find(&self.folder().join("objects/info"), 0, &is_lock));
        locks.sort_by(|a, b| a.path.cmp(&b.path));
        locks.dedup();
        locks
    }

    /// How much it holds.
    #[must_use]
    pub fn size(&self) -> Size {
        let objects = self.folder().join("objects");
        let mut size = Size::default();
        for number in 0..FAN_OUT {
            for file in folder::find(&objects.join(format!("{number:02x}")), 0, &|found| !found.is_folder) {
                size.loose += 1;
                size.loose_bytes += file.bytes;
            }
        }
        for file in folder::find(&objects.join("pack"), 0, &|found| found.name().ends_with(".pack")) {
            size.packs += 1;
            size.pack_bytes += file.bytes;
        }
        size
    }

    /// What this user would have to write for a push and may not.
    #[must_use]
    pub fn unwritable(&self) -> Vec<PathBuf> {
        let top = self.folder().to_owned();
        let objects = top.join("objects");
        let mut folders = vec![top.clone(), objects.clone(), top.join("refs"), top.join("refs/heads")];
        let is_heads = |found: &DirectoryEntry| found.is_folder;
        folders.extend(
            folder::find(&top.join("refs/heads"), LOCK_DEPTH_MAX, &is_heads)
                .into_iter()
                .map(|found| found.path),
        );
        folders.extend((0..FAN_OUT).map(|number| objects.join(format!("{number:02x}"))));
        folders.retain(|folder| folder.exists() && !disk::may_write_in(folder));
        folders
    }

    /// Reads the newest documents of `main` and of the heartbeat branches that were fetched into
    /// this copy. Returns how many branches and documents that were.
    ///
    /// # Errors
    /// When one of them is damaged.
    pub fn read_tips(&self, main: &str) -> Result<(usize, usize), LedgerError> {
        let failed = |error: git2::Error| fault("it is damaged", &error);
        // Whatever it names: git does not take a folder without one for a repository.
        self.repository.find_reference("HEAD").map_err(failed)?;
        self.find_all_refs().map_err(failed)?;
        // What is checked out in a clone; a copy has nothing there.
        if let Some(head) = self.repository.head().ok().and_then(|head| head.target()) {
            tree_of(&self.repository, head).map_err(failed)?;
        }
        let (mut branches, mut seen) = (0, HashSet::new());
        for name in [main.to_owned(), format!("{HEARTBEAT_BRANCH_PREFIX}*")] {
            for tip in self.repository.references_glob(&format!("{FETCHED}/{name}")).map_err(failed)? {
                let tip = tip.and_then(|tip| tip.resolve()).map_err(failed)?;
                let Some(tip) = tip.target() else { continue };
                self.read_documents(tip, &mut seen).map_err(failed)?;
                branches += 1;
            }
        }
        Ok((branches, seen.len()))
    }

    /// Of a clone whose branch has commits that the hub lacks, as far as was fetched: the line after which
    /// it follows again.
    #[must_use]
    pub fn set_aside(&self, branch: &str) -> Option<String> {
        let local = format!("refs/heads/{branch}");
        let head = self.repository.find_reference("HEAD").ok()?;
        // Another branch follows nothing.
        head.symbolic_target().ok().flatten().filter(|checked_out| *checked_out == local)?;
        let local = self.repository.refname_to_id(&local).ok()?;
        let fetched = self.repository.refname_to_id(&format!("{FETCHED}/{branch}")).ok()?;
        let top = self.repository.workdir()?.display().to_string();
        let follows = leads_to(&self.repository, local, fetched).ok()?;
        (!follows).then(|| worktree::set_aside(top.trim_end_matches('/'), branch, local))
    }

    /// Reads the documents of a commit, and all folders. There may be other files, which may be many.
    fn read_documents(&self, commit: Oid, seen: &mut HashSet<Oid>) -> Result<(), git2::Error> {
        let odb = self.repository.odb()?;
        let mut wrong = None;
        let walked = tree_of(&self.repository, commit)?.walk(TreeWalkMode::PreOrder, |_, entry| {
            let is_document = entry.kind() == Some(ObjectType::Blob)
                && entry.name().is_ok_and(|name| name.ends_with(".json"));
            if is_document && seen.len() < DOCUMENTS_READ_MAX && seen.insert(entry.id()) {
                wrong = odb.read(entry.id()).err();
            }
            if wrong.is_some() { TreeWalkResult::Abort } else { TreeWalkResult::Ok }
        });
        wrong.map_or(walked, Err)
    }

    /// Fails when the file of a ref cannot be understood: a list of refs passes over it.
    fn find_all_refs(&self) -> Result<(), git2::Error> {
        let is_ref = |found: &DirectoryEntry| !found.is_folder && !found.name().ends_with(".lock");
        for file in folder::find(&self.folder().join(FETCHED), LOCK_DEPTH_MAX, &is_ref) {
            if let Some(name) = file.path.strip_prefix(self.folder()).ok().and_then(Path::to_str) {
                self.repository.find_reference(name)?;
            }
        }
        Ok(())
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    const ANYBODY: u32 = 0o111;
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & ANYBODY != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::files;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("folder");
        Repository::init_bare(folder.path()).expect("repository");
        let store = Store::open(folder.path()).expect("opens");
        (folder, store)
    }

    fn write(folder: &tempfile::TempDir, name: &str, text: &str) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
        files::write(&path, text).expect("writes");
    }

    #[test]
    fn what_is_configured_is_told_as_it_stands_there() {
        let (folder, _) = store();
        write(
            &folder,
            "config",
            "[core]\n\tbare = true\n[transfer]\n\thideRefs = refs/a\n\thideRefs = refs/b\n[receive]\n\tdenyDeletes = yes\n[remote \"origin\"]\n\turl = ssh://x/y\n",
        );
        let store = Store::open(folder.path()).expect("opens");
        assert_eq!(store.values("transfer.hiderefs"), ["refs/a", "refs/b"]);
        assert_eq!(store.values("transfer.nothing"), [""; 0]);
        assert_eq!((store.flag("receive.denyDeletes"), store.flag("receive.x")), (Some(true), None));
        assert_eq!(store.origin().as_deref(), Some("ssh://x/y"));
    }

    #[test]
    fn lock_files_are_found_wherever_git_makes_them() {
        let (folder, store) = store();
        let locks =
            ["config.lock", "objects/info/commit-graph.lock", "packed-refs.lock", "refs/heads/a/b.lock"];
        for name in locks.into_iter().chain(["refs/heads/main", "objects/ab/x.lock"]) {
            write(&folder, name, "x");
        }
        std::fs::create_dir(folder.path().join("refs/heads/folder.lock")).expect("creates");
        let found: Vec<_> = store.locks().into_iter().map(|found| found.path).collect();
        let top = folder.path().canonicalize().expect("is there");
        assert_eq!(found, locks.map(|name| top.join(name)));
    }

    #[test]
    fn objects_and_packs_are_counted() {
        let (folder, store) = store();
        for (name, text) in [
            ("objects/00/a", "1"),
            ("objects/ff/b", "22"),
            ("objects/ff/c", "333"),
            ("objects/pack/pack-1.pack", "4444"),
            ("objects/pack/pack-2.pack", "55555"),
            ("objects/pack/pack-2.idx", "666666"),
            ("objects/info/packs", "7777777"),
        ] {
            write(&folder, name, text);
        }
        let size = store.size();
        assert_eq!((size.loose, size.loose_bytes, size.packs, size.pack_bytes), (3, 6, 2, 9));
    }

    #[test]
    fn hooks_are_those_git_would_look_for() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, store) = store();
        write(&folder, "hooks/update", "#!/bin/sh");
        write(&folder, "hooks/pre-receive", "#!/bin/sh");
        let path = folder.path().join("hooks/update");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("sets");
        let told: Vec<_> = store
            .hooks(&["pre-receive", "post-update", "update"])
            .into_iter()
            .map(|hook| (hook.name, hook.is_executable))
            .collect();
        assert_eq!(told, [("pre-receive", false), ("update", true)]);
        assert_eq!(store.server_hooks().len(), 2);
    }
}
