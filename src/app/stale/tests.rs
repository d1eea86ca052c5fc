//! What is put back, in a history that is told step by step.

use super::*;
use crate::domain::lock::Lock;
use crate::ledger::{Documents, EarlierContent, IsWhole, MergeSides, StoreCause, VisitVersion};

const JOBS: &str = Job::PATH;
const MESSAGES: &str = Message::PATH;
const ARCHIVE: &str = "coordination/archive/jobs-2025-11.json";

#[derive(Clone, Copy, PartialEq)]
enum By {
    Us,
    /// Ours, and it says that it could not judge this document.
    UsUnsure(&'static str),
    Hand,
    Revert,
}
use By::{Hand, Revert, Us, UsUnsure};

type Files = BTreeMap<String, String>;

/// A hub with one line of commits, the newest last.
struct Hub {
    commits: Vec<(By, Files)>,
    is_shallow: bool,
    /// Whether the bound is reached before one of ours is.
    is_long: bool,
    /// How many versions count as shortly before.
    near: usize,
    /// A commit of which no document is there any more.
    damaged: Option<usize>,
}

fn number(version: &Version) -> usize {
    version.as_str().parse().expect("a number")
}

fn version(number: usize) -> Version {
    Version::new(number.to_string())
}

/// The commits of `steps`, each with what it changes; no text removes a document.
fn hub(steps: &[(By, &[(&str, &str)])]) -> Hub {
    let mut commits: Vec<(By, Files)> = Vec::new();
    for (by, changes) in steps {
        let mut files = commits.last().map(|(_, files)| files.clone()).unwrap_or_default();
        for (path, text) in *changes {
            files.insert((*path).to_owned(), (*text).to_owned());
        }
        files.retain(|_, text| !text.is_empty());
        commits.push((*by, files));
    }
    Hub { commits, is_shallow: false, is_long: false, near: usize::MAX, damaged: None }
}

impl Hub {
    fn files(&self) -> &Files {
        &self.commits.last().expect("a commit").1
    }

    fn told(&self) -> String {
        undone(self).expect("looks").back.join(", ")
    }

    fn unchecked(&self) -> Vec<String> {
        let found = look(self).expect("looks");
        found.map(|found| found.unchecked.into_iter().collect()).unwrap_or_default()
    }

    /// A document as it is put back, without what is only layout.
    fn after(&self, path: &str) -> String {
        let found = look(self).expect("looks").unwrap_or_default();
        let bytes = found.writes.get(path).cloned();
        let bytes = bytes.unwrap_or_else(|| self.files()[path].clone().into_bytes());
        serde_json::from_slice::<Value>(&bytes).expect("JSON").to_string()
    }
}

impl Documents for Hub {
    fn document(&self, _branch: &str, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        self.document_of(&version(self.commits.len() - 1), path)
    }
    fn main(&self) -> &'static str {
        "main"
    }
    fn branches(&self, _prefix: &str) -> Result<Vec<String>, LedgerError> {
        Ok(Vec::new())
    }
    fn has_branch(&self, branch: &str) -> Result<bool, LedgerError> {
        Ok(branch == self.main())
    }
    fn branches_with(&self, _prefix: &str, _folder: &str) -> Result<Vec<String>, LedgerError> {
        Ok(Vec::new())
    }
    fn list(&self, folder: &str) -> Result<Vec<String>, LedgerError> {
        let inside = |path: &String| path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned);
        Ok(self.files().keys().filter_map(inside).collect())
    }
}

impl History for Hub {
    fn versions(&self, _: &str, _: &mut VisitVersion<'_>) -> Result<(), LedgerError> {
        Ok(())
    }

    fn sides(&self, _: &str, _: &IsWhole<'_>) -> Result<MergeSides, LedgerError> {
        Ok(MergeSides::default())
    }

    fn below_foreign(
        &self,
        is_final: &dyn Fn(&OwnCommit) -> Result<bool, LedgerError>,
    ) -> Result<Option<BelowManual>, LedgerError> {
        let mut below = BelowManual::default();
        let mut top = self.commits.len() - 1;
        for (index, (by, _)) in self.commits.iter().enumerate().rev() {
            let before = index.checked_sub(1).map(version);
            let unchecked: BTreeSet<String> = match by {
                Us => BTreeSet::new(),
                UsUnsure(path) => BTreeSet::from([(*path).to_owned()]),
                Hand => continue,
                Revert => {
                    below.meant.push((before, version(index)));
                    continue;
                }
            };
            let one = OwnCommit { version: version(index), unchecked };
            let is_last = is_final(&one)?;
            if is_last && index + 1 == self.commits.len() && one.unchecked.is_empty() {
                return Ok(None);
            }
            let newer = below.meant.len();
            let ours = one.version.clone();
            below.ours.push(OwnBase { ours, top: version(top), newer, beside: Vec::new() });
            if is_last {
                below.unchecked = one.unchecked;
                return Ok(Some(below));
            }
            below.meant.push((before, one.version));
            top = index.saturating_sub(1);
        }
        below.open.extend((self.is_shallow || self.is_long).then(|| version(99)));
        below.is_cut = self.is_shallow;
        Ok(Some(below))
    }

    fn earlier(&self, of: &Version, _path: &str) -> Result<EarlierContent, LedgerError> {
        let versions: Vec<Version> = (0..number(of)).rev().map(version).collect();
        let near = versions.len().min(self.near);
        Ok(EarlierContent { versions, near, is_cut: self.is_shallow })
    }

    fn changed(&self, before: &Version, after: &Version) -> Result<BTreeSet<String>, LedgerError> {
        let (before, after) = (&self.commits[number(before)].1, &self.commits[number(after)].1);
        let paths = before.keys().chain(after.keys());
        Ok(paths.filter(|path| before.get(*path) != after.get(*path)).cloned().collect())
    }

    fn content(&self, version: &Version, path: &str) -> Result<Option<String>, LedgerError> {
        Ok(self.commits[number(version)].1.get(path).cloned())
    }

    fn document_of(&self, version: &Version, path: &str) -> Result<Option<Arc<Document>>, LedgerError> {
        if self.damaged == Some(number(version)) {
            let (what, why) = ("cannot read".to_owned(), "it is gone".to_owned());
            return Err(LedgerError::Store { what, why, cause: StoreCause::Damaged });
        }
        let text = self.commits[number(version)].1.get(path);
        Ok(text.map(|text| Arc::new(Document::new(text.clone().into_bytes()))))
    }
}

fn undone(hub: &Hub) -> Result<UndoneWrites, Abort> {
    Ok(look(hub)?.map(|found| found.undone).unwrap_or_default())
}

const NONE: &str = r#"{"jobs":[]}"#;
const A: &str = r#"{"jobs":[{"id":"a","status":"queued"}]}"#;
const A_CLAIMED: &str = r#"{"jobs":[{"id":"a","status":"claimed","token":1}]}"#;
const AB: &str = r#"{"jobs":[{"id":"a","status":"queued"},{"id":"b","status":"queued"}]}"#;
const CONFLICT: &str = "<<<<<<< HEAD";

#[test]
fn what_was_undone_while_a_document_could_not_be_read_is_put_back_when_it_can() {
    for between in [&[Us][..], &[UsUnsure(JOBS)], &[Us, UsUnsure(JOBS), Us], &[]] {
        let mut steps: Vec<(By, &[(&str, &str)])> =
            vec![(Us, &[(JOBS, NONE)]), (Us, &[(JOBS, A)]), (Hand, &[(JOBS, CONFLICT)])];
        steps.extend(between.iter().map(|by| (*by, &[][..])));
        assert_eq!(hub(&steps).told(), "");
        // Whoever writes now says that it could not look.
        if steps.last().is_some_and(|(by, _)| *by != Us) {
            assert_eq!(hub(&steps).unchecked(), [JOBS], "{}", between.len());
        }
        steps.push((Hand, &[(JOBS, NONE)]));
        assert_eq!(hub(&steps).told(), "job a", "{}", between.len());
        assert_eq!(hub(&steps).unchecked(), [""; 0]);
    }
    // One record of it, and a document of a newer program.
    let broken = r#"{"jobs":[{"id":"a","status":["no"]}]}"#;
    let newer = r#"{"version":2,"jobs":[]}"#;
    for text in [broken, newer] {
        let steps: &[(By, &[(&str, &str)])] =
            &[(Us, &[(JOBS, NONE)]), (Us, &[(JOBS, A)]), (Hand, &[(JOBS, text)])];
        assert_eq!((hub(steps).told(), hub(steps).unchecked()), (String::new(), vec![JOBS.to_owned()]));
        let mended = [steps, &[(UsUnsure(JOBS), &[]), (Hand, &[(JOBS, NONE)])]].concat();
        assert_eq!(hub(&mended).told(), "job a", "{text}");
    }
}

#[test]
fn what_one_of_ours_did_that_could_not_look_is_meant() {
    let steps: &[(By, &[(&str, &str)])] = &[
        (Us, &[(JOBS, A)]),
        (Us, &[(JOBS, A_CLAIMED)]),
        (Hand, &[(MESSAGES, "{}")]),
        // It gave the job back.
        (UsUnsure(JOBS), &[(JOBS, A)]),
    ];
    assert_eq!(hub(steps).told(), "");
    let by_hand = [&steps[..3], &[(Hand, &[(JOBS, A)][..])]].concat();
    assert_eq!(hub(&by_hand).told(), "job a");
}

#[test]
fn a_message_with_the_id_of_another_is_not_lost_by_what_is_put_back() {
    let messages = |rows: &[&str]| format!(r#"{{"messages":[{}]}}"#, rows.join(","));
    const COPY: &str = r#"{"id":"m","to":"a","body":"copy","read":false}"#;
    const READ: &str = r#"{"id":"m","to":"a","body":"copy","read":true}"#;
    const PRECIOUS: &str = r#"{"id":"m","to":"b","body":"precious","read":false}"#;
    const OTHER: &str = r#"{"id":"n","to":"b","body":"other"}"#;
    let after = |before: &[&str], ours: &[&str], stale: &[&str]| {
        let [before, ours, stale] = [before, ours, stale].map(messages);
        hub(&[(Us, &[(MESSAGES, &before)]), (Us, &[(MESSAGES, &ours)]), (Hand, &[(MESSAGES, &stale)])])
            .after(MESSAGES)
    };
    let expected = |rows: &[&str]| serde_json::from_str::<Value>(&messages(rows)).expect("JSON").to_string();
    for (before, ours, stale, then) in [
        (
            &[COPY, PRECIOUS][..],
            &[READ, PRECIOUS][..],
            &[COPY, PRECIOUS, OTHER][..],
            &[READ, PRECIOUS, OTHER][..],
        ),
        // The second of the two was read.
        (&[PRECIOUS, COPY], &[PRECIOUS, READ], &[PRECIOUS, COPY, OTHER], &[PRECIOUS, READ, OTHER]),
        // One of the two is new: nobody can tell what was meant.
        (&[COPY], &[READ], &[COPY, PRECIOUS], &[COPY, PRECIOUS]),
        (&[], &[READ, PRECIOUS], &[OTHER], &[READ, PRECIOUS, OTHER]),
    ] {
        assert_eq!(after(before, ours, stale), expected(then), "{before:?}");
    }
}

#[test]
fn jobs_with_one_id_come_back_together() {
    let twice =
        r#"{"jobs":[{"id":"a","status":"queued"},{"id":"a","status":"claimed","token":1},{"id":"c"}]}"#;
    let stale = r#"{"jobs":[{"id":"x"}]}"#;
    let after = hub(&[(Us, &[(JOBS, NONE)]), (Us, &[(JOBS, twice)]), (Hand, &[(JOBS, stale)])]).after(JOBS);
    let jobs: Value = serde_json::from_str(&after).expect("JSON");
    let ids: Vec<&str> =
        jobs["jobs"].as_array().expect("a list").iter().filter_map(|job| job["id"].as_str()).collect();
    assert_eq!(ids, ["a", "a", "c", "x"]);
}

#[test]
fn what_is_put_back_stands_where_it_stood() {
    let jobs = |ids: &[&str]| {
        let rows: Vec<String> =
            ids.iter().map(|id| format!(r#"{{"id":"{id}","status":"queued"}}"#)).collect();
        format!(r#"{{"jobs":[{}]}}"#, rows.join(","))
    };
    for (before, ours, stale, expected) in [
        (&["a"][..], &["a", "b"][..], &["a", "x"][..], &["a", "b", "x"][..]),
        (&["b"], &["a", "b", "c"], &["b", "x"], &["a", "b", "c", "x"]),
        (&["a", "d"], &["a", "b", "c", "d"], &["d", "a"], &["d", "a", "b", "c"]),
    ] {
        let [before, ours, stale, expected] = [before, ours, stale, expected].map(jobs);
        let found = hub(&[(Us, &[(JOBS, &before)]), (Us, &[(JOBS, &ours)]), (Hand, &[(JOBS, &stale)])]);
        let expected: Value = serde_json::from_str(&expected).expect("JSON");
        assert_eq!(found.after(JOBS), expected.to_string());
    }
}

#[test]
fn what_an_archive_lost_comes_back_to_it() {
    const ARCHIVED: &str = r#"{"jobs":[{"id":"a","status":"queued"},{"id":"b","status":"queued"}]}"#;
    let archived: &[(By, &[(&str, &str)])] =
        &[(Us, &[(JOBS, AB)]), (Us, &[(JOBS, NONE), (ARCHIVE, ARCHIVED)])];
    for (changes, expected) in [
        // One side of a merge, of the archive alone and of both.
        (&[(ARCHIVE, "")][..], "archived job a, archived job b"),
        (&[(ARCHIVE, ""), (JOBS, AB)], "archived job a, archived job b, no job a, no job b"),
        (&[(JOBS, AB)], "no job a, no job b"),
        // Somebody takes one out of the archive and does something with it.
        (&[(ARCHIVE, A), (JOBS, r#"{"jobs":[{"id":"b","status":"failed"}]}"#)], ""),
    ] {
        let steps = [archived, &[(Hand, changes)]].concat();
        assert_eq!(hub(&steps).told(), expected, "{changes:?}");
    }
    let broken = "coordination/archive/broken-2025-11.json";
    let aside = r#"{"records":[{"id":"r","document":"x"}]}"#;
    let steps: &[(By, &[(&str, &str)])] = &[(Us, &[]), (Us, &[(broken, aside)]), (Hand, &[(broken, "")])];
    assert_eq!(hub(steps).told(), "archived record r");
}

#[test]
fn what_was_brought_back_from_an_archive_does_not_go_there_again() {
    const BACK: &str = r#"{"jobs":[{"id":"a","status":"queued","retries":1}]}"#;
    let steps: &[(By, &[(&str, &str)])] = &[
        (Us, &[(JOBS, NONE), (ARCHIVE, A)]),
        (Us, &[(JOBS, BACK), (ARCHIVE, NONE)]),
        (Hand, &[(JOBS, NONE), (ARCHIVE, A)]),
    ];
    assert_eq!(hub(steps).told(), "no archived job a, job a");
    // A script that archives it once more takes it as it is.
    let again = [&steps[..2], &[(Hand, &[(JOBS, NONE), (ARCHIVE, BACK)][..])]].concat();
    assert_eq!(hub(&again).told(), "");
}

#[test]
fn registrations_and_the_marker_come_back() {
    const HUB: &str = r#"{"version":1,"id":"h"}"#;
    const OLD_READERS: &str = r#"{"version":1,"id":"h","settings":{"old_readers_seconds":240}}"#;
    const ADA: &str = r#"{"servers":[{"id":"ada"}]}"#;
    const BOTH: &str = r#"{"servers":[{"id":"ada"},{"id":"bob"}]}"#;
    let (servers, marker) = (Server::PATH, Marker::PATH);
    let ours: &[(By, &[(&str, &str)])] =
        &[(Us, &[(servers, ADA), (marker, HUB)]), (Us, &[(servers, BOTH), (marker, OLD_READERS)])];
    for (changes, expected) in [
        (&[(servers, ADA)][..], "server bob"),
        (&[(marker, HUB)], marker),
        (&[(marker, "{\"id\": \"h\", \"version\": 1}")], marker),
        (&[(servers, ADA), (marker, HUB)], "server bob, coordination/hub.json"),
        (&[(servers, r#"{"servers":[{"id":"ada"},{"id":"bob","hostname":"x"}]}"#)], ""),
        (&[(marker, r#"{"version":1,"id":"other"}"#)], ""),
    ] {
        assert_eq!(hub(&[ours, &[(Hand, changes)]].concat()).told(), expected, "{changes:?}");
    }
    // It could not be read while we wrote.
    let (broken, resolved) = ([(marker, "<<<<<<<")], [(marker, HUB)]);
    let meanwhile = [ours, &[(Hand, &broken[..]), (Us, &[]), (Hand, &resolved)]].concat();
    assert_eq!(hub(&meanwhile).told(), marker);
    assert_eq!(hub(&meanwhile[..3]).unchecked(), [marker]);
    let newer = OLD_READERS.replace("\"version\":1", "\"version\":9");
    let steps: &[(By, &[(&str, &str)])] =
        &[(Us, &[(marker, HUB)]), (Us, &[(marker, &newer)]), (Hand, &[(marker, HUB)])];
    assert_eq!(hub(steps).told(), "", "of a newer program");
}

#[test]
fn a_revert_keeps_what_it_changed_and_nothing_else() {
    const M: &str = r#"{"messages":[{"id":"m","body":"x"}]}"#;
    let steps: &[(By, &[(&str, &str)])] = &[
        (Us, &[(JOBS, NONE), (MESSAGES, r#"{"messages":[]}"#)]),
        (Us, &[(JOBS, AB), (MESSAGES, M)]),
        (Hand, &[(MESSAGES, r#"{"messages":[]}"#)]),
        (Revert, &[(JOBS, A)]),
    ];
    assert_eq!(hub(steps).told(), "message m");
    let more = [steps, &[(Hand, &[(JOBS, NONE)][..])]].concat();
    assert_eq!(hub(&more).told(), "job a, message m", "b was reverted, a not");
}

#[test]
fn what_a_shallow_clone_cannot_tell_is_left_to_the_next_write() {
    let steps: &[(By, &[(&str, &str)])] = &[(Us, &[(JOBS, AB)]), (Hand, &[(JOBS, A)])];
    let shallow = Hub { is_shallow: true, ..hub(steps) };
    assert_eq!((shallow.told(), shallow.unchecked()), (String::new(), vec![JOBS.to_owned()]));
    let only_by_hand = Hub { is_shallow: true, ..hub(&steps[1..]) };
    assert_eq!(only_by_hand.unchecked(), ["99"]);
    assert_eq!(undone(&only_by_hand).expect("looks"), UndoneWrites::default(), "another clone knows");
    assert_eq!(undone(&hub(&steps[1..])).expect("looks"), UndoneWrites::default(), "there is none of ours");
}

#[test]
fn where_the_bound_is_reached_health_tells_it_and_the_next_write_looks_further() {
    let long = Hub { is_long: true, ..hub(&[(Hand, &[(JOBS, A)])]) };
    assert_eq!((long.told(), long.unchecked()), (String::new(), vec!["99".to_owned()]));
    let unknown = undone(&long).expect("looks").unknown;
    assert!(matches!(&unknown[..], [line] if line.contains("30000 commits")), "{unknown:?}");
    assert_eq!(hub(&[(Hand, &[(JOBS, A)])]).unchecked(), [""; 0], "a hub without any of ours");
}

#[test]
fn what_ours_did_that_could_not_judge_a_document_is_put_back_too() {
    const BROKEN: &str = r#"{"id":"a","status":["no"]}"#;
    let with = |more: &str| format!(r#"{{"jobs":[{BROKEN}{more}]}}"#);
    let (alone, beside) = (with(""), with(r#",{"id":"b","status":"queued"}"#));
    let steps: &[(By, &[(&str, &str)])] = &[
        (Us, &[(JOBS, NONE)]),
        (Us, &[(JOBS, A)]),
        (Hand, &[(JOBS, &alone)]),
        (UsUnsure(JOBS), &[(JOBS, &beside)]),
        (Hand, &[(JOBS, &alone)]),
    ];
    assert_eq!((hub(steps).told(), hub(steps).unchecked()), ("job b".to_owned(), vec![JOBS.to_owned()]));
    // Nobody mended it at once.
    let again: &[(&str, &str)] = &[(JOBS, &beside)];
    let more = [steps, &[(UsUnsure(JOBS), again), (Hand, &[(JOBS, NONE)])]].concat();
    assert_eq!(hub(&more).told(), "job b, job a");
    // In a shallow clone that ends there, too.
    let shallow = Hub { is_shallow: true, ..hub(&steps[2..]) };
    assert_eq!(shallow.told(), "job b");
}

#[test]
fn what_is_there_as_it_was_long_ago_is_an_old_copy_and_what_is_gone_was_taken_out() {
    const CANCELLED: &str = r#"{"jobs":[{"id":"a","status":"cancelled"},{"id":"b","status":"queued"}]}"#;
    let ours: &[(By, &[(&str, &str)])] =
        &[(Us, &[(JOBS, NONE)]), (Us, &[(JOBS, AB)]), (Us, &[(JOBS, CANCELLED)])];
    let far = |changes: &[(&str, &str)]| Hub { near: 0, ..hub(&[ours, &[(Hand, changes)]].concat()) }.told();
    assert_eq!(far(&[(JOBS, AB)]), "job a");
    assert_eq!(far(&[(JOBS, A)]), "job a", "b was there for longer");
    assert_eq!(far(&[(JOBS, NONE)]), "");
}

#[test]
fn a_token_that_went_down_is_an_old_copy_whatever_else_it_says() {
    let job = |text: &str| format!(r#"{{"jobs":[{{"id":"a",{text}}}]}}"#);
    let taken = r#""status":"claimed","assigned_to":"bob","token":2,"incarnation":"i""#;
    for (ours, stale, is_back) in [
        (taken, r#""status":"claimed","assigned_to":"ada","token":1,"note":"x""#, true),
        (taken, r#""status":"claimed","assigned_to":"script""#, true),
        (taken, r#""status":"completed","assigned_to":"bob","token":2"#, false),
        // Whoever does what is over once more leaves out what it likes.
        (r#""status":"failed","token":2"#, r#""status":"queued""#, false),
        (r#""status":"claimed","token":2"#, r#""status":"claimed","assigned_to":"script""#, false),
        (r#""status":"queued","token":18446744073709551615"#, r#""status":"queued","token":3"#, false),
    ] {
        let (ours, stale) = (job(ours), job(stale));
        let told = hub(&[(Us, &[(JOBS, NONE)]), (Us, &[(JOBS, &ours)]), (Hand, &[(JOBS, &stale)])]).told();
        assert_eq!(told, if is_back { "job a" } else { "" }, "{ours} {stale}");
    }
    let lock = |text: &str| format!(r#"{{"locks":{{"deploy":{{{text}}}}}}}"#);
    let held = r#""locked_by":"bob","token":2,"renewal":0,"holder":"vm""#;
    for (stale, expected) in [
        (r#""locked_by":"ada","token":1,"renewal":7,"holder":"vm""#, "lock deploy"),
        // A script that takes it leaves no token.
        (r#""locked_by":"script""#, "last token of lock deploy"),
    ] {
        let (ours, stale) = (lock(held), lock(stale));
        let told = hub(&[(Us, &[]), (Us, &[(Lock::PATH, &ours)]), (Hand, &[(Lock::PATH, &stale)])]).told();
        assert_eq!(told, expected);
    }
}

#[test]
fn what_is_damaged_in_the_history_stops_no_look_and_hides_nothing_else() {
    let steps: &[(By, &[(&str, &str)])] =
        &[(Us, &[(JOBS, NONE)]), (Us, &[(JOBS, A)]), (Us, &[(JOBS, AB)]), (Hand, &[(JOBS, NONE)])];
    for (damaged, expected) in [(1, "job a, job b"), (0, "job b")] {
        let hub = Hub { damaged: Some(damaged), ..hub(steps) };
        assert_eq!(hub.told(), expected, "{damaged}");
    }
}

#[test]
fn a_job_is_not_done_again_while_its_archive_cannot_be_read() {
    let steps: &[(By, &[(&str, &str)])] =
        &[(Us, &[(JOBS, A)]), (Us, &[(JOBS, NONE), (ARCHIVE, A)]), (Hand, &[(JOBS, A), (ARCHIVE, CONFLICT)])];
    assert_eq!(
        (hub(steps).told(), hub(steps).unchecked()),
        ("no job a".to_owned(), vec![ARCHIVE.to_owned()])
    );
}

#[test]
fn what_was_moved_to_another_archive_by_hand_stays_there() {
    let moved = "coordination/archive/jobs-2025-10.json";
    let steps: &[(By, &[(&str, &str)])] =
        &[(Us, &[(JOBS, A)]), (Us, &[(JOBS, NONE), (ARCHIVE, A)]), (Hand, &[(ARCHIVE, ""), (moved, A)])];
    assert_eq!(hub(steps).told(), "");
}

#[test]
fn a_marker_that_was_reverted_stays_so() {
    const HUB: &str = r#"{"version":1,"id":"h"}"#;
    const OLD_READERS: &str = r#"{"version":1,"id":"h","settings":{"old_readers_seconds":240}}"#;
    let ours: &[(By, &[(&str, &str)])] =
        &[(Us, &[(Marker::PATH, HUB)]), (Us, &[(Marker::PATH, OLD_READERS)])];
    for (by, expected) in [(Hand, Marker::PATH), (Revert, "")] {
        assert_eq!(hub(&[ours, &[(by, &[(Marker::PATH, HUB)])]].concat()).told(), expected);
    }
}

/// Each record is looked up by its id, and compared only where a version differs: with a search for each, or
/// all of them in each version, this took minutes.
#[test]
fn a_long_document_is_put_back_in_a_time_that_grows_with_its_length_alone() {
    const ROWS: usize = 20_000;
    let text = |status: &str, newest: usize| {
        let rows: Vec<String> = (0..ROWS)
            .map(|row| {
                format!(r#"{{"id":"j{row}","status":"{}"}}"#, if row < newest { "failed" } else { status })
            })
            .collect();
        format!(r#"{{"jobs":[{}]}}"#, rows.join(","))
    };
    let versions: Vec<String> = (0..20).map(|newest| text("queued", newest)).collect();
    let changes: Vec<[(&str, &str); 1]> = versions.iter().map(|text| [(JOBS, text.as_str())]).collect();
    let mut steps: Vec<(By, &[(&str, &str)])> = vec![(Us, &[(JOBS, NONE)])];
    steps.extend(changes.iter().map(|change| (Us, &change[..])));
    let changed = text("dead", 0);
    for (stale, back) in [(NONE, ROWS), (changed.as_str(), 0)] {
        let by_hand: &[(&str, &str)] = &[(JOBS, stale)];
        let found = hub(&[&steps[..], &[(Hand, by_hand)]].concat());
        assert_eq!(undone(&found).expect("looks").back.len(), back);
    }
}
