//! What must hold of the ledger's text, whatever it is: for the fuzz targets of `crate::fuzz`.
//!
//! No part of the program.

use super::trailers::carries;
use super::transaction::message_of;
use crate::domain::id::OpId;

/// The texts of a commit do not make it carry other operations than its own, and any message may be
/// asked.
pub(crate) fn commit_message(text: &str) {
    let [own, other] = ["019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f", "019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e60"]
        .map(|id| OpId::new(id).expect("an op id"));
    assert_eq!(carries(text, &other), text.lines().any(|line| line == format!("Muster-Op: {other}")));
    let texts: Vec<&str> = text.split('\u{1f}').collect();
    let message = message_of(&own, &texts);
    assert!(carries(&message, &own), "{message:?}");
    assert!(!carries(&message, &other), "{message:?}");
}
