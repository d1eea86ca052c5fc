//! `coordination/servers.json`: who belongs to the hub.

use super::heartbeat::Heartbeat;
use super::id::ServerName;
use super::lenient;
use super::status::Status;
use super::table::Row;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// Whether it was registered by the machine `machine`, whose own name is `host`, as far as the
    /// record tells. `machine` is `None` on a machine that never joined.
    #[must_use]
    pub fn is_of(&self, machine: Option<&str>, host: &str) -> bool {
        match (self.machine.as_deref(), machine) {
            (Some(registered), Some(machine)) => registered == machine,
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

/// Whether the folder of a server that is not registered belongs to one at work: it holds a beat or a
/// status with a time. The folders of the template hold none, and `servers remove` leaves a status that
/// says so, which only a later beat contradicts.
#[must_use]
pub fn folder_is_in_use(beat: Option<&Heartbeat>, status: Option<&Status>) -> bool {
    let beat_at = beat.and_then(Heartbeat::at);
    match status {
        Some(status) if status.is_removed() => beat_at > status.timestamp,
        Some(status) => beat_at.max(status.timestamp).is_some(),
        None => beat_at.is_some(),
    }
}

impl Row for Server {
    const PATH: &'static str = "coordination/servers.json";
    const FIELD: &'static str = "servers";
    fn id(&self) -> &str {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_in_use_if_its_files_name_a_time() {
        let beat =
            |at: &str| serde_json::from_str::<Heartbeat>(&format!(r#"{{"timestamp":{at}}}"#)).expect(at);
        let status = |word: &str, at: &str| {
            serde_json::from_str::<Status>(&format!(r#"{{"status":"{word}","timestamp":{at}}}"#)).expect(at)
        };
        let (early, late) = (r#""2025-11-01T00:00:00Z""#, r#""2025-11-02T00:00:00Z""#);
        for (beat, status, expected) in [
            (Some(beat("null")), Some(status("idle", "null")), false),
            (None, None, false),
            (Some(beat(early)), None, true),
            (Some(beat("null")), Some(status("online", late)), true),
            // No time, but a shell expression that was never expanded.
            (None, Some(status("online", r#""$(date -u)""#)), false),
            (Some(beat(early)), Some(status("removed", late)), false),
            (Some(beat(late)), Some(status("removed", early)), true),
        ] {
            assert_eq!(folder_is_in_use(beat.as_ref(), status.as_ref()), expected, "{beat:?} {status:?}");
        }
    }

    #[test]
    fn a_record_is_of_the_machine_it_names_or_else_of_its_host() {
        for (record, machine, expected) in [
            (r#"{"id":"a","machine":"m1","host":"h2"}"#, Some("m1"), true),
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
}
