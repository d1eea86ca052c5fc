//! One run of a program on a simulated host: how it is put together, and what came of it.
//!
//! [`HostCommand`] is built by [`Host`](super::fleet::Host), which gives it a clean environment.
//! Output goes to files, not pipes: a program that dies with children still writing cannot hold the
//! test, and a long output cannot block it. Every run has a bound, after which it is killed.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::leash::Leashed;
use super::normalise::normalise;
use super::wait::eventually;

/// How long a command may run unless the test says otherwise.
pub(crate) const RUN_BOUND: Duration = Duration::from_secs(60);

/// Entries of a directory that a failure lists.
const LISTED_ENTRIES_MAX: usize = 40;

/// A command about to be run on a host.
#[derive(Debug)]
#[must_use]
pub(crate) struct HostCommand {
    program: OsString,
    args: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    /// What the test added, for the report of a failure.
    added: Vec<String>,
    directory: PathBuf,
    stdin: Option<Vec<u8>>,
    bound: Duration,
    /// Keeps the host's files while the command may use them.
    fleet: Arc<TempDir>,
}

impl HostCommand {
    pub(crate) fn new(
        program: &OsStr,
        directory: &Path,
        environment: Vec<(OsString, OsString)>,
        fleet: Arc<TempDir>,
    ) -> Self {
        Self {
            program: program.to_owned(),
            args: Vec::new(),
            environment,
            added: Vec::new(),
            directory: directory.to_owned(),
            stdin: None,
            bound: RUN_BOUND,
            fleet,
        }
    }

    /// Adds arguments.
    pub(crate) fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        self.args.extend(args);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        self.added.push(format!("{}={}", name.display(), value.display()));
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes an environment variable away.
    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.added.push(format!("-u {name}"));
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// Runs in another directory than the host's own.
    pub(crate) fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        directory.as_ref().clone_into(&mut self.directory);
        self
    }

    /// What the command reads; nothing unless this is said.
    pub(crate) fn stdin(mut self, content: impl AsRef<[u8]>) -> Self {
        self.stdin = Some(content.as_ref().to_owned());
        self
    }

    /// How long the command may run before it is killed and the test fails.
    pub(crate) fn bound(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Runs the command to its end.
    #[track_caller]
    #[must_use = "an exit status nobody looked at: check it with `.success()` or `.code(n)`"]
    pub(crate) fn run(self) -> Run {
        self.start(Waiting::AtOnce).wait()
    }

    /// Starts the command; it is killed with its group when the answer is dropped.
    #[track_caller]
    pub(crate) fn spawn(self) -> Running {
        self.start(Waiting::Later)
    }

    #[track_caller]
    fn start(self, waiting: Waiting) -> Running {
        let output = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(self.fleet.path())
            .expect("the fleet's directory is ours");
        let create = |name: &str| File::create(output.path().join(name)).expect("it is ours");
        let (stdout, stderr) = (create("stdout"), create("stderr"));
        let stdin = self.stdin.as_ref().map_or_else(
            || PathBuf::from("/dev/null"),
            |content| {
                let path = output.path().join("stdin");
                fs::write(&path, content).expect("it is ours");
                path
            },
        );
        let set_up = |command: &mut Command| {
            command
                .args(&self.args)
                .env_clear()
                .envs(self.environment.iter().map(|(name, value)| (name, value)))
                .current_dir(&self.directory)
                .stdout(stdout)
                .stderr(stderr);
        };
        let process = match waiting {
            Waiting::AtOnce => Leashed::spawn_brief(&self.program, &stdin, set_up),
            Waiting::Later => Leashed::spawn(&self.program, &stdin, set_up),
        };
        Running { process, output, command: self }
    }
}

/// When somebody waits for a command that is started.
#[derive(Debug, Clone, Copy)]
enum Waiting {
    /// The same call: nobody can forget the command, the cheap way to start it is enough.
    AtOnce,
    /// The test, when it wants: the command goes on a leash.
    Later,
}

impl fmt::Display for HostCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = Path::new(&self.program).file_name().unwrap_or(&self.program);
        let added = self.added.iter().map(|word| format!("{word} "));
        write!(formatter, "{}{}", added.collect::<String>(), program.display())?;
        for arg in &self.args {
            write!(formatter, " {}", shown(&arg.to_string_lossy()))?;
        }
        Ok(())
    }
}

/// A word as one would type it.
fn shown(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("{word:?}") }
}

/// A command that runs beside the test; killed with its process group on drop.
#[derive(Debug)]
#[must_use]
pub(crate) struct Running {
    process: Leashed,
    output: TempDir,
    command: HostCommand,
}

impl Running {
    /// The process id, which is its process group's too.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends a signal, such as `TERM` or `KILL`, to the process alone.
    pub(crate) fn signal(&mut self, name: &str) {
        self.process.signal(name);
    }

    /// Whether it has ended by now.
    #[must_use]
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.exit_within(Duration::ZERO).is_some()
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub(crate) fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub(crate) fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// Waits until standard output holds `text`, at most for the command's bound.
    #[track_caller]
    pub(crate) fn wait_for_stdout(&mut self, text: &str) {
        let bound = self.command.bound;
        let mut ended = false;
        eventually(bound, || {
            // Looked at before the output, so that the last words are not missed.
            ended = self.has_ended();
            ended || self.stdout().contains(text)
        });
        let (stdout, stderr) = (self.stdout(), self.stderr());
        assert!(
            stdout.contains(text),
            "{} ended without saying {text:?}\n{stdout}------- stderr -------\n{stderr}",
            self.command
        );
    }

    /// Waits for the end; kills it and fails the test when its bound passes first.
    #[track_caller]
    #[must_use = "an exit status nobody looked at: check it with `.success()` or `.code(n)`"]
    pub(crate) fn wait(mut self) -> Run {
        let ended = self.process.exit_within(self.command.bound);
        let status = ended.unwrap_or_else(|| self.process.end());
        let run = Run {
            command: self.command.to_string(),
            directory: self.command.directory.clone(),
            stdout: self.read("stdout"),
            stderr: self.read("stderr"),
            status,
        };
        if ended.is_none() {
            run.fail(&format!("it was killed after {:?}", self.command.bound));
        }
        run
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.output.path().join(name)).expect("it was made at the start");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What came of a run. Shown, it is the whole of it: both streams and the exit status.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    command: String,
    directory: PathBuf,
    stdout: String,
    stderr: String,
    status: ExitStatus,
}

impl Run {
    /// Fails the test unless the exit status is 0.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        self.code(0)
    }

    /// Fails the test unless the exit status is `expected`.
    #[track_caller]
    pub(crate) fn code(self, expected: i32) -> Self {
        if self.status.code() != Some(expected) {
            self.fail(&format!("exit status {expected} was expected"));
        }
        self
    }

    /// Fails the test unless the process was ended by signal `expected`, such as 9.
    #[track_caller]
    pub(crate) fn killed_by(self, expected: i32) -> Self {
        if self.status.signal() != Some(expected) {
            self.fail(&format!("death by signal {expected} was expected"));
        }
        self
    }

    /// The exit status, or `None` when a signal ended the process.
    #[must_use]
    pub(crate) fn exit_code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Standard output.
    #[must_use]
    pub(crate) fn stdout(&self) -> &str {
        &self.stdout
    }

    /// Standard error.
    #[must_use]
    pub(crate) fn stderr(&self) -> &str {
        &self.stderr
    }

    /// Standard output as one JSON value.
    #[track_caller]
    #[must_use]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| self.fail(&format!("standard output is not JSON: {error}")))
    }

    /// The whole run with everything replaced that differs from run to run, to compare or snapshot.
    #[must_use]
    pub(crate) fn normalised(&self) -> String {
        normalise(&self.to_string())
    }

    /// Fails the test and shows everything there is to know about the run.
    #[track_caller]
    pub(crate) fn fail(&self, why: &str) -> ! {
        panic!(
            "{why}\n$ {}\nin {}: {}\n{self}",
            self.command,
            self.directory.display(),
            listing(&self.directory),
        )
    }
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lines(formatter, &self.stdout)?;
        if !self.stderr.is_empty() {
            writeln!(formatter, "------- stderr -------")?;
            write_lines(formatter, &self.stderr)?;
        }
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => writeln!(formatter, "[exit status: {code}]"),
            (None, Some(signal)) => writeln!(formatter, "[signal: {signal}]"),
            (None, None) => writeln!(formatter, "[{}]", self.status),
        }
    }
}

/// Writes text so that what follows begins a line; a missing final newline stays visible.
fn write_lines(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    formatter.write_str(text)?;
    if !text.is_empty() && !text.ends_with('\n') {
        formatter.write_str("[no newline]\n")?;
    }
    Ok(())
}

/// The names in a directory, as many as fit a report.
fn listing(directory: &Path) -> String {
    let Ok(entries) = fs::read_dir(directory) else {
        return "(not readable)".to_owned();
    };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().display().to_string()).collect();
    names.sort();
    names.truncate(LISTED_ENTRIES_MAX);
    format!("[{}]", names.join(" "))
}
