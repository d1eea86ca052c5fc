//! From what went wrong to what the user reads: headline, hints, exit code. The one place that
//! decides them.

use super::exit::Exit;
use super::far_side;
use super::words;
use crate::app::flows::Failure;
use crate::domain::id::{NameError, OpId};
use crate::domain::refusal::Refusal;
use crate::domain::shell::quoted;
use crate::domain::time::show_span;
use crate::ledger::{
    Cause, FORMAT_IS_FOREIGN, GIT_IS_MISCONFIGURED, LedgerError, MAY_NOT_BE_READ, Past, PutBack, Reached,
    Stop,
};
use crate::machine::asked;
use crate::machine::files::FileError;
use std::path::Path;
use std::time::Duration;

/// What a write that failed says of itself.
const NOTHING_WRITTEN: &str = "nothing was written";

/// The line that goes on where history that may hold more is not here.
pub(super) const BEGIN_ANEW: &str = "git muster import --force";

/// A command that did not do what it was asked.
#[derive(Debug)]
pub(super) struct CliError {
    /// How the command ends.
    pub exit: Exit,
    /// What happened and what was not done; one sentence without a final period.
    pub message: String,
    /// What to do next; may hold commands in backticks.
    pub hints: Vec<String>,
    /// The operation it is about, when its outcome is unknown.
    pub op: Option<OpId>,
    /// Whether the hub refuses by a rule of its own, whatever its documents say.
    pub by_hub: bool,
    /// Whether there is no hub in the branch that was looked at.
    pub no_hub_there: bool,
    /// What a failure on the way to the hub, or in it, comes from.
    pub cause: Option<Cause>,
    /// The same, also when there was one once.
    pub not_in_branch: bool,
    /// Whether the hub was there and may come back: who goes on waits for it.
    pub may_come_back: bool,
    /// What sort of failure of a read or a write it is: flows decide by it.
    pub failure: Failure,
}

impl CliError {
    /// An error that ends with this code.
    #[must_use]
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hints: Vec::new(),
            op: None,
            by_hub: false,
            no_hub_there: false,
            cause: None,
            not_in_branch: false,
            may_come_back: false,
            failure: Failure::Fault,
        }
    }

    /// The same with advice.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Whether it only says that the reader of the answer went away.
    #[must_use]
    pub(super) fn is_reader_gone(&self) -> bool {
        self.exit == Exit::Done
    }

    /// The same for an answer that somebody needs: that its reader went away is a failure then.
    #[must_use]
    pub(super) fn undelivered(self) -> Self {
        if self.is_reader_gone() {
            return Self::new(Exit::Failed, "the answer cannot be written: its reader went away");
        }
        self
    }

    /// The write was made, and only its answer got lost.
    #[must_use]
    pub(super) fn done_all_the_same(self, answer: &str) -> Self {
        let answer = answer.trim().replace('\n', "; ");
        let message = format!("{}; what was asked is done all the same: {answer}", self.message);
        Self { message, ..self }
    }

    /// What failed in the middle, of which a part was done.
    #[must_use]
    pub(super) fn after(self, done: &str) -> Self {
        let message = format!("{}; before that: {done}", self.message);
        Self { message, ..self }
    }

    /// A command line that makes no sense, in the words of the parser: what is wrong comes first,
    /// tips and the usage after it.
    #[must_use]
    pub(super) fn usage(text: &str) -> Self {
        let mut paragraphs = text
            .trim()
            .split("\n\n")
            .map(|paragraph| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" "));
        let wrong = paragraphs.next().unwrap_or_default();
        let message = wrong.strip_prefix("error: ").unwrap_or(&wrong).to_owned();
        Self { hints: paragraphs.collect(), ..Self::new(Exit::Usage, message) }
    }

    /// The same after the caller waited for something else.
    #[must_use]
    pub(super) fn after_waiting(mut self, wait: Option<Duration>) -> Self {
        if let Some(wait) = wait {
            self.message.push_str(&format!("; waited {}", show_span(wait)));
        }
        self
    }

    /// The same of a write, so that nobody has to guess.
    #[must_use]
    pub(super) fn nothing_written(mut self) -> Self {
        const CERTAIN: &[Exit] =
            &[Exit::Failed, Exit::Refused, Exit::Unreachable, Exit::Configuration, Exit::AskedToEnd];
        if CERTAIN.contains(&self.exit) && !self.message.contains(NOTHING_WRITTEN) {
            self.message.push_str("; ");
            self.message.push_str(NOTHING_WRITTEN);
        }
        self
    }

    /// The same as it is told in the end: whatever was cut short because a signal asked to end looks like
    /// another fault. What may have been written comes first, and so does what was.
    #[must_use]
    pub(super) fn when_asked(self) -> Self {
        let is_by_wish = self.exit == Exit::AskedToEnd || !asked::has_landed();
        if !asked::is_cut() || self.exit == Exit::Unknown || !is_by_wish {
            return self;
        }
        let what = if asked::has_landed() {
            "what was written before that stays"
        } else if self.message.contains(NOTHING_WRITTEN) {
            NOTHING_WRITTEN
        } else {
            "nothing was read or written"
        };
        Self::new(Exit::AskedToEnd, format!("asked to end by {}; {what}", asked::by()))
    }

    /// The same where that line is another one.
    #[must_use]
    pub(super) fn with_line(mut self, line: &str, instead: &str) -> Self {
        for hint in &mut self.hints {
            *hint = hint.replace(&format!("`{line}`"), &format!("`{instead}`"));
        }
        self
    }

    /// An operation that may or may not have happened.
    #[must_use]
    pub(super) fn unknown(op: OpId, why: &str) -> Self {
        let mut error = Self::new(Exit::Unknown, format!("the hub may or may not have it: {why} (op {op})"))
            .hint(format!("look with `git muster op status {op}`; `git muster op resume {op}` makes it happen once, `git muster op drop {op}` forgets it"));
        error.op = Some(op);
        error.failure = Failure::Unknown;
        error
    }
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        let hints = words::hint(&refusal).into_iter().collect();
        let failure = Failure::No(refusal.class());
        Self { hints, failure, ..Self::new(Exit::of(refusal.class()), words::sentence(&refusal)) }
    }
}

impl From<LedgerError> for CliError {
    fn from(error: LedgerError) -> Self {
        let message = error.to_string();
        let (not_in_branch, may_come_back) = (error.is_about_branch(), error.may_come_back());
        let failure = Failure::of_fault(&error);
        let told = match &error {
            LedgerError::Unreachable { hub, why } => {
                Self { cause: Some(why.cause), ..Self::new(Exit::Unreachable, message) }
                    .hint(far_side::advice(why, hub))
            }
            LedgerError::Denied { hub, why } => {
                let refused = Self { cause: Some(why.cause), ..Self::new(Exit::Refused, message) };
                Self { by_hub: true, ..refused.hint(far_side::advice(why, hub)) }
            }
            LedgerError::AskedToEnd => Self::new(Exit::AskedToEnd, message),
            LedgerError::Contended(_) => Self::new(Exit::Contended, message).hint("try again"),
            LedgerError::Unsettled { .. } => Self::new(Exit::Unknown, message)
                .hint("give the command again: it does nothing where it has happened already"),
            LedgerError::Untold { op, reached } => Self::new(Exit::Unknown, message).hint(match reached {
                Reached::Shallow => "this clone is shallow: `git fetch --unshallow` in it brings the rest of the history".to_owned(),
                _ => format!("git searches without a bound: `git log --grep='Muster-Op: {op}'` in a clone of the hub"),
            }),
            LedgerError::CutHistory { folder, .. } => cut_history(message, folder.as_deref()),
            LedgerError::NoBranch { hub, .. } | LedgerError::NotAHub { hub, .. } => {
                let missing = Self { no_hub_there: true, ..Self::new(Exit::Configuration, message) };
                missing.hint(format!(
                    "make a hub of it with `git muster init {}`, or name another branch with `--hub-branch`",
                    quoted(hub)
                ))
            }
            LedgerError::WasAHub { branch, past, .. } => {
                let missing = Self::new(Exit::Configuration, message);
                let missing = Self { no_hub_there: matches!(past, Past::Beats(_)), ..missing };
                missing.hint(past.advice(branch)).hint(
                    "to found it anew would begin all tokens again, and who held a lock could not be told from who holds it",
                )
            }
            // It is away as one that does not answer.
            LedgerError::AnotherHub { .. } => Self::new(Exit::Unreachable, message),
            LedgerError::LacksObject { hub, object, .. } => {
                Self::new(Exit::Failed, message).hint(object.advice(hub))
            }
            LedgerError::BrokenBranch { branch, file, newest, .. } => {
                let broken = Self::new(Exit::Failed, message);
                put_back(PutBack::of(branch, file, newest.as_ref())).into_iter().fold(broken, Self::hint)
            }
            LedgerError::Document(document) if document.is_newer => {
                Self::new(Exit::Failed, message)
                    .hint("another server runs a newer git-muster; install the same one here")
            }
            LedgerError::Document(document) => Self::new(Exit::Failed, message)
                .hint(format!("`git muster import --check` shows what of it is mended and what is taken from the history, and `git muster import` does it; or mend `{}` in a clone of the hub and push it: `git log -p -- {}` shows who changed it", document.path, quoted(&document.path))),
            LedgerError::Configuration(why) => {
                let hints = advice_on_place(why).map(str::to_owned).into_iter().collect();
                Self { hints, ..Self::new(Exit::Configuration, message) }
            }
            LedgerError::Partial { partial, .. } => Self::new(Exit::Configuration, message).hint(format!(
                "`{}` brings the rest; or name the hub that it was cloned from",
                partial.command()
            )),
            LedgerError::Store { damaged: true, .. } => Self::new(Exit::Failed, message).hint(
                "`git fsck` there tells what is damaged; a clone can be made anew from the hub, and a hub from a clone",
            ),
            LedgerError::Store { why, .. } if is_about_disk(why) => Self::new(Exit::Failed, message)
                .hint("the disk that it lies on may be full or cannot be written: `git muster doctor disk` shows the room on each"),
            LedgerError::Store { .. } | LedgerError::File(_) => Self::new(Exit::Failed, message),
        };
        Self { not_in_branch, may_come_back, failure, ..told }
    }
}

/// What may be in history that is not here.
fn cut_history(message: String, folder: Option<&Path>) -> CliError {
    let cut = CliError::new(Exit::Configuration, message);
    let cut = match folder {
        Some(folder) => cut.hint(format!(
            "`git -C {} fetch --unshallow` brings the rest of the history; or give the command where all of it is: outside of this clone, or on another host",
            quoted(&folder.display().to_string())
        )),
        None => cut,
    };
    cut.hint(format!("if there is no more of it anywhere, `{BEGIN_ANEW}` begins anew what cannot be found: the hub may get another id, and tokens begin again"))
}

/// What to do about a branch whose ref names no commit.
fn put_back(put_back: PutBack) -> Vec<String> {
    let PutBack { known, command, first } = put_back;
    match first {
        None => vec![format!("{known}: put the branch back from a clone that has it, after `{command}`")],
        Some(first) => vec![format!("{known}: `{command}` puts the branch there"), first],
    }
}

/// What to do about something on this machine that cannot be a hub.
fn advice_on_place(why: &str) -> Option<&'static str> {
    const ADVICE: &[(&[&str], &str)] = &[
        (
            &["not owned by", "dubious ownership"],
            "if you trust its owner, `git config --global --add safe.directory PATH` with its path lets git use it",
        ),
        (
            &["has a work tree"],
            "make a bare copy of it with `git clone --bare`, and have all name that as the hub; inside a clone of a hub no `--hub` is needed",
        ),
        (
            &[FORMAT_IS_FOREIGN],
            "make a hub that can be used with `git muster init PATH`, where PATH is not there yet",
        ),
        (
            &[MAY_NOT_BE_READ],
            "its owner lets others look there with `chmod go+rX PATH`; who is to write needs more, see `git help config` for core.sharedRepository",
        ),
        (&[GIT_IS_MISCONFIGURED], "correct the line that is named: git itself stops at it, too"),
        (
            &["cannot be used as a hub"],
            "name a bare repository, or make one with `git muster init PATH`, where PATH is not there yet",
        ),
    ];
    ADVICE.iter().find(|(words, _)| words.iter().any(|word| why.contains(word))).map(|(_, advice)| *advice)
}

/// Whether it is about a file that could not be written.
fn is_about_disk(why: &str) -> bool {
    ["failed to write", "No space left", "Disk quota", "Read-only file system"]
        .iter()
        .any(|words| why.contains(words))
}

impl From<Stop> for CliError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(refusal) => refusal.into(),
            Stop::Fault(error) => error.into(),
        }
    }
}

impl From<FileError> for CliError {
    fn from(error: FileError) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

impl From<NameError> for CliError {
    fn from(error: NameError) -> Self {
        Self::new(Exit::Usage, error.to_string())
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            // The reader went away: it has what it wanted.
            return Self::new(Exit::Done, "");
        }
        Self::new(Exit::Failed, error.to_string())
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_is_about_the_trouble() {
        for (why, said) in [
            ("`/tmp` cannot be used as a hub: could not find repository", Some("git muster init")),
            (
                "`/h` cannot be used as a hub: repository path '/h' is not owned by current user",
                Some("safe.directory"),
            ),
            ("`/c/.git` has a work tree; a hub must be a bare repository", Some("git clone --bare")),
            ("cannot start the program `git`", None),
        ] {
            assert_eq!(
                advice_on_place(why).map(|advice| said.is_some_and(|said| advice.contains(said))),
                said.map(|_| true),
                "{why}"
            );
        }
        assert!(is_about_disk("failed to write out file"));
        assert!(!is_about_disk("object not found"));
    }
}
