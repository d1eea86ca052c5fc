//! One ssh connection for the turns of one contended write.
//!
//! A turn asks the hub and pushes: two handshakes, a quarter of a second each, and the race is
//! lost if anybody moves the hub between them. Kept open, the connection makes a turn take a tenth
//! of that. It ends with the command and is shared with nobody else: whoever comes new has to shake
//! hands first, and so those who wait go before those who come, which is all that keeps eight
//! writers from starving one.
//!
//! It is OpenSSH's own sharing of connections, with a socket in a folder that only we can enter.
//! Where ssh is something else, where the user's own configuration shares connections already, or
//! where it does not work, each run of git connects by itself as before.

use crate::machine::environment::{self, variable};
use crate::machine::{Machine, files, process, random};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the connection outlives its last use when we are killed and cannot end it.
const OUTLIVES_SECONDS: u32 = 10;

/// How long ending it may take, and asking how ssh is configured.
const SSH_WAIT: Duration = Duration::from_secs(2);

/// The longest path of a socket, with what ssh adds to it while it makes one.
const SOCKET_PATH_LENGTH_MAX: usize = 80;

/// A connection that is kept open, once something connected through it.
#[derive(Debug)]
pub(super) struct SshLine {
    folder: PathBuf,
    command: String,
}

impl SshLine {
    /// Prepares one to the hub at `url` for `command`, which is how git would start ssh. `None`
    /// where the hub is not reached by ssh, that is not OpenSSH as far as its name tells, it shares
    /// connections by itself, or there is no place for the socket.
    #[must_use]
    pub(super) fn prepare(command: &str, url: &str) -> Option<Self> {
        let (port, host) = destination(url)?;
        let program = Path::new(command.split_whitespace().next()?);
        if program.file_name()? != "ssh"
            || variable("GIT_SSH").is_some()
            || variable("GIT_SSH_VARIANT").is_some()
            || shares_already(command, port, host)
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

/// The port, if it is named, and `user@host` of an address that is reached by ssh.
fn destination(url: &str) -> Option<(Option<&str>, &str)> {
    let Some((scheme, rest)) = url.split_once("://") else {
        // As in `git@hub.example:hub.git`; a colon after a slash belongs to a path.
        let (host, _) = url.split_once(':')?;
        return (!host.contains('/')).then_some((None, host));
    };
    if !matches!(scheme, "ssh" | "git+ssh" | "ssh+git") {
        return None;
    }
    let authority = rest.split('/').next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => Some((Some(port), host)),
        _ => Some((None, authority)),
    }
}

/// Whether the user's configuration of ssh says where connections to the hub are shared. Those
/// outlive us and are better than ours.
fn shares_already(command: &str, port: Option<&str>, host: &str) -> bool {
    let mut ask = process::command(Path::new("sh"));
    // As git starts it: the command is for a shell, what follows is not.
    ask.args(["-c", &format!("{command} \"$@\""), command, "-G"]);
    if let Some(port) = port {
        ask.args(["-p", port]);
    }
    ask.args(["--", &host.replace(['[', ']'], "")]);
    process::run(&mut ask, &Machine::real().deadline(SSH_WAIT)).is_ok_and(|told| {
        let mut paths = told.stdout.lines().filter_map(|line| line.strip_prefix("controlpath "));
        paths.any(|path| path != "none")
    })
}

impl Drop for SshLine {
    fn drop(&mut self) {
        let socket = self.folder.join("s");
        if socket.exists() {
            let mut end = process::command(Path::new("ssh"));
            end.args(["-F", "/dev/null", "-O", "exit", "-S"]).arg(&socket).arg("hub");
            // One that cannot be ended ends by itself.
            drop(process::run_all_the_same(&mut end, &Machine::real().deadline(SSH_WAIT)));
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
    use std::os::unix::fs::PermissionsExt as _;

    const HUB: &str = "ssh://git@hub.example:2222/srv/hub.git";

    #[test]
    fn only_openssh_is_asked_to_share() {
        for command in ["", "plink -batch", "/usr/bin/tortoiseplink", "env ssh", "'ssh'"] {
            assert!(SshLine::prepare(command, HUB).is_none(), "{command}");
        }
    }

    #[test]
    fn where_ssh_goes_is_what_git_would_tell_it() {
        for (url, expected) in [
            (HUB, Some((Some("2222"), "git@hub.example"))),
            ("git+ssh://hub.example/hub.git", Some((None, "hub.example"))),
            ("ssh://[::1]:2222/hub.git", Some((Some("2222"), "[::1]"))),
            ("ssh://[::1]/hub.git", Some((None, "[::1]"))),
            ("git@hub.example:hub.git", Some((None, "git@hub.example"))),
            ("https://hub.example/hub.git", None),
            ("git://hub.example/hub.git", None),
            ("/srv/hub:1.git", None),
        ] {
            assert_eq!(destination(url), expected, "{url}");
        }
    }

    #[test]
    fn a_connection_that_the_user_shares_is_left_to_the_user() {
        // Its answer to `-G`, in place of a program that may not be installed.
        let folder = tempfile::tempdir().expect("folder");
        let ssh = folder.path().join("ssh");
        let script = "#!/bin/sh\ncase \"$*\" in *ControlPath=*) echo controlpath /run/mine/1 ;; esac\n";
        files::write(&ssh, script).expect("a script");
        std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let ssh = ssh.display();
        assert!(SshLine::prepare(&format!("{ssh} -F /dev/null -o ControlPath=/run/mine/%C"), HUB).is_none());
        assert!(SshLine::prepare(&format!("{ssh} -F /dev/null"), HUB).is_some());
    }

    #[test]
    fn the_users_command_is_kept_and_the_folder_goes_with_the_line() {
        let line = SshLine::prepare("/usr/bin/ssh -F /dev/null", HUB).expect("a place for the socket");
        assert!(line.command().starts_with("/usr/bin/ssh -F /dev/null -o ControlMaster=auto"));
        let folder = line.folder.clone();
        assert!(folder.is_dir());
        drop(line);
        assert!(!folder.exists());
    }
}
