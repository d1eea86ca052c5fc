//! What somebody should know or do something about: the one shape of what `health`, `fsck` and `doctor` find.
//!
//! A finding is data: which trouble, how bad, of what, and the facts of it. What a person reads, and which
//! command helps, each front end makes of that. Nothing here finds anything.

mod code;
mod fleet;
mod hub;

pub use code::FindingCode;
pub use fleet::{FleetFact, RecordFact};
pub use hub::{CutBy, HubFact, NameFact, Rewritten, Unread};

use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// How bad it is, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know; nothing has to be done.
    Note,
    /// It works for now, and somebody should look at it.
    Warning,
    /// There is nothing to judge by: worse than a warning, and it hides nothing that is known to be broken.
    Unknown,
    /// Something stands still, is lost or does not work.
    Error,
}

/// What sort of thing a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thing {
    /// The hub as a whole.
    Hub,
    /// This machine.
    Machine,
    /// All that waits.
    Queue,
    Server,
    Job,
    Group,
    Lock,
    Message,
    /// A pause: `queue`, `label:<label>` or `server:<name>`.
    Pause,
    Document,
    /// A record of a document.
    Record,
    Branch,
    Directory,
    Operation,
    /// What was done before.
    History,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// What sort of thing.
    pub thing: Thing,
    /// Its name, id or path.
    pub id: String,
    /// The document, of a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Where in the document: `jobs[3]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The server that it concerns, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

impl About {
    /// About the thing of this name or id.
    #[must_use]
    pub fn new(thing: Thing, id: &str) -> Self {
        Self { thing, id: id.to_owned(), path: None, place: None, server: None }
    }

    /// About a server, which it concerns.
    #[must_use]
    pub fn server(name: &str) -> Self {
        Self { server: Some(name.to_owned()), ..Self::new(Thing::Server, name) }
    }

    /// The same, and it concerns this server.
    #[must_use]
    pub fn of(self, server: Option<&str>) -> Self {
        Self { server: server.map(str::to_owned), ..self }
    }
}

/// Which trouble, with its facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Fact {
    /// Of a fleet: what `health` looks for.
    Fleet(FleetFact),
    /// Of the documents of a hub and its history: what `fsck` looks for, and some of it `health`.
    Hub(HubFact),
}

/// Others of the same code that a finding stands for, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alike {
    /// How many there are with it.
    pub count: usize,
    /// The ids of some of the others.
    pub examples: Vec<String>,
}

/// One trouble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which, with its facts.
    #[serde(flatten)]
    pub fact: Fact,
    /// What it is about.
    pub about: About,
    /// Others like it, where it stands for many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alike: Option<Alike>,
}

impl Finding {
    /// A trouble, as bad as its code says.
    #[must_use]
    pub fn new(fact: impl Into<Fact>, about: About) -> Self {
        let fact = fact.into();
        Self { severity: fact.code().severity(), fact, about, alike: None }
    }

    /// In the document at `path`.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        self.about.path = Some(path.to_owned());
        self
    }

    /// In this place of the document.
    #[must_use]
    pub fn place(mut self, place: impl Into<String>) -> Self {
        self.about.place = Some(place.into());
        self
    }

    /// As bad as this and not as usual.
    #[must_use]
    pub fn severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> FindingCode {
        self.fact.code()
    }

    /// Whether it makes the document at `path` as a whole unusable.
    #[must_use]
    pub fn is_of_document(&self, path: &str) -> bool {
        let is_whole = matches!(self.code(), FindingCode::Unreadable | FindingCode::Missing);
        is_whole && self.about.path.as_deref() == Some(path)
    }

    /// Whether both tell of the same thing, in one state and as the work of a commit.
    #[must_use]
    pub fn is_same_breach(&self, other: &Self) -> bool {
        let is_same_document = self.code() == other.code() && self.about.path == other.about.path;
        let is_same = self.fact == other.fact && self.about.id == other.about.id;
        is_same_document
            && (is_same || self.about.path.as_deref().is_some_and(|path| self.is_of_document(path)))
    }

    /// Names the trouble for as long as it lasts: `heartbeat-stale:build2`.
    #[must_use]
    pub fn cause(&self) -> String {
        let (code, about) = (self.code(), &self.about);
        match (&self.alike, &about.path, &about.place) {
            (Some(_), ..) => format!("{code}:*"),
            // One cause: which documents they are may be others the next time.
            _ if code == FindingCode::UndoneUnknown => code.to_string(),
            (None, Some(path), Some(place)) => format!("{code}:{path}:{place}"),
            _ => format!("{code}:{}", about.id),
        }
    }

    /// How many of a kind it stands for, where it stands for many.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        match (&self.alike, &self.fact) {
            (Some(alike), _) => Some(alike.count),
            (None, Fact::Fleet(fact)) => fact.jobs(),
            (None, Fact::Hub(_)) => None,
        }
    }
}

/// For logs: the code, what it is about, and the facts.
impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut whole = serde_json::to_value(&self.fact).unwrap_or_default();
        let facts = whole.get_mut("facts").map(Value::take).unwrap_or_default();
        write!(out, "{} {}", self.code(), self.about.id)?;
        if facts.is_null() { Ok(()) } else { write!(out, " {facts}") }
    }
}

impl Fact {
    /// Its code.
    #[must_use]
    pub fn code(&self) -> FindingCode {
        match self {
            Self::Fleet(fact) => fact.code(),
            Self::Hub(fact) => fact.code(),
        }
    }
}

impl From<HubFact> for Fact {
    fn from(fact: HubFact) -> Self {
        Self::Hub(fact)
    }
}

impl From<FleetFact> for Fact {
    fn from(fact: FleetFact) -> Self {
        Self::Fleet(fact)
    }
}

#[cfg(test)]
pub(crate) mod tests;
