//! How fleets are judged, by cause.

use super::*;
use crate::domain::finding::Severity;
use crate::domain::lock::JOB_ASSIGNMENT;
use crate::domain::table::Row;
use std::time::Duration;

const NOW: &str = "2025-10-29T12:00:00Z";
const FRESH: &str = r#"{"timestamp":"2025-10-29T11:59:30Z","healthy":true}"#;
const STALE: &str = r#"{"timestamp":"2025-10-29T10:00:00Z","healthy":true}"#;

/// What a hub holds, as JSON, with one registered server that is well.
struct Hub {
    servers: &'static str,
    /// Name, beat, status.
    known: Vec<(&'static str, &'static str, &'static str)>,
    jobs: &'static str,
    locks: &'static str,
}

fn hub() -> Hub {
    Hub {
        servers: r#"{"id":"build1","labels":["gpu","arch=amd64"]}"#,
        known: vec![("build1", FRESH, "null")],
        jobs: "",
        locks: "",
    }
}

fn table<T: Row>(rows: &str) -> Table<T> {
    let (open, close) = if T::BY_NAME { ('{', '}') } else { ('[', ']') };
    let text = format!("{{\"{}\":{open}{rows}{close}}}", T::FIELD);
    Table::read(T::PATH, text.as_bytes()).expect(rows)
}

fn causes_of(report: &Report) -> Vec<String> {
    report.findings.iter().map(Finding::cause).collect()
}

fn owned(causes: &[&str]) -> Vec<String> {
    causes.iter().map(|cause| (*cause).to_owned()).collect()
}

impl Hub {
    fn report(&self) -> Report {
        let seen: Vec<(&str, Option<Heartbeat>, Option<Status>)> = self
            .known
            .iter()
            .map(|(name, beat, status)| {
                let beat = serde_json::from_str(beat).expect(beat);
                (*name, beat, serde_json::from_str(status).expect(status))
            })
            .collect();
        Fleet {
            servers: &table(self.servers),
            known: seen
                .iter()
                .map(|(name, beat, status)| Known {
                    name,
                    heartbeat: beat.as_ref(),
                    status: status.as_ref(),
                    broken: None,
                    change: ClockChange::First,
                    worker: Freshness::Unknown,
                    worker_at: None,
                })
                .collect(),
            jobs: &table(self.jobs),
            pauses: &table(""),
            locks: &table(self.locks),
            unregistered: &[],
            documents: Vec::new(),
            now: Timestamp::parse(NOW).expect("time"),
            off: None,
            me: None,
        }
        .judge()
    }

    #[track_caller]
    fn expect(&self, level: Option<Severity>, causes: &[&str]) {
        let report = self.report();
        let found = causes_of(&report);
        assert_eq!((report.worst(), found), (level, owned(causes)));
    }
}

#[test]
fn what_nobody_can_tell_of_the_history_is_one_cause() {
    let unknown = ["one".to_owned(), "another".to_owned()];
    let report = Report::new(0, Vec::new()).with_undone(&[], &unknown);
    assert_eq!(causes_of(&report), ["undone-unknown"]);
    assert_eq!(report.findings[0].fact, FleetFact::UndoneUnknown { causes: unknown.to_vec() }.into());
    assert!(Report::new(0, Vec::new()).with_undone(&[], &[]).findings.is_empty());
}

#[test]
fn a_beat_that_cannot_be_read_is_one_trouble_and_its_server_mends_it() {
    let fleet = Fleet {
        servers: &table(r#"{"id":"build1"}"#),
        known: vec![Known {
            name: "build1",
            heartbeat: None,
            status: None,
            broken: Some(Broken { why: "it is empty" }),
            change: ClockChange::First,
            worker: Freshness::Unknown,
            worker_at: None,
        }],
        jobs: &table(""),
        pauses: &table(""),
        locks: &table(""),
        documents: Vec::new(),
        unregistered: &[],
        now: Timestamp::parse(NOW).expect("time"),
        off: None,
        me: None,
    };
    assert_eq!(causes_of(&fleet.judge()), ["heartbeat-broken:build1"]);
}

#[test]
fn folders_of_servers_that_are_not_registered_are_named() {
    let found: Vec<Server> = vec![serde_json::from_str(r#"{"id":"build3"}"#).expect("server")];
    let fresh: Heartbeat = serde_json::from_str(FRESH).expect("beat");
    for (registry, level, has_register) in
        [(r#"{"id":"build1"}"#, Severity::Warning, true), ("", Severity::Unknown, false)]
    {
        let fleet = Fleet {
            servers: &table(registry),
            known: vec![Known {
                name: "build1",
                heartbeat: Some(&fresh),
                status: None,
                broken: None,
                change: ClockChange::First,
                worker: Freshness::Unknown,
                worker_at: None,
            }],
            jobs: &table(""),
            pauses: &table(""),
            locks: &table(""),
            documents: Vec::new(),
            unregistered: &found,
            now: Timestamp::parse(NOW).expect("time"),
            off: None,
            me: None,
        };
        let report = fleet.judge();
        let told = report.findings.iter().find(|one| one.cause() == "server-unregistered:build3");
        let expected = FleetFact::ServerUnregistered { has_register }.into();
        assert_eq!(told.map(|one| &one.fact), Some(&expected));
        assert_eq!(report.worst(), Some(level));
    }
}

#[test]
fn beats() {
    for (beat, level, cause) in [
        (FRESH, None, None),
        ("null", Some(Severity::Warning), Some("heartbeat-never:build1")),
        (
            r#"{"server":"build1","timestamp":null,"uptime_seconds":0,"healthy":false}"#,
            Some(Severity::Warning),
            Some("heartbeat-never:build1"),
        ),
        (
            r#"{"timestamp":"$(date)","healthy":true}"#,
            Some(Severity::Warning),
            Some("heartbeat-never:build1"),
        ),
        (r#"{"timestamp":"2025-10-29T11:57:00Z"}"#, Some(Severity::Warning), Some("heartbeat-late:build1")),
        (STALE, Some(Severity::Error), Some("heartbeat-stale:build1")),
        (r#"{"timestamp":"2025-10-29T11:57:00Z","interval_seconds":300}"#, None, None),
        (
            r#"{"timestamp":"2025-10-29T10:00:00Z","worker_stopped":{"at":"2025-10-29T10:00:00Z"}}"#,
            None,
            None,
        ),
        (
            r#"{"timestamp":"2025-10-29T10:00:00Z","worker_stopped":{"at":"2025-10-29T09:00:00Z"}}"#,
            Some(Severity::Error),
            Some("heartbeat-stale:build1"),
        ),
        (
            r#"{"timestamp":"2025-10-29T11:59:00Z","healthy":false}"#,
            Some(Severity::Error),
            Some("server-unhealthy:build1"),
        ),
        (r#"{"timestamp":"2025-10-29T12:01:00Z"}"#, None, None),
        (r#"{"timestamp":"2025-10-29T12:01:01Z"}"#, Some(Severity::Warning), Some("clock-skew:build1")),
        (
            r#"{"timestamp":"2025-10-29T12:01:01Z","interval_seconds":9223372036854775807}"#,
            Some(Severity::Warning),
            Some("clock-skew:build1"),
        ),
    ] {
        let hub = Hub { known: vec![("build1", beat, "null")], ..hub() };
        hub.expect(level, cause.as_slice());
    }
}

#[test]
fn a_clock_of_our_own_that_is_off_is_one_trouble() {
    let servers = table(r#"{"id":"me"},{"id":"other"}"#);
    let (ahead, behind, all) = ("12:05:00", "11:55:00", "12:05:00");
    for (is_ahead, mine, others, expected) in [
        (true, ahead, "11:59:50", &["clock-off:this machine"][..]),
        (false, behind, "11:59:50", &["clock-off:this machine"][..]),
        // Another clock that is ahead as well is another trouble.
        (true, ahead, all, &["clock-off:this machine", "clock-skew:other"][..]),
        // Who is silent by its own clock is silent.
        (true, "11:50:00", "11:59:50", &["heartbeat-stale:me", "clock-off:this machine"][..]),
    ] {
        let beat = |time: &str| -> Heartbeat {
            let text = format!(r#"{{"timestamp":"2025-10-29T{time}Z"}}"#);
            serde_json::from_str(&text).expect("beat")
        };
        let beats = [("me", beat(mine)), ("other", beat(others))];
        let known = beats.iter().map(|(name, beat)| Known {
            name,
            heartbeat: Some(beat),
            status: None,
            broken: None,
            change: ClockChange::First,
            worker: Freshness::Unknown,
            worker_at: None,
        });
        let fleet = Fleet {
            servers: &servers,
            known: known.collect(),
            jobs: &table(""),
            pauses: &table(""),
            locks: &table(""),
            unregistered: &[],
            documents: Vec::new(),
            now: Timestamp::parse(NOW).expect("time"),
            off: Some(ClockSkew { by: Duration::from_secs(300), is_ahead, servers: 3, is_doubtful: false }),
            me: Some("me"),
        };
        let report = fleet.judge();
        assert_eq!(causes_of(&report), owned(expected), "{mine} {others}: {report:?}");
        let skew = report.findings.iter().find(|one| one.code() == FindingCode::ClockSkew);
        let is_beside = |one: &Finding| {
            matches!(one.fact, Fact::Fleet(FleetFact::ClockSkew { is_beside_others: true, .. }))
        };
        assert!(skew.is_none_or(is_beside), "{skew:?}");
    }
}

#[test]
fn only_registered_servers_are_expected_to_beat() {
    let known = vec![
        ("build1", FRESH, "null"),
        ("build9", STALE, r#"{"status":"idle","last_build":{"status":"failed"}}"#),
    ];
    Hub { known, ..hub() }.expect(None, &[]);
    Hub { servers: "", ..hub() }.expect(Some(Severity::Unknown), &["no-servers:hub"]);
}

#[test]
fn last_builds() {
    for (status, causes) in [
        (r#"{"status":"idle","last_build":{"id":"job_1","status":"failed"}}"#, &["build-failed:build1"][..]),
        (r#"{"status":"idle","last_build":{"id":"job_1","status":"success"}}"#, &[]),
        (r#"{"status":"failed","last_build":null}"#, &[]),
    ] {
        let level = if causes.is_empty() { None } else { Some(Severity::Warning) };
        Hub { known: vec![("build1", FRESH, status)], ..hub() }.expect(level, causes);
    }
}

#[test]
fn jobs() {
    for (job, level, cause) in [
        (r#""status":"running","assigned_to":"build1","started_at":"2025-10-29T10:55:00Z""#, None, None),
        (r#""status":"running","assigned_to":"build1","started_at":"2025-10-29T10:54:00Z""#, None, None),
        (
            r#""status":"running","assigned_to":"build1","started_at":"2025-10-29T10:53:00Z""#,
            Some(Severity::Error),
            Some("job-stuck:j"),
        ),
        (
            r#""status":"claimed","assigned_to":"build1","timeout_seconds":60,"started_at":"2025-10-29T11:58:53Z""#,
            Some(Severity::Error),
            Some("job-stuck:j"),
        ),
        (
            r#""status":"running","created_at":"2025-10-24T12:00:00Z""#,
            Some(Severity::Error),
            Some("job-stuck:j"),
        ),
        (r#""status":"running","assigned_to":"build1","started_at":null"#, None, None),
        (r#""status":"completed","started_at":"2025-10-24T12:00:00Z""#, None, None),
        (r#""status":"queued","created_at":"2025-10-24T12:00:00Z""#, None, None),
        (r#""status":"queued","labels":["gpu","arch=amd64"]"#, None, None),
        (
            r#""status":"queued","labels":["gpu","arch=arm64"]"#,
            Some(Severity::Warning),
            Some("job-unclaimable:j"),
        ),
        (r#""status":"queued","needs":["k"]"#, Some(Severity::Warning), Some("job-blocked:j")),
        (r#""status":"queued","dependencies":["k"]"#, Some(Severity::Warning), Some("job-blocked:j")),
        (r#""status":"queued","needs":["j"]"#, Some(Severity::Warning), Some("needs-in-circle:j")),
        (r#""status":"queued","needs":["k"]},{"id":"k","status":"completed","needs":["j"]"#, None, None),
        (
            r#""status":"queued"},{"id":"k","status":"queued","needs":["f"]},{"id":"f","status":"failed""#,
            Some(Severity::Warning),
            Some("job-blocked:k"),
        ),
        (r#""status":"queued","needs":["c"]},{"id":"c","status":"completed""#, None, None),
        (r#""status":"completed","labels":["arch=arm64"]"#, None, None),
        (r#""status":"dead","reason":"lost""#, Some(Severity::Warning), Some("job-dead:j")),
        (r#""status":"failed""#, None, None),
        (
            r#""status":"on_hold","started_at":"2025-10-24T12:00:00Z""#,
            Some(Severity::Warning),
            Some("unknown-status:j"),
        ),
    ] {
        let jobs = format!("{{\"id\":\"j\",{job}}}").leak();
        Hub { jobs, ..hub() }.expect(level, cause.as_slice());
    }
}

#[test]
fn a_job_whose_holder_is_stale_is_critical_registered_or_not() {
    let jobs = r#"{"id":"j","status":"running","assigned_to":"build9","started_at":"2025-10-29T11:59:00Z"}"#;
    for (beat, level, causes) in
        [(STALE, Some(Severity::Error), &["job-holder-lost:j"][..]), (FRESH, None, &[]), ("null", None, &[])]
    {
        let known = vec![("build1", FRESH, "null"), ("build9", beat, "null")];
        Hub { jobs, known, ..hub() }.expect(level, causes);
    }
}

#[test]
fn locks() {
    for (lock, expired) in [
        (
            r#""locked_by":"build1","locked_at":"2025-10-29T11:48:00Z","expires_at":"2025-10-29T11:58:00Z""#,
            true,
        ),
        (
            r#""locked_by":"build1","locked_at":"2025-10-29T11:49:01Z","expires_at":"2025-10-29T11:59:01Z""#,
            false,
        ),
        (r#""locked_by":"build1","lease_seconds":30,"expires_at":"2025-10-29T11:59:54Z""#, true),
        (r#""locked_by":"build1","lease_seconds":30,"expires_at":"2025-10-29T11:59:55Z""#, false),
        (r#""locked_by":"build1","locked_at":"2025-10-29T11:00:00Z","expires_at":null"#, true),
        (r#""locked_by":"build1","expires_at":null"#, false),
        (r#""locked_by":null,"expires_at":"2025-10-29T11:00:00Z""#, false),
        (
            r#""locked_by":"build1","expires_at":"2025-10-29T11:00:00Z","done_at":"2025-10-29T10:59:00Z""#,
            false,
        ),
    ] {
        let locks = format!("\"deploy\":{{{lock}}}").leak();
        let (level, causes) =
            if expired { (Some(Severity::Warning), &["lock-expired:deploy"][..]) } else { (None, &[][..]) };
        Hub { locks, ..hub() }.expect(level, causes);
    }
}

/// The lock of those who assign jobs, as old as it is at noon.
fn assigning(since: &str, rest: &str) -> &'static str {
    format!(r#""{JOB_ASSIGNMENT}":{{"locked_by":"build1","locked_at":"2025-10-29T{since}Z"{rest}}}"#).leak()
}

#[test]
fn who_keeps_others_from_claiming_is_told_as_long_as_a_job_waits() {
    let waits = r#"{"id":"j","status":"queued"}"#;
    let held_up = "claims-held-up:job_assignment";
    for (jobs, locks, cause) in [
        (waits, assigning("11:58:59", r#","lease_seconds":600"#), Some(held_up)),
        (waits, assigning("11:59:00", r#","lease_seconds":600"#), None),
        ("", assigning("11:58:59", r#","lease_seconds":600"#), None),
        (
            r#"{"id":"j","status":"completed","assigned_to":"build1"}"#,
            assigning("11:58:59", r#","lease_seconds":600"#),
            None,
        ),
        // What was done for good is nobody's any more, nor is a lock that an empty name holds.
        (waits, r#""job_assignment":{"locked_by":"","locked_at":"2025-10-29T11:58:59Z"}"#, None),
        // Of another lock nobody knows how long it is needed.
        (waits, r#""deploy":{"locked_by":"build1","locked_at":"2025-10-29T11:58:59Z"}"#, None),
        // One that is over is told as such.
        (waits, assigning("11:57:00", r#","lease_seconds":30"#), Some("lock-expired:job_assignment")),
    ] {
        let report = Hub { jobs, locks, ..hub() }.report();
        let found = causes_of(&report);
        assert_eq!(found, owned(cause.as_slice()), "{jobs} {locks}");
    }
}

#[test]
fn who_takes_over_a_lock_that_is_over_depends_on_what_it_is_for() {
    for (locks, expired_seconds, is_of_claims) in [
        (assigning("11:57:00", r#","lease_seconds":30"#), 150, true),
        (
            r#""deploy":{"locked_by":"build1","lease_seconds":30,"expires_at":"2025-10-29T11:57:30Z"}"#,
            150,
            false,
        ),
    ] {
        let holder = "build1".to_owned();
        let fact = FleetFact::LockExpired { holder, expired_seconds, wait_seconds: 50, is_of_claims };
        assert_eq!(Hub { locks, ..hub() }.report().findings[0].fact, fact.into(), "{locks}");
    }
}

fn ailing() -> Hub {
    Hub {
        servers: r#"{"id":"build1"},{"id":"build2"},{"id":"build3"}"#,
        known: vec![
            ("build1", STALE, r#"{"status":"idle","last_build":{"status":"failed"}}"#),
            ("build2", FRESH, "null"),
        ],
        jobs: r#"{"id":"a","status":"running","assigned_to":"build1","started_at":"2025-10-29T09:00:00Z"},
            {"id":"a","status":"running","assigned_to":"build1","started_at":"2025-10-29T09:00:00Z"},
            {"id":"b","status":"dead","assigned_to":"build2"},
            {"id":"c","status":"queued","labels":["gpu"]}"#,
        locks: r#""deploy":{"locked_by":"build2","expires_at":"2025-10-29T11:00:00Z"}"#,
    }
}

#[test]
fn the_worst_comes_first_and_each_trouble_once() {
    ailing().expect(
        Some(Severity::Error),
        &[
            "heartbeat-stale:build1",
            "job-holder-lost:a",
            "job-stuck:a",
            "build-failed:build1",
            "heartbeat-never:build3",
            "job-dead:b",
            "job-unclaimable:c",
            "lock-expired:deploy",
        ],
    );
    assert_eq!(ailing().report().checked, 3);
}

#[test]
fn a_report_can_be_cut_to_one_server() {
    for (server, level, causes) in [
        (
            "build1",
            Some(Severity::Error),
            &["heartbeat-stale:build1", "job-holder-lost:a", "job-stuck:a", "build-failed:build1"][..],
        ),
        ("build2", Some(Severity::Warning), &["job-dead:b", "lock-expired:deploy"]),
        ("build3", Some(Severity::Warning), &["heartbeat-never:build3"]),
    ] {
        let report = ailing().report().only(server);
        let found = causes_of(&report);
        assert_eq!((report.worst(), report.checked, found), (level, 1, owned(causes)), "{server}");
    }
    let empty = Hub { servers: "", ..hub() }.report().only("build1");
    assert_eq!((empty.worst(), empty.checked), (Some(Severity::Unknown), 0));
}
