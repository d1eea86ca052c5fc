//! The words for findings: what is wrong, and what can be done about it.

use super::{fleet, hub};
use crate::domain::finding::{Fact, Finding, Severity};

/// One sentence without a final period. Of many alike it is that of the first, with the names of some others.
pub(in crate::cli) fn what(finding: &Finding) -> String {
    let what = match &finding.fact {
        Fact::Fleet(fact) => fleet::sentence(fact, &finding.about),
        Fact::Hub(fact) => hub::sentence(fact, &finding.about),
    };
    let Some(alike) = &finding.alike else { return what };
    let and = if alike.examples.is_empty() { "" } else { " and" };
    let more = match alike.count.saturating_sub(alike.examples.len() + 1) {
        0 => String::new(),
        more => format!("{and} {more} more"),
    };
    format!("{what}; the same of {}{more}", alike.examples.join(", "))
}

/// What can be done about it, if there is something; may name commands in backticks.
pub(in crate::cli) fn advice(finding: &Finding) -> Option<String> {
    let (hint, all) = match &finding.fact {
        Fact::Fleet(fact) => {
            (fleet::hint(fact, &finding.about), "all of them with `git muster health --all`")
        }
        Fact::Hub(fact) => return hub::hint(fact, &finding.about),
    };
    if finding.alike.is_none() {
        return hint;
    }
    let hint = hint.map_or(String::new(), |hint| format!("{hint}; "));
    Some(format!("{hint}{all}"))
}

/// What it is about, in few words.
pub(in crate::cli) fn subject(finding: &Finding) -> String {
    match &finding.alike {
        Some(alike) => format!("{} times", alike.count),
        None => finding.about.id.clone(),
    }
}

/// How bad the worst finding is, as `health` says it.
pub(in crate::cli) const fn level(worst: Option<Severity>) -> &'static str {
    match worst {
        None => "ok",
        Some(Severity::Note | Severity::Warning) => "warning",
        Some(Severity::Unknown) => "unknown",
        Some(Severity::Error) => "critical",
    }
}
