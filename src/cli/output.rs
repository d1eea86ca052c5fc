//! What is printed: answers to stdout, everything else to stderr, never a control character.

use super::error::CliError;
use super::exit::Exit;
use super::{GlobalArgs, style, whole};
use crate::domain::code::Code;
use crate::domain::shell::quoted;
use crate::git::Location;
use crate::ledger::LedgerError;
use crate::machine::{asked, clock, environment};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

/// How a command that is printed has to begin, by any thread, to be about what the command line was about.
static BEGUN: RwLock<OutputMode> = RwLock::new(OutputMode { folder: None, flags: Vec::new() });

/// How the command line began.
struct OutputMode {
    /// The folder it works in, where that is another than the shell's.
    folder: Option<String>,
    /// The hub, its branch and the server, each as a word of a shell.
    flags: Vec<(&'static str, String)>,
}

/// Remembers which hub, branch and server the command line names, and in which folder: a command that is
/// printed has to lead to the same. `target` is a hub that it names without a flag. `is_me`: the server is
/// who asks, and not what is asked for.
pub(super) fn begun_with(global: &GlobalArgs, target: Option<&String>, is_me: bool) {
    // Without a password that stands in it.
    let hub = target.or(global.hub.as_ref()).map(|hub| Location::parse(hub, Path::new("")).shown());
    let given = [
        ("--hub", hub.as_ref()),
        ("--hub-branch", global.branch.as_ref().or(global.hub_branch.as_ref())),
        ("--server", global.server.as_ref().filter(|_| is_me)),
    ];
    let given = given.into_iter().filter_map(|(flag, value)| Some((flag, quoted(value?))));
    // `git -C` goes elsewhere, and who types the command next does not.
    let folder = environment::elsewhere().map(|folder| quoted(&folder.display().to_string()));
    *begun_mut() = OutputMode { folder, flags: given.collect() };
}

/// From now on all is about this hub, which the command line names besides.
pub(super) fn begun_about(hub: &str) {
    let hub = Location::parse(hub, Path::new("")).shown();
    let flags = &mut begun_mut().flags;
    flags.retain(|(flag, _)| *flag != "--hub");
    flags.insert(0, ("--hub", quoted(&hub)));
}

/// From now on what was remembered for this user or in this clone is enough, but for `named`.
pub(super) fn begun_as_joined(named: Vec<(&'static str, String)>) {
    begun_mut().flags = named;
}

fn begun_mut() -> RwLockWriteGuard<'static, OutputMode> {
    BEGUN.write().unwrap_or_else(PoisonError::into_inner)
}

/// How any command has to begin to be about the same.
pub(super) fn beginning() -> String {
    BEGUN.read().unwrap_or_else(PoisonError::into_inner).beginning(|_| true)
}

impl OutputMode {
    fn beginning(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let folder = self.folder.as_ref().map_or(String::new(), |folder| format!("-C {folder} "));
        let mut beginning = format!("git {folder}muster ");
        for (flag, value) in self.flags.iter().filter(|(flag, _)| is_wanted(flag)) {
            let between = if value.starts_with('-') { '=' } else { ' ' };
            beginning.push_str(&format!("{flag}{between}{value} "));
        }
        beginning
    }
}

/// Whether a command is the same whoever gives it, or takes a name in another way.
fn is_nobodys(verb: &str, command: &str) -> bool {
    match verb {
        "init" | "join" | "import" | "health" | "completions" | "man" => true,
        "fsck" => !command.contains("--mend"),
        "servers" => !command.starts_with("servers remove"),
        _ => false,
    }
}

/// `text` with its commands as they have to be typed to be about the same hub and server.
pub(super) fn as_begun(text: &str) -> String {
    BEGUN.read().unwrap_or_else(PoisonError::into_inner).typed(text)
}

impl OutputMode {
    fn typed(&self, text: &str) -> String {
        const COMMAND: &str = "`git muster ";
        let mut parts = text.split(COMMAND);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (command, after) = part.split_once('`').unwrap_or((part, ""));
            let mut words = command.split(' ');
            let verb = words.next().unwrap_or_default();
            let names_hub = match verb {
                "init" => true,
                // What comes next is the hub to join, or to import.
                "join" | "import" => words.next().is_some_and(|word| !word.starts_with('-')),
                _ => false,
            };
            // What is to be done by another server is done on its machine.
            let is_for_another = after.starts_with(" on ") || is_nobodys(verb, command);
            out.push('`');
            out.push_str(&self.beginning(|flag| {
                let is_needed = match flag {
                    "--server" => !is_for_another,
                    "--hub" => !names_hub,
                    _ => true,
                };
                is_needed && !command.split(' ').any(|word| word == flag)
            }));
            out.push_str(part);
        }
        out
    }
}

/// The version of the shapes that `--json` prints.
pub(super) const SCHEMA: u64 = 1;

/// Where a command's words go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// Answers are JSON.
    pub json: bool,
    /// No words beside the answer.
    pub quiet: bool,
    /// Nothing is written, and every answer says so.
    pub dry_run: bool,
}

/// `text` without anything that a terminal would obey: control characters and those that turn the
/// direction of writing are shown as escapes; a tab and a line break become a space.
#[must_use]
pub(super) fn clean(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '\n' | '\t' => out.push(' '),
            c if is_obeyed(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
        out
    })
}

/// [`clean`] that keeps line breaks and tabs, for bodies of several lines.
#[must_use]
pub(super) fn clean_lines(text: &str) -> String {
    text.split('\n')
        .map(|line| line.split('\t').map(clean).collect::<Vec<_>>().join("\t"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whether a text is of plain characters alone, as nearly all are: nothing has to be looked for in it.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Characters that change what a terminal shows elsewhere.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || style::MARKS.contains(&c)
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// `1 job`, `2 jobs`.
#[must_use]
pub(super) fn counted(number: usize, what: &str) -> String {
    match (number, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        _ if what.ends_with("ch") => format!("{number} {what}es"),
        _ => format!("{number} {what}s"),
    }
}

thread_local! {
    /// Where this command wrote last: every answer after it tells that.
    static WRITTEN: RefCell<Option<Value>> = const { RefCell::new(None) };
}

impl Output {
    /// Has the answers that follow tell where was written.
    pub(super) fn note_written(self, place: Value) {
        WRITTEN.set(Some(place));
    }

    /// Prints one object.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(super) fn object(
        self,
        kind: &str,
        value: &impl Serialize,
        human: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        if self.json { self.print_json(&self.tagged(kind, value)) } else { print_lines(&human()) }
    }

    /// Prints what was done: an object for machines, for people a sentence that `--quiet` silences.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(super) fn confirm(
        self,
        kind: &str,
        value: &impl Serialize,
        human: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        match (self.json, self.quiet) {
            (false, true) => Ok(()),
            _ => self.answer(kind, value, human),
        }
    }

    /// Prints what a write answered, such as an id or a token; after a dry run nothing that a
    /// script could take for one.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(super) fn answer(
        self,
        kind: &str,
        value: &impl Serialize,
        human: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let words = human();
        if self.dry_run && !self.json {
            return print_lines(&format!("dry run, not done: {words}"));
        }
        let printed = self.object(kind, value, || words.clone());
        self.done_or(printed, || words)
    }

    /// What came of printing the answer of a write, of which `done` says what it did: done is done, and the
    /// token of a lock may be in the answer.
    ///
    /// # Errors
    /// When it could not be printed.
    pub(super) fn done_or(
        self,
        printed: Result<(), CliError>,
        done: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        if self.dry_run {
            return printed;
        }
        printed.map_err(|error| error.undelivered().done_all_the_same(&done()))
    }

    /// Prints a list; an empty one is `[]`.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(super) fn list<T: Serialize>(
        self,
        kind: &str,
        values: impl IntoIterator<Item = T>,
        human: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        if self.json {
            // One after the other: a long list as a whole would be there three times.
            let mut list = String::from("[");
            for (index, value) in values.into_iter().enumerate() {
                list.push_str(if index == 0 { "\n  " } else { ",\n  " });
                list.push_str(&json_text(&self.tagged(kind, &value))?.replace('\n', "\n  "));
            }
            list.push_str(if list.len() > 1 { "\n]" } else { "]" });
            print(&list)
        } else {
            print_lines(&human())
        }
    }

    fn print_json(self, value: &Value) -> Result<(), CliError> {
        print(&json_text(value)?)
    }

    /// The object with the version of its shape and its kind in front.
    fn tagged(self, kind: &str, value: &impl Serialize) -> Value {
        let mut object = Map::new();
        object.insert("schema".to_owned(), SCHEMA.into());
        object.insert("kind".to_owned(), kind.into());
        if self.dry_run {
            object.insert("dry_run".to_owned(), true.into());
        }
        match serde_json::to_value(value) {
            Ok(Value::Object(members)) => {
                object.extend(members.into_iter().filter(|(key, _)| key != "schema" && key != "kind"));
            }
            Ok(other) => drop(object.insert("value".to_owned(), other)),
            Err(_) => {}
        }
        whole::complete(kind, &mut object);
        if let Some(place) = WRITTEN.with_borrow(Clone::clone) {
            object.insert("written".to_owned(), place);
        }
        Value::Object(object)
    }

    /// Says what is going on, on stderr.
    pub(super) fn say(self, words: &str) {
        match (self.quiet, self.json) {
            (true, _) => {}
            (false, true) => complain(&remark("note", &as_begun(words))),
            (false, false) => complain(&clean(&as_begun(words))),
        }
    }

    /// Warns, on stderr, even when quiet.
    pub(super) fn warn(self, words: &str) {
        let words = &as_begun(words);
        let line = if self.json { remark("warning", words) } else { format!("warning: {}", clean(words)) };
        complain(&line);
    }

    /// Prints an error with its hints.
    pub(super) fn error(self, error: &CliError) {
        self.error_with(error, error.exit.code());
    }

    /// Prints an error of a command that ends with `code` all the same.
    pub(super) fn error_with(self, error: &CliError, code: u8) {
        // A question that was answered no needs no words: the exit code is the answer.
        if error.message.is_empty() || (self.quiet && error.exit == Exit::No) {
            return;
        }
        if self.json {
            let mut value = json!({
                "schema": SCHEMA, "kind": "error", "exit_code": code,
                "error": clean(&error.message), "hints": error.hints.iter().map(|hint| clean(&as_begun(hint))).collect::<Vec<_>>(),
                "op": error.op.as_ref().map(ToString::to_string),
            });
            if let Some(cause) = error.cause {
                value["cause"] = cause.word().into();
            }
            let facts = Value::Object(error.all_facts());
            let part = error.pointer();
            let parts: Vec<Value> = part
                .map(|pointer| json!({"pointer": pointer, "code": error.code, "facts": facts}))
                .into_iter()
                .collect();
            value["code"] = error.code.as_str().into();
            value["retry"] = error.code.retry().as_str().into();
            value["written"] = error.written.into();
            value["facts"] = facts;
            value["errors"] = parts.into();
            complain(&unobeyed(&value.to_string()));
            return;
        }
        complain(&format!("error: {}", clean(&error.message)));
        for hint in &error.hints {
            complain(&format!("hint: {}", clean(&as_begun(hint))));
        }
    }
}

/// A value as text in which nothing is obeyed by a terminal.
fn json_text(value: &Value) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::new(Code::Internal, error.to_string()))?;
    Ok(unobeyed(&text))
}

/// A text of JSON in which nothing is obeyed by a terminal. serde_json escapes what is below a space; the rest may
/// stand inside strings only.
fn unobeyed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if is_plain(line.strip_suffix('\n').unwrap_or(line)) {
            out.push_str(line);
            continue;
        }
        for c in line.chars() {
            if c != '\n' && is_obeyed(c) {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            } else {
                out.push(c);
            }
        }
    }
    out
}

/// Prints what people read. Whoever put it together may have forgotten that the hub is written by
/// others; here nothing is forgotten.
fn print_lines(text: &str) -> Result<(), CliError> {
    print(&style::painted(text))
}

fn print(text: &str) -> Result<(), CliError> {
    // What could not be looked at is not told as what is not there.
    if asked::is_cut() && !asked::has_landed() {
        return Err(LedgerError::AskedToEnd.into());
    }
    if text.is_empty() {
        return Ok(());
    }
    let written = || -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    written().map_err(|error| match CliError::from(error) {
        gone if gone.is_reader_gone() => gone,
        error => {
            CliError::new(Code::AnswerUndelivered, format!("the answer cannot be written: {}", error.message))
                .fact("detail", error.message)
        }
    })
}

/// Says what a command waits for while it waits.
pub(super) fn while_waiting(words: &str) {
    complain(&format!("note: {}", clean(words)));
}

/// The same, for machines.
pub(super) fn while_waiting_as_json(words: &str) {
    complain(&remark("note", words));
}

/// A note or a warning beside the answer, as one line of JSON.
fn remark(kind: &str, words: &str) -> String {
    json!({"schema": SCHEMA, "kind": kind, "text": clean(words)}).to_string()
}

fn complain(text: &str) {
    // Nobody is left to tell when stderr is closed.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// How long something may take before it is told how far it is, and how often it is told.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);

/// How many characters the bar has.
const BAR_LENGTH: usize = 30;

/// Tells a person at a terminal how far something is, on stderr, in one line that goes away.
pub(super) struct Progress {
    what: &'static str,
    is_watched: bool,
    /// When it is to be told next, by the boot clock.
    next: Cell<Duration>,
    is_shown: Cell<bool>,
}

impl Progress {
    /// Of so many of `what`.
    pub(super) fn new(output: Output, what: &'static str) -> Self {
        Self {
            what,
            is_watched: !output.quiet && !output.json && io::stderr().is_terminal(),
            next: Cell::new(clock::since_boot().saturating_add(PROGRESS_AFTER)),
            is_shown: Cell::new(false),
        }
    }

    /// Tells that so many are done, if that was not told just now.
    pub(super) fn show(&self, done: usize, of: usize) {
        if !self.is_watched || clock::since_boot() < self.next.get() {
            return;
        }
        self.next.set(clock::since_boot().saturating_add(PROGRESS_PAUSE));
        self.is_shown.set(true);
        // Nobody is left to tell when stderr is closed.
        drop(write!(io::stderr().lock(), "\r{} {done} of {of} {}", bar(done, of), self.what));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown.get() {
            drop(write!(io::stderr().lock(), "\r\u{1b}[K"));
        }
    }
}

fn bar(done: usize, of: usize) -> String {
    let filled = done.saturating_mul(BAR_LENGTH).checked_div(of).unwrap_or(0).min(BAR_LENGTH);
    format!("[{}{}]", "#".repeat(filled), ".".repeat(BAR_LENGTH - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_up() {
        for (done, of, filled) in [(0, 10, 0), (5, 10, 15), (10, 10, 30), (0, 0, 0)] {
            assert_eq!(bar(done, of).matches('#').count(), filled, "{done} of {of}");
            assert_eq!(bar(done, of).len(), BAR_LENGTH + 2);
        }
    }

    #[test]
    fn a_command_that_is_told_begins_as_the_line_did() {
        let begun = |folder: Option<&str>, flags: &[(&'static str, &str)]| OutputMode {
            folder: folder.map(str::to_owned),
            flags: flags.iter().map(|(flag, value)| (*flag, quoted(value))).collect(),
        };
        let all = [("--hub", "/it's a hub"), ("--hub-branch", "work"), ("--server", "two")];
        let hub = r"--hub '/it'\''s a hub' ";
        for (command, flags) in [
            ("job list", format!("{hub}--hub-branch work --server two ")),
            ("health", format!("{hub}--hub-branch work ")),
            ("fsck --history", format!("{hub}--hub-branch work ")),
            ("fsck --mend", format!("{hub}--hub-branch work --server two ")),
            ("servers list", format!("{hub}--hub-branch work ")),
            ("servers remove x", format!("{hub}--hub-branch work --server two ")),
            // What names them itself.
            ("join --as two", format!("{hub}--hub-branch work ")),
            ("join /other --as two", "--hub-branch work ".to_owned()),
            ("join /other --hub-branch main --as two", String::new()),
            ("init /other", "--hub-branch work ".to_owned()),
            ("--server three job stopped j --token 1", format!("{hub}--hub-branch work ")),
        ] {
            let text = format!("see `git muster {command}`; or not");
            let expected = format!("see `git muster {flags}{command}`; or not");
            assert_eq!(begun(None, &all).typed(&text), expected);
            assert_eq!(begun(None, &[]).typed(&text), text);
        }
        let of_two = begun(Some("'/a b'"), &[("--hub", "-h"), ("--server", "two")]);
        let told = "`git muster worker run` on one of them, then `git muster job list` and `git fsck`";
        assert_eq!(
            of_two.typed(told),
            "`git -C '/a b' muster --hub=-h worker run` on one of them, then `git -C '/a b' muster --hub=-h --server two job list` and `git fsck`"
        );
    }

    #[test]
    fn nothing_a_terminal_obeys_gets_through() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\td\u{9b}\u{202e}"), "a\\u{1b}[2Jb c d\\u{9b}\\u{202e}");
        assert_eq!(clean_lines("a\r\n\tb\u{7}"), "a\\u{d}\n\tb\\u{7}");
        assert_eq!(clean("Grüße, 日本"), "Grüße, 日本");
        assert_eq!(clean("~ a\u{7f}"), "~ a\\u{7f}");
        let value = json!({"a": "plain ~", "b": "Grüße\u{7f}\u{9b}\u{2028}\u{202e}", "c": "\u{1b}\n"});
        let text = r#"{"a": "plain ~", "b": "Grüße\u007f\u009b\u2028\u202e", "c": "\u001b\n"}"#;
        let text = text.replace("{", "{\n  ").replace(", ", ",\n  ").replace("}", "\n}");
        assert_eq!(json_text(&value).ok(), Some(text));
    }
}
