//! A report in short: ten thousand jobs that wait in vain are one trouble, and nobody reads a megabyte.

use super::{Finding, Report};
use std::collections::BTreeMap;

/// How many findings of a kind are told one by one.
const OF_A_KIND_MAX: usize = 20;

/// How many of more are named.
const EXAMPLES_MAX: usize = 5;

impl Report {
    /// The same, with one finding for each kind of which there are many: how many there are, some of
    /// them, and what the first says. Its cause stays the same for as long as they are many.
    #[must_use]
    pub fn in_short(self) -> Self {
        let mut kinds: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
        for finding in self.findings {
            kinds.entry(kind(&finding.cause).to_owned()).or_default().push(finding);
        }
        let short = kinds.into_iter().flat_map(|(kind, findings)| match findings.len() {
            0..=OF_A_KIND_MAX => findings,
            _ => vec![together(&kind, &findings)],
        });
        Self::new(self.checked, short.collect())
    }
}

/// What is wrong, without what it is about.
fn kind(cause: &str) -> &str {
    cause.split_once(':').map_or(cause, |(kind, _)| kind)
}

fn together(kind: &str, findings: &[Finding]) -> Finding {
    let [first, others @ ..] = findings else { unreachable!("there are many") };
    let examples: Vec<&str> =
        others.iter().take(EXAMPLES_MAX).map(|finding| finding.subject.as_str()).collect();
    let more = match others.len() - examples.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Finding {
        cause: format!("{kind}:*"),
        subject: format!("{} times", findings.len()),
        server: None,
        what: format!("{}; the same of {}{more}", first.what, examples.join(", ")),
        hint: Some(format!(
            "{}all of them with `git muster health --all`",
            first.hint.as_ref().map_or(String::new(), |hint| format!("{hint}; "))
        )),
        count: Some(findings.len()),
        ..first.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn report(of_kind: &[(&str, Level, usize)]) -> Report {
        let finding = |(kind, level, number): (&str, Level, usize)| Finding {
            level,
            cause: format!("{kind}:x{number:05}"),
            subject: format!("x{number:05}"),
            server: Some("build1".to_owned()),
            what: format!("{kind} x{number:05}"),
            hint: Some("look".to_owned()),
            count: None,
        };
        let all = of_kind.iter().flat_map(|(kind, level, count)| (0..*count).map(|n| (*kind, *level, n)));
        Report::new(7, all.map(finding).collect())
    }

    #[test]
    fn many_of_a_kind_are_one_finding_that_counts_them() {
        let few = report(&[("a", Level::Warning, OF_A_KIND_MAX), ("b", Level::Critical, 1)]);
        assert_eq!(few.clone().in_short(), few);
        let many = report(&[("a", Level::Warning, 10_000), ("b", Level::Critical, 2)]);
        let short = many.in_short();
        assert_eq!((short.level, short.checked, short.findings.len()), (Level::Critical, 7, 3));
        let last = &short.findings[2];
        assert_eq!((last.cause.as_str(), last.count), ("a:*", Some(10_000)));
        assert_eq!((last.subject.as_str(), &last.server), ("10000 times", &None), "they are of many");
        assert_eq!(last.what, "a x00000; the same of x00001, x00002, x00003, x00004, x00005 and 9994 more");
        assert_eq!(last.hint.as_deref(), Some("look; all of them with `git muster health --all`"));
    }
}
