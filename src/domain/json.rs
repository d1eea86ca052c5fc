//! Reading and writing the JSON text of a hub's documents.
//!
//! Lenient on what is read (a byte order mark, any layout), strict on what is written: two
//! spaces, a final newline. Says exactly what is wrong with a document that cannot be read, and
//! where. Knows nothing of any particular document.

use super::spelled::{FOREIGN, is_foreign};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The largest document we read or write, in bytes. Far above what 10,000 jobs take, far below
/// what would exhaust a small build server.
pub const DOCUMENT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How deep values may nest. serde_json stops at 128; we stop before it, so that what was read
/// can always be edited.
const NESTING_MAX: usize = 100;

/// How many characters of a long problem are kept at its beginning and at its end.
const PROBLEM_HEAD_LENGTH: usize = 300;
const PROBLEM_TAIL_LENGTH: usize = 200;

/// The layout version this program writes. A document that names a higher one may be
/// read and is not rewritten.
pub const LAYOUT_VERSION: u32 = 1;

/// What is wrong with a link or a folder.
const NO_FILE: &str = "it is not a file";

/// A document on the hub that cannot be used; nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` on the hub cannot be used: {problem}")]
pub struct DocumentError {
    /// Path of the document inside the hub.
    pub path: String,
    /// What is wrong and where in the document, without control characters.
    pub problem: String,
    /// Whether the document is well and this program too old for it.
    pub is_newer: bool,
}

impl DocumentError {
    /// This problem in the document at `path`.
    #[must_use]
    pub fn new(path: &str, problem: impl Into<String>) -> Self {
        let problem = shortened(&problem.into());
        Self {
            path: path.to_owned(),
            problem: problem.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
            is_newer: false,
        }
    }
}

/// Without the middle of what is too long: names and values of a document may be as long as itself.
/// At the end stands the place.
fn shortened(problem: &str) -> String {
    let length = problem.chars().count();
    if length <= PROBLEM_HEAD_LENGTH + PROBLEM_TAIL_LENGTH {
        return problem.to_owned();
    }
    let head: String = problem.chars().take(PROBLEM_HEAD_LENGTH).collect();
    let tail: String = problem.chars().skip(length - PROBLEM_TAIL_LENGTH).collect();
    format!("{head}...{tail}")
}

impl DocumentError {
    /// Something else than a file, such as a link or a folder, stands where the document belongs.
    #[must_use]
    pub fn no_file(path: &str) -> Self {
        Self::new(path, NO_FILE)
    }

    /// Whether it is that.
    #[must_use]
    pub fn is_no_file(&self) -> bool {
        self.problem == NO_FILE
    }

    /// A document of a layout that is newer than ours was to be rewritten.
    #[must_use]
    pub fn newer_layout(path: &str, version: &str) -> Self {
        let problem = format!(
            "it has layout version {version} and this git-muster knows {LAYOUT_VERSION}; upgrade git-muster to write it"
        );
        Self { is_newer: true, ..Self::new(path, problem) }
    }
}

/// The layout version in `raw`, the JSON text of a `version`, if it is above ours. However it is
/// spelled: `2`, `"2"`, `2.0` or with more digits than a number can hold.
#[must_use]
pub fn newer_layout(raw: &str) -> Option<String> {
    let text = raw.trim_matches('"');
    let version: f64 = text.parse().ok()?;
    (version > f64::from(LAYOUT_VERSION)).then(|| text.to_owned())
}

/// The text of a document without its byte order mark.
///
/// # Errors
/// When it is too large, not UTF-8, empty, or nests too deep.
pub fn text<'a>(path: &str, bytes: &'a [u8]) -> Result<&'a str, DocumentError> {
    let text = decoded(path, bytes)?;
    if is_too_deep(text, 0) {
        return Err(DocumentError::new(path, too_deep()));
    }
    Ok(text)
}

/// Whether a piece of a document nests too deep, when it stands `inside` that many brackets.
pub(super) fn is_too_deep(text: &str, inside: usize) -> bool {
    nesting(text).saturating_add(inside) > NESTING_MAX
}

/// [`text`] without a look at how deep it nests.
fn decoded<'a>(path: &str, bytes: &'a [u8]) -> Result<&'a str, DocumentError> {
    refuse_large(path, bytes)?;
    let text = std::str::from_utf8(bytes)
        .map_err(|error| DocumentError::new(path, format!("it is not UTF-8 text: {error}")))?;
    body(path, text)
}

fn refuse_large(path: &str, bytes: &[u8]) -> Result<(), DocumentError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        let problem = format!("it has {} bytes, more than the {DOCUMENT_BYTES_MAX} allowed", bytes.len());
        return Err(DocumentError::new(path, problem));
    }
    Ok(())
}

/// What stands in a text besides a byte order mark and the space around it.
pub(super) fn body<'a>(path: &str, text: &'a str) -> Result<&'a str, DocumentError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    if text.is_empty() {
        return Err(DocumentError::new(path, "it is empty"));
    }
    Ok(text)
}

/// The text of a document of many records, of which one may hold bytes that are no text: a sign
/// stands for each of them, from which [`foreign_bytes`] makes it again. Owned when there is one.
///
/// # Errors
/// When it is too large, or holds such signs already besides.
pub(super) fn legible<'a>(path: &str, bytes: &'a [u8]) -> Result<Cow<'a, str>, DocumentError> {
    refuse_large(path, bytes)?;
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(Cow::Borrowed(text)),
        Err(error) => error,
    };
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    for chunk in bytes.utf8_chunks() {
        if chunk.valid().contains(is_foreign) {
            return Err(DocumentError::new(path, format!("it is not UTF-8 text: {error}")));
        }
        text.push_str(chunk.valid());
        let sign = |byte: &u8| char::from_u32(u32::from(*FOREIGN.start()) + u32::from(*byte) - FOREIGN_FIRST);
        text.extend(chunk.invalid().iter().filter_map(sign));
    }
    Ok(Cow::Owned(text))
}

/// The byte for which the first of the signs stands.
const FOREIGN_FIRST: u32 = 0x80;

/// The bytes of a text that [`legible`] made.
#[must_use]
pub(super) fn foreign_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for sign in text.chars() {
        let byte = (u32::from(sign) + FOREIGN_FIRST).checked_sub(u32::from(*FOREIGN.start()));
        match byte.filter(|_| is_foreign(sign)).and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// What is wrong with what nests too deep.
pub(super) fn too_deep() -> String {
    format!("it nests deeper than {NESTING_MAX} levels")
}

/// How deep brackets nest outside strings. Each document is read through for this: the search for the next
/// byte that says something of it is a loop that is fast however it is compiled.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.find(|byte| matches!(byte, b'"' | b'[' | b']' | b'{' | b'}')) {
        match byte {
            b'"' => pass_string(&mut bytes),
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            _ => depth = depth.saturating_sub(1),
        }
    }
    deepest
}

/// Goes on behind the end of a string.
fn pass_string(bytes: &mut std::str::Bytes<'_>) {
    while bytes.find(|byte| matches!(byte, b'"' | b'\\')) == Some(b'\\') {
        bytes.next();
    }
}

/// Reads `text` as `T`; `inside` is where in the document it stands, such as `jobs[3]`.
///
/// # Errors
/// Names the field, or the line and column, and says when the text holds conflict markers.
pub fn parse<'a, T: Deserialize<'a>>(path: &str, inside: &str, text: &'a str) -> Result<T, DocumentError> {
    // To keep track of the place costs as much as to read: only what fails is read again for it.
    serde_json::from_str(text).or_else(|_| parse_with_place(path, inside, text))
}

fn parse_with_place<'a, T: Deserialize<'a>>(
    path: &str,
    inside: &str,
    text: &'a str,
) -> Result<T, DocumentError> {
    let input = &mut serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut *input).map_err(|error| {
        let field = error.path().to_string();
        let place = match (inside, field.as_str()) {
            ("", "." | "?") => String::new(),
            (inside, "." | "?") => format!("{inside}: "),
            ("", field) => format!("{field}: "),
            (inside, field) => format!("{inside}.{field}: "),
        };
        let mut problem = error.inner().to_string();
        // Lines are counted in the piece, which begins somewhere: its place says more.
        if let Some(at) = problem.rfind(" at line ").filter(|_| !inside.is_empty()) {
            problem.truncate(at);
        }
        DocumentError::new(path, format!("{}{place}{problem}", conflict_note(text)))
    })?;
    input.end().map_err(|error| DocumentError::new(path, format!("{}{error}", conflict_note(text))))?;
    Ok(value)
}

/// A merge that was committed with its markers is the commonest way to break a document; naming
/// it saves the reader a search. So does a pointer that was committed for the file it points to.
fn conflict_note(text: &str) -> &'static str {
    let marked = text
        .lines()
        .any(|line| line.starts_with("<<<<<<<") || line.starts_with(">>>>>>>") || line == "=======");
    if marked {
        "it holds merge conflict markers; "
    } else if text.starts_with("version https://git-lfs.") {
        "it is a pointer of Git LFS in place of the document; "
    } else {
        ""
    }
}

/// `value` as two-space JSON whose lines after the first are indented by `indent` more spaces.
#[must_use]
pub fn pretty(value: &impl Serialize, indent: usize) -> String {
    let text = serde_json::to_string_pretty(value).expect("documents have text keys only");
    if indent == 0 {
        return text;
    }
    // A newline inside a string is written `\n`, so each real one ends a line of the layout.
    text.replace('\n', &format!("\n{}", " ".repeat(indent)))
}

/// Where in `whole` its piece `part` begins.
pub(super) fn within(whole: &str, part: &str) -> Option<usize> {
    part.as_ptr().addr().checked_sub(whole.as_ptr().addr()).filter(|at| at + part.len() <= whole.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn what_is_no_file_is_told_from_what_cannot_be_read() {
        assert!(DocumentError::no_file("a.json").is_no_file());
        assert!(!DocumentError::new("a.json", "it is empty").is_no_file());
    }

    #[test]
    fn numbers_keep_their_spelling() {
        let text = r#"{"big":123456789012345678901234567890,"exponent":1e+2,"trailing":1.50}"#;
        let value: Value = serde_json::from_str(text).expect("json");
        assert_eq!(value.to_string(), text);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_place() {
        let problem = |text: &str| {
            parse::<std::collections::BTreeMap<String, u8>>("a.json", "jobs[3]", text)
                .expect_err(text)
                .problem
        };
        assert!(
            problem("{\"x\": \"y\"}").starts_with("jobs[3].x: invalid type"),
            "{}",
            problem("{\"x\": \"y\"}")
        );
        assert_eq!(problem("{\"x\": 1"), "jobs[3]: EOF while parsing an object");
        let whole = parse::<Value>("a.json", "", "{\"x\": 1").expect_err("truncated");
        assert!(whole.problem.contains("at line 1 column 7"), "{whole}");
        assert!(problem("{\n<<<<<<< HEAD\n").contains("conflict markers"));
        assert!(problem("{} x").contains("trailing"), "{}", problem("{} x"));
        assert!(text("a.json", b"").is_err());
        assert!(text("a.json", b"\xff").is_err());
        assert!(text("a.json", "[".repeat(101).as_bytes()).is_err());
        assert_eq!(text("a.json", "\u{feff}{}\n".as_bytes()), Ok("{}"));
    }

    #[test]
    fn a_problem_is_told_within_bounds_however_long_the_words_of_the_document_are() {
        let long = "k".repeat(100_000);
        for text in [
            format!("{{\"{long}\": \"y\"}}"),
            format!("{{\"x\": \"{long}\"}}"),
            format!("{{\"{long}\": \"{long}\"}}"),
        ] {
            for inside in ["", "jobs[3]", &long] {
                let error = parse::<std::collections::BTreeMap<String, u8>>("a.json", inside, &text)
                    .expect_err("no number");
                let length = error.to_string().chars().count();
                assert!(length < 1_000, "{length}");
                assert!(error.problem.contains("..."), "{error}");
            }
        }
        let ends = |middle: usize| format!("{}{}{}", "a".repeat(300), "x".repeat(middle), "z".repeat(200));
        assert_eq!(shortened(&ends(0)), ends(0));
        assert_eq!(shortened(&ends(1)), format!("{}...{}", "a".repeat(300), "z".repeat(200)));
    }

    #[test]
    fn a_document_is_taken_up_to_its_bounds() {
        let of = |length: usize| format!("{}\"\"", " ".repeat(length - 2));
        assert!(text("x", of(DOCUMENT_BYTES_MAX).as_bytes()).is_ok());
        let error = text("x", of(DOCUMENT_BYTES_MAX + 1).as_bytes()).expect_err("too large");
        assert!(error.problem.contains("more than the 33554432 allowed"), "{error}");
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(text("x", deep(NESTING_MAX).as_bytes()).is_ok());
        assert!(text("x", deep(NESTING_MAX + 1).as_bytes()).is_err());
    }

    #[test]
    fn only_brackets_outside_strings_nest() {
        for (text, depth) in [
            ("1", 0),
            ("[[]]", 2),
            ("[[],[],{}]", 2),
            (r#"["[[["]"#, 1),
            (r#"["\"[[[", []]"#, 2),
            (r#"["\\", [[]]]"#, 3),
            ("]]][", 1),
        ] {
            assert_eq!(nesting(text), depth, "{text}");
        }
    }

    #[test]
    fn each_conflict_marker_is_known() {
        for marker in ["<<<<<<< HEAD", "=======", ">>>>>>> theirs"] {
            assert_ne!(conflict_note(&format!("{{\n{marker}\n}}")), "", "{marker}");
        }
        assert_eq!(conflict_note("{\"a\": \"=======\"}"), "");
    }

    #[test]
    fn a_newer_layout_is_no_damage() {
        assert!(DocumentError::newer_layout("x", "2").is_newer);
        assert!(!DocumentError::new("x", "broken").is_newer);
    }
}
