//! A ledger is of one hub: the one that it found first, or was told of.
//!
//! Where a hub is, another may be a moment later: a disk that is not mounted, an empty repository in its place
//! in which somebody founds one. Of the old one that says nothing, neither that there is a job no more nor that
//! a lock is free, and nothing that was begun there goes on in the new one. So whoever goes on for long is told
//! that it is another, and waits or ends.

use super::error::LedgerError;
use super::snapshot::{Documents as _, History as _, Snapshot};
use super::transaction::Draft;
use super::update::Ledger;
use crate::domain::hub::Marker;
use std::ops::ControlFlow;

/// Which hub it is, by the id in its marker; none as long as nobody knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OneHub(Option<String>);

impl OneHub {
    /// The hub that a snapshot shows.
    ///
    /// # Errors
    /// When our copy of the hub is damaged: then another is made.
    fn of(snapshot: &Snapshot<'_>) -> Result<Self, LedgerError> {
        let marker = match snapshot.document(snapshot.main(), Marker::PATH) {
            Err(error @ LedgerError::Store { damaged: true, .. }) if snapshot.is_of_copy() => {
                return Err(error);
            }
            // One that cannot be read tells nothing, and whoever needs it says so.
            marker => marker.ok().flatten(),
        };
        Ok(Self(marker.and_then(|marker| Marker::id_in(marker.bytes()))))
    }

    /// Proves that a snapshot is of this hub, and tells what is known of it then.
    ///
    /// # Errors
    /// When it is of another, or our copy of the hub is damaged.
    pub(super) fn check(&self, snapshot: &Snapshot<'_>) -> Result<Self, LedgerError> {
        let found = Self::of(snapshot)?;
        let Some(sought) = &self.0 else { return Ok(found) };
        // Where the marker was taken out, it is that hub still; one that never had any is another.
        let shown = match found.0 {
            Some(_) => found.clone(),
            None => Self::before(snapshot)?,
        };
        if shown.0.as_ref() != Some(sought) {
            let hub = snapshot.hub().to_owned();
            return Err(LedgerError::AnotherHub { hub, found: shown.0, sought: sought.clone() });
        }
        Ok(shown)
    }

    /// The hub that the history of a snapshot without a marker shows.
    ///
    /// # Errors
    /// When not all of it is here, and what is shows none.
    fn before(snapshot: &Snapshot<'_>) -> Result<Self, LedgerError> {
        let mut id = None;
        let seen = snapshot.versions(Marker::PATH, &mut |_, text| {
            id = Marker::id_in(text);
            if id.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if id.is_none() {
            seen?;
        }
        Ok(Self(id))
    }

    /// Takes what was found out, if what was looked at is what the hub has, and not what we know of it.
    pub(super) fn learn(&mut self, found: &Self, is_so_now: bool) {
        if is_so_now {
            self.clone_from(found);
        }
    }

    /// The same hub once it has a draft: that may give it a marker, or another.
    pub(super) fn after(self, draft: &Draft, main: &str) -> Self {
        match draft.branches.get(main).and_then(|changes| changes.get(Marker::PATH)) {
            Some(marker) => Self(marker.as_deref().and_then(Marker::id_in)),
            None => self,
        }
    }
}

impl Ledger {
    /// From now on this is the hub of this id, whatever is in its place; nothing changes where none is known.
    pub fn bind(&mut self, id: Option<String>) {
        if id.is_some() {
            self.one_hub = OneHub(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_known_by_the_marker_that_it_gets() {
        let known = || OneHub(Some("a".to_owned()));
        for (marker, expected) in [
            (Some(r#"{"id": "b"}"#), Some("b")),
            (Some(r#"{"id": ""}"#), None),
            (Some("{"), None),
            (None, None),
        ] {
            let mut draft = Draft::default();
            assert_eq!(known().after(&draft, "main"), known());
            let marker = marker.map(|text| text.as_bytes().to_vec());
            draft.branches.entry("main".to_owned()).or_default().insert(Marker::PATH.to_owned(), marker);
            assert_eq!(known().after(&draft, "main").0.as_deref(), expected);
            assert_eq!(known().after(&draft, "other"), known());
        }
        let mut hub = known();
        hub.learn(&OneHub::default(), false);
        assert_eq!(hub, known());
        hub.learn(&OneHub::default(), true);
        assert_eq!(hub, OneHub::default());
    }
}
