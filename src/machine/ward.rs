//! A command that a person runs and that must not outlive us or what we may trust: `lock run`.
//!
//! It has our input, output and terminal, and stands under a guard (`guard.rs`) as a job does. The guard
//! is in a group of its own, so that neither the keys of the terminal nor what stops us reach it: should
//! we be killed or stopped, it ends the command. Orders go by a socket that has a name only until the
//! guard has found it, because the guard's own input is the command's.

use super::guard::{self, COMMAND, ControlChannel, Remains, SupervisorReport, program};
use super::process::{self, Running};
use super::value::{Deadline, Machine};
use super::{clock, environment, files, random};
use nix::unistd::getpgrp;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a guard may take to begin.
const BEGIN_MAX: Duration = Duration::from_secs(20);

/// How often it is asked whether it has begun.
const BEGIN_LOOK: Duration = Duration::from_millis(1);

/// How much longer than it should take to end its command a guard may take: then it does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest path that a socket can have everywhere.
const SOCKET_PATH_MAX: usize = 100;

/// Begins the name of the variable by which what is left of a command is found when its guard was killed. Each
/// guard has one of its own: a command may be one that runs others under guards.
const MARK: &str = "MUSTER_GUARDED_";

/// What that variable holds.
const MARKED: &str = "1";

/// What is to be run.
#[derive(Debug)]
pub struct SupervisedCommand<'a> {
    /// Program and arguments.
    pub command: &'a [OsString],
    /// Variables that it sees besides ours.
    pub variables: &'a [(&'a str, String)],
    /// How long it has to end after it was asked to.
    pub grace: Duration,
    /// A file that is locked as long as its guard lives.
    pub alive: Option<&'a Path>,
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its guard tells.
    Told(SupervisorReport),
    /// Its guard is gone; whether all processes of the command are too.
    Unguarded(bool),
}

/// A command at work.
#[derive(Debug)]
pub struct Supervision {
    guard: Running,
    orders: ControlChannel,
    mark: String,
    grace: Duration,
    /// Since it was told to end: when its guard should have.
    overdue: Option<Deadline>,
    has_ended: bool,
}

impl Supervision {
    /// Starts `charge`.
    ///
    /// # Errors
    /// When its guard cannot be started. Whether the command could is told as its end.
    pub fn start(charge: &SupervisedCommand<'_>) -> io::Result<Self> {
        let meeting = Rendezvous::arrange()?;
        let mark = format!("{MARK}{}", random::id().replace('-', ""));
        let mut command = process::command(&program()?);
        command.arg0("git-muster").args([COMMAND, "--grace-ms", &charge.grace.as_millis().to_string()]);
        command.arg("--orders").arg(&meeting.socket);
        if io::stdin().is_terminal() {
            // In another group it could not read from the terminal.
            command.args(["--group", &getpgrp().to_string()]);
        }
        if let Some(alive) = charge.alive {
            command.arg("--alive").arg(alive);
        }
        command.arg("--").args(charge.command).env(&mark, MARKED);
        command.envs(charge.variables.iter().map(|(name, value)| (name, value)));
        let mut guard = Running::start(&mut command)?;
        let stream = meeting.wait_for(|| Ok(guard.status()?.is_some()))?;
        let orders = ControlChannel::by(stream)?;
        Ok(Self { guard, orders, mark, grace: charge.grace, overdue: None, has_ended: false })
    }

    /// The command may go on until `deadline`; without that, as long as we live.
    pub fn trust(&mut self, deadline: &Deadline) {
        self.orders.trust(deadline);
    }

    /// Its end, if that comes before `deadline`.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn wait_until(&mut self, deadline: &Deadline) -> io::Result<Option<Ending>> {
        let ended = self.guard.wait_until(deadline)?.is_some();
        let is_stuck = !ended && self.overdue.as_ref().is_some_and(Deadline::passed);
        if is_stuck && guard::kill_tree(&self.guard) == Remains::Processes {
            // They are not ours to end, and nothing may be done as long as they run.
            return Ok(None);
        }
        if !ended {
            return Ok(None);
        }
        self.has_ended = true;
        Ok(Some(match self.orders.told() {
            Some(told) => Ending::Told(told),
            None => Ending::Unguarded(guard::kill_marked(&[format!("{}={MARKED}", self.mark)])),
        }))
    }

    /// Ends the command with all its processes, and waits until it has.
    ///
    /// # Errors
    /// When the system does not tell what became of it.
    pub fn stop(&mut self) -> io::Result<Ending> {
        self.orders.stop();
        self.overdue = Some(Machine::real().deadline(self.grace + PATIENCE));
        loop {
            if let Some(ending) = self.wait_until(&Machine::real().deadline(PATIENCE))? {
                return Ok(ending);
            }
        }
    }
}

impl Drop for Supervision {
    fn drop(&mut self) {
        if !self.has_ended {
            // Nobody is left to be told when this fails.
            drop(self.stop());
        }
    }
}

/// A socket that has a name for a moment, in a folder that only this user may enter.
#[derive(Debug)]
struct Rendezvous {
    folder: PathBuf,
    socket: PathBuf,
    listener: UnixListener,
}

impl Rendezvous {
    fn arrange() -> io::Result<Self> {
        let mut why = io::Error::other("no folder has a name that is short enough");
        for parent in [environment::temporary_dir(), environment::state_dir(), PathBuf::from("/tmp")] {
            let folder = parent.join(format!("muster-{}", random::id()));
            let socket = folder.join("orders");
            if socket.as_os_str().len() > SOCKET_PATH_MAX {
                continue;
            }
            let made = files::create_private_dir(&folder).map_err(io::Error::other);
            match made.and_then(|()| UnixListener::bind(&socket)) {
                Ok(listener) => {
                    listener.set_nonblocking(true)?;
                    return Ok(Self { folder, socket, listener });
                }
                Err(error) => why = error,
            }
            // Where nothing was made nothing is removed.
            drop(files::remove_dir(&folder));
        }
        Err(why)
    }

    /// Waits until the guard is there; `has_ended` tells whether it will not come any more.
    fn wait_for(self, mut has_ended: impl FnMut() -> io::Result<bool>) -> io::Result<UnixStream> {
        let bound = Machine::real().deadline(BEGIN_MAX);
        loop {
            // Asked first: a guard of a command that cannot be started has come and gone in a moment.
            let is_last_look = has_ended()? || bound.passed();
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if is_last_look {
                return Err(io::Error::other("the guard does not begin"));
            }
            clock::sleep(BEGIN_LOOK);
        }
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        // What stays only takes space.
        drop(files::remove(&self.socket));
        drop(files::remove_dir(&self.folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_guard_that_comes_and_goes_between_two_looks_was_there() {
        let meeting = Rendezvous::arrange().unwrap();
        let socket = meeting.socket.clone();
        let mut stream = meeting
            .wait_for(|| {
                writeln!(UnixStream::connect(&socket)?, "127 unstarted 2")?;
                Ok(true)
            })
            .unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).unwrap();
        assert_eq!(told, "127 unstarted 2\n");
    }

    #[test]
    fn a_guard_that_ended_before_it_came_does_not_begin() {
        let meeting = Rendezvous::arrange().unwrap();
        assert_eq!(meeting.wait_for(|| Ok(true)).unwrap_err().to_string(), "the guard does not begin");
    }
}
