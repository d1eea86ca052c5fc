//! A small disk of its own below a folder: one that can be full, out of inodes or read-only.
//!
//! It is a tmpfs, which needs root: as another user it is mounted through `sudo`, if that asks for no
//! password. Where mounting is refused the tests are skipped ([`need`]).

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::hub::copy_folder;
use super::need;

/// The piece in which a tmpfs gives space.
const PAGE: usize = 4096;

/// What is left on a disk that is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// So many pages of 4 KiB.
    Pages(usize),
    /// So many new files or folders.
    Files(usize),
}

/// A disk, gone when it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Mount {
    folder: PathBuf,
}

impl Mount {
    /// Puts a disk of its own below `folder`, with all that lies there; `None` where that is refused.
    #[track_caller]
    pub(crate) fn below(folder: &Path) -> Option<Self> {
        let kept = tempfile::tempdir().expect("a temporary directory");
        copy_folder(folder, kept.path());
        let owner = format!("uid={},gid={}", nix::unistd::getuid(), nix::unistd::getgid());
        let options = format!("size=8m,nr_inodes=4096,mode=755,{owner}");
        if let Err(why) = mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], folder) {
            let is_here =
                need::has(false, &format!("run it as root or with sudo, to mount a disk: {}", why.trim()));
            assert!(!is_here, "what is missing is not here");
            return None;
        }
        let mount = Self { folder: folder.to_owned() };
        copy_folder(kept.path(), folder);
        Some(mount)
    }

    /// Uses up what there is but for `left`.
    #[track_caller]
    pub(crate) fn fill(&self, left: Left) {
        fs::create_dir_all(self.filling()).expect("the disk is ours");
        match left {
            Left::Pages(pages) => {
                let path = self.filling().join("bytes");
                let mut file = File::create(&path).expect("the disk is ours");
                while file.write_all(&[0; PAGE]).is_ok() {}
                let length = file.metadata().expect("it is open").len();
                let length = usize::try_from(length).expect("it is small").saturating_sub(pages * PAGE);
                file.set_len(length.try_into().expect("it is small")).expect("it gets shorter");
            }
            Left::Files(files) => {
                let path = |number: usize| self.filling().join(number.to_string());
                let made = (0..).take_while(|number| File::create(path(*number)).is_ok()).count();
                (made.saturating_sub(files)..made).for_each(|number| fs::remove_file(path(number)).unwrap());
            }
        }
    }

    /// Frees what was used up.
    #[track_caller]
    pub(crate) fn free(&self) {
        fs::remove_dir_all(self.filling()).expect("it was filled");
    }

    /// Lets nobody write, or everybody again.
    #[track_caller]
    pub(crate) fn set_read_only(&self, read_only: bool) {
        let options = if read_only { "remount,ro" } else { "remount,rw" };
        mount(&["-o", options], &self.folder).expect("what was mounted can be mounted anew");
    }

    fn filling(&self) -> PathBuf {
        self.folder.join("filling")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there keeps it until the end.
        run("umount", &["--lazy"], &self.folder).ok();
    }
}

fn mount(arguments: &[&str], folder: &Path) -> Result<(), String> {
    run("mount", arguments, folder)
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<(), String> {
    let mut command = if nix::unistd::getuid().is_root() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", program]);
        sudo
    };
    let output = command.args(arguments).arg(folder).stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
