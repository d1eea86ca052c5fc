//! Questions about the queue as a whole: what is paused, how it does in figures.

use super::{Query, Unreadable, unreadable_of};
use crate::app::archived::all;
use crate::domain::job::Job;
use crate::domain::pause::Pause;
use crate::domain::record::Record;
use crate::domain::statistics;
use crate::domain::table::Table;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is paused now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses {}

/// The pauses that hold.
#[derive(Debug, Serialize)]
pub struct Holding {
    /// Those that can be read.
    #[serde(serialize_with = "super::as_stored")]
    pub items: Vec<Arc<Record<Pause>>>,
    /// Those that cannot: each holds until it is ended.
    pub unreadable: Vec<Unreadable>,
}

impl Query for Pauses {
    type Answer = Holding;

    fn run(&self, documents: &impl Documents, now: Timestamp) -> Result<Holding, Abort> {
        let pauses: Table<Pause> = documents.table()?;
        let items = pauses.shared().filter(|pause| pause.holds(now)).cloned().collect();
        Ok(Holding { items, unreadable: unreadable_of(&pauses) })
    }
}

/// How many jobs there are, live and archived, how long they waited and took, how many failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Only those that were added after that.
    pub since: Option<Timestamp>,
}

impl Query for Statistics {
    type Answer = statistics::Statistics;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<statistics::Statistics, Abort> {
        Ok(statistics::Statistics::of(&all::<Job>(documents, self.since)?, self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::held::MemoryDocuments;
    use crate::app::queries::tests::{answer, now};
    use crate::domain::table::Row as _;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn a_pause_is_listed_while_it_holds_and_when_it_cannot_be_read() {
        let rows = [
            r#"{"id":"queue","by":"b1"}"#,
            r#"{"id":"label:gpu","until":"2025-11-10T11:59:59Z"}"#,
            r#"{"id":"server:b1","until":"2025-11-10T12:00:01Z","x":1}"#,
            r#"{"id":"label:fast","until":["never"]}"#,
            r#"{"id":"label:slow","by":{}}"#,
        ];
        let hub = MemoryDocuments::default().rows(Pause::PATH, "pauses", &rows);
        let told = answer(&Pauses {}, &hub).expect("a list");
        let ids = |part: &str| {
            let all = told[part].as_array().into_iter().flatten();
            all.map(|one| one["id"].as_str().unwrap_or("?").to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told["items"][1]["x"], json!(1), "as it is stored");
        let known = format!("{} {}", ids("items"), ids("unreadable"));
        assert!(known.starts_with("queue server:b1") && !known.contains("gpu"), "{known}");
        assert!(known.contains("label:slow"), "{known}");
    }

    #[test]
    fn the_figures_are_of_the_archive_as_well_and_of_jobs_added_within_the_time() {
        let job = |id: &str, day: u32, status: &str| {
            format!(r#"{{"id":"{id}","status":"{status}","created_at":"2025-11-{day:02}T12:00:00Z"}}"#)
        };
        let live = [job("a", 10, "queued"), job("b", 9, "completed"), job("c", 1, "failed")];
        let live: Vec<&str> = live.iter().map(String::as_str).collect();
        let archived = [job("d", 8, "completed")];
        let archived: Vec<&str> = archived.iter().map(String::as_str).collect();
        let archive = "coordination/archive/jobs-2025-11.json";
        let hub = MemoryDocuments::default().rows(Job::PATH, "jobs", &live).rows(archive, "jobs", &archived);
        for (days, completed, failed) in [(None, 2, 1), (Some(3), 2, 0), (Some(2), 1, 0)] {
            let since = days.map(|days| now().before(Duration::from_secs(days * 86_400)));
            let told = answer(&Statistics { since }, &hub).expect("figures");
            assert_eq!(
                (&told["completed"], &told["failed"]),
                (&json!(completed), &json!(failed)),
                "{days:?}"
            );
        }
    }
}
