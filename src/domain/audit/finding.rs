//! What an audit finds: which rule is broken, how bad that is, where, and what can be done.

use crate::domain::shell::typed;
use serde::Serialize;
use std::fmt;

/// How much of a name from a hub a finding repeats, in characters.
const SHOWN_LENGTH_MAX: usize = 80;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know; nothing has to be done.
    Note,
    /// Read and coped with, but not as its writer meant it, or without a safeguard.
    Warning,
    /// A rule is broken: commands refuse or misbehave, or something was lost.
    Error,
}

impl Severity {
    /// All of them, the worst first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal, $severity:ident;)*) => {
        /// The rules, by the name under which a breach of each is reported. The names are a promise.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
        pub enum Kind {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Its name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// How bad it is unless the circumstances say otherwise.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$kind => Severity::$severity,)* }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub fn meaning(self) -> String {
                match self { $(Self::$kind => [$($doc),+].concat().trim().to_owned(),)* }
            }
        }
    };
}

kinds! {
    /// A document cannot be read: conflict markers, wrong types, a link, too large.
    Unreadable = "unreadable", Error;
    /// A record cannot be read as what it should be: it is kept as it is and never acted on.
    BrokenRecord = "broken-record", Error;
    /// A document that every hub has is not there: it is read as empty.
    Missing = "missing", Warning;
    /// A document of a layout that this program reads and does not write.
    NewerLayout = "newer-layout", Warning;
    /// An id that no command can name.
    BadId = "bad-id", Error;
    /// A name that is none, so that nobody is meant by it.
    BadName = "bad-name", Warning;
    /// Two records have one id, and only the first of them counts; a note of archived messages.
    IdTwice = "id-twice", Error;
    /// A record is live and archived, or archived twice; a note where it is another message of that id.
    LiveAndArchived = "live-and-archived", Error;
    /// A word that is no status of a job: it is shown and never acted on.
    UnknownStatus = "unknown-status", Warning;
    /// A job is held and no server that could finish it is named: nobody takes it back.
    HeldByNobody = "held-by-nobody", Error;
    /// A job is held by a server that is not registered, and of which nobody is told when it is lost.
    HeldByStranger = "held-by-stranger", Warning;
    /// Something is held without a token, so that nothing fences off an earlier holder.
    HeldWithoutToken = "held-without-token", Warning;
    /// A job needs one that is not in the queue, and waits in vain.
    UnknownNeed = "unknown-need", Warning;
    /// Jobs need each other in a circle, and none is ever claimed.
    NeedsInCircle = "needs-in-circle", Warning;
    /// A message answers, or belongs to the thread of, one that is nowhere.
    UnknownMessage = "unknown-message", Note;
    /// A document in a server's folder names another server.
    OtherServer = "other-server", Note;
    /// Two servers differ in upper and lower case only: some disks cannot tell their folders apart.
    NamesAlike = "names-alike", Warning;

    /// A job is gone and not in the archive.
    JobVanished = "job-vanished", Error;
    /// A message is gone and not in the archive.
    MessageVanished = "message-vanished", Error;
    /// A lock is gone with its token, which would begin again.
    LockVanished = "lock-vanished", Error;
    /// A server is gone from the register, and no command took it out.
    ServerVanished = "server-vanished", Warning;
    /// A record is gone from the archive.
    ArchiveVanished = "archive-vanished", Error;
    /// A record of the archive was changed.
    ArchiveRewritten = "archive-rewritten", Error;
    /// A job began as something else than queued.
    BeganMidway = "began-midway", Error;
    /// A job went from one status to another that does not follow it.
    IllegalStep = "illegal-step", Error;
    /// A job was claimed without a token, as older writers do.
    ClaimedWithoutToken = "claimed-without-token", Warning;
    /// What a job is to do was changed after it was added.
    JobRewritten = "job-rewritten", Warning;
    /// A token went down or is gone: an earlier holder may pass for the present one.
    TokenLowered = "token-lowered", Error;
    /// A token is so high that it can never have been given, and none can follow it.
    TokenImpossible = "token-impossible", Error;
    /// A token rose by more than there were claims.
    TokenSkipped = "token-skipped", Error;
    /// A job's token rose and nobody claimed it.
    TokenWithoutClaim = "token-without-claim", Error;
    /// A job or a lock went from one holder to another under the same token.
    HandedOver = "handed-over", Error;
    /// A free lock was taken under its old token, which the last holder knows too.
    TakenWithoutToken = "taken-without-token", Warning;
    /// What was done once for all is marked as not done again.
    Undone = "undone", Error;
    /// A message was changed after it was sent.
    MessageRewritten = "message-rewritten", Error;
    /// A message that was read or acknowledged is not so any more.
    UnreadAgain = "unread-again", Error;

    /// One operation is in the history twice.
    OpTwice = "op-twice", Error;
    /// An operation that was begun on this host and never settled.
    Unsettled = "unsettled", Note;
    /// Commits that this host has seen are no longer in the history.
    HistoryRewritten = "history-rewritten", Error;
    /// The beginning of the history is not here.
    HistoryCut = "history-cut", Note;
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// One breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which rule.
    pub kind: Kind,
    /// The document, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The place in it: `jobs[3]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// One sentence without a final period.
    pub what: String,
    /// What to do about it; may name a command in backticks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Of how many records it tells, where one commit broke a rule at many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// The record that it is about.
    #[serde(skip)]
    pub subject: Option<String>,
}

impl Finding {
    /// A breach of this rule.
    #[must_use]
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            severity: kind.severity(),
            kind,
            path: None,
            place: None,
            what: what.into(),
            hint: None,
            count: None,
            subject: None,
        }
    }

    /// Whether it makes the document at `path` as a whole unusable.
    #[must_use]
    pub fn is_of_document(&self, path: &str) -> bool {
        matches!(self.kind, Kind::Unreadable | Kind::Missing) && self.path.as_deref() == Some(path)
    }

    /// Whether both tell of the same thing, in one state and as the work of a commit.
    #[must_use]
    pub fn is_same_breach(&self, other: &Self) -> bool {
        let is_same_document = self.kind == other.kind && self.path == other.path;
        is_same_document
            && (self.what == other.what || self.path.as_deref().is_some_and(|path| self.is_of_document(path)))
    }

    /// In the document at `path`.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    /// In this place of the document.
    #[must_use]
    pub fn place(self, place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..self }
    }

    /// About the record of this id.
    #[must_use]
    pub fn of(self, id: &str) -> Self {
        Self { subject: Some(id.to_owned()), ..self }
    }

    /// As bad as this and not as usual.
    #[must_use]
    pub fn severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// With advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// A name or word from a hub as a finding repeats it: in backticks and not endless.
#[must_use]
pub(super) fn named(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_LENGTH_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// How a job is ended that nobody will do.
pub(super) fn call_off(id: &str) -> String {
    format!("call it off with `git muster job cancel {}`", typed(id, "ID"))
}

/// How a job is put back into the queue, whoever holds it.
pub(super) fn call_off_and_retry(id: &str) -> String {
    let id = typed(id, "ID");
    format!("`git muster job cancel {id}`, then `git muster job retry {id}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_rule_has_a_name_of_its_own_that_is_written_as_it_is_told() {
        let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("a word"), kind.as_str());
            assert!(kind.meaning().ends_with('.'), "{kind}");
        }
    }

    #[test]
    fn one_breach_is_told_once_and_a_whole_document_is_one() {
        let in_jobs = |kind, what: &str| Finding::new(kind, what).at("jobs.json");
        let empty = in_jobs(Kind::Unreadable, "it is empty");
        for (other, expected) in [
            (empty.clone().place("jobs[0]"), true),
            // One document, whatever is said of it.
            (in_jobs(Kind::Unreadable, "it is a list"), true),
            (in_jobs(Kind::Missing, "it is empty"), false),
            (Finding::new(Kind::Unreadable, "it is empty").at("locks.json"), false),
            (Finding::new(Kind::Unreadable, "it is empty"), false),
        ] {
            assert_eq!(empty.is_same_breach(&other), expected, "{other:?}");
        }
        let twice = in_jobs(Kind::IdTwice, "a");
        assert!(twice.is_same_breach(&in_jobs(Kind::IdTwice, "a")));
        assert!(!twice.is_same_breach(&in_jobs(Kind::IdTwice, "b")), "another record");
        for (finding, expected) in [
            (&empty, true),
            (&in_jobs(Kind::Missing, ""), true),
            (&twice, false),
            (&Finding::new(Kind::Missing, "").at("locks.json"), false),
        ] {
            assert_eq!(finding.is_of_document("jobs.json"), expected, "{finding:?}");
        }
    }

    #[test]
    fn what_is_known_of_a_breach_is_kept() {
        let found =
            Finding::new(Kind::BadId, "x").hint("h").place("jobs[0]").at("p").severity(Severity::Warning);
        assert_eq!((found.path.as_deref(), found.place.as_deref()), (Some("p"), Some("jobs[0]")));
        assert_eq!((found.hint.as_deref(), found.severity), (Some("h"), Severity::Warning));
        let found = Finding::new(Kind::BadId, "x").at("p").of("job_1").hint("h");
        assert_eq!(found.subject.as_deref(), Some("job_1"));
        assert_eq!((found.path.as_deref(), found.hint.as_deref()), (Some("p"), Some("h")));
    }

    #[test]
    fn a_name_without_end_is_not_repeated_without_end() {
        assert_eq!(named("a"), "`a`");
        assert_eq!(named(&"x".repeat(100_000)).chars().count(), SHOWN_LENGTH_MAX + 3);
    }
}
