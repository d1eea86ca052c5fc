//! A document as a store has it, with what it was read as.
//!
//! One operation asks for some documents several times, and what a commit holds never changes: so
//! each is read once and the result shared. Knows nothing of any particular document.

use crate::domain::json::DocumentError;
use crate::domain::record::{Record, View};
use crate::domain::table::{Row, Table};
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// The bytes of a document and, once somebody asked for it, its table or record.
#[derive(Default)]
pub struct Document {
    bytes: Bytes,
    /// What it was made from: records that did not change need not be read again.
    before: Option<Rc<Self>>,
    parsed: RefCell<Option<Rc<dyn Any>>>,
}

/// What a file holds: a text, which records may share, or not even that.
enum Bytes {
    Text(Arc<String>),
    Other(Vec<u8>),
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Other(Vec::new())
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
    pub(crate) fn after(before: Option<Rc<Self>>, bytes: Vec<u8>) -> Self {
        let bytes = String::from_utf8(bytes)
            .map_or_else(|error| Bytes::Other(error.into_bytes()), |text| Bytes::Text(Arc::new(text)));
        Self { bytes, before, parsed: RefCell::default() }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Text(text) => text.as_bytes(),
            Bytes::Other(bytes) => bytes,
        }
    }

    /// Its records; `path` is where it lies, for the words of an error.
    ///
    /// # Errors
    /// When it cannot be read as a table of `T`.
    pub fn table<T: Row>(&self, path: &str) -> Result<Rc<Table<T>>, DocumentError> {
        let before = self.before.as_ref().and_then(|before| before.parsed::<Table<T>>());
        self.once(|| match (&before, &self.bytes) {
            (Some(before), _) => Table::read_after(path, self.bytes(), before),
            (None, Bytes::Text(text)) => Table::share(path, text),
            (None, Bytes::Other(bytes)) => Table::read(path, bytes),
        })
    }

    /// The document as one record.
    ///
    /// # Errors
    /// When it cannot be read as a `T`.
    pub fn record<T: View>(&self, path: &str) -> Result<Rc<Record<T>>, DocumentError> {
        self.once(|| match &self.bytes {
            Bytes::Text(text) => Record::share_document(path, text),
            Bytes::Other(bytes) => Record::read_document(path, bytes),
        })
    }

    fn once<P: 'static>(
        &self,
        read: impl FnOnce() -> Result<P, DocumentError>,
    ) -> Result<Rc<P>, DocumentError> {
        if let Some(parsed) = self.parsed() {
            return Ok(parsed);
        }
        let parsed = Rc::new(read()?);
        let any: Rc<dyn Any> = parsed.clone();
        *self.parsed.borrow_mut() = Some(any);
        Ok(parsed)
    }

    fn parsed<P: 'static>(&self) -> Option<Rc<P>> {
        self.parsed.borrow().clone()?.downcast().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::Job;

    #[test]
    fn a_document_is_read_once_and_shares_with_the_one_before() {
        let of = |before, text: &str| Rc::new(Document::after(before, text.as_bytes().to_vec()));
        let before = of(None, r#"{"jobs":[{"id":"a"},{"id":"b"}]}"#);
        let first = before.table::<Job>("x").expect("reads");
        assert!(Rc::ptr_eq(&first, &before.table::<Job>("x").expect("reads")));
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
        let held = |document: &Document| match &document.bytes {
            Bytes::Text(text) => Arc::strong_count(text),
            Bytes::Other(_) => 0,
        };
        let first = Rc::new(Document::new(text.as_bytes().to_vec()));
        let table = first.table::<Job>("x").expect("reads");
        assert_eq!(held(&first), 3, "the document and each record");
        assert_eq!(table.get("b").map(Record::text), Some(r#"{"id":"b"}"#));
        let copies: Vec<Record<Job>> = table.rows().cloned().collect();
        assert_eq!(held(&first), 3, "a copy has a text of its own");
        assert_eq!(copies[1].text(), r#"{"id":"b"}"#);
        let later = Document::after(Some(Rc::clone(&first)), text.replace("b", "c").into_bytes());
        later.table::<Job>("x").expect("reads");
        assert_eq!(held(&later), 1);
        let odd = Document::new(b"{\"jobs\":[{\"id\":\"a\",\"description\":\"\xff\"}]}".to_vec());
        assert_eq!((held(&odd), odd.table::<Job>("x").expect("reads").broken().len()), (0, 1));
        let one = Document::new(br#"{"id":"a"}"#.to_vec());
        one.record::<Job>("x").expect("reads");
        assert_eq!(held(&one), 2);
    }
}
