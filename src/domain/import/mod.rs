//! Documents as older writers left them: what is sound, what can be mended, what is broken.
//!
//! Works on the bytes of one document and makes a text that can be read from them. Nothing is thrown
//! away silently: whatever of a document is not in its new text is a reason to keep the bytes as they
//! were found beside it. A document that needs nothing is not touched, and neither is a record.

mod fields;
mod past;
mod pieces;
mod record;
mod rows;
mod salvage;
mod table;

pub use past::{LastReadable, Marks, Rules, is_further};
pub use record::{found_record, mend_marker, mend_record, mend_record_by};
pub use rows::{Imported, KnownRows};
pub use table::{mend_row, mend_table, rows_in};

use serde::Serialize;

/// How a document or a record was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It stays as it is.
    Sound,
    /// It is changed, and says the same.
    Mendable,
    /// Not all of it can be used. Its bytes are kept aside.
    Broken,
}

impl State {
    /// As it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Mendable => "mendable",
            Self::Broken => "broken",
        }
    }
}

/// How the line begins that tells what is taken from the history.
const TAKEN: &str = "taken from the history";

/// What is told where the history was asked and does not help.
const NOT_IN_HISTORY: &str = "the history holds no version of it that can be read";

/// What is told of a document or of a record in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// How it was found.
    pub state: State,
    /// The document.
    pub path: String,
    /// The record, such as `jobs[3]`; absent where the line is about the whole document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// One sentence without a final period.
    pub what: String,
}

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentResult {
    /// Its new text; `None` if it stays as it is.
    pub text: Option<String>,
    /// What is told of it; the first line is about the whole document.
    pub lines: Vec<Line>,
    /// Whether it held something that is not in its new text.
    pub is_kept_aside: bool,
}

impl DocumentResult {
    /// An empty document in the place of something that is no file.
    #[must_use]
    pub fn in_place_of_no_file(mut self, path: &str) -> Self {
        let what = "it is not a file; what it held before is in the history, from which `--recover` puts jobs and messages back";
        let line = Line { state: State::Broken, path: path.to_owned(), place: None, what: what.to_owned() };
        self.lines.retain(|line| line.what.starts_with(TAKEN));
        self.lines.insert(0, line);
        Self { is_kept_aside: false, ..self }
    }
}

/// Collects what is told of one document.
#[derive(Debug)]
struct NoteList {
    path: String,
    lines: Vec<Line>,
    is_kept_aside: bool,
}

impl NoteList {
    fn new(path: &str) -> Self {
        Self { path: path.to_owned(), lines: Vec::new(), is_kept_aside: false }
    }

    fn add(&mut self, state: State, place: Option<String>, what: impl Into<String>) {
        // What a stranger wrote goes to a terminal and into a report.
        let what = what.into().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        self.lines.push(Line { state, path: self.path.clone(), place, what });
        self.is_kept_aside |= state == State::Broken;
    }

    /// The document as a whole and everything below it; `holds` says how much is in it.
    fn done(self, text: Option<String>, holds: &str) -> DocumentResult {
        let worst = self.lines.iter().map(|line| line.state).max().unwrap_or(State::Sound);
        let state = worst.max(if text.is_some() { State::Mendable } else { State::Sound });
        let head = Line { state, path: self.path, place: None, what: holds.to_owned() };
        let lines = std::iter::once(head).chain(self.lines).collect();
        DocumentResult { text, lines, is_kept_aside: self.is_kept_aside }
    }
}

/// The text in `bytes` without its byte order mark, and what was wrong with the bytes. What is no UTF-8
/// is replaced sign by sign.
fn decode(bytes: &[u8], notes: &mut NoteList) -> String {
    let text = String::from_utf8_lossy(bytes);
    if matches!(text, std::borrow::Cow::Owned(_)) {
        notes.add(State::Broken, None, "it is not UTF-8 text: replacement signs stand for what is none");
    }
    match text.strip_prefix('\u{feff}') {
        Some(rest) => {
            notes.add(State::Mendable, None, "it begins with a byte order mark");
            rest.to_owned()
        }
        None => text.into_owned(),
    }
}
