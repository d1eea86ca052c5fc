//! What the tests of the rules share.

use crate::domain::finding::Severity;

/// How bad it is, as tables of cases say it.
pub(super) const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Unknown => "unknown",
        Severity::Error => "error",
    }
}
