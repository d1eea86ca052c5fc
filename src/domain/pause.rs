//! `coordination/pauses.json`: what is not to be claimed for now, and why.
//!
//! A pause is about the whole queue, about jobs that require a label (so about a pool of servers), or
//! about one server. It says who made it and why, so that nobody has to guess why nothing happens. It
//! ends by itself when it says until when; that is told by the clock of who made it and judged by the
//! clock of who claims: minutes, not a lease. One that cannot be read holds until it is ended: what was
//! paused on purpose does not start because a writer broke the record. One that does not even say what it
//! is about holds nobody, and is shown.

use super::id::ServerName;
use super::job::Job;
use super::lenient;
use super::table::{BrokenRecord, Row, Table};
use super::time::{Timestamp, show_span};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// What a pause is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paused {
    /// All jobs.
    Queue,
    /// Jobs that require this label.
    Label(String),
    /// All claims of this server.
    Server(ServerName),
}

impl fmt::Display for Paused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue => out.write_str("queue"),
            Self::Label(label) => write!(out, "label:{label}"),
            Self::Server(server) => write!(out, "server:{server}"),
        }
    }
}

impl Paused {
    /// For people: `the queue`, `label gpu`, `server build1`.
    #[must_use]
    pub fn named(&self) -> String {
        match self {
            Self::Queue => "the queue".to_owned(),
            Self::Label(label) => format!("label `{label}`"),
            Self::Server(server) => format!("server `{server}`"),
        }
    }
}

/// One pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Pause {
    /// What it is about: `queue`, `label:<label>` or `server:<name>`.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub id: String,
    /// Who made it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub by: Option<String>,
    /// When.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// Why, for people.
    #[serde(default, deserialize_with = "lenient::text")]
    pub note: Option<String>,
    /// Until when; without it until somebody ends it.
    #[serde(default, deserialize_with = "lenient::timestamp", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// Whether the worker of the server ends when its jobs have.
    #[serde(default, deserialize_with = "lenient::truth", skip_serializing_if = "Option::is_none")]
    pub drain: Option<bool>,
}

impl Pause {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// What is left of one that cannot be read.
    fn unreadable(broken: &BrokenRecord) -> Self {
        Self {
            id: broken.id(),
            by: broken.field("by"),
            at: broken.field("at").and_then(|at| Timestamp::parse(&at)),
            note: Some(format!(
                "its record cannot be read, so it holds until it is ended ({})",
                broken.why()
            )),
            until: None,
            drain: None,
        }
    }

    /// For people: `by build2 5m ago, until 2025-10-29T12:00:00Z: disk is being replaced`.
    #[must_use]
    pub fn describe(&self, now: Timestamp) -> String {
        let by = self.by.as_deref().unwrap_or("somebody");
        let ago = self.at.map_or(String::new(), |at| format!(" {} ago", show_span(now.since(at))));
        let until = self.until.map_or(String::new(), |until| format!(", until {}", until.told()));
        let note = self.note.as_deref().map_or(String::new(), |note| format!(": {note}"));
        format!("by {by}{ago}{until}{note}")
    }
}

impl Row for Pause {
    const PATH: &'static str = "coordination/pauses.json";
    const FIELD: &'static str = "pauses";
    const TITLE: &'static str = "what is not to be claimed for now";
    const LOSSY: bool = true;
    fn id(&self) -> &str {
        &self.id
    }
}

/// The pause that holds for `what` at `now`.
#[must_use]
pub fn pause_of<'a>(pauses: &'a Table<Pause>, what: &Paused, now: Timestamp) -> Option<Cow<'a, Pause>> {
    let id = what.to_string();
    let readable = pauses.rows().map(|row| &**row).find(|pause| pause.id == id && pause.holds(now));
    let unreadable = || pauses.unreadable(&id).map(|broken| Cow::Owned(Pause::unreadable(broken)));
    readable.map(Cow::Borrowed).or_else(unreadable)
}

/// The pause that keeps `job` from being claimed by anybody at `now`, and what it is about.
#[must_use]
pub fn pause_of_job<'a>(
    pauses: &'a Table<Pause>,
    job: &Job,
    now: Timestamp,
) -> Option<(Paused, Cow<'a, Pause>)> {
    let labels = job.labels.iter().map(|label| Paused::Label(label.clone()));
    std::iter::once(Paused::Queue)
        .chain(labels)
        .find_map(|what| pause_of(pauses, &what, now).map(|pause| (what, pause)))
}

/// Takes out every pause of `what`, also one that cannot be read; what each held.
pub fn end(pauses: &mut Table<Pause>, what: &Paused) -> Vec<Value> {
    let id = what.to_string();
    let readable = pauses.take(|pause| pause.id == id).into_iter().map(|pause| pause.raw());
    let ended: Vec<Value> = readable.collect();
    let broken = pauses.take_broken(|broken| broken.id() == id);
    ended.into_iter().chain(broken.iter().map(BrokenRecord::raw)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &str) -> Table<Pause> {
        Table::read("pauses.json", format!("{{\"pauses\":[{rows}]}}").as_bytes()).expect(rows)
    }

    #[test]
    fn a_pause_is_about_the_queue_a_label_or_a_server_and_ends_by_itself() {
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        let job: Job = serde_json::from_str(r#"{"id":"a","labels":["gpu","pool=fast"]}"#).expect("job");
        for (rows, expected) in [
            ("", None),
            (r#"{"id":"queue"}"#, Some(Paused::Queue)),
            (r#"{"id":"queue","until":"2025-10-29T12:00:00Z"}"#, None),
            (r#"{"id":"queue","until":"2025-10-29T12:00:01Z"}"#, Some(Paused::Queue)),
            (r#"{"id":"queue","until":"soon"}"#, Some(Paused::Queue)),
            (r#"{"id":"label:pool=fast"}"#, Some(Paused::Label("pool=fast".to_owned()))),
            (r#"{"id":"label:fast"},{"id":"server:build1"}"#, None),
            (
                r#"{"id":"label:gpu","until":"2025-10-29T11:00:00Z"},{"id":"label:gpu"}"#,
                Some(Paused::Label("gpu".to_owned())),
            ),
        ] {
            let pauses = table(rows);
            assert_eq!(pause_of_job(&pauses, &job, now).map(|found| found.0), expected, "{rows}");
        }
        let pauses = table(
            r#"{"id":"server:build1","by":"build2","at":"2025-10-29T11:55:00Z","note":"disk","until":"2025-10-29T13:00:00Z"}"#,
        );
        let server = Paused::Server(ServerName::new("build1").expect("name"));
        let told = pause_of(&pauses, &server, now).map(|pause| pause.describe(now));
        assert_eq!(told.as_deref(), Some("by build2 5m ago, until 2025-10-29T13:00:00Z: disk"));
    }

    #[test]
    fn a_pause_that_cannot_be_read_holds_until_it_is_ended() {
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        let job: Job = serde_json::from_str(r#"{"id":"a","labels":["gpu"]}"#).expect("job");
        for (rows, expected) in [
            (r#"{"id":"queue","until":{"at":"2025-10-29T11:00:00Z"}}"#, Some(Paused::Queue)),
            (r#"{"id":"queue","note":"a","note":"b"}"#, Some(Paused::Queue)),
            (r#"{"id":"queue","until":"2025-10-29T11:00:00Z"},{"id":"queue","by":[]}"#, Some(Paused::Queue)),
            (r#"{"id":"label:gpu","drain":[]}"#, Some(Paused::Label("gpu".to_owned()))),
            // Nobody can tell whom these were to hold.
            (r#"null,"queue",[],{"id":["queue"]}"#, None),
        ] {
            let mut pauses = table(rows);
            assert_eq!(pause_of_job(&pauses, &job, now).map(|found| found.0), expected, "{rows}");
            let Some(what) = expected else { continue };
            assert!(
                !end(&mut pauses, &what).is_empty() && pauses.is_empty() && pauses.is_changed(),
                "{rows}"
            );
        }
        let pauses = table(r#"{"id":"server:b","by":"build2","at":"2025-10-29T11:55:00Z","until":[]}"#);
        let server = Paused::Server(ServerName::new("b").expect("name"));
        assert_eq!(
            pause_of(&pauses, &server, now).map(|pause| pause.describe(now)).as_deref(),
            Some(
                "by build2 5m ago: its record cannot be read, so it holds until it is ended (until: a list where a time belongs)"
            )
        );
    }
}
