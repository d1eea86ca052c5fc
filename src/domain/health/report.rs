//! All that was found of a fleet, the worst first; and the same in short: ten thousand jobs that wait in vain
//! are one trouble, and nobody reads a megabyte.

use crate::domain::bad_branch::BadBranch;
use crate::domain::finding::{About, Alike, Finding, FindingCode, FleetFact, Severity, Thing};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// How many findings of a code are told one by one.
const OF_A_CODE_MAX: usize = 20;

/// How many of more are named.
const EXAMPLES_MAX: usize = 5;

/// All troubles, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many registered servers were judged.
    pub checked: usize,
    /// The troubles, by severity and cause.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(checked: usize, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_cached_key(|one| (Reverse(one.severity), one.cause()));
        // Two records with one id, which merges have left behind, are one trouble.
        findings.dedup_by_key(|one| one.cause());
        Self { checked, findings }
    }

    /// How bad the worst finding is; nothing if there is none.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.first().map(|worst| worst.severity)
    }

    /// The same with what is known of branches of the hub at `hub` that cannot be used.
    #[must_use]
    pub fn with_bad_branches(self, bad: &[BadBranch], hub: &str) -> Self {
        let finding = |bad: &BadBranch| {
            let server = bad.server().map(|server| server.to_string());
            let fact = FleetFact::BranchBroken { branch: bad.clone(), hub: hub.to_owned() };
            Finding::new(fact, About::new(Thing::Branch, &bad.branch).of(server.as_deref()))
        };
        let findings = self.findings.into_iter().chain(bad.iter().map(finding)).collect();
        Self::new(self.checked, findings)
    }

    /// The same with what an older writer undid and the next write puts back, and what nobody can tell of it.
    #[must_use]
    pub fn with_undone(self, back: &[String], unknown: &[String]) -> Self {
        let undone =
            back.iter().map(|what| Finding::new(FleetFact::Undone, About::new(Thing::History, what)));
        let unknown = (!unknown.is_empty()).then(|| {
            let fact = FleetFact::UndoneUnknown { causes: unknown.to_vec() };
            Finding::new(fact, About::new(Thing::History, "history"))
        });
        let findings = self.findings.into_iter().chain(undone).chain(unknown).collect();
        Self::new(self.checked, findings)
    }

    /// What concerns `server`: its beat, its status, the jobs and locks it holds. That there is
    /// such a server was asked before.
    #[must_use]
    pub fn only(self, server: &str) -> Self {
        let concerns = |finding: &Finding| {
            finding.about.server.as_deref() == Some(server) || finding.severity == Severity::Unknown
        };
        Self::new(self.checked.min(1), self.findings.into_iter().filter(concerns).collect())
    }

    /// The same, with one finding for each code of which there are many: how many there are, some of
    /// them, and the facts of the first. Its cause stays the same for as long as they are many.
    #[must_use]
    pub fn in_short(self) -> Self {
        let mut alike: BTreeMap<FindingCode, Vec<Finding>> = BTreeMap::new();
        for finding in self.findings {
            alike.entry(finding.code()).or_default().push(finding);
        }
        let short = alike.into_values().flat_map(|findings| match findings.len() {
            0..=OF_A_CODE_MAX => findings,
            _ => together(findings),
        });
        Self::new(self.checked, short.collect())
    }
}

/// The first, and that there are others.
fn together(findings: Vec<Finding>) -> Vec<Finding> {
    let count = findings.len();
    let examples = findings.iter().skip(1).take(EXAMPLES_MAX).map(|one| one.about.id.clone()).collect();
    let alike = Some(Alike { count, examples });
    let of_many = |first: Finding| Finding { about: first.about.of(None), alike: alike.clone(), ..first };
    findings.into_iter().take(1).map(of_many).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(of_code: &[(FleetFact, usize)]) -> Report {
        let finding = |(fact, number): (FleetFact, usize)| {
            Finding::new(fact, About::new(Thing::Job, &format!("x{number:05}")).of(Some("build1")))
        };
        let all = of_code.iter().flat_map(|(fact, count)| (0..*count).map(|n| (fact.clone(), n)));
        Report::new(7, all.map(finding).collect())
    }

    #[test]
    fn many_of_a_code_are_one_finding_that_counts_them() {
        let (late, stale) = (FleetFact::HeartbeatNever, FleetFact::ServerUnhealthy { age_seconds: 1 });
        let few = report(&[(late.clone(), OF_A_CODE_MAX), (stale.clone(), 1)]);
        assert_eq!(few.clone().in_short(), few);
        let short = report(&[(late, 10_000), (stale, 2)]).in_short();
        assert_eq!((short.worst(), short.checked, short.findings.len()), (Some(Severity::Error), 7, 3));
        let last = &short.findings[2];
        assert_eq!((last.cause().as_str(), last.count()), ("heartbeat-never:*", Some(10_000)));
        assert_eq!((last.about.id.as_str(), &last.about.server), ("x00000", &None), "they are of many");
        let examples = ["x00001", "x00002", "x00003", "x00004", "x00005"].map(str::to_owned).to_vec();
        assert_eq!(last.alike, Some(Alike { count: 10_000, examples }));
    }
}
