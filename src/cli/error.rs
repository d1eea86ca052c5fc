//! From what went wrong to what the user reads: headline, hints, exit code. The one place that
//! decides them.

use super::exit::Exit;
use super::far_side;
use super::words;
use crate::app::flows::Failure;
use crate::domain::code::{Code, Retry};
use crate::domain::id::{LockName, NameError, OpId};
use crate::domain::refusal::Refusal;
use crate::domain::shell::quoted;
use crate::domain::time::show_span;
use crate::git::PutBack;
use crate::ledger::{Abort, Cause, LedgerError, Past, Reached, StoreCause, Unfit};
use crate::machine::asked;
use crate::machine::files::FileError;
use serde_json::{Map, Value};
use std::fmt;
use std::io;
use std::time::Duration;

/// What a write that failed says of itself.
const NOTHING_WRITTEN: &str = "nothing was written";

/// The line that goes on where history that may hold more is not here.
pub(super) const BEGIN_ANEW: &str = "git muster import --force";

/// What an error is about, for programs.
#[derive(Debug, Default)]
pub(super) struct ErrorFacts {
    /// By the names that its code tells.
    facts: Map<String, Value>,
    /// Which part of the request is at fault, as a JSON pointer into it, if one of several is.
    pointer: Option<String>,
}

impl ErrorFacts {
    fn new(facts: Value, pointer: Option<String>) -> Box<Self> {
        let facts = match facts {
            Value::Object(facts) => facts,
            _ => Map::new(),
        };
        Box::new(Self { facts, pointer })
    }
}

/// A command that did not do what it was asked.
#[derive(Debug)]
pub(super) struct CliError {
    /// What it is, for programs.
    pub code: Code,
    /// How the command ends: by the class of the code, unless somebody up knows better.
    pub exit: Exit,
    /// What happened and what was not done; one sentence without a final period.
    pub message: String,
    /// What to do next; may hold commands in backticks.
    pub hints: Vec<String>,
    /// What it is about.
    pub about: Box<ErrorFacts>,
    /// Whether the hub has what was asked for, as far as that is known.
    pub written: Option<bool>,
    /// Whether the message says that nothing was written.
    pub says_unwritten: bool,
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
    /// Whether nothing is there that can be opened as a repository.
    pub no_repository_there: bool,
    /// Whether the hub was there and may come back: who goes on waits for it.
    pub may_come_back: bool,
    /// What sort of failure of a read or a write it is: flows decide by it.
    pub failure: Failure,
}

impl CliError {
    /// An error of this code.
    #[must_use]
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            exit: Exit::of(code.class()),
            message: message.into(),
            hints: Vec::new(),
            about: Box::default(),
            written: (code.retry() != Retry::Resolve).then_some(false),
            says_unwritten: false,
            op: None,
            by_hub: false,
            no_hub_there: false,
            cause: None,
            not_in_branch: false,
            no_repository_there: false,
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

    /// The same with a fact, which has one of the names that the code tells.
    #[must_use]
    pub(super) fn fact(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        debug_assert!(self.code.facts().contains(&name), "{} has no fact {name}", self.code);
        self.about.facts.insert(name.to_owned(), value.into());
        self
    }

    /// All facts that its code names, in that order; what is not known is null.
    #[must_use]
    pub(super) fn all_facts(&self) -> Map<String, Value> {
        let told = |name: &&str| self.about.facts.get(*name).cloned().unwrap_or_default();
        self.code.facts().iter().map(|name| ((*name).to_owned(), told(name))).collect()
    }

    /// Which part of the request is at fault, as a JSON pointer into it, if one of several is.
    #[must_use]
    pub(super) fn pointer(&self) -> Option<&str> {
        self.about.pointer.as_deref()
    }

    /// The reader of the answer went away: it has what it wanted.
    #[must_use]
    pub(super) fn reader_gone() -> Self {
        Self { exit: Exit::Done, ..Self::new(Code::AnswerUndelivered, "") }
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
            return Self::new(
                Code::AnswerUndelivered,
                "cannot write the result: its reader has closed the pipe",
            );
        }
        self
    }

    /// The write was made, and only its answer got lost.
    #[must_use]
    pub(super) fn done_all_the_same(self, answer: &str) -> Self {
        let answer = answer.trim().replace('\n', "; ");
        let message = format!("{}; the operation itself succeeded: {answer}", self.message);
        Self { message, written: Some(true), ..self }
    }

    /// What failed in the middle, of which a part was done.
    #[must_use]
    pub(super) fn after(self, done: &str) -> Self {
        let message = format!("{}; before that: {done}", self.message);
        Self { message, written: Some(true), ..self }
    }

    /// An option that has no place in this command.
    #[must_use]
    pub(super) fn conflict(option: &str, command: &str, why: &str) -> Self {
        Self::new(Code::OptionConflict, why).fact("option", option).fact("command", command)
    }

    /// Asked to end before the lock `name` was taken, or anything done with it.
    #[must_use]
    pub(super) fn interrupted(name: &LockName, why: String) -> Self {
        Self::new(Code::Interrupted, why).fact("what", "lock").fact("id", name.as_str())
    }

    /// A program that cannot be started, because of `error`.
    #[must_use]
    pub(super) fn not_started(program: impl fmt::Display, error: &io::Error, why: String) -> Self {
        let told = Self::new(Code::CommandNotStarted, why).fact("program", program.to_string());
        told.fact("detail", error.to_string())
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
        let hints: Vec<String> = paragraphs.collect();
        let usage = hints.iter().find_map(|hint| hint.strip_prefix("Usage: ")).map(str::to_owned);
        Self { hints, ..Self::new(Code::Usage, message).fact("usage", usage) }
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
    pub(super) fn nothing_written(self) -> Self {
        const CERTAIN: &[Exit] =
            &[Exit::Failed, Exit::Refused, Exit::Unreachable, Exit::Configuration, Exit::AskedToEnd];
        if CERTAIN.contains(&self.exit) && !self.says_unwritten { self.unwritten() } else { self }
    }

    /// The same, and nothing was written.
    #[must_use]
    pub(super) fn unwritten(mut self) -> Self {
        self.message.push_str("; ");
        self.message.push_str(NOTHING_WRITTEN);
        Self { says_unwritten: true, written: Some(false), ..self }
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
            "earlier writes of this command are kept"
        } else if self.says_unwritten {
            NOTHING_WRITTEN
        } else {
            "nothing was read or written"
        };
        let told = Self::new(Code::AskedToEnd, format!("interrupted by {}; {what}", asked::by()));
        Self { written: Some(asked::has_landed()), ..told.fact("signal", asked::by()) }
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
        let mut error = Self::new(Code::OutcomeUnknown, format!("outcome unknown: {why} (op {op})"))
            .hint(format!("check with `git muster op status {op}`; apply exactly once with `git muster op resume {op}`, or discard with `git muster op drop {op}`"))
            .fact("op", op.as_str())
            .fact("detail", why);
        error.op = Some(op);
        error.failure = Failure::Unknown;
        error
    }
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        Self {
            hints: words::hint(&refusal).into_iter().collect(),
            about: ErrorFacts::new(refusal.facts(), refusal.pointer()),
            says_unwritten: words::says_unwritten(&refusal),
            failure: Failure::No(refusal.class()),
            ..Self::new(refusal.code(), words::sentence(&refusal))
        }
    }
}

impl From<LedgerError> for CliError {
    fn from(error: LedgerError) -> Self {
        let cause = match &error {
            LedgerError::Unreachable { why, .. } | LedgerError::Denied { why, .. } => Some(why.cause),
            _ => None,
        };
        Self {
            hints: advice(&error),
            about: ErrorFacts::new(error.facts(), None),
            cause,
            by_hub: matches!(error, LedgerError::Denied { .. }),
            no_hub_there: matches!(
                error,
                LedgerError::NoBranch { .. }
                    | LedgerError::NotAHub { .. }
                    | LedgerError::WasAHub { past: Past::Beats(_), .. }
            ),
            not_in_branch: error.is_about_branch(),
            no_repository_there: matches!(&error, LedgerError::Configuration { cause, .. } if cause.is_no_repository()),
            may_come_back: error.may_come_back(),
            says_unwritten: matches!(error, LedgerError::AnotherHub { .. }),
            failure: Failure::of_fault(&error),
            ..Self::new(error.code(), error.to_string())
        }
    }
}

/// What to do about a fault.
fn advice(error: &LedgerError) -> Vec<String> {
    match error {
        LedgerError::Unreachable { hub, why } | LedgerError::Denied { hub, why } => {
            vec![far_side::advice(why, hub)]
        }
        LedgerError::Contended(_) => vec!["try again".to_owned()],
        LedgerError::Unsettled { .. } => {
            vec!["repeat the command: it does nothing if it was already applied".to_owned()]
        }
        LedgerError::Untold { op, reached } => vec![match reached {
            Reached::Shallow => {
                "this clone is shallow: fetch the rest of the history with `git fetch --unshallow`".to_owned()
            }
            _ => format!(
                "search the whole history with `git log --grep='Muster-Op: {op}'` in a clone of the hub"
            ),
        }],
        LedgerError::CutHistory { place, .. } => cut_history(place.as_deref()),
        LedgerError::NoBranch { hub, .. } | LedgerError::NotAHub { hub, .. } => vec![format!(
            "create a hub in it with `git muster init {}`, or select another branch with `--hub-branch`",
            quoted(hub)
        )],
        LedgerError::WasAHub { branch, past, .. } => vec![
            words::lost::put_back(past, branch),
            "do not recreate the hub: tokens would restart, and a former lock holder could not be told from the current one"
                .to_owned(),
        ],
        LedgerError::LacksObject { hub, object, .. } => vec![words::lost::object(object, hub)],
        LedgerError::BrokenBranch { branch, file, newest, .. } => {
            words::lost::branch(PutBack::of(branch, file, newest.as_ref()))
        }
        LedgerError::Document(document) if document.is_newer => {
            vec!["another server runs a newer git-muster; install the same version here".to_owned()]
        }
        LedgerError::Document(document) => vec![format!(
            "check with `git muster import --check` what can be fixed or restored from the history, then run `git muster import`; or repair `{}` in a clone of the hub and push; `git log -p -- {}` shows who changed it",
            document.path,
            quoted(&document.path)
        )],
        LedgerError::Configuration { cause, .. } => {
            advice_on_place(*cause).map(str::to_owned).into_iter().collect()
        }
        LedgerError::Partial { partial, .. } => vec![words::lost::partial(partial)],
        LedgerError::Store { cause: StoreCause::Damaged, .. } => vec![
            "run `git fsck` there to find the damage; a clone can be replaced from the hub, and a hub from a clone"
                .to_owned(),
        ],
        LedgerError::Store { cause: StoreCause::Disk, .. } => vec![
            "the disk may be full or not writable: check with `git muster doctor disk`"
                .to_owned(),
        ],
        // One that is another is away as one that does not answer.
        LedgerError::AnotherHub { .. }
        | LedgerError::AskedToEnd
        | LedgerError::Store { .. }
        | LedgerError::File(_) => Vec::new(),
    }
}

/// What may be in history that is not here.
fn cut_history(place: Option<&str>) -> Vec<String> {
    let fetch = place.map(|place| {
        format!(
            "fetch the rest of the history with `git -C {} fetch --unshallow`; or run the command where the history is complete: outside of this clone, or on another machine",
            quoted(place)
        )
    });
    let anew = format!(
        "if no other copy exists, `{BEGIN_ANEW}` starts lost documents again: the hub may get another id, and tokens restart"
    );
    fetch.into_iter().chain([anew]).collect()
}

/// What to do about something on this machine that cannot be a hub.
fn advice_on_place(cause: Unfit) -> Option<&'static str> {
    Some(match cause {
        Unfit::Owner => {
            "if you trust its owner, run `git config --global --add safe.directory PATH` with its path"
        }
        Unfit::WorkTree => {
            "create a bare copy with `git clone --bare`, and use that as the hub on all servers; inside a clone of a hub, omit `--hub`"
        }
        Unfit::Format => "create a usable hub with `git muster init PATH`, where PATH does not exist yet",
        Unfit::Unreadable => {
            "its owner can grant read access with `chmod go+rX PATH`; for write access, see core.sharedRepository in `git help config`"
        }
        Unfit::GitSetting => "correct that line: Git itself fails on it, too",
        Unfit::NoRepository => {
            "pass a bare repository, or create one with `git muster init PATH`, where PATH does not exist yet"
        }
        Unfit::TwoPlaces | Unfit::Git | Unfit::NoHistory | Unfit::Signing | Unfit::Refused => return None,
    })
}

impl From<Abort> for CliError {
    fn from(stop: Abort) -> Self {
        match stop {
            Abort::Refused(refusal) => refusal.into(),
            Abort::Fault(error) => error.into(),
        }
    }
}

impl From<FileError> for CliError {
    fn from(error: FileError) -> Self {
        let path = error.path().display().to_string();
        Self::new(Code::FileFailed, error.to_string()).fact("path", path).fact("detail", error.to_string())
    }
}

impl From<NameError> for CliError {
    fn from(error: NameError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::reader_gone();
        }
        Self::new(Code::MachineFailed, error.to_string()).fact("detail", error.to_string())
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Code::MachineFailed, format!("{error:#}")).fact("detail", format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_written_is_not_said_to_be_unwritten() {
        let refused = || CliError::new(Code::LockHeld, "held");
        let done = refused().done_all_the_same("token 1");
        let unknown = CliError::new(Code::OutcomeUnknown, "sent");
        for (error, written) in [
            (refused(), Some(false)),
            (refused().after("1 job"), Some(true)),
            (done, Some(true)),
            (unknown, None),
        ] {
            assert_eq!(error.written, written, "{}", error.message);
        }
    }

    #[test]
    fn that_nothing_was_written_is_said_once() {
        let twice = CliError::new(Code::HubNotConfigured, "no hub").nothing_written().nothing_written();
        assert_eq!(twice.message, "no hub; nothing was written");
        let unknown = CliError::new(Code::OutcomeUnknown, "sent").nothing_written();
        assert_eq!(unknown.message, "sent");
        let server = "build1".to_owned();
        let refused = CliError::from(Refusal::ServerNotRegistered { server }).nothing_written();
        assert_eq!(refused.message.matches(NOTHING_WRITTEN).count(), 1, "{}", refused.message);
    }

    #[test]
    fn each_fact_of_a_code_is_told_in_order_and_unknown_ones_are_null() {
        let error = CliError::new(Code::WaitExpired, "").fact("id", "job_1").fact("kind", "job");
        let told = serde_json::to_string(&error.all_facts()).expect("JSON");
        assert_eq!(told, r#"{"kind":"job","id":"job_1","status":null,"waited_seconds":null}"#);
    }
}
