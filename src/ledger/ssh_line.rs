//! One ssh connection for the turns of one contended write.
//!
//! A turn asks the hub and pushes: two handshakes, a quarter of a second each, and the race is
//! lost if anybody moves the hub between them. Kept open, the connection makes a turn take a tenth
//! of that. It ends with the command and is shared with nobody else: whoever comes new has to shake
//! hands first, and so those who wait go before those who come, which is all that keeps eight
//! writers from starving one.
//!
//! It is OpenSSH's own sharing of connections, with a socket in a folder that only we can enter.
//! Where ssh is something else, or it does not work, each run of git connects by itself as before.

use crate::host::clock::Deadline;
use crate::host::environment::{self, variable};
use crate::host::{files, process, random};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the connection outlives its last use when we are killed and cannot end it.
const OUTLIVES_SECONDS: u32 = 10;

/// How long ending it may take.
const END_WAIT: Duration = Duration::from_secs(2);

/// The longest path of a socket, with what ssh adds to it while it makes one.
const SOCKET_PATH_LENGTH_MAX: usize = 80;

/// A connection that is kept open, once something connected through it.
#[derive(Debug)]
pub(super) struct SshLine {
    folder: PathBuf,
    command: String,
}

impl SshLine {
    /// Prepares one for `command`, which is how git would start ssh. `None` where that is not
    /// OpenSSH, as far as its name tells, or there is no place for the socket.
    #[must_use]
    pub(super) fn prepare(command: &str) -> Option<Self> {
        let program = Path::new(command.split_whitespace().next()?);
        if program.file_name()? != "ssh"
            || variable("GIT_SSH").is_some()
            || variable("GIT_SSH_VARIANT").is_some()
        {
            return None;
        }
        let folder = environment::temporary_dir().join(format!("muster-{}", random::id()));
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let text =
            folder.to_str().filter(|text| text.len() <= SOCKET_PATH_LENGTH_MAX && text.chars().all(plain))?;
        files::create_private_dir(&folder).ok()?;
        let command = format!(
            "{command} -o ControlMaster=auto -o ControlPersist={OUTLIVES_SECONDS} -o ControlPath={text}/s"
        );
        Some(Self { folder, command })
    }

    /// How git is to start ssh.
    #[must_use]
    pub(super) fn command(&self) -> &str {
        &self.command
    }
}

impl Drop for SshLine {
    fn drop(&mut self) {
        let socket = self.folder.join("s");
        if socket.exists() {
            let mut end = process::command(Path::new("ssh"));
            end.args(["-F", "/dev/null", "-O", "exit", "-S"]).arg(&socket).arg("hub");
            // One that cannot be ended ends by itself.
            drop(process::run(&mut end, Deadline::after(END_WAIT)));
            // It removes its socket itself, perhaps a moment later than we want the folder gone.
            drop(files::remove(&socket));
        }
        // Left behind it is an empty folder.
        drop(files::remove_dir(&self.folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_openssh_is_asked_to_share() {
        for command in ["", "plink -batch", "/usr/bin/tortoiseplink", "env ssh", "'ssh'"] {
            assert!(SshLine::prepare(command).is_none(), "{command}");
        }
    }

    #[test]
    fn the_users_command_is_kept_and_the_folder_goes_with_the_line() {
        let line = SshLine::prepare("/usr/bin/ssh -F 'my config'").expect("a place for the socket");
        assert!(line.command().starts_with("/usr/bin/ssh -F 'my config' -o ControlMaster=auto"));
        let folder = line.folder.clone();
        assert!(folder.is_dir());
        drop(line);
        assert!(!folder.exists());
    }
}
