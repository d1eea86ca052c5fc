//! Documents and records that cannot be read, as troubles of the fleet.
//!
//! A document that cannot be read is nothing to judge by. A record is looked after by somebody,
//! while everything else goes on.

use crate::domain::finding::{About, Finding, FleetFact, RecordFact, Severity, Thing};
use crate::domain::id::ServerName;
use crate::domain::table::{Fault, RecordTrouble};

/// How many broken records of one document are told one by one: whoever sees these sees the kind.
const TOLD_MAX: usize = 5;

/// A document as a watcher found it.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Where it lies.
    pub path: &'a str,
    /// What keeps it from being read.
    pub wrong: Option<&'a str>,
    /// The layout version that it names, if that is newer than ours.
    pub newer: Option<&'a str>,
    /// Its records that are no good.
    pub troubles: &'a [RecordTrouble],
    /// The server that alone writes it, if one does.
    pub server: Option<&'a ServerName>,
}

impl Document<'_> {
    /// What is wrong with it and with its records.
    #[must_use]
    pub fn judge(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.wrong.map(|why| self.unreadable(why)).into_iter().collect();
        findings.extend(self.newer.map(|version| self.unwritable(version)));
        findings.extend(self.troubles.iter().take(TOLD_MAX).map(|trouble| self.record(trouble)));
        if let Some(records @ 1..) = self.troubles.len().checked_sub(TOLD_MAX) {
            findings.push(Finding::new(FleetFact::RecordsBroken { records }, self.about()));
        }
        findings
    }

    fn about(&self) -> About {
        About::new(Thing::Document, self.path)
    }

    fn unreadable(&self, why: &str) -> Finding {
        let fact = FleetFact::DocumentBroken { problem: why.to_owned() };
        Finding::new(fact, self.about().of(self.server.map(ServerName::as_str)))
    }

    /// It can be read and is never rewritten: what needs it is refused on this machine.
    fn unwritable(&self, version: &str) -> Finding {
        let fact = FleetFact::DocumentNewer { version: shown(version) };
        Finding::new(fact, self.about().of(self.server.map(ServerName::as_str)))
    }

    fn record(&self, trouble: &RecordTrouble) -> Finding {
        let record = RecordFact { id: trouble.id.clone(), problem: trouble.why.clone() };
        let fact = match trouble.fault {
            Fault::Unreadable => FleetFact::RecordBroken(record),
            Fault::Id => FleetFact::RecordWithoutId(record),
            Fault::Doubled => FleetFact::IdDoubled(record),
            Fault::Token => FleetFact::TokenImpossible(record),
        };
        let id = match trouble.id.as_str() {
            "" => trouble.place.clone(),
            id => shown(id),
        };
        let about = About {
            path: Some(self.path.to_owned()),
            place: Some(trouble.place.clone()),
            ..About::new(Thing::Record, &id)
        };
        // All else goes on.
        Finding { severity: Severity::Warning, ..Finding::new(fact, about) }
    }
}

fn shown(id: &str) -> String {
    id.chars().take(SUBJECT_LENGTH_MAX).filter(|c| !c.is_control()).collect()
}

/// How much of an id is told in a column of its own.
const SUBJECT_LENGTH_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_cannot_be_read_is_nothing_to_judge_by_and_a_record_a_warning() {
        let trouble = |place: usize| RecordTrouble {
            fault: Fault::Unreadable,
            path: "p".to_owned(),
            place: format!("jobs[{place}]"),
            id: String::new(),
            why: "null".to_owned(),
        };
        let troubles: Vec<RecordTrouble> = (0..7).map(trouble).collect();
        let of =
            |wrong, troubles, server| Document { path: "p", wrong, newer: None, troubles, server }.judge();
        let told = |findings: Vec<Finding>| -> Vec<(Severity, String)> {
            findings.into_iter().map(|finding| (finding.severity, finding.cause())).collect()
        };
        assert_eq!(
            told(of(Some("it is empty"), &[], None)),
            [(Severity::Unknown, "document-broken:p".to_owned())]
        );
        let records = told(of(None, &troubles, None));
        assert_eq!(records.len(), TOLD_MAX + 1);
        assert_eq!(records[0], (Severity::Warning, "record-broken:p:jobs[0]".to_owned()));
        assert_eq!(records[TOLD_MAX].1, "records-broken:p");
        let name = ServerName::new("build1").expect("name");
        let own = of(Some("it is empty"), &[], Some(&name));
        assert_eq!(own[0].about.server.as_deref(), Some("build1"));
        assert!(of(None, &[], None).is_empty());
    }

    #[test]
    fn a_document_of_a_newer_layout_is_told_though_all_of_it_can_be_read() {
        let newer = Document { path: "p", wrong: None, newer: Some("2"), troubles: &[], server: None };
        let told = newer.judge();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].severity, told[0].cause().as_str()), (Severity::Warning, "document-newer:p"));
    }

    #[test]
    fn what_is_told_in_a_column_of_its_own_is_short_and_has_no_control_characters() {
        let newer = Document { path: "p", wrong: None, newer: Some("2\u{7}x"), troubles: &[], server: None };
        let version = "2x".to_owned();
        assert_eq!(newer.judge()[0].fact, FleetFact::DocumentNewer { version }.into());
        for (id, subject) in [
            ("", "jobs[3]".to_owned()),
            ("a\u{1b}b", "ab".to_owned()),
            (&*"x".repeat(41), "x".repeat(SUBJECT_LENGTH_MAX)),
        ] {
            let trouble = RecordTrouble {
                fault: Fault::Token,
                path: "p".to_owned(),
                place: "jobs[3]".to_owned(),
                id: id.to_owned(),
                why: "its token is no possible one".to_owned(),
            };
            let document = Document {
                path: "p",
                wrong: None,
                newer: None,
                troubles: std::slice::from_ref(&trouble),
                server: None,
            };
            let told = &document.judge()[0];
            assert_eq!((told.cause().as_str(), &told.about.id), ("token-impossible:p:jobs[3]", &subject));
            assert_eq!(told.severity, Severity::Warning);
        }
    }
}
