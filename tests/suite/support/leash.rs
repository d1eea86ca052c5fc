//! Child processes that end with the test, whatever ends the test.
//!
//! Every child leads a process group of its own, so that its children can be ended with it. A child
//! on a leash has a small shell beside it in that group, which waits on a pipe that only this process
//! holds: when the pipe closes, because the owner was dropped or because the test run was killed, the
//! shell kills the group. Nothing is ever ended by name, and no number is used after it was reaped.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The leash: `$1` is the file to read as standard input, the rest is the command.
///
/// The command takes the shell's place with `exec`, so its process id, exit status and death by
/// signal are what the caller sees.
const LEASH_SCRIPT: &str = r#"
exec 3<&0 <"$1"
(trap '' HUP INT TERM; read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 &
exec 3<&-
shift
exec "$@"
"#;

/// How long a killed process may take to be gone; only a kernel in trouble takes longer.
const KILL_BOUND: Duration = Duration::from_secs(10);

/// A running child with its process group, ended and waited for on drop.
#[derive(Debug)]
#[must_use]
pub(crate) struct Leashed {
    pid: u32,
    leash: Option<ChildStdin>,
    exit: Receiver<ExitStatus>,
    status: Option<ExitStatus>,
    waiter: Option<JoinHandle<()>>,
}

impl Leashed {
    /// Starts `program` on a leash; `set_up` adds arguments, environment and outputs.
    #[track_caller]
    pub(crate) fn spawn(program: &OsStr, stdin: &Path, set_up: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LEASH_SCRIPT, "leash"]).arg(stdin).arg(program);
        set_up(&mut command);
        command.stdin(Stdio::piped());
        Self::start(command)
    }

    /// Starts `program` without the shell beside it: faster, for commands that are waited for at once.
    #[track_caller]
    pub(crate) fn spawn_brief(program: &OsStr, stdin: &Path, set_up: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(program);
        set_up(&mut command);
        command.stdin(File::open(stdin).expect("the file for standard input opens"));
        Self::start(command)
    }

    #[track_caller]
    fn start(mut command: Command) -> Self {
        let mut child = command
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let pid = child.id();
        let leash = child.stdin.take();
        let (sender, exit) = mpsc::channel();
        let waiter = thread::spawn(move || {
            let status = child.wait().expect("a child of ours can be waited for");
            // Nobody listening any more means that nobody asks for the status.
            sender.send(status).ok();
        });
        Self { pid, leash, exit, status: None, waiter: Some(waiter) }
    }

    /// The process id, which is the process group's too.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the end of the process, at most for `bound`.
    #[must_use]
    pub(crate) fn exit_within(&mut self, bound: Duration) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.exit.recv_timeout(bound).ok();
        }
        self.status
    }

    /// Sends a signal (`TERM`, `KILL`, ...) to the process itself, unless it has ended.
    pub(crate) fn signal(&mut self, name: &str) {
        if self.exit_within(Duration::ZERO).is_none() {
            send_signal(name, &self.pid.to_string());
        }
    }

    /// Kills the process with its group, waits until it is gone and tells how it ended.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let on_leash = self.leash.take().is_some();
        let mut status = self.exit_within(if on_leash { KILL_BOUND } else { Duration::ZERO });
        if status.is_none() {
            send_signal("KILL", &format!("-{}", self.pid));
            status = self.exit_within(KILL_BOUND);
        }
        if let Some(waiter) = self.waiter.take().filter(|_| status.is_some()) {
            waiter.join().ok();
        }
        status.expect("a killed process ends")
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        if thread::panicking() && self.status.is_none() {
            // A second panic here would hide the first; closing the leash or the signal does it.
            if self.leash.take().is_none() {
                send_signal("KILL", &format!("-{}", self.pid));
            }
            self.status = self.exit.recv_timeout(KILL_BOUND).ok();
        } else {
            self.end();
        }
    }
}

/// Whether the signal went out: `std` cannot send any, and the shell's own `kill` is there where no program of that name is.
pub(crate) fn send_signal(name: &str, target: &str) -> bool {
    Command::new("/bin/sh")
        .args(["-c", "kill -s \"$1\" -- \"$2\"", "kill", name, target])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("/bin/sh starts")
        .success()
}
