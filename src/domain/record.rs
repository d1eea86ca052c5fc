//! A typed view of a piece of JSON that keeps the piece itself.
//!
//! A hub is written by several programs and several versions of this one. What a view does not
//! know must survive, at every depth and in its order, and what did not change must keep its
//! bytes. So a [`Record`] holds the text as it was found; an edit works on the view, and only the
//! difference is carried into the text.

use super::json::{self, DocumentError};
use super::lenient::Object;
use super::planted::planted;
use super::spelled::{Spelled, whole_characters};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::ops::Deref;
use std::sync::Arc;

/// The largest document that is one record, in bytes: there is one of each sort for every server, so
/// all of them together have to fit.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// The first byte of a sign that stands for a byte that is no text.
const FOREIGN_LEAD: u8 = 0xf4;

/// What a document or a row of one looks like to the rules.
pub trait View: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static> View for T {}

/// A view and the text it was read from. Reads like the view; changes through [`Record::edit`].
#[derive(Debug, Clone)]
pub struct Record<T> {
    text: Text,
    view: T,
    indent: usize,
    changed: bool,
    /// Whether the view shows replacement signs for what is no Unicode in the text.
    lossy: bool,
}

/// The text of a record. The many of a long document share its text: one by one they would take as much
/// once more, and each a piece of memory of its own.
#[derive(Debug)]
enum Text {
    Own(String),
    Piece { of: Arc<String>, from: u32, to: u32 },
}

impl Text {
    /// `text`, which stands in `whole` if there is one.
    fn of(text: &str, whole: Option<&Arc<String>>) -> Self {
        let piece = whole.and_then(|whole| {
            let from = json::within(whole, text)?;
            let to = u32::try_from(from + text.len()).ok()?;
            Some(Self::Piece { of: Arc::clone(whole), from: u32::try_from(from).ok()?, to })
        });
        piece.unwrap_or_else(|| Self::Own(text.to_owned()))
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Self::Own(text) => text,
            Self::Piece { of, from, to } => {
                let place = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
                place.and_then(|(from, to)| of.get(from..to)).expect("it was taken from there")
            }
        }
    }
}

/// Who copies a record goes on with it, and the document need not stay for it.
impl Clone for Text {
    fn clone(&self) -> Self {
        Self::Own((**self).to_owned())
    }
}

impl<T: View> Record<T> {
    /// Reads the record that stands at `inside` of the document at `path`; `indent` is how far
    /// its lines are indented there. Half a character in it is shown as a replacement sign.
    ///
    /// # Errors
    /// When the text is not JSON or a field has the wrong type.
    pub fn read(path: &str, inside: &str, text: &str, indent: usize) -> Result<Self, DocumentError> {
        Self::read_in(None, (path, inside), text, indent)
    }

    /// As [`Record::read`], of a text that stands in `whole` and is shared with it.
    pub(super) fn read_in(
        whole: Option<&Arc<String>>,
        (path, inside): (&str, &str),
        text: &str,
        indent: usize,
    ) -> Result<Self, DocumentError> {
        // Escapes are rare enough to look twice: what a view skips is checked less.
        let is_odd = text.contains("\\u") || text.as_bytes().contains(&FOREIGN_LEAD);
        let legible = if is_odd { whole_characters(text) } else { None };
        let Object(view) = json::parse(path, inside, legible.as_deref().unwrap_or(text))?;
        Ok(Self { text: Text::of(text, whole), view, indent, changed: false, lossy: legible.is_some() })
    }

    /// Reads a document that is one record.
    ///
    /// # Errors
    /// As [`Record::read`], and when it is larger than such a document ever is.
    pub fn read_document(path: &str, bytes: &[u8]) -> Result<Self, DocumentError> {
        refuse_too_large(path, bytes)?;
        Self::read(path, "", json::text(path, bytes)?, 0)
    }

    /// As [`Record::read_document`], with the text shared for as long as the record is there.
    ///
    /// # Errors
    /// As [`Record::read_document`].
    pub fn share_document(path: &str, whole: &Arc<String>) -> Result<Self, DocumentError> {
        refuse_too_large(path, whole.as_bytes())?;
        Self::read_in(Some(whole), (path, ""), json::text(path, whole.as_bytes())?, 0)
    }

    /// A record that was not there before.
    #[must_use]
    pub fn new(view: T, indent: usize) -> Self {
        Self { text: Text::Own(json::pretty(&view, indent)), view, indent, changed: true, lossy: false }
    }

    /// Changes the view and carries the difference into the text.
    pub fn edit<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let before = self.view.clone();
        let result = change(&mut self.view);
        if before != self.view {
            let mut spelled = Spelled::read(&self.text);
            if planted("strangers-lost") {
                spelled = Spelled::of(&to_value(&self.view));
            }
            spelled.patch(&to_value(&before), &to_value(&self.view));
            self.text = Text::Own(spelled.layout(self.indent));
            self.changed = true;
        }
        result
    }

    /// Tells the view something that is no part of the text, such as the name it stands under.
    pub(super) fn tell(&mut self, tell: impl FnOnce(&mut T)) {
        tell(&mut self.view);
    }

    /// Everything the record holds, known or not, as its view shows it.
    #[must_use]
    pub fn raw(&self) -> Value {
        let whole = if self.lossy { whole_characters(&self.text) } else { None };
        serde_json::from_str(whole.as_deref().unwrap_or(&self.text))
            .expect("a record's text was parsed when it was read")
    }

    /// Whether it holds what is no Unicode, for which the view shows replacement signs.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.lossy
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
            None => Ok(format!("{}\n", self.text())),
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
        let text = Text::Own(Spelled::read(&self.text).layout(indent));
        Self { text, view: self.view.clone(), indent, changed: true, lossy: self.lossy }
    }
}

impl<T> Deref for Record<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.view
    }
}

fn refuse_too_large(path: &str, bytes: &[u8]) -> Result<(), DocumentError> {
    if bytes.len() > RECORD_BYTES_MAX {
        let problem =
            format!("it has {} bytes, more than the {RECORD_BYTES_MAX} allowed for one record", bytes.len());
        return Err(DocumentError::new(path, problem));
    }
    Ok(())
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
    fn half_a_character_is_shown_as_a_replacement_sign_and_kept_as_it_is() {
        let text = r#"{"x": 1, "y": "\ud800", "note": "caf\udce9"}"#;
        let mut record = Record::<Point>::read("p.json", "points[0]", text, 0).expect("reads");
        assert!(record.is_lossy());
        assert_eq!(record.note.as_deref(), Some("caf\u{fffd}"));
        assert_eq!(record.raw()["y"], "\u{fffd}");
        record.edit(|point| point.x = 2);
        assert_eq!(
            record.text(),
            text.replace("1", "2").replace("{", "{\n  ").replace(", ", ",\n  ").replace("}", "\n}")
        );
        let good = Record::<Point>::read("p.json", "", r#"{"x": 1, "y": "\ud83d\ude00"}"#, 0);
        assert!(good.is_ok_and(|record| record.raw().is_object() && !record.is_lossy()));
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
