//! A ledger is of one hub: the one that it found first, or was told of.
//!
//! Where a hub is, another may be a moment later: a disk that is not mounted, an empty repository in its place
//! in which somebody founds one. Of the old one that says nothing, neither that there is a job no more nor that
//! a lock is free, and nothing that was begun there goes on in the new one. So whoever goes on for long is told
//! that it is another, and waits or ends.

use super::causes::StoreCause;
use super::draft::Draft;
use super::error::LedgerError;
use super::snapshot::{Documents as _, History as _, Snapshot};
use super::vocabulary::Version;
use crate::domain::hub::Marker;
use std::ops::ControlFlow;

/// Which hub it is; nothing as long as nobody knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OneHub {
    /// The id in its marker.
    id: Option<String>,
    /// Of one without a marker, where its main branch was seen.
    seen: Option<Version>,
}

impl OneHub {
    /// The hub with this id in its marker.
    pub(super) fn of_id(id: Option<String>) -> Self {
        Self { id, seen: None }
    }

    /// The hub that a snapshot shows.
    ///
    /// # Errors
    /// When our copy of the hub is damaged: then another is made.
    fn of(snapshot: &Snapshot<'_>) -> Result<Self, LedgerError> {
        let marker = match snapshot.document(snapshot.main(), Marker::PATH) {
            Err(error @ LedgerError::Store { cause: StoreCause::Damaged, .. }) if snapshot.is_of_copy() => {
                return Err(error);
            }
            // One that cannot be read tells nothing, and whoever needs it says so.
            marker => marker.ok().flatten(),
        };
        let id = marker.and_then(|marker| Marker::id_in(marker.bytes()));
        let seen = if id.is_none() { snapshot.tip(snapshot.main())? } else { None };
        Ok(Self { id, seen })
    }

    /// Proves that a snapshot is of this hub, and tells what is known of it then.
    ///
    /// # Errors
    /// When it is of another, or our copy of the hub is damaged.
    pub(super) fn check(&self, snapshot: &Snapshot<'_>) -> Result<Self, LedgerError> {
        let found = Self::of(snapshot)?;
        let is_it = match (&self.id, &self.seen, &found.id) {
            (Some(sought), _, Some(found)) => sought == found,
            // Where the marker was taken out, it is that hub still; one that never had any is another.
            (Some(_), _, None) if Self::before(snapshot)? == *self => return Ok(self.clone()),
            (Some(_), _, None) => false,
            // One that had no marker may have got it. Two without any nothing tells apart.
            (None, Some(seen), Some(_)) => snapshot.leads_from(seen)?,
            (None, _, _) => true,
        };
        if is_it {
            return Ok(found);
        }
        Err(LedgerError::AnotherHub {
            hub: snapshot.hub().to_owned(),
            found: found.id,
            sought: self.id.clone(),
        })
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
        Ok(Self::of_id(id))
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
            Some(marker) => Self::of_id(marker.as_ref().and_then(|marker| Marker::id_in(marker.bytes()))),
            None => self,
        }
    }
}

impl Snapshot<'_> {
    /// Proves that the main branch is that of `hub`, or for who founds one, that it never was one's. Tells what
    /// is known of the hub then.
    ///
    /// # Errors
    /// As [`Snapshot::main_tip`], or when it is another hub.
    pub(super) fn check(&self, founding: bool, hub: &OneHub) -> Result<OneHub, LedgerError> {
        match self.main_tip() {
            Err(LedgerError::NoBranch { .. } | LedgerError::NotAHub { .. }) if founding => Ok(hub.clone()),
            checked => checked.and_then(|_| hub.check(self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Document;
    use super::*;

    #[test]
    fn a_hub_is_known_by_the_marker_that_it_gets() {
        let known = || OneHub::of_id(Some("a".to_owned()));
        for (marker, expected) in [
            (Some(r#"{"id": "b"}"#), Some("b")),
            (Some(r#"{"id": ""}"#), None),
            (Some("{"), None),
            (None, None),
        ] {
            let mut draft = Draft::default();
            assert_eq!(known().after(&draft, "main"), known());
            let marker = marker.map(|text| Document::new(text.as_bytes().to_vec()));
            draft.put("main", Marker::PATH, marker);
            assert_eq!(known().after(&draft, "main").id.as_deref(), expected);
            assert_eq!(known().after(&draft, "other"), known());
        }
        let mut hub = known();
        hub.learn(&OneHub::default(), false);
        assert_eq!(hub, known());
        hub.learn(&OneHub::default(), true);
        assert_eq!(hub, OneHub::default());
    }
}
