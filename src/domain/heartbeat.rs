//! `<server>/heartbeat.json`: the sign of life of one server, and how it is judged.
//!
//! A beat lies on the server's own branch, which holds one commit that is replaced, so that
//! liveness does not fill the history; any other commit of the server refreshes the copy on the
//! main branch. Readers take the newest of all. Staleness is judged against the interval that
//! the beat itself declares, never against a constant of the reader.

use super::id::ServerName;
use super::lenient;
use super::planted::planted;
use super::time::Timestamp;
use super::twin::{HeartbeatOrigin, Origins};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The interval we assume of a beat that declares none: what the first scripts used.
pub const INTERVAL_ASSUMED: Duration = Duration::from_secs(60);

/// How many intervals a lease lasts. Fewer than three would let one late push look like a death.
pub const LEASE_INTERVALS: u32 = 4;

/// A beat older than this many intervals is late.
pub const LATE_AFTER_INTERVALS: u32 = 2;

/// A beat older than this many intervals plus [`STALE_ALLOWANCE`] is stale.
pub const STALE_AFTER_INTERVALS: u32 = 3;

/// How many sessions before the present one a beat tells of. More than that many restarts within one
/// patience leave the oldest to the time limits of its jobs.
pub const EARLIER_MAX: usize = 4;

/// What a reader grants for its own clock and for the way through the hub.
pub const STALE_ALLOWANCE: Duration = Duration::from_secs(60);

/// One beat. All fields but the seed's four may be missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Heartbeat {
    /// Which server.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// When the beat was made, by the server's own clock.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub timestamp: Option<Timestamp>,
    /// Seconds since the server was booted.
    #[serde(default, deserialize_with = "lenient::count")]
    pub uptime_seconds: Option<u64>,
    /// What the server says of itself.
    #[serde(default, deserialize_with = "lenient::truth")]
    pub healthy: Option<bool>,
    /// New with each boot, and when another server ended the one before: tells a restarted server
    /// from one that went on.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Counts the beats, through all incarnations.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// How often this server means to beat.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u64>,
    /// How often the worker of this session means to beat, until it has ended: what it trusts for that
    /// long no other beat of the session may shorten.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub worker_interval_seconds: Option<u64>,
    /// Ids and tokens of the jobs the server works on.
    #[serde(default, deserialize_with = "lenient::objects", skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<RunningJob>,
    /// When the server's worker last beat: scripts and cron lines of the server beat too, and say
    /// nothing of it.
    #[serde(default, deserialize_with = "lenient::timestamp", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub worker_at: Option<Timestamp>,
    /// That the worker has ended by itself, until it begins again.
    #[serde(default, deserialize_with = "lenient::object", skip_serializing_if = "Option::is_none")]
    pub worker_stopped: Option<WorkerStopped>,
    /// Load, memory and disk.
    #[serde(default, deserialize_with = "lenient::object", skip_serializing_if = "Option::is_none")]
    pub system: Option<System>,
    /// Why somebody else ended this session, if so; the server learns it at its next beat. It
    /// stays until the server begins a new session.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
    /// The sessions that beat here before the present one and did not come back, the latest last.
    #[serde(default, deserialize_with = "lenient::objects", skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierSession>,
    /// Where the beats came from.
    #[serde(default, deserialize_with = "lenient::object", skip_serializing_if = "Option::is_none")]
    pub origins: Option<Origins>,
    /// Spellings of older writers, read and left alone.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// See `server_id`.
    #[serde(default, deserialize_with = "lenient::timestamp", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub last_heartbeat: Option<Timestamp>,
}

/// A job in a beat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunningJob {
    /// Its id.
    pub id: String,
    /// The fencing token of the claim.
    pub token: u64,
}

/// The end of a worker that nothing ended but a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WorkerStopped {
    /// When: the time of its last beat.
    #[serde(default, deserialize_with = "lenient::timestamp", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// Why, for people.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Why one ends that was to run one job: others like it are expected, as from cron.
pub const ONE_JOB: &str = "it was to run one job";

impl WorkerStopped {
    /// Whether its end says nothing of the next: then the server has to be heard of all the same.
    #[must_use]
    pub fn comes_again(&self) -> bool {
        self.why.as_deref() == Some(ONE_JOB)
    }
}

/// A session of which another took the place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EarlierSession {
    /// The session.
    pub incarnation: String,
    /// Names its last beat here: another one when the session came back in between.
    pub beat: String,
    /// How often it meant to beat.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u64>,
    /// How often its worker did, if that had not ended.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub worker_interval_seconds: Option<u64>,
    /// After which beat another server ended it, if one did.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

impl EarlierSession {
    /// How long the session was trusted without a new beat.
    #[must_use]
    pub fn lease(&self) -> Duration {
        lease(self.interval_seconds)
    }
}

/// The declared interval or the assumed one.
fn interval(declared: Option<u64>) -> Duration {
    declared.filter(|seconds| *seconds > 0).map_or(INTERVAL_ASSUMED, Duration::from_secs)
}

/// How long a session that declared this interval is trusted without a new beat.
fn lease(declared: Option<u64>) -> Duration {
    interval(declared).saturating_mul(LEASE_INTERVALS)
}

/// What a server tells of its load. The field names are the seed's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct System {
    /// Percent of all cores since the beat before.
    #[serde(default, deserialize_with = "lenient::figure", skip_serializing_if = "Option::is_none")]
    pub cpu_usage: Option<f64>,
    /// GiB of memory in use.
    #[serde(default, deserialize_with = "lenient::figure", skip_serializing_if = "Option::is_none")]
    pub memory_used_gb: Option<f64>,
    /// GiB free where jobs run.
    #[serde(default, deserialize_with = "lenient::figure", skip_serializing_if = "Option::is_none")]
    pub disk_free_gb: Option<f64>,
}

/// How fresh a beat is for a reader that has only one look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// Within twice the declared interval.
    Fresh,
    /// A beat or two are missing.
    Late,
    /// Presumed dead.
    Stale,
    /// There is no beat, or none with a time in it.
    Unknown,
    /// It was the last one of a worker that ended as it was meant to.
    Stopped,
}

impl Heartbeat {
    /// The path of `server`'s beat.
    #[must_use]
    pub fn path(server: &ServerName) -> String {
        format!("{server}/heartbeat.json")
    }

    /// An empty beat of `server`, as the template holds it.
    #[must_use]
    pub fn blank(server: &ServerName) -> Self {
        Self {
            server: Some(server.to_string()),
            timestamp: None,
            uptime_seconds: Some(0),
            healthy: Some(false),
            incarnation: None,
            sequence: None,
            interval_seconds: None,
            worker_interval_seconds: None,
            running: Vec::new(),
            worker_at: None,
            worker_stopped: None,
            system: None,
            revoked: None,
            earlier: Vec::new(),
            origins: None,
            server_id: None,
            last_heartbeat: None,
        }
    }

    /// When the beat was made, in whichever field it stands.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        self.timestamp.max(self.last_heartbeat)
    }

    /// The declared interval or the assumed one.
    #[must_use]
    pub fn interval(&self) -> Duration {
        interval(self.interval_seconds)
    }

    /// How long this session is trusted without a new beat.
    #[must_use]
    pub fn lease(&self) -> Duration {
        lease(self.interval_seconds)
    }

    /// The same of a session that beats here or did.
    #[must_use]
    pub fn lease_of(&self, incarnation: &str) -> Option<Duration> {
        if self.incarnation.as_deref() == Some(incarnation) {
            return Some(self.lease());
        }
        self.earlier_session(incarnation).map(EarlierSession::lease)
    }

    /// How fresh the beat is at `now`.
    #[must_use]
    pub fn freshness(&self, now: Timestamp) -> Freshness {
        if self.is_last() {
            return Freshness::Stopped;
        }
        self.freshness_of(self.at(), now)
    }

    /// Whether it is the last beat of a worker that ended as it was meant to: none is expected after it.
    /// Whatever the server says after its worker ended, it means to say again.
    #[must_use]
    pub fn is_last(&self) -> bool {
        let stopped = self.worker_stopped.as_ref().filter(|stopped| !stopped.comes_again());
        let ended = stopped.and_then(|stopped| stopped.at);
        ended.is_some() && ended == self.at()
    }

    /// How fresh at `now` a sign of life is that was given at `at`, as often as this server beats.
    #[must_use]
    pub fn freshness_of(&self, at: Option<Timestamp>, now: Timestamp) -> Freshness {
        at.map_or(Freshness::Unknown, |at| self.freshness_at_age(now.since(at)))
    }

    /// How fresh a sign of life is that is so old, as often as this server beats.
    #[must_use]
    pub fn freshness_at_age(&self, age: Duration) -> Freshness {
        let interval = self.interval();
        if age <= interval.saturating_mul(LATE_AFTER_INTERVALS) {
            Freshness::Fresh
        } else if age <= interval.saturating_mul(STALE_AFTER_INTERVALS).saturating_add(STALE_ALLOWANCE) {
            Freshness::Late
        } else {
            Freshness::Stale
        }
    }

    /// Names this exact beat: an observer that sees the same name twice has seen no sign of life
    /// in between.
    #[must_use]
    pub fn version(&self) -> String {
        format!(
            "{}#{}@{}",
            self.incarnation.as_deref().unwrap_or("-"),
            self.sequence.unwrap_or(0),
            self.at().map_or(0, Timestamp::unix_millis)
        )
    }

    /// The next beat of a session: fields we do not know stay.
    pub fn advance(&mut self, beat: &Beat, now: Timestamp) {
        let is_same_session = self.is_session_of(beat);
        if !is_same_session {
            self.give_way(beat);
        }
        self.touch(beat, now);
        // Counted on through all sessions: of two hosts that share a name by mistake each would
        // begin again at one, and an observer would see the same beat as before and no life.
        self.sequence = Some(self.sequence.unwrap_or(0).saturating_add(1));
        if planted("sequence-restarts") && !is_same_session {
            self.sequence = Some(1);
        }
        self.incarnation = Some(beat.incarnation.clone());
        if beat.by_worker {
            self.worker_interval_seconds = beat.stopping.is_none().then_some(beat.interval_seconds);
        }
        self.interval_seconds = Some(beat.interval_seconds).max(self.worker_interval_seconds);
        if beat.system.is_some() {
            self.system.clone_from(&beat.system);
        }
        if beat.by_worker {
            self.worker_at = self.timestamp;
            let stopped = |why: &String| WorkerStopped { at: self.timestamp, why: Some(why.clone()) };
            self.worker_stopped = beat.stopping.as_ref().map(stopped);
        }
        if let Some(here) = &beat.origin {
            let interval = self.interval();
            self.origins.get_or_insert_default().note(here, interval, now);
        }
    }

    /// The hosts of the two machines that beat under this name, if two do.
    #[must_use]
    pub fn twins(&self) -> Option<(&str, &str)> {
        self.origins.as_ref()?.twins()
    }

    /// The session of `beat` takes the place of the present one, which is remembered with its last
    /// beat: whoever watches the claims of that one sees whether it ever came back.
    fn give_way(&mut self, beat: &Beat) {
        // A session that comes back after it was ended is told so for as long as it goes on; only
        // now is the other's mark cleared, for the answer that told it of its end may have been lost.
        let ended = self.ended(beat).map(str::to_owned);
        let relied_on = self.earlier_session(&beat.incarnation).and_then(|one| one.worker_interval_seconds);
        let last = EarlierSession {
            incarnation: self.incarnation.clone().unwrap_or_default(),
            beat: self.version(),
            interval_seconds: self.interval_seconds,
            worker_interval_seconds: std::mem::replace(&mut self.worker_interval_seconds, relied_on),
            revoked: std::mem::replace(&mut self.revoked, ended),
        };
        self.earlier.retain(|one| one.incarnation != beat.incarnation && one.incarnation != last.incarnation);
        if self.incarnation.is_some() {
            self.earlier.push(last);
        }
        self.earlier.drain(..self.earlier.len().saturating_sub(EARLIER_MAX));
    }

    fn is_session_of(&self, beat: &Beat) -> bool {
        self.incarnation.as_deref() == Some(beat.incarnation.as_str())
    }

    /// After which beat another server ended the session of `beat`, if one did.
    #[must_use]
    pub fn ended(&self, beat: &Beat) -> Option<&str> {
        if self.is_session_of(beat) {
            return self.revoked.as_deref();
        }
        self.earlier_session(&beat.incarnation)?.revoked.as_deref()
    }

    /// What is known here of a session of which another took the place.
    #[must_use]
    pub fn earlier_session(&self, incarnation: &str) -> Option<&EarlierSession> {
        self.earlier.iter().find(|one| one.incarnation == incarnation)
    }

    /// Ends a session of which another took the place: should it come back, it is told so.
    pub fn end_earlier(&mut self, incarnation: &str, watched: &str) {
        if let Some(one) = self.earlier.iter_mut().find(|one| one.incarnation == incarnation) {
            one.revoked = Some(watched.to_owned());
        }
    }

    /// A sign of life in passing, along with another write. It opens no session: a server that
    /// sends no heartbeats must not seem to have stopped sending them.
    pub fn touch(&mut self, beat: &Beat, now: Timestamp) {
        self.server = Some(beat.server.to_string());
        // Two writers of one server, or a clock set back, must not turn the time back.
        self.timestamp =
            Some(self.timestamp.map_or(now, |before| before.max(now)).min(now.plus(STALE_ALLOWANCE)));
        self.worker_at = self.worker_at.map(|before| before.min(now.plus(STALE_ALLOWANCE)));
        self.uptime_seconds = Some(beat.uptime_seconds);
        self.healthy = Some(true);
    }
}

/// What a server says with one beat; the time is added when it is applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// Who beats.
    pub server: ServerName,
    /// The session.
    pub incarnation: String,
    /// Seconds since boot.
    pub uptime_seconds: u64,
    /// The declared interval.
    pub interval_seconds: u64,
    /// Load, memory, disk; `None` leaves what the last beat said.
    pub system: Option<System>,
    /// Whether the server's worker sends it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_worker: bool,
    /// Where it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<HeartbeatOrigin>,
    /// Why that ends, if this is its last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn beat_of(interval: Option<u64>) -> Heartbeat {
        let mut beat = Heartbeat::blank(&ServerName::new("build1").expect("name"));
        beat.timestamp = Some(at("2025-10-29T12:00:00Z"));
        beat.interval_seconds = interval;
        beat
    }

    #[test]
    fn a_beat_lies_in_the_folder_of_its_server() {
        assert_eq!(Heartbeat::path(&ServerName::new("build1").expect("name")), "build1/heartbeat.json");
    }

    #[test]
    fn freshness_follows_the_declared_interval() {
        for (interval, seconds, expected) in [
            (None, 120, Freshness::Fresh),
            (None, 121, Freshness::Late),
            (None, 241, Freshness::Stale),
            (Some(300), 600, Freshness::Fresh),
            (Some(300), 960, Freshness::Late),
            (Some(300), 961, Freshness::Stale),
            (Some(u64::MAX), 961, Freshness::Fresh),
            (Some(0), 120, Freshness::Fresh),
            (Some(0), 241, Freshness::Stale),
        ] {
            let now = at("2025-10-29T12:00:00Z").plus(Duration::from_secs(seconds));
            assert_eq!(beat_of(interval).freshness(now), expected, "{interval:?} after {seconds} s");
        }
        assert_eq!(
            Heartbeat::blank(&ServerName::new("b").expect("name")).freshness(at("2025-10-29T12:00:00Z")),
            Freshness::Unknown
        );
    }

    #[test]
    fn a_session_is_trusted_for_some_of_its_intervals() {
        for (interval, seconds) in [(None, 240), (Some(30), 120), (Some(300), 1200)] {
            assert_eq!(beat_of(interval).lease(), Duration::from_secs(seconds), "{interval:?}");
        }
        assert_eq!(beat_of(Some(u64::MAX)).lease(), Duration::MAX);
    }

    #[test]
    fn the_beats_of_older_writers_are_read() {
        for text in [
            r#"{"server":"build2","timestamp":"2025-10-29T12:00:00Z","status":"idle","uptime_seconds":2592000,"last_activity":"x"}"#,
            r#"{"server_id":"code2","last_heartbeat":"2025-10-29T12:00:00.123456Z","status":"x","cpu_usage":1.5,"unread_messages":2}"#,
            r#"{"server_id":"code2","timestamp":1761739200.5,"status":"active","message":"hi"}"#,
        ] {
            let beat: Heartbeat = serde_json::from_str(text).expect(text);
            assert_eq!(beat.at().map(Timestamp::unix_seconds), Some(1_761_739_200), "{text}");
        }
    }

    #[test]
    fn no_beat_of_a_session_declares_less_than_its_worker_relies_on() {
        let mut heartbeat = beat_of(None);
        let mut beat = |incarnation: &str, seconds: u64, (by_worker, ends): (bool, bool)| {
            let beat = Beat {
                server: ServerName::new("build1").expect("name"),
                incarnation: incarnation.into(),
                uptime_seconds: 5,
                interval_seconds: seconds,
                system: None,
                by_worker,
                origin: None,
                stopping: ends.then(|| "it was asked to end".to_owned()),
            };
            heartbeat.advance(&beat, at("2025-10-29T12:01:00Z"));
            heartbeat.lease_of(incarnation).map(|lease| (lease / LEASE_INTERVALS).as_secs())
        };
        let (script, worker, end) = ((false, false), (true, false), (true, true));
        for (incarnation, seconds, by, declared) in [
            ("a", 300, script, 300),
            ("a", 1, script, 1),
            ("a", 30, worker, 30),
            ("a", 1, script, 30),
            ("a", 60, script, 60),
            ("a", 1, script, 30),
            // The next worker of the session knows what it relies on itself.
            ("a", 5, worker, 5),
            ("a", 1, script, 5),
            ("a", 30, worker, 30),
            // What another session relies on is nothing to this one, and both may come back.
            ("b", 1, script, 1),
            ("a", 1, script, 30),
            ("b", 1, script, 1),
            ("a", 30, end, 30),
            ("a", 1, script, 1),
        ] {
            assert_eq!(beat(incarnation, seconds, by), Some(declared), "{incarnation} {seconds} {by:?}");
        }
    }

    #[test]
    fn a_beat_counts_through_all_incarnations_and_never_goes_back() {
        let mut heartbeat = beat_of(None);
        let beat = Beat {
            server: ServerName::new("build1").expect("name"),
            incarnation: "one".into(),
            uptime_seconds: 5,
            interval_seconds: 30,
            system: None,
            by_worker: false,
            origin: None,
            stopping: None,
        };
        heartbeat.advance(&beat, at("2025-10-29T12:01:00Z"));
        heartbeat.advance(&beat, at("2025-10-29T12:00:30Z"));
        assert_eq!((heartbeat.sequence, heartbeat.timestamp), (Some(2), Some(at("2025-10-29T12:01:00Z"))));
        heartbeat.advance(&Beat { incarnation: "two".into(), ..beat }, at("2025-10-29T12:02:00Z"));
        assert_eq!(heartbeat.sequence, Some(3));
        assert_eq!(heartbeat.version(), "two#3@1761739320000");
        assert_eq!(Heartbeat::blank(&ServerName::new("b").expect("name")).version(), "-#0@0");
    }

    #[test]
    fn beats_of_others_say_nothing_of_the_worker() {
        let mut heartbeat = beat_of(Some(30));
        let sent = |by_worker| Beat {
            server: ServerName::new("build1").expect("name"),
            incarnation: "one".into(),
            uptime_seconds: 5,
            interval_seconds: 30,
            system: None,
            by_worker,
            origin: None,
            stopping: None,
        };
        let mut beat = |by_worker, time| {
            heartbeat.advance(&sent(by_worker), at(time));
            let now = at(time);
            (heartbeat.freshness(now), heartbeat.freshness_of(heartbeat.worker_at, now))
        };
        assert_eq!(beat(false, "2025-10-29T12:00:00Z"), (Freshness::Fresh, Freshness::Unknown));
        assert_eq!(beat(true, "2025-10-29T12:01:00Z"), (Freshness::Fresh, Freshness::Fresh));
        assert_eq!(beat(false, "2025-10-29T12:02:01Z"), (Freshness::Fresh, Freshness::Late));
        assert_eq!(beat(false, "2025-10-29T12:04:00Z"), (Freshness::Fresh, Freshness::Stale));
        // A time that never was does not stay: neither does that of the beat.
        heartbeat.worker_at = Some(at("2031-01-01T00:00:00Z"));
        heartbeat.advance(&sent(false), at("2025-10-29T12:05:00Z"));
        assert_eq!(heartbeat.worker_at, Some(at("2025-10-29T12:06:00Z")));
    }

    #[test]
    fn no_beat_is_expected_after_the_last_of_a_worker_unless_others_like_it_are() {
        for (why, is_last) in [(Some("it was told to"), true), (None, true), (Some(ONE_JOB), false)] {
            let mut heartbeat = beat_of(None);
            let stopped = WorkerStopped { at: heartbeat.at(), why: why.map(str::to_owned) };
            assert_eq!(stopped.comes_again(), !is_last, "{why:?}");
            heartbeat.worker_stopped = Some(stopped);
            assert_eq!(heartbeat.is_last(), is_last, "{why:?}");
        }
    }

    #[test]
    fn two_machines_of_one_name_are_named_by_their_hosts() {
        let mut heartbeat = beat_of(Some(30));
        for (host, minute) in [("h1", 1), ("h2", 2), ("h1", 3)] {
            let origin = HeartbeatOrigin {
                host: host.to_owned(),
                machine: Some(format!("m-{host}")),
                boot: Some("b".to_owned()),
            };
            let beat = Beat {
                server: ServerName::new("build1").expect("name"),
                incarnation: "one".into(),
                uptime_seconds: 5,
                interval_seconds: 30,
                system: None,
                by_worker: false,
                origin: Some(origin),
                stopping: None,
            };
            heartbeat.advance(&beat, at(&format!("2025-10-29T12:0{minute}:00Z")));
            let twins = heartbeat.twins().map(|(one, other)| [one, other]).is_some();
            assert_eq!(twins, minute > 1, "after {minute} beats");
        }
        let (one, other) = heartbeat.twins().expect("two");
        assert_eq!(std::collections::BTreeSet::from([one, other]).len(), 2);
    }

    #[test]
    fn a_session_that_was_ended_is_told_so_with_each_beat_until_another_begins() {
        let mut heartbeat = beat_of(None);
        let beat = Beat {
            server: ServerName::new("build1").expect("name"),
            incarnation: "one".into(),
            uptime_seconds: 5,
            interval_seconds: 30,
            system: None,
            by_worker: false,
            origin: None,
            stopping: None,
        };
        heartbeat.advance(&beat, at("2025-10-29T12:01:00Z"));
        heartbeat.revoked = Some("one#1@0".into());
        // The answer of the first may be lost.
        for _ in 0..2 {
            assert_eq!(heartbeat.ended(&beat), Some("one#1@0"));
            heartbeat.advance(&beat, at("2025-10-29T12:02:00Z"));
        }
        let next = Beat { incarnation: "two".into(), ..beat.clone() };
        assert_eq!(heartbeat.ended(&next), None, "it was another session");
        heartbeat.advance(&next, at("2025-10-29T12:03:00Z"));
        assert_eq!(heartbeat.revoked, None);
        // A process that did not hear of it goes on under the old name.
        for _ in 0..2 {
            assert_eq!(heartbeat.ended(&beat), Some("one#1@0"));
            heartbeat.advance(&beat, at("2025-10-29T12:04:00Z"));
            assert_eq!(heartbeat.ended(&next), None);
        }
    }

    #[test]
    fn a_beat_tells_of_the_sessions_before_until_they_come_back() {
        let mut heartbeat = beat_of(None);
        let mut beat = |incarnation: &str, interval_seconds| {
            let server = ServerName::new("build1").expect("name");
            let incarnation = incarnation.to_owned();
            let beat = Beat {
                server,
                incarnation,
                uptime_seconds: 5,
                interval_seconds,
                system: None,
                by_worker: false,
                origin: None,
                stopping: None,
            };
            heartbeat.advance(&beat, at("2025-10-29T12:01:00Z"));
            let shown = |one: &EarlierSession| {
                let beat = one.beat.split('@').next().unwrap_or_default();
                format!("{beat} every {}", one.interval_seconds.unwrap_or(0))
            };
            heartbeat.earlier.iter().map(shown).collect::<Vec<_>>().join(", ")
        };
        for (incarnation, interval, earlier) in [
            ("a", 30, ""),
            ("a", 30, ""),
            ("b", 60, "a#2 every 30"),
            ("b", 60, "a#2 every 30"),
            // Two machines under one name, in turn.
            ("a", 30, "b#4 every 60"),
            ("b", 60, "a#5 every 30"),
            ("c", 60, "a#5 every 30, b#6 every 60"),
            ("d", 60, "a#5 every 30, b#6 every 60, c#7 every 60"),
            ("e", 60, "a#5 every 30, b#6 every 60, c#7 every 60, d#8 every 60"),
            ("f", 60, "b#6 every 60, c#7 every 60, d#8 every 60, e#9 every 60"),
        ] {
            assert_eq!(beat(incarnation, interval), earlier, "{incarnation}");
        }
    }
}
