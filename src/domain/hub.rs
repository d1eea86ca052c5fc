//! `coordination/hub.json`: by what a branch says that it is a hub's, which hub's, and what holds for
//! all who use it.
//!
//! Folders alone say nothing: a fork of a project that keeps template documents has them too. `init`
//! writes the marker, `join` adds it to a hub that was made before there was one.

use super::id::OpId;
use super::lenient;
use super::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use std::time::Duration;

/// The layout that this program writes.
const LAYOUT: u64 = 1;

/// What marks a hub.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Marker {
    /// The layout of the hub. A higher one than the program knows is read and never rewritten.
    #[serde(default, deserialize_with = "lenient::count")]
    pub version: Option<u64>,
    /// Names this hub among all, wherever it is moved; a random id, the op id of who wrote it.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub id: String,
    /// The branch that is the hub. In another branch, made from this one, the marker says where the
    /// hub is.
    #[serde(default, deserialize_with = "lenient::text")]
    pub branch: Option<String>,
    /// When the marker was written.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub created_at: Option<Timestamp>,
    /// What holds for all who use the hub.
    #[serde(default, deserialize_with = "settings")]
    pub settings: HubSettings,
}

/// What holds for all who use the hub. Each setting may be absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HubSettings {
    /// Whether readers of the main branch judge servers by `heartbeat.json` there, as the first scripts
    /// do: then beats refresh it every so many seconds.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub old_readers_seconds: Option<u64>,
}

/// The least time between two refreshes: each is a commit in the history.
const MAIN_BEAT_EVERY_MIN: Duration = Duration::from_secs(30);

impl HubSettings {
    /// How often a beat refreshes its copy on the main branch, if that is read.
    #[must_use]
    pub fn main_beat_every(&self) -> Option<Duration> {
        let seconds = self.old_readers_seconds.filter(|seconds| *seconds > 0)?;
        Some(Duration::from_secs(seconds).max(MAIN_BEAT_EVERY_MIN))
    }
}

/// Null stands for none.
fn settings<'de, D: Deserializer<'de>>(input: D) -> Result<HubSettings, D::Error> {
    Ok(lenient::object(input)?.unwrap_or_default())
}

impl Marker {
    /// Where it lies in the hub.
    pub const PATH: &'static str = "coordination/hub.json";

    /// A marker of the hub in `branch`, written by the operation `op`.
    #[must_use]
    pub fn new(op: &OpId, branch: &str, now: Timestamp) -> Self {
        Self {
            version: Some(LAYOUT),
            id: op.as_str().to_owned(),
            branch: Some(branch.to_owned()),
            created_at: Some(now),
            settings: HubSettings::default(),
        }
    }

    /// The id in the text of a marker; none where it has none, or cannot be read.
    #[must_use]
    pub fn id_in(text: &[u8]) -> Option<String> {
        serde_json::from_slice::<Self>(text).ok().map(|marker| marker.id).filter(|id| !id.is_empty())
    }

    /// Takes what it does not say from another state of itself.
    pub fn complete(&mut self, other: &Self) {
        if self.id.is_empty() {
            self.id.clone_from(&other.id);
        }
        self.version = self.version.or(other.version);
        self.created_at = self.created_at.or(other.created_at);
        if self.branch.is_none() {
            self.branch.clone_from(&other.branch);
        }
        if self.settings == HubSettings::default() {
            self.settings.clone_from(&other.settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::Record;

    fn read(text: &str) -> Record<Marker> {
        Record::read(Marker::PATH, "", text, 0).expect(text)
    }

    #[test]
    fn a_marker_says_which_hub_and_in_which_branch() {
        let op = OpId::new("019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f").expect("an id");
        let marker = Record::new(
            Marker::new(&op, "fleet", Timestamp::parse("2026-11-29T12:00:00Z").expect("a time")),
            0,
        );
        let again = read(marker.text());
        assert_eq!(*again, *marker);
        assert_eq!((again.id.as_str(), again.branch.as_deref()), (op.as_str(), Some("fleet")));
        assert_eq!(again.raw()["settings"], serde_json::json!({}));
    }

    #[test]
    fn the_copy_for_old_readers_is_refreshed_as_often_as_the_hub_says_and_no_oftener() {
        for (settings, seconds) in [
            ("{}", None),
            (r#"{"old_readers_seconds":0}"#, None),
            (r#"{"old_readers_seconds":1}"#, Some(30)),
            (r#"{"old_readers_seconds":30}"#, Some(30)),
            (r#"{"old_readers_seconds":240}"#, Some(240)),
        ] {
            let marker = read(&format!(r#"{{"id":"x","settings":{settings}}}"#));
            assert_eq!(marker.settings.main_beat_every(), seconds.map(Duration::from_secs), "{settings}");
        }
    }

    #[test]
    fn what_others_wrote_into_a_marker_is_read_and_survives() {
        for text in [
            "{}",
            r#"{"id":"x"}"#,
            r#"{"version":"1","id":"x","branch":null,"settings":{"new":1}}"#,
            r#"{"settings":null}"#,
        ] {
            read(text);
        }
        let mut marker = read(r#"{"id":"x","settings":{"readers":{"since":3}},"note":"ours"}"#);
        marker.edit(|marker| marker.branch = Some("main".to_owned()));
        let raw = marker.raw();
        assert_eq!((&raw["settings"]["readers"]["since"], &raw["note"]), (&3.into(), &"ours".into()));
    }
}
