//! Whether some process has a file open, as `fuser` tells it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Whether a process that this user may look at has the file at `path` open; `None` where the
/// system does not tell.
#[must_use]
pub fn is_open(path: &Path) -> Option<bool> {
    let wanted = fs::metadata(path).map(|data| (data.dev(), data.ino())).ok()?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut known = false;
    for process in
        processes.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
    {
        // Those of other users are closed to us, and those that ended are gone.
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        known = true;
        let is_it = |data: fs::Metadata| (data.dev(), data.ino()) == wanted;
        if files.flatten().any(|file| fs::metadata(file.path()).is_ok_and(is_it)) {
            return Some(true);
        }
    }
    known.then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_is_open_until_it_is_closed() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        let file = fs::File::create(&path).expect("file");
        assert_eq!(is_open(&path), Some(true));
        drop(file);
        assert_eq!(is_open(&path), Some(false));
        assert_eq!(is_open(&folder.path().join("none")), None);
    }
}
