//! The `git` program as it is, run where nobody's configuration reaches it.
//!
//! The suite looks at hubs with it, so that no reading of ours can hide a fault of our writing.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What makes every `git` of the suite ignore the configuration of the machine and of its user.
pub(crate) const HERMETIC_GIT: [(&str, &str); 4] = [
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
];

/// A `git` command in `directory`, for callers that need to add to it.
pub(crate) fn git_command<I, S>(directory: &Path, args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new("git");
    command
        .args(args)
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .envs(HERMETIC_GIT)
        .envs([
            ("GIT_AUTHOR_NAME", "support"),
            ("GIT_AUTHOR_EMAIL", "support@example.invalid"),
            ("GIT_COMMITTER_NAME", "support"),
            ("GIT_COMMITTER_EMAIL", "support@example.invalid"),
        ])
        .stdin(Stdio::null());
    command
}

/// Runs `git` in `directory` and returns its output, whatever it says.
#[track_caller]
#[must_use]
pub(crate) fn try_git<I, S>(directory: &Path, args: I) -> Output
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    git_command(directory, args).output().expect("git starts")
}

/// Runs `git` in `directory`, fails the test if it fails, and returns what it printed.
#[track_caller]
pub(crate) fn git<I, S>(directory: &Path, args: I) -> String
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = git_command(directory, args);
    let output = command.output().expect("git starts");
    printed(&command, &output)
}

/// The standard output of a `git` that had to succeed.
#[track_caller]
pub(crate) fn printed(command: &Command, output: &Output) -> String {
    assert!(
        output.status.success(),
        "{command:?} in {:?}\n{}------- stderr -------\n{}[{}]",
        command.get_current_dir(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        output.status,
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
