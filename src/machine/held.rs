//! A folder that is known by what it is and not by its name: whoever renames it does not hide it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A folder.
#[derive(Debug)]
pub struct HeldDirectory(File);

impl HeldDirectory {
    /// The folder at `path`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// Where it is now; `None` when it is gone, or where the system does not tell.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        let path = std::fs::read_link(format!("/proc/self/fd/{}", self.0.as_raw_fd())).ok()?;
        let (there, ours) = (path.symlink_metadata().ok()?, self.0.metadata().ok()?);
        ((there.dev(), there.ino()) == (ours.dev(), ours.ino())).then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_found_wherever_it_went_and_not_when_it_is_gone() {
        let place = tempfile::tempdir().expect("folder");
        let at = |name: &str| place.path().join(name);
        std::fs::create_dir(at("one")).expect("made");
        let held = HeldDirectory::open(&at("one")).expect("opened");
        std::fs::rename(at("one"), at("other")).expect("renamed");
        std::fs::create_dir(at("one")).expect("made");
        if Path::new("/proc/self/fd").exists() {
            assert_eq!(held.path(), Some(at("other").canonicalize().expect("there")));
        }
        std::fs::remove_dir(at("other")).expect("removed");
        assert_eq!(held.path(), None);
    }
}
