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

/// The bytes of a document and, once somebody asked for it, its table or record.
#[derive(Default)]
pub struct Document {
    bytes: Vec<u8>,
    /// What it was made from: records that did not change need not be read again.
    before: Option<Rc<Self>>,
    parsed: RefCell<Option<Rc<dyn Any>>>,
}

impl Document {
    /// A document that was found somewhere.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// A document that takes the place of another.
    #[must_use]
    pub(crate) fn after(before: Option<Rc<Self>>, bytes: Vec<u8>) -> Self {
        Self { bytes, before, ..Self::default() }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its records; `path` is where it lies, for the words of an error.
    ///
    /// # Errors
    /// When it cannot be read as a table of `T`.
    pub fn table<T: Row>(&self, path: &str) -> Result<Rc<Table<T>>, DocumentError> {
        let before = self.before.as_ref().and_then(|before| before.parsed::<Table<T>>());
        self.once(|| Table::read_after(path, &self.bytes, before.as_deref()))
    }

    /// The document as one record.
    ///
    /// # Errors
    /// When it cannot be read as a `T`.
    pub fn record<T: View>(&self, path: &str) -> Result<Rc<Record<T>>, DocumentError> {
        self.once(|| Record::read_document(path, &self.bytes))
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
}
