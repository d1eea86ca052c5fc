//! A document as a store has it, with what it was read as.
//!
//! One operation asks for some documents several times, and what a commit holds never changes: so
//! each is read once and the result shared. Knows nothing of any particular document.

use crate::domain::json::DocumentError;
use crate::domain::record::{Record, View};
use crate::domain::table::{Row, Table};
use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// What a document was read as: a table or a record.
type ParsedDocument = Arc<dyn Any + Send + Sync>;

/// The bytes of a document and, once somebody asked for it, its table or record.
#[derive(Default)]
pub struct Document {
    /// Of a table that an operation wrote, once somebody asks for them.
    bytes: OnceLock<Bytes>,
    /// What it was made from: records that did not change need not be read again.
    before: Option<Arc<Self>>,
    parsed: OnceLock<ParsedDocument>,
    written: Option<Arc<dyn WrittenTable>>,
}

/// What a file holds: a text, which records may share, or not even that.
enum Bytes {
    Text(Arc<String>),
    Other(Vec<u8>),
}

impl Bytes {
    fn new(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes)
            .map_or_else(|error| Self::Other(error.into_bytes()), |text| Self::Text(Arc::new(text)))
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Other(bytes) => bytes,
        }
    }
}

/// A table that an operation wrote, whatever it holds.
trait WrittenTable: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn to_bytes(&self) -> Vec<u8>;
    fn bytes_max(&self) -> usize;
    /// In what it differs from what stood at `path` `before`; `None` if that was no such table.
    fn changed(&self, path: &str, before: Option<&Document>) -> Option<(BTreeSet<String>, bool)>;
    fn fallen_token(&self, path: &str, before: &Document) -> Option<String>;
}

impl<T: Row> WrittenTable for Table<T> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn to_bytes(&self) -> Vec<u8> {
        let bytes = self.to_bytes().expect("a layout of ours, as a newer one is not written");
        debug_assert_eq!(
            self.as_written().and_then(|read| read.read_otherwise(&bytes)),
            None,
            "`{}`",
            self.path()
        );
        bytes
    }

    fn bytes_max(&self) -> usize {
        self.bytes_max()
    }

    fn changed(&self, path: &str, before: Option<&Document>) -> Option<(BTreeSet<String>, bool)> {
        let before = before.map_or_else(|| Ok(Arc::new(Self::empty(path))), |before| before.table::<T>(path));
        Some(self.changed_since(&*before.ok()?))
    }

    fn fallen_token(&self, path: &str, before: &Document) -> Option<String> {
        self.fallen_token(&*before.table::<T>(path).ok()?)
    }
}

/// What a document holds is nobody's business where something else is shown.
impl fmt::Debug for Document {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Document").finish_non_exhaustive()
    }
}

impl Document {
    /// A document that was found somewhere.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self::after(None, bytes)
    }

    /// A document that takes the place of another.
    #[must_use]
    pub(crate) fn after(before: Option<Arc<Self>>, bytes: Vec<u8>) -> Self {
        Self { bytes: Bytes::new(bytes).into(), before, ..Self::default() }
    }

    /// A table as it is to be written: the operations that follow go on with it, and its bytes are made once,
    /// when nothing changes it any more.
    ///
    /// # Errors
    /// When a newer version of this program wrote the document.
    pub(super) fn of_table<T: Row>(table: &Table<T>) -> Result<Self, DocumentError> {
        if !table.is_plain() {
            return Ok(Self::new(table.to_bytes()?));
        }
        Ok(Self { written: Some(Arc::new(table.clone())), ..Self::default() })
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.content().as_slice()
    }

    fn content(&self) -> &Bytes {
        let written = || self.written.as_ref().map_or_else(Vec::new, |table| table.to_bytes());
        self.bytes.get_or_init(|| Bytes::new(written()))
    }

    /// Whether it has more than `max` bytes.
    pub(super) fn is_longer_than(&self, max: usize) -> bool {
        let bytes_max =
            self.written.as_ref().filter(|_| self.bytes.get().is_none()).map(|table| table.bytes_max());
        bytes_max.is_none_or(|bytes_max| bytes_max > max) && self.bytes().len() > max
    }

    /// In which records it differs from what stood at `path` before, and whether in anything else; `None` if
    /// one of them is no table that an operation wrote.
    pub(super) fn changed(&self, path: &str, before: Option<&Self>) -> Option<(BTreeSet<String>, bool)> {
        self.written.as_ref()?.changed(path, before)
    }

    /// The record whose token is lower than it was in what stood at `path` before.
    pub(super) fn fallen_token(&self, path: &str, before: Option<&Self>) -> Option<String> {
        self.written.as_ref()?.fallen_token(path, before?)
    }

    /// Its records; `path` is where it lies, for the words of an error.
    ///
    /// # Errors
    /// When it cannot be read as a table of `T`.
    pub fn table<T: Row>(&self, path: &str) -> Result<Arc<Table<T>>, DocumentError> {
        let before = self.before.as_ref().and_then(|before| before.parsed::<Table<T>>());
        let written = || self.written.as_ref()?.as_any().downcast_ref::<Table<T>>()?.as_written();
        self.once(|| match (written(), &before) {
            (Some(table), _) => Ok(table),
            (None, Some(before)) => Table::read_after(path, self.bytes(), before),
            (None, None) => match self.content() {
                Bytes::Text(text) => Table::share(path, text),
                Bytes::Other(bytes) => Table::read(path, bytes),
            },
        })
    }

    /// The document as one record.
    ///
    /// # Errors
    /// When it cannot be read as a `T`.
    pub fn record<T: View>(&self, path: &str) -> Result<Arc<Record<T>>, DocumentError> {
        self.once(|| match self.content() {
            Bytes::Text(text) => Record::share_document(path, text),
            Bytes::Other(bytes) => Record::read_document(path, bytes),
        })
    }

    /// What it is read as, kept for those who ask after; what was read as something else first is not.
    fn once<P: Send + Sync + 'static>(
        &self,
        read: impl FnOnce() -> Result<P, DocumentError>,
    ) -> Result<Arc<P>, DocumentError> {
        if let Some(parsed) = self.parsed() {
            return Ok(parsed);
        }
        let parsed = Arc::new(read()?);
        drop(self.parsed.set(parsed.clone()));
        Ok(parsed)
    }

    fn parsed<P: Send + Sync + 'static>(&self) -> Option<Arc<P>> {
        Arc::clone(self.parsed.get()?).downcast().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::Job;

    #[test]
    fn a_document_is_read_once_and_shares_with_the_one_before() {
        let of = |before, text: &str| Arc::new(Document::after(before, text.as_bytes().to_vec()));
        let before = of(None, r#"{"jobs":[{"id":"a"},{"id":"b"}]}"#);
        let first = before.table::<Job>("x").expect("reads");
        assert!(Arc::ptr_eq(&first, &before.table::<Job>("x").expect("reads")));
        assert_eq!(before.bytes(), br#"{"jobs":[{"id":"a"},{"id":"b"}]}"#);
        let after = of(Some(before), r#"{"jobs":[{"id":"a"},{"id":"c"}]}"#);
        let second = after.table::<Job>("x").expect("reads");
        let shared: Vec<bool> =
            first.rows().zip(second.rows()).map(|(one, other)| std::ptr::eq(one, other)).collect();
        assert_eq!(shared, [true, false]);
    }

    /// A document that was made from another would stay for as long as one record that came with it.
    #[test]
    fn records_share_the_text_of_a_document_unless_it_follows_another() {
        let text = r#"{"jobs":[{"id":"a"},{"id":"b"}]}"#;
        let held = |document: &Document| match document.content() {
            Bytes::Text(text) => Arc::strong_count(text),
            Bytes::Other(_) => 0,
        };
        let first = Arc::new(Document::new(text.as_bytes().to_vec()));
        let table = first.table::<Job>("x").expect("reads");
        assert_eq!(held(&first), 3, "the document and each record");
        assert_eq!(table.get("b").map(Record::text), Some(r#"{"id":"b"}"#));
        let copies: Vec<Record<Job>> = table.rows().cloned().collect();
        assert_eq!(held(&first), 3, "a copy has a text of its own");
        assert_eq!(copies[1].text(), r#"{"id":"b"}"#);
        let later = Document::after(Some(Arc::clone(&first)), text.replace("b", "c").into_bytes());
        later.table::<Job>("x").expect("reads");
        assert_eq!(held(&later), 1);
        let odd = Document::new(b"{\"jobs\":[{\"id\":\"a\",\"description\":\"\xff\"}]}".to_vec());
        assert_eq!((held(&odd), odd.table::<Job>("x").expect("reads").broken().len()), (0, 1));
        let one = Document::new(br#"{"id":"a"}"#.to_vec());
        one.record::<Job>("x").expect("reads");
        assert_eq!(held(&one), 2);
    }
}
