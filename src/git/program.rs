//! The `git` program: every network transport, so that the user's ssh configuration, agents,
//! keys, credential helpers and proxies simply work.
//!
//! Never asks anything, never runs longer than its deadline, and ends together with what it
//! started.

use super::ssh_line::SshLine;
use crate::ledger::{LedgerError, Unfit};
use crate::machine::Deadline;
use crate::machine::asked;
use crate::machine::environment::variable;
use crate::machine::process::{self, Finished};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest version whose outputs we know.
const VERSION_MIN: (u32, u32) = (2, 39);

/// How ssh is started when the user does not say it.
const SSH_COMMAND: &str = "ssh -o BatchMode=yes";

/// What keeps ssh from showing the server's greeting, which says anything and looks like a verdict.
/// What ssh has to say of its own is an error and stays.
const NO_GREETING: &str = "-o LogLevel=ERROR";

/// What the user's configuration must not change about a fetch or a push of ours: hooks of the user
/// do not run in our copies, a hub need not take their push options, and nothing is mirrored. The
/// hooks of a hub at a path are the hub's own, which git starts without these.
const OURS: &[&str] = &[
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "push.pushOption=",
    "-c",
    "remote.origin.mirror=false",
];

/// Variables that would make git look at another repository than the one we name.
const MISLEADING: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_QUARANTINE_PATH",
    "LANGUAGE",
];

/// What a hub that did not answer is said to have done.
pub(super) const TOO_SLOW: &str = "it did not answer in time";

/// The git program of this machine.
#[derive(Debug)]
pub struct GitProgram {
    program: PathBuf,
    line: Option<SshLine>,
    /// What goes before every verb.
    options: Vec<String>,
}

impl Default for GitProgram {
    fn default() -> Self {
        Self { program: PathBuf::from("git"), line: None, options: Vec::new() }
    }
}

impl GitProgram {
    /// The same with `options` before every verb.
    pub(super) fn with_options(self, options: Vec<String>) -> Self {
        Self { options, ..self }
    }

    /// Runs `git --git-dir=<directory> <arguments>`.
    ///
    /// # Errors
    /// When git cannot be started.
    pub fn run(
        &self,
        directory: &Path,
        arguments: &[String],
        deadline: &Deadline,
    ) -> Result<Finished, LedgerError> {
        self.run_with(directory, arguments, &[], deadline)
    }

    /// The same with more in the environment.
    ///
    /// # Errors
    /// When git cannot be started.
    pub(super) fn run_with(
        &self,
        directory: &Path,
        arguments: &[String],
        variables: &[(&str, String)],
        deadline: &Deadline,
    ) -> Result<Finished, LedgerError> {
        let mut command = self.command(directory);
        command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
        process::run(&mut command, deadline).map_err(|error| not_started(&error))
    }

    /// [`GitProgram::run`] of what has an effect in the hub: what git said is told also when we were asked to
    /// end meanwhile and ended it.
    ///
    /// # Errors
    /// When git was not started.
    pub(super) fn run_to_know(
        &self,
        directory: &Path,
        arguments: &[String],
        deadline: &Deadline,
    ) -> Result<Finished, LedgerError> {
        let mut command = self.command(directory);
        process::run_to_know(command.args(arguments), deadline).map_err(|error| not_started(&error))
    }

    /// Runs `git <arguments>` as it would run in `folder`, which it looks for a repository.
    ///
    /// # Errors
    /// When git cannot be started.
    pub(super) fn run_in(
        &self,
        folder: &Path,
        arguments: &[&str],
        deadline: &Deadline,
    ) -> Result<Finished, LedgerError> {
        let mut command = process::command(&self.program);
        for name in MISLEADING {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").current_dir(folder).args(arguments);
        process::run(&mut command, deadline).map_err(|error| not_started(&error))
    }

    fn command(&self, directory: &Path) -> Command {
        let mut command = process::command(&self.program);
        for name in MISLEADING {
            command.env_remove(name);
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("SSH_ASKPASS_REQUIRE", "force")
            .args(OURS)
            .args(&self.options)
            .arg(format!("--git-dir={}", directory.display()));
        if variable("SSH_ASKPASS").is_none() {
            command.env("SSH_ASKPASS", "/bin/false");
        }
        if let Some(line) = &self.line {
            command.env("GIT_SSH_COMMAND", line.command());
        } else if let Some(ssh) = ssh_command(directory) {
            command.env("GIT_SSH_COMMAND", ssh);
        }
        command
    }

    /// Lets the runs that follow share one connection to `url`, where that is reached by ssh.
    pub(super) fn stay_connected(&mut self, directory: &Path, url: &str) {
        if self.line.is_none() {
            let command = ssh_command(directory).or_else(|| named_ssh_command(directory));
            self.line = command.and_then(|command| SshLine::prepare(&command, url));
        }
    }

    /// Tidies a repository in the background now and then, as `git push` to it would.
    pub(super) fn tidy(&self, directory: &Path) {
        let mut command = self.command(directory);
        command.args(["-c", "gc.auto=6700", "gc", "--auto", "--quiet"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // It detaches by itself; that it could not be started is no reason to fail.
        drop(command.spawn());
    }

    /// The version, such as `2.47.3`.
    ///
    /// # Errors
    /// When git is missing or too old.
    pub fn version(&self, deadline: &Deadline) -> Result<String, LedgerError> {
        let mut command = process::command(&self.program);
        command.arg("version");
        let missing = |why: String| {
            let (major, minor) = VERSION_MIN;
            let why = format!("cannot use the program `git`: {why}; install git {major}.{minor} or newer");
            LedgerError::Configuration { cause: Unfit::Git, why }
        };
        let done = process::run(&mut command, deadline).map_err(|error| missing(error.to_string()))?;
        let version = done.stdout.split_whitespace().nth(2).unwrap_or_default().to_owned();
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0_u32));
        let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if found < VERSION_MIN {
            return Err(missing(format!("version {version} is too old")));
        }
        Ok(version)
    }
}

/// How git is to start ssh; `None` where the user names a program that may be another than
/// OpenSSH's.
fn ssh_command(directory: &Path) -> Option<String> {
    let is_openssh = |command: &String| {
        let program = command.split_whitespace().next().map(Path::new);
        program.and_then(Path::file_name).is_some_and(|name| name == "ssh")
            && variable("GIT_SSH_VARIANT").is_none()
    };
    let named = named_ssh_command(directory);
    if named.is_none() && variable("GIT_SSH").is_some() {
        return None;
    }
    let command = named.unwrap_or_else(|| SSH_COMMAND.to_owned());
    Some(command).filter(is_openssh).map(|command| format!("{command} {NO_GREETING}"))
}

fn not_started(error: &std::io::Error) -> LedgerError {
    if asked::is_cut() {
        return LedgerError::AskedToEnd;
    }
    let (major, minor) = VERSION_MIN;
    let why = format!("cannot start the program `git`: {error}; install git {major}.{minor} or newer");
    LedgerError::Configuration { cause: Unfit::Git, why }
}

/// How the user wants ssh to be started, if that is said.
fn named_ssh_command(directory: &Path) -> Option<String> {
    let configured = || {
        let config = git2::Repository::open_bare(directory).ok()?.config().ok()?.snapshot().ok()?;
        config.get_str("core.sshCommand").ok().map(str::to_owned)
    };
    variable("GIT_SSH_COMMAND").or_else(configured)
}
