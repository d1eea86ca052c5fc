//! Where the answer of this process goes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Whether stdout was closed when this process was started. git and the run-time library both open
/// `/dev/null` in the place of what is closed, for reading and writing; `>/dev/null` of a shell is for
/// writing alone, and that is how a caller says that nobody wants to see the answer.
#[must_use]
pub fn is_missing() -> bool {
    is_in_place_of_none(&io::stdout()).unwrap_or(false)
}

fn is_in_place_of_none(stdout: &impl AsFd) -> io::Result<bool> {
    let how = OFlag::from_bits_truncate(fcntl(stdout, FcntlArg::F_GETFL)?);
    let copy: OwnedFd = stdout.as_fd().try_clone_to_owned()?;
    let leads_to = std::fs::File::from(copy).metadata()?.rdev();
    Ok(how & OFlag::O_ACCMODE == OFlag::O_RDWR && leads_to == std::fs::metadata("/dev/null")?.rdev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    #[test]
    fn only_what_is_opened_in_the_place_of_a_closed_stdout_is_missing() {
        let open = |path: &str, reads: bool| {
            let file = OpenOptions::new().read(reads).write(true).open(path).expect(path);
            is_in_place_of_none(&file).expect(path)
        };
        assert!(open("/dev/null", true));
        assert!(!open("/dev/null", false));
        assert!(!open("/dev/zero", true));
    }
}
