//! `coordination/servers.json`: who belongs to the hub.

use super::heartbeat::Heartbeat;
use super::id::ServerName;
use super::lenient;
use super::record::Record;
use super::status::Status;
use super::table::{Progress, Row};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A registered server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Server {
    /// Its name.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub id: String,
    /// The machine's own name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub host: Option<String>,
    /// Its address, for people.
    #[serde(default, deserialize_with = "lenient::text")]
    pub ip: Option<String>,
    /// Who runs it: a person or an agent.
    #[serde(default, deserialize_with = "lenient::text")]
    pub manager: Option<String>,
    /// What it can do: `arch=amd64`, `gpu`.
    #[serde(default, deserialize_with = "lenient::texts")]
    pub labels: Vec<String>,
    /// When it joined.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub joined_at: Option<Timestamp>,
    /// Names the machine beyond its host name, so that a second machine cannot take the name
    /// unnoticed; a random id that `join` made, no hardware number.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

impl Server {
    /// Whether it was registered on a machine of this name, however much of its domain is told.
    fn is_on(&self, host: &str) -> bool {
        let short = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
        self.host.as_deref().is_none_or(|registered| short(registered) == short(host))
    }

    /// Whether it was registered by the machine `machine`, whose own name is `host`, as far as the
    /// record tells. `machine` is `None` on a machine that never joined.
    #[must_use]
    pub fn is_of(&self, machine: Option<&str>, host: &str) -> bool {
        match (self.machine.as_deref(), machine) {
            // A home that was copied to another machine takes the id along.
            (Some(registered), Some(machine)) => registered == machine && self.is_on(host),
            (Some(_), None) => self.host.as_deref() == Some(host),
            (None, _) => true,
        }
    }
}

impl Server {
    /// A server that is known by its folder alone. It names no machine, so the first that joins under
    /// this name takes it.
    #[must_use]
    pub fn found(name: &ServerName, status: Option<&Status>) -> Self {
        Self {
            id: name.to_string(),
            host: None,
            ip: status.and_then(|status| status.ip.clone()),
            manager: status.and_then(|status| status.manager.clone()),
            labels: Vec::new(),
            joined_at: None,
            machine: None,
        }
    }
}

/// Whether the folder of a server that is not registered belongs to one at work: somebody wrote a time
/// into its beat or its status, even one that cannot be read, or a word that the template does not hold.
/// `servers remove` leaves a status that says so, which only a later beat contradicts.
#[must_use]
pub fn folder_is_in_use(beat: Option<&Record<Heartbeat>>, status: Option<&Record<Status>>) -> bool {
    if let Some(status) = status.filter(|status| status.is_removed()) {
        return beat.and_then(|beat| beat.at()) > status.at();
    }
    let word = status.map_or("", |status| &status.status);
    beat.is_some_and(|beat| names_a_time(&beat.raw()))
        || status.is_some_and(|status| names_a_time(&status.raw()))
        || !matches!(word, "" | "idle")
}

/// Whether there is anything in a field for the time of a record.
fn names_a_time(record: &Value) -> bool {
    let fields = ["timestamp", "last_heartbeat", "last_updated"];
    fields.iter().filter_map(|field| record.get(field)).any(|value| !value.is_null())
}

impl Row for Server {
    const PATH: &'static str = "coordination/servers.json";
    const FIELD: &'static str = "servers";
    const TITLE: &'static str = "who belongs to the hub";
    const IS_IN_EACH_HUB: bool = true;
    const LOSSY: bool = true;
    fn id(&self) -> &str {
        &self.id
    }
    fn id_problem(&self) -> Option<String> {
        ServerName::new(&self.id).err().map(|error| error.to_string())
    }
    fn progress(&self) -> Progress {
        [0, u64::from(self.machine.is_some()) + u64::from(self.joined_at.is_some()), 0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_in_use_if_its_files_name_a_time() {
        let beat =
            |at: &str| Record::<Heartbeat>::read("", "", &format!(r#"{{"timestamp":{at}}}"#), 0).expect(at);
        let status = |word: &str, at: &str| {
            let text = format!(r#"{{"status":"{word}","timestamp":{at}}}"#);
            Record::<Status>::read("", "", &text, 0).expect(at)
        };
        let (early, late) = (r#""2025-11-01T00:00:00Z""#, r#""2025-11-02T00:00:00Z""#);
        for (beat, status, expected) in [
            (Some(beat("null")), Some(status("idle", "null")), false),
            (None, None, false),
            (Some(beat(early)), None, true),
            (Some(beat("null")), Some(status("online", late)), true),
            // No time, but a shell expression that was never expanded: somebody wrote it.
            (None, Some(status("idle", r#""$(date -u)""#)), true),
            (None, Some(status("online", "null")), true),
            (Some(beat(early)), Some(status("removed", late)), false),
            (Some(beat(late)), Some(status("removed", early)), true),
            // The beat that was taken along into the removal.
            (Some(beat(late)), Some(status("removed", late)), false),
        ] {
            assert_eq!(folder_is_in_use(beat.as_ref(), status.as_ref()), expected, "{beat:?} {status:?}");
        }
    }

    #[test]
    fn a_record_is_of_the_machine_it_names_or_else_of_its_host() {
        for (record, machine, expected) in [
            (r#"{"id":"a","machine":"m1","host":"H1.example"}"#, Some("m1"), true),
            (r#"{"id":"a","machine":"m1"}"#, Some("m1"), true),
            (r#"{"id":"a","machine":"m1","host":"h2"}"#, Some("m1"), false),
            (r#"{"id":"a","machine":"m2","host":"h1"}"#, Some("m1"), false),
            // A machine that never joined is known by its host's name alone.
            (r#"{"id":"a","machine":"m1","host":"h1"}"#, None, true),
            (r#"{"id":"a","machine":"m1","host":"h2"}"#, None, false),
            (r#"{"id":"a","host":"h2"}"#, Some("m1"), true),
            (r#"{"id":"a","host":"h2"}"#, None, true),
        ] {
            let server: Server = serde_json::from_str(record).expect(record);
            assert_eq!(server.is_of(machine, "h1"), expected, "{record} {machine:?}");
        }
    }

    #[test]
    fn a_server_that_has_no_name_for_a_folder_says_so() {
        for (id, is_name) in [("build1", true), ("docs", false), ("", false)] {
            let server: Server = serde_json::from_str(&format!(r#"{{"id":"{id}"}}"#)).expect(id);
            let problem = server.id_problem();
            assert_eq!(problem.is_none(), is_name, "{id}");
            assert!(problem.is_none_or(|why| !why.is_empty() && why.contains(id)), "{id}");
        }
    }
}
