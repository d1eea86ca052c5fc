//! A record of commands and of everything they answered, to be compared as one snapshot.
//!
//! Reads like a terminal: `ada$ git muster job list`, the output, the exit status. JSON on standard output
//! is set in as few lines as it takes.
//!
//! With a clock of its own ([`Transcript::on_a_clock`]) each command runs ten seconds after the one before and
//! draws ids that its number decides: what it shows is what it said, but for folders and commits. Without
//! one, what differs from run to run is replaced by placeholders; ids can be given names, so that a snapshot
//! shows which id stands where.

use std::fs;
use std::path::Path;

use git_muster::inside::Timestamp;

use super::fleet::Host;
use super::normalise::{normalise, temporary_paths};
use super::run::{HostCommand, Run};

/// The longest line of JSON in a transcript.
const LINE_LENGTH_MAX: usize = 100;

/// Fields of JSON whose values are measured.
const MEASURED: [&str; 4] = ["memory_used_gb", "disk_free_gb", "uptime_seconds", "duration_seconds"];

/// A record of commands; shown, it is what to snapshot.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    text: String,
    names: Vec<(String, String)>,
    /// How many commands ran, where they run on a clock.
    ran: Option<i64>,
}

/// When the clock of a transcript begins: 2026-03-01 12:00 UTC.
const START_SECONDS: i64 = 1_772_366_400;
/// How much later each command runs than the one before: most transcripts end before a heartbeat is late.
const STEP_SECONDS: i64 = 10;
/// How long the name of a commit is.
const COMMIT_LENGTH: usize = 40;

impl Transcript {
    /// An empty record.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An empty record whose commands run on a clock.
    #[must_use]
    pub(crate) fn on_a_clock() -> Self {
        Self { ran: Some(0), ..Self::default() }
    }

    /// Runs `git-muster` with the words of `line` on the clock and does not record it; it has to succeed.
    #[track_caller]
    pub(crate) fn beside(&mut self, host: &Host, line: &str) -> Run {
        let command = self.timed(host.command(words(line)));
        command.run().success()
    }

    /// Sets the clock of a command on.
    fn timed(&mut self, command: HostCommand) -> HostCommand {
        let Some(ran) = &mut self.ran else { return command };
        let now = Timestamp::from_unix_millis((START_SECONDS + *ran * STEP_SECONDS) * 1000);
        let seed = ran.to_string();
        *ran += 1;
        command.env("MUSTER_CLOCK", now.expect("a time of this century").to_string()).env("MUSTER_SEED", seed)
    }

    /// Shows `text`, such as an id, as `name` in everything that is recorded from now on.
    pub(crate) fn name(&mut self, text: &str, name: &str) {
        self.names.push((text.trim().to_owned(), name.to_owned()));
        // An id may begin with another one.
        self.names.sort_by_key(|(text, _)| usize::MAX - text.len());
    }

    /// Runs `git-muster` with the words of `line` and records it.
    #[track_caller]
    #[must_use = "an exit status nobody looked at: check it with `.success()` or `.code(n)`"]
    pub(crate) fn ask(&mut self, host: &Host, line: &str) -> Run {
        self.record(host, &format!("git muster {line}"), host.command(words(line)))
    }

    /// Runs `git-muster` with the words of `line` and records it: the snapshot shows the answer.
    #[track_caller]
    pub(crate) fn run(&mut self, host: &Host, line: &str) {
        drop(self.ask(host, line));
    }

    /// The same with something added to the command, such as input or a variable.
    #[track_caller]
    pub(crate) fn run_with(&mut self, host: &Host, line: &str, add: impl FnOnce(HostCommand) -> HostCommand) {
        drop(self.record(host, &format!("git muster {line}"), add(host.command(words(line)))));
    }

    /// Runs the program in `folder` that the first word of `line` names, and records it.
    #[track_caller]
    #[must_use = "an exit status nobody looked at: check it with `.success()` or `.code(n)`"]
    pub(crate) fn ask_program(&mut self, host: &Host, folder: &Path, line: &str) -> Run {
        let words = words(line);
        let (name, args) = words.split_first().expect("a line names a program");
        self.record(host, line, host.program(folder.join(name)).args(args))
    }

    #[track_caller]
    fn record(&mut self, host: &Host, line: &str, command: HostCommand) -> Run {
        let run = self.timed(command).run();
        let shown = self.normalised(&run.to_string());
        let shown = match serde_json::from_str::<serde_json::Value>(run.stdout()) {
            Ok(value) if line.contains("--json") => {
                let rest = shown.find("------- stderr").or_else(|| shown.find("[exit status")).unwrap_or(0);
                format!("{}\n{}", set(&self.normalised(&value.to_string())), &shown[rest..])
            }
            _ => shown,
        };
        let line = self.normalised(line);
        self.text.push_str(&format!("{}$ {line}{shown}", host.name()));
        run
    }

    fn normalised(&self, text: &str) -> String {
        if self.ran.is_some() {
            let text = without_host(&temporary_paths(text));
            return text.lines().map(|line| without_commits(line) + "\n").collect();
        }
        let mut text = text.to_owned();
        for (id, name) in &self.names {
            text = text.replace(id, name);
        }
        let text = normalise(&text);
        // An age is told in one unit or in two.
        let text = without_host(&text).replace("[DURATION] [DURATION]", "[DURATION]");
        text.lines().filter(|line| !is_measured(line)).map(|line| squeezed(&measures(line)) + "\n").collect()
    }
}

impl std::fmt::Display for Transcript {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Splits a line at blanks; single quotes hold words together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '\'' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// The machine's own name and process ids.
fn without_host(text: &str) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux tells its name");
    let host = host.trim();
    let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(host) {
        let after = &rest[at + host.len()..];
        let alone = !rest[..at].ends_with(is_part) && !after.starts_with(is_part);
        out.push_str(&rest[..at]);
        out.push_str(if alone { "[HOST]" } else { host });
        rest = after;
    }
    out.push_str(rest);
    let mut from = 0;
    while let Some(at) = out[from..].find(" pid ").map(|at| from + at + " pid ".len()) {
        let digits = out[at..].find(|c: char| !c.is_ascii_digit()).unwrap_or(out.len() - at);
        out.replace_range(at..at + digits, "[PID]");
        from = at;
    }
    out
}

/// Whole names of commits: they depend on the machine, whose facts are in the documents.
fn without_commits(line: &str) -> String {
    let is_commit = |word: &str| word.len() == COMMIT_LENGTH && word.bytes().all(|c| c.is_ascii_hexdigit());
    let words = line.split_inclusive(|c: char| !c.is_alphanumeric());
    let shown = words.map(|piece| {
        let word = piece.trim_end_matches(|c: char| !c.is_alphanumeric());
        if is_commit(word) { piece.replace(word, "[COMMIT]") } else { piece.to_owned() }
    });
    shown.collect()
}

/// Lines that are there only when an earlier sample of the processor's load is.
fn is_measured(line: &str) -> bool {
    line.starts_with("load:") || line.trim_start().starts_with("\"cpu_usage\":")
}

/// Replaces the values of what is measured, in JSON and for people.
fn measures(line: &str) -> String {
    let mut line = line.to_owned();
    for field in MEASURED {
        let mark = format!("\"{field}\":");
        if let Some(at) = line.find(&mark).map(|at| at + mark.len()) {
            let length = line[at..].find([',', '}']).unwrap_or(line.len() - at);
            line.replace_range(at..at + length, "[NUMBER]");
        }
    }
    if let Some(at) = line.find("\"cpu_usage\":") {
        let end = line[at..].find([',', '}']).map_or(line.len(), |length| at + length);
        let last = line[end..].starts_with('}');
        let start = if last && line[..at].ends_with(',') { at - 1 } else { at };
        line.replace_range(start..if last { end } else { end + 1 }, "");
    }
    if line.starts_with("memory:") || line.starts_with("disk:") {
        let number: String = line.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
        line = line.replace(&number, "[NUMBER]");
    }
    line
}

/// Columns are as wide as their widest cell, which may hold something that was replaced.
fn squeezed(line: &str) -> String {
    let start = line.len() - line.trim_start().len();
    let mut out = line[..start].to_owned();
    let mut blanks = 0;
    for c in line[start..].chars() {
        blanks = if c == ' ' { blanks + 1 } else { 0 };
        if blanks <= 2 {
            out.push(c);
        }
    }
    out
}

/// Sets compact JSON in lines of bounded length.
fn set(json: &str) -> String {
    let mut lines = vec![String::new()];
    for piece in json.trim().split_inclusive(',') {
        let last = lines.last().map_or(0, String::len);
        if last > 0 && last + piece.len() > LINE_LENGTH_MAX {
            lines.push("  ".to_owned());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(piece);
        }
    }
    lines.join("\n")
}
