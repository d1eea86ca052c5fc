//! Fuzz targets: what must hold whatever stands in a hub, in git's output or on the command line.
//!
//! One function per target, which panics when it does not hold. `fuzz/` runs them under libFuzzer;
//! the test below runs the kept inputs and some thousand mutations of them everywhere. No part of
//! the program: compiled for tests and fuzzing only.

use crate::cli::UserConfig;
use crate::domain::heartbeat::Heartbeat;
use crate::domain::id::{JobId, LockName, MessageId, OpId, ServerName, check_branch};
use crate::domain::job::{Job, JobStatus};
use crate::domain::lock::Lock;
use crate::domain::message::Message;
use crate::domain::record::{Record, View};
use crate::domain::secret::credential_in;
use crate::domain::server::Server;
use crate::domain::status::Status;
use crate::domain::table::{BrokenRecord, Row, Table};
use crate::domain::time::{SPAN_MAX, Timestamp, parse_span, show_span};
use crate::git::{Location, fuzz as git};
use crate::ledger::fuzz as ledger;
use serde_json::Value;
use std::path::{Component, Path};
use std::time::Duration;

/// The name of a target and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("documents", documents),
    ("messages", messages),
    ("pushes", pushes),
    ("times", times),
    ("names", names),
    ("settings", settings),
    ("secrets", secrets),
];

/// Documents: what is read can be written and read again, what is not edited keeps its bytes, and
/// an edit keeps what it does not know. The first byte says which document it is.
pub fn documents(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    match kind % 6 {
        0 => table(text, |job: &mut Job| job.status = JobStatus::Dead),
        1 => table(text, |lock: &mut Lock| lock.token = Some(lock.token.unwrap_or(0) ^ 1)),
        2 => table(text, |message: &mut Message| message.subject.push('x')),
        3 => table(text, |server: &mut Server| server.labels.push("x".to_owned())),
        4 => record(text, |beat: &mut Heartbeat| beat.sequence = Some(beat.sequence.unwrap_or(0) ^ 1)),
        _ => record(text, |status: &mut Status| status.manager = Some("x".to_owned())),
    }
}

fn table<T: Row>(bytes: &[u8], edit: impl Fn(&mut T)) {
    let Ok(mut table) = Table::<T>::read(T::PATH, bytes) else { return };
    assert!(!table.is_changed(), "nothing was edited yet");
    let before: Vec<String> = table.rows().map(|row| row.text().to_owned()).collect();
    let broken: Vec<String> = table.broken().map(|broken| broken.text().to_owned()).collect();
    assert!(table.troubles().len() >= broken.len(), "what cannot be read is told");
    // Of a newer layout: read and never written.
    let Ok(written) = table.to_bytes() else { return };
    let again = Table::<T>::read(T::PATH, &written).expect("what was written is read");
    assert!(again.rows().map(Record::text).eq(before.iter().map(String::as_str)), "a record got other bytes");
    assert!(again.broken().map(BrokenRecord::text).eq(broken.iter().map(String::as_str)), "a broken one did");
    assert_eq!(again.to_bytes(), Ok(written), "written twice, it is the same");
    let Some(first) = table.rows_mut().next() else { return };
    check_edit(first, &edit);
    let rest: Vec<&str> = table.rows().skip(1).map(Record::text).collect();
    assert!(rest.iter().eq(before.iter().skip(1)), "an edit changed another record");
    let written = table.to_bytes().expect("it could be written before");
    let again = Table::<T>::read(T::PATH, &written).expect("what was edited is read");
    assert!(again.rows().map(Record::text).eq(table.rows().map(Record::text)));
    assert!(again.broken().map(BrokenRecord::text).eq(broken.iter().map(String::as_str)));
}

fn record<T: View>(bytes: &[u8], edit: impl Fn(&mut T)) {
    let path = "build1/x.json";
    let Ok(text) = crate::domain::json::text(path, bytes) else { return };
    let Ok(mut record) = Record::<T>::read(path, "", text, 0) else { return };
    assert_eq!(record.text(), text);
    check_edit(&mut record, &edit);
}

/// An edit of a record keeps every field that the view does not know, in its order.
fn check_edit<T: View>(record: &mut Record<T>, edit: &impl Fn(&mut T)) {
    let known = |view: &T| serde_json::to_value(view).expect("a view is JSON");
    let (before, raw) = (known(record), record.raw());
    record.edit(edit);
    let (after, edited) = (known(record), record.raw());
    let unknown = |value: &Value| -> Vec<(String, Value)> {
        let fields = value.as_object().cloned().unwrap_or_default();
        fields.into_iter().filter(|(key, _)| before.get(key).is_none() && after.get(key).is_none()).collect()
    };
    assert_eq!(unknown(&raw), unknown(&edited), "an edit lost what it does not know");
    let again: Record<T> = Record::read("x.json", "", record.text(), 0).expect("what was edited is read");
    assert_eq!(known(&again), after, "what was edited reads as it was meant");
}

/// Commit messages: no text of a stranger makes a commit carry another operation.
pub fn messages(data: &[u8]) {
    ledger::commit_message(&String::from_utf8_lossy(data));
}

/// Outputs of git: the first byte is the exit code (255: killed), a zero byte ends stdout.
pub fn pushes(data: &[u8]) {
    let Some((code, rest)) = data.split_first() else { return };
    let exit_code = (*code != u8::MAX).then(|| i32::from(*code));
    let mut parts = rest.splitn(2, |byte| *byte == 0).map(String::from_utf8_lossy);
    let (stdout, stderr) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    git::git_output(exit_code, &stdout, &stderr);
}

/// Times and spans: what is printed is read again as the same.
pub fn times(data: &[u8]) {
    let text = &String::from_utf8_lossy(data);
    if let Some(at) = Timestamp::parse(text) {
        let printed = Timestamp::parse(&at.to_string()).expect("what was printed is read");
        assert_eq!(printed.unix_millis(), at.unix_seconds() * 1000, "{text:?}");
        assert_eq!(Timestamp::parse(&at.compact()), Some(printed), "{text:?}");
        assert!(at.plus(SPAN_MAX) >= at && at.since(at) == Duration::ZERO, "{text:?}");
    }
    if let Ok(span) = parse_span(text) {
        assert!(span <= SPAN_MAX, "{text:?}");
        let shown = parse_span(&show_span(span)).expect("what was shown is read");
        // Two units at most: an hour is what a span of days is cut to.
        assert!(shown <= span && span - shown < Duration::from_secs(3600), "{text:?}: {shown:?}");
    }
}

/// Names: what is taken can be a folder and a part of a ref name.
pub fn names(data: &[u8]) {
    let text = &String::from_utf8_lossy(data);
    if let Ok(name) = ServerName::new(text) {
        assert!(is_one_folder(name.as_str()), "{name}");
        let branch = name.heartbeat_branch();
        assert!(check_branch(&branch).is_ok() && git_takes(&branch), "{branch}");
    }
    if check_branch(text).is_ok() {
        assert!(git_takes(text), "{text:?}");
    }
    for id in [JobId::new(text).is_ok(), MessageId::new(text).is_ok(), OpId::new(text).is_ok()] {
        assert!(!id || is_one_folder(text), "{text:?}");
    }
    if LockName::new(text).is_ok() {
        let parts = Path::new(&**text).components();
        assert!(
            parts.clone().count() > 0 && parts.into_iter().all(|part| matches!(part, Component::Normal(_)))
        );
        assert!(!text.starts_with('-') && !text.contains(char::is_control), "{text:?}");
    }
}

fn is_one_folder(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let one = matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none();
    one && !name.starts_with(['-', '.']) && !name.contains(|c: char| c.is_control() || c == '/' || c == '\\')
}

/// The rules of `git check-ref-format --branch`.
fn git_takes(branch: &str) -> bool {
    let bad = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    !branch.is_empty()
        && branch != "@"
        && branch != "HEAD"
        && !branch.starts_with('-')
        && !branch.ends_with('.')
        && !branch.contains("..")
        && !branch.contains("@{")
        && !branch.contains(bad)
        && !branch.split('/').any(bad_part)
}

/// The user's configuration, and the address of a hub: what is shown of it holds no password.
pub fn settings(data: &[u8]) {
    const PASSWORD: &str = "Pa55w0rd";
    let text = &String::from_utf8_lossy(data);
    if let Ok(config) = UserConfig::parse(text) {
        let written = config.to_text().expect("a configuration is JSON");
        let again = UserConfig::parse(&written).expect("what was written is read");
        assert_eq!(again.to_text().ok(), Some(written));
    }
    let folder = Path::new("/");
    drop(Location::parse(text, folder).shown());
    for scheme in ["https", "ssh", "git+ssh"] {
        let user: String = text.chars().filter(|c| !"/?#".contains(*c)).collect();
        let url = format!("{scheme}://{user}:{PASSWORD}@hub.example/{text}");
        // Where it also is the user or a part of the path, it is shown as that.
        let is_elsewhere = text.contains(PASSWORD) || user.contains(PASSWORD);
        assert!(is_elsewhere || !Location::parse(&url, folder).shown().contains(PASSWORD), "{url:?}");
    }
}

/// Credentials: any text may be asked, and the shapes that are known are found in it.
pub fn secrets(data: &[u8]) {
    let text = &String::from_utf8_lossy(data);
    let asked = credential_in(text);
    assert!(asked.is_none_or(|kind| !kind.is_empty()));
    for key in ["AKIA2E7QX4RBN5TWMZ3K", "ghp_9x2KfLm4Qz7RtVb1NcWy5HdJs8PgTe0AuXo3"] {
        assert!(credential_in(&format!("{text} {key} {text}")).is_some(), "not found behind {text:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Mutations of each kept input.
    const MUTATIONS: usize = 100;
    /// What mutations put in, beside random bytes.
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "null",
        "true",
        "-1",
        "1e999",
        "\\u0000",
        "\\ud800",
        "\u{feff}",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\u{1b}[2J",
        "..",
        "/",
        "@",
        "id",
        "jobs",
        "locks",
        "version",
        "Muster-Op: ",
        " \t",
        "!\t",
        "refs/heads/main",
        "Done\n",
        "Z",
        "9999",
        "1970-01-01",
        "s",
        "m",
        "=",
        "password",
    ];

    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut paths: Vec<_> =
            fs::read_dir(&folder).expect("kept inputs").map(|entry| entry.expect("a file").path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).expect("a kept input")).collect()
    }

    /// The same sequence each time: what fails here fails again.
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).expect("31 bits") % bound.max(1)
        }

        fn mutate(&mut self, mut input: Vec<u8>, other: &[u8]) -> Vec<u8> {
            for _ in 0..=self.below(4) {
                let at = self.below(input.len() + 1);
                let end = (at + self.below(8)).min(input.len());
                let byte = u8::try_from(self.below(256)).expect("a byte");
                match self.below(5) {
                    0 => drop(input.splice(at..end, [byte])),
                    1 => drop(input.drain(at..end)),
                    2 => drop(input.splice(at..at, PIECES[self.below(PIECES.len())].bytes())),
                    3 => drop(input.splice(at..end, PIECES[self.below(PIECES.len())].bytes())),
                    _ => {
                        let from = self.below(other.len() + 1);
                        let to = (from + self.below(32)).min(other.len());
                        drop(input.splice(at..end, other[from..to].iter().copied()));
                    }
                }
            }
            input
        }
    }

    #[test]
    fn all_targets_hold_for_the_kept_inputs_and_their_neighbours() {
        for (name, target) in TARGETS {
            let inputs = corpus(name);
            assert!(!inputs.is_empty(), "{name} has no kept inputs");
            let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
            for input in &inputs {
                target(input);
                for _ in 0..MUTATIONS {
                    let other = &inputs[draw.below(inputs.len())];
                    let mutated = draw.mutate(input.clone(), other);
                    let held = std::panic::catch_unwind(|| target(&mutated));
                    assert!(held.is_ok(), "{name}: {:?}", String::from_utf8_lossy(&mutated));
                }
            }
        }
    }
}
