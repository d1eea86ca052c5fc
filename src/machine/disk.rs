//! What lies under a folder: free space, free inodes, whether it is on another machine, and whether
//! we may write there. Nothing is written to find out.

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, eaccess};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The file system under a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Tells it from others of this machine.
    pub device: u64,
    /// What this user may still write.
    pub free_bytes: u64,
    /// How many files may still be made; `None` where the file system does not count them.
    pub free_inodes: Option<u64>,
    /// The kind of a file system that lies on another machine or behind a program, where locks
    /// between processes cannot be trusted.
    pub far: Option<&'static str>,
}

/// The file system under `folder`.
///
/// # Errors
/// When the folder cannot be looked at.
pub fn under(folder: &Path) -> io::Result<Disk> {
    let device = std::fs::metadata(folder)?.dev();
    let figures = statvfs(folder)?;
    Ok(Disk {
        device,
        free_bytes: figures.blocks_available().saturating_mul(figures.fragment_size()),
        free_inodes: (figures.files() > 0).then(|| figures.files_available()),
        far: far(folder),
    })
}

#[cfg(target_os = "linux")]
fn far(folder: &Path) -> Option<&'static str> {
    use nix::sys::statfs::{
        AFS_SUPER_MAGIC, CODA_SUPER_MAGIC, FUSE_SUPER_MAGIC, NCP_SUPER_MAGIC, NFS_SUPER_MAGIC,
        SMB_SUPER_MAGIC, statfs,
    };
    /// Numbers that have no names in the library: of CIFS and its second version, of directories that a
    /// virtual machine shares with its host, and of file systems that several machines use at once.
    const UNNAMED: [(u32, &str); 9] = [
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "CIFS"),
        (0x0102_1997, "9P"),
        (0x00c3_6400, "Ceph"),
        (0x0bd0_0bd0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x0116_1970, "GFS2"),
        (0x7461_636f, "OCFS2"),
        (0x1983_0326, "BeeGFS"),
    ];
    let kind = statfs(folder).ok()?.filesystem_type();
    let named = [
        (NFS_SUPER_MAGIC, "NFS"),
        (FUSE_SUPER_MAGIC, "FUSE"),
        (SMB_SUPER_MAGIC, "SMB"),
        (NCP_SUPER_MAGIC, "NCP"),
        (AFS_SUPER_MAGIC, "AFS"),
        (CODA_SUPER_MAGIC, "Coda"),
    ];
    let named = named.into_iter().find(|(number, _)| *number == kind).map(|(_, name)| name);
    let unnamed = |kind: u32| UNNAMED.into_iter().find(|(number, _)| *number == kind).map(|(_, name)| name);
    named.or_else(|| unnamed(u32::try_from(kind.0).ok()?))
}

#[cfg(not(target_os = "linux"))]
fn far(_folder: &Path) -> Option<&'static str> {
    None
}

/// Whether this user may make files in `folder`.
#[must_use]
pub fn may_write_in(folder: &Path) -> bool {
    eaccess(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// `path`, or what is above it and exists: there it would be made.
#[must_use]
pub fn nearest(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or_else(|| Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_this_machine_is_told_as_it_is() {
        let folder = tempfile::tempdir().expect("folder");
        let disk = under(folder.path()).expect("figures");
        assert!(disk.free_bytes > 0 && may_write_in(folder.path()));
        assert_eq!(nearest(&folder.path().join("not/there")), folder.path());
        assert!(under(&folder.path().join("not")).is_err());
        // A pseudo file system takes no files from anybody.
        assert!(!may_write_in(Path::new("/proc/self/nowhere")));
    }
}
