//! A typed view of a piece of JSON that keeps the piece itself.
//!
//! A hub is written by several programs and several versions of this one. What a view does not
//! know must survive, at every depth and in its order, and what did not change must keep its
//! bytes. So a [`Record`] holds the text as it was found; an edit works on the view, and only the
//! difference is carried into the text.

use super::json::{self, DocumentError};
use super::lenient::Object;
use super::planted::planted;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::ops::Deref;

/// The largest document that is one record, in bytes: there is one of each sort for every server, so
/// all of them together have to fit.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// What a document or a row of one looks like to the rules.
pub trait View: Serialize + DeserializeOwned + Clone + PartialEq + 'static {}
impl<T: Serialize + DeserializeOwned + Clone + PartialEq + 'static> View for T {}

/// A view and the text it was read from. Reads like the view; changes through [`Record::edit`].
#[derive(Debug, Clone)]
pub struct Record<T> {
    text: String,
    view: T,
    indent: usize,
    changed: bool,
}

impl<T: View> Record<T> {
    /// Reads the record that stands at `inside` of the document at `path`; `indent` is how far
    /// its lines are indented there.
    ///
    /// # Errors
    /// When the text is not JSON or a field has the wrong type.
    pub fn read(path: &str, inside: &str, text: &str, indent: usize) -> Result<Self, DocumentError> {
        let Object(view) = json::parse(path, inside, text)?;
        // What a view skips is checked less: half a surrogate pair passes there, and an edit could
        // not read it. Escapes are rare enough to look twice.
        if text.contains("\\u") {
            json::parse::<Value>(path, inside, text)?;
        }
        Ok(Self { text: text.to_owned(), view, indent, changed: false })
    }

    /// Reads a document that is one record.
    ///
    /// # Errors
    /// As [`Record::read`], and when it is larger than such a document ever is.
    pub fn read_document(path: &str, bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > RECORD_BYTES_MAX {
            let problem = format!(
                "it has {} bytes, more than the {RECORD_BYTES_MAX} allowed for one record",
                bytes.len()
            );
            return Err(DocumentError::new(path, problem));
        }
        Self::read(path, "", json::text(path, bytes)?, 0)
    }

    /// A record that was not there before.
    #[must_use]
    pub fn new(view: T, indent: usize) -> Self {
        Self { text: json::pretty(&view, indent), view, indent, changed: true }
    }

    /// Changes the view and carries the difference into the text.
    pub fn edit<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let before = self.view.clone();
        let result = change(&mut self.view);
        if before != self.view {
            let mut raw = self.raw();
            if planted("strangers-lost") {
                raw = to_value(&self.view);
            }
            json::patch(&mut raw, &to_value(&before), &to_value(&self.view));
            self.text = json::pretty(&raw, self.indent);
            self.changed = true;
        }
        result
    }

    /// Tells the view something that is no part of the text, such as the name it stands under.
    pub(super) fn tell(&mut self, tell: impl FnOnce(&mut T)) {
        tell(&mut self.view);
    }

    /// Everything the record holds, known or not.
    #[must_use]
    pub fn raw(&self) -> Value {
        serde_json::from_str(&self.text).expect("a record's text was parsed when it was read")
    }

    /// The text as it goes into the document.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as a whole document.
    ///
    /// # Errors
    /// When a newer version of this program wrote it: that may be read and is never rewritten.
    pub fn write(&self, path: &str) -> Result<String, DocumentError> {
        let raw = self.raw();
        match raw.get("version").and_then(|version| json::newer_layout(&version.to_string())) {
            Some(version) => Err(DocumentError::newer_layout(path, &version)),
            None => Ok(format!("{}\n", self.text)),
        }
    }

    /// Whether it differs from what was read.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// The record laid out for another depth, for moving it between documents.
    #[must_use]
    pub fn moved(&self, indent: usize) -> Self {
        Self { text: json::pretty(&self.raw(), indent), view: self.view.clone(), indent, changed: true }
    }
}

impl<T> Deref for Record<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.view
    }
}

fn to_value(view: &impl Serialize) -> Value {
    serde_json::to_value(view).expect("views have text keys only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Point {
        x: i32,
        #[serde(default)]
        note: Option<String>,
    }

    #[test]
    fn an_unchanged_record_keeps_its_bytes() {
        let text = "{\"y\":\t1e2, \"x\": 1, \"s\":\"\\u00fc\"}";
        let mut record = Record::<Point>::read("p.json", "", text, 0).expect("reads");
        record.edit(|point| point.x = 1);
        assert!(!record.is_changed());
        assert_eq!(record.text(), text);
    }

    #[test]
    fn a_document_of_one_record_has_its_bound() {
        let of = |length: usize| format!("{{\"x\": 1}}{}", " ".repeat(length - 8));
        assert!(Record::<Point>::read_document("p.json", of(RECORD_BYTES_MAX).as_bytes()).is_ok());
        let large = Record::<Point>::read_document("p.json", of(RECORD_BYTES_MAX + 1).as_bytes());
        assert!(large.is_err_and(|error| error.problem.contains("1048577 bytes")));
    }

    #[test]
    fn a_document_ends_its_last_line_and_one_of_a_newer_layout_is_not_written() {
        let written = |text: &str| Record::<Point>::read("p.json", "", text, 0).expect(text).write("p.json");
        assert_eq!(written(r#"{"x": 1}"#), Ok("{\"x\": 1}\n".to_owned()));
        assert!(written(r#"{"x": 1, "version": 2}"#).is_err_and(|error| error.is_newer));
    }

    #[test]
    fn half_a_character_in_an_unknown_field_is_an_error_and_no_panic() {
        let bad = Record::<Point>::read("p.json", "points[0]", r#"{"x": 1, "y": "\ud800"}"#, 0);
        assert!(bad.is_err_and(|error| error.to_string().contains("points[0]")));
        let good = Record::<Point>::read("p.json", "", r#"{"x": 1, "y": "\ud83d\ude00"}"#, 0);
        assert!(good.is_ok_and(|record| record.raw().is_object()));
    }

    #[test]
    fn an_edit_touches_only_what_it_changed() {
        let text = r#"{"y": {"deep": [1e+2]}, "x": 1, "z": null}"#;
        let mut record = Record::<Point>::read("p.json", "", text, 0).expect("reads");
        record.edit(|point| point.x = 2);
        assert_eq!(
            record.text(),
            "{\n  \"y\": {\n    \"deep\": [\n      1e+2\n    ]\n  },\n  \"x\": 2,\n  \"z\": null\n}"
        );
    }
}
