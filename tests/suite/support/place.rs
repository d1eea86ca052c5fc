//! Where the files of the suite lie: in memory where there is such a place, else on a disk.
//!
//! Thousands of small repositories are made and removed, each write of each flushed; on a disk that is
//! most of what the suite waits for. What a loss of power leaves on a disk is no matter here: it is
//! tested by what was flushed when (`power_cuts.rs`).

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::sys::statvfs::{FsFlags, statvfs};

/// A file system in memory, on Linux.
const MEMORY: &str = "/dev/shm";

/// As much as the tests that run at the same time ever need at once, several times over.
const ROOM_MIN: u64 = 1 << 30;

/// The folder for hubs and hosts.
#[must_use]
pub(crate) fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let memory = PathBuf::from(MEMORY);
        if is_fit(&memory) { memory } else { std::env::temp_dir() }
    })
}

/// Whether `folder` has room, can be written to, and lets programs run: hubs have hooks.
fn is_fit(folder: &Path) -> bool {
    let Ok(of) = statvfs(folder) else { return false };
    let room = of.blocks_available().saturating_mul(of.fragment_size());
    room >= ROOM_MIN && !of.flags().contains(FsFlags::ST_NOEXEC) && tempfile::tempdir_in(folder).is_ok()
}
