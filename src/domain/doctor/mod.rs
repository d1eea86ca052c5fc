//! What is wrong with a machine, a clone, a copy or a hub, judged from facts: the rules behind
//! `doctor`.
//!
//! A rule takes what was seen and gives a [`Judgement`]: the evidence, and for each trouble what it
//! means and the command that mends it. No command that is named here loses data, and none removes a
//! lock file without asking first whether somebody has it open. Nothing here looks at anything: a
//! fact is always handed in.

pub mod hub;

use serde::Serialize;

/// How many things of one kind are told one by one.
pub(crate) const TOLD_MAX: usize = 5;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There was nothing to check, or no way to.
    Skipped,
    /// As it should be.
    Ok,
    /// Works now, and somebody should look at it.
    Warning,
    /// Does not work.
    Problem,
}

impl Verdict {
    /// As it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// A command that mends something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mend {
    /// For a person to run.
    Run(String),
    /// What `doctor --fix` does by itself.
    Fix,
}

/// One trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) what: String,
    pub(crate) mend: Option<Mend>,
}

impl Finding {
    /// Something that somebody should look at: one sentence without a final period.
    #[must_use]
    pub fn warning(what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, what: what.into(), mend: None }
    }

    /// Something that does not work.
    #[must_use]
    pub fn problem(what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Problem, what: what.into(), mend: None }
    }

    /// The command that mends it.
    #[must_use]
    pub fn mend(self, command: impl Into<String>) -> Self {
        Self { mend: Some(Mend::Run(command.into())), ..self }
    }

    /// `doctor --fix` mends it.
    #[must_use]
    pub fn mended_by_fix(self) -> Self {
        Self { mend: Some(Mend::Fix), ..self }
    }
}

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What was seen.
    pub(crate) evidence: String,
    pub(crate) findings: Vec<Finding>,
    pub(crate) is_skipped: bool,
}

impl Judgement {
    /// All is well, unless findings are added.
    #[must_use]
    pub fn of(evidence: impl Into<String>) -> Self {
        Self { evidence: evidence.into(), findings: Vec::new(), is_skipped: false }
    }

    /// There was nothing to check, or no way to.
    #[must_use]
    pub fn skipped(why: impl Into<String>) -> Self {
        Self { is_skipped: true, ..Self::of(why) }
    }

    /// The same with one more trouble.
    #[must_use]
    pub fn and(mut self, finding: Finding) -> Self {
        self.findings.push(finding);
        self
    }

    /// The same with more troubles.
    #[must_use]
    pub fn with(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        self.findings.extend(findings);
        self
    }

    /// The worst of its findings.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let best = if self.is_skipped { Verdict::Skipped } else { Verdict::Ok };
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(best)
    }

    /// Whether `doctor --fix` would do something about it.
    #[must_use]
    pub fn is_fixable(&self) -> bool {
        self.findings.iter().any(|finding| finding.mend == Some(Mend::Fix))
    }
}

/// A check as it is reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, which stays.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen, or why nothing was.
    pub evidence: String,
    /// The troubles.
    pub findings: Vec<Trouble>,
}

/// A trouble as it is reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// How bad it is.
    pub verdict: Verdict,
    /// What it is and what follows from it.
    pub what: String,
    /// The command that mends it, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// Whether `--fix` mends it.
    pub fixable: bool,
}

impl Check {
    /// The judgement of the check `name`; `fix` is the command line of `doctor --fix` for it.
    #[must_use]
    pub fn new(name: &'static str, judgement: Judgement, fix: &str) -> Self {
        let verdict = judgement.verdict();
        let trouble = |finding: Finding| Trouble {
            verdict: finding.verdict,
            what: finding.what,
            fixable: finding.mend == Some(Mend::Fix),
            mend: finding.mend.map(|mend| match mend {
                Mend::Run(command) => command,
                Mend::Fix => fix.to_owned(),
            }),
        };
        let findings = judgement.findings.into_iter().map(trouble).collect();
        Self { name, verdict, evidence: judgement.evidence, findings }
    }
}

/// Something that `--fix` did, or could not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deed {
    /// The check that it is about.
    pub check: &'static str,
    /// Whether it was done.
    pub done: bool,
    /// What was done, or why not.
    pub what: String,
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// As they should be.
    pub ok: usize,
    /// To be looked at.
    pub warning: usize,
    /// Broken.
    pub problem: usize,
    /// Not done.
    pub skipped: usize,
}

/// All checks that were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst of the checks.
    pub verdict: Verdict,
    /// How many ended how.
    pub counts: Counts,
    /// The checks in the order of the list.
    pub checks: Vec<Check>,
    /// What `--fix` did; the checks tell what is left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deeds: Vec<Deed>,
}

impl Report {
    /// Counts.
    #[must_use]
    pub fn new(checks: Vec<Check>, deeds: Vec<Deed>) -> Self {
        let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
        let counts = Counts {
            ok: count(Verdict::Ok),
            warning: count(Verdict::Warning),
            problem: count(Verdict::Problem),
            skipped: count(Verdict::Skipped),
        };
        let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Skipped);
        Self { verdict, counts, checks, deeds }
    }
}

/// `1 file`, `2 files`.
pub(crate) fn number(count: usize, what: &str) -> String {
    match (count, what.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']))) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) if what.ends_with("ch") => format!("{count} {what}es"),
        _ => format!("{count} {what}s"),
    }
}

/// Bytes for people, in the largest unit that leaves a whole number.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit)
        .map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{} {name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides() {
        for (findings, verdict) in [
            (vec![], Verdict::Ok),
            (vec![Finding::warning("a")], Verdict::Warning),
            (vec![Finding::problem("a"), Finding::warning("b")], Verdict::Problem),
        ] {
            let judgement = Judgement::of("seen").with(findings);
            assert_eq!(judgement.verdict(), verdict);
        }
        assert_eq!(Judgement::skipped("why").verdict(), Verdict::Skipped);
        let checks = vec![
            Check::new("a", Judgement::skipped("why"), ""),
            Check::new("b", Judgement::of("").and(Finding::warning("w").mended_by_fix()), "fix b"),
        ];
        assert_eq!(checks[1].findings[0].mend.as_deref(), Some("fix b"));
        let report = Report::new(checks, Vec::new());
        assert_eq!((report.verdict, report.counts.warning, report.counts.skipped), (Verdict::Warning, 1, 1));
    }

    #[test]
    fn a_verdict_is_shown_as_it_is_written() {
        for verdict in [Verdict::Skipped, Verdict::Ok, Verdict::Warning, Verdict::Problem] {
            assert_eq!(serde_json::to_value(verdict).expect("a word"), verdict.as_str());
        }
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!((number(1, "copy"), number(2, "copy")), ("1 copy".into(), "2 copies".into()));
        assert_eq!((number(0, "branch"), number(3, "file")), ("0 branches".into(), "3 files".into()));
        assert_eq!(
            (size(1023), size(2048), size(3 << 30)),
            ("1023 bytes".into(), "2 KiB".into(), "3 GiB".into())
        );
    }
}
