//! The answer of `fsck`, in words: what its schema describes.

use crate::app::fsck::{self, Checked, CommitName, Cure};
use crate::cli::output::as_begun;
use crate::cli::words::finding::{advice, what};
use crate::domain::finding::{self, FindingCode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::borrow::Cow;

/// What a check found.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Report {
    /// The commit of the main branch that was looked at.
    pub(super) commit: String,
    /// How much was looked at.
    pub(super) checked: Checked,
    /// How many findings are errors.
    pub(super) errors: usize,
    /// How many are warnings.
    pub(super) warnings: usize,
    /// How many are notes.
    pub(super) notes: usize,
    /// The findings, the worst first; of each severity what is broken now, then what commits broke,
    /// the newest first, a thousand in all.
    pub(super) findings: Vec<Located>,
    /// How many commits no operation of git-muster made.
    pub(super) commits_by_hand: usize,
    /// These commits, the newest first, at most a thousand.
    pub(super) by_hand: Vec<CommitName>,
}

/// A finding and where it is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Located {
    /// How bad it is.
    pub(super) severity: Severity,
    /// Which rule.
    #[schemars(with = "Kind")]
    #[serde(serialize_with = "as_code")]
    pub(super) kind: FindingCode,
    /// The document, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    /// The place in it: `jobs[3]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<String>,
    /// One sentence without a final period.
    pub(super) what: String,
    /// What to do about it; may name a command in backticks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    /// Of how many records it tells, where one commit broke a rule at many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<usize>,
    /// The branch, if it is not the main one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) branch: Option<String>,
    /// The commit that broke the rule; absent when none is known to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<CommitName>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know; nothing has to be done.
    Note,
    /// Read and coped with, but not as its writer meant it, or without a safeguard.
    Warning,
    /// A rule is broken: commands refuse or misbehave, or something was lost.
    Error,
}

impl Severity {
    /// All of them, the worst first.
    pub(super) const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    /// As `fsck` says it; its rules know no other.
    pub(in crate::cli) const fn of(severity: finding::Severity) -> Self {
        match severity {
            finding::Severity::Note => Self::Note,
            finding::Severity::Warning | finding::Severity::Unknown => Self::Warning,
            finding::Severity::Error => Self::Error,
        }
    }

    pub(in crate::cli) const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The rules, for the schema.
struct Kind;

impl JsonSchema for Kind {
    fn schema_name() -> Cow<'static, str> {
        "Kind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let rule =
            |code: &FindingCode| json!({"type": "string", "const": code, "description": code.meaning()});
        let rules: Vec<Value> = FindingCode::HUB.iter().map(rule).collect();
        json_schema!({
            "oneOf": rules,
            "description": "The rules, by the name under which a breach of each is reported. The names are a promise."
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn as_code<S: Serializer>(code: &FindingCode, out: S) -> Result<S::Ok, S::Error> {
    code.serialize(out)
}

impl Report {
    pub(super) fn of(report: fsck::Report) -> Self {
        Self {
            commit: report.commit,
            checked: report.checked,
            errors: report.errors,
            warnings: report.warnings,
            notes: report.notes,
            findings: report.findings.into_iter().map(Located::of).collect(),
            commits_by_hand: report.commits_by_hand,
            by_hand: report.by_hand,
        }
    }

    /// How bad the worst finding is.
    pub(super) fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|located| located.severity).max()
    }

    /// How many findings are this bad.
    pub(super) fn count(&self, severity: Severity) -> usize {
        match severity {
            Severity::Error => self.errors,
            Severity::Warning => self.warnings,
            Severity::Note => self.notes,
        }
    }
}

impl Located {
    fn of(located: fsck::Located) -> Self {
        let fsck::Located { finding, branch, commit, cure, .. } = located;
        let is_cured = cure.as_ref().is_some_and(Cure::is_whole);
        let cure = match &cure {
            None => String::new(),
            Some(Cure::Mended(commit)) => format!("; mended in {commit}"),
            Some(Cure::Back(commit)) => format!("; put back in {commit}"),
            Some(Cure::Partly { back, lost, commit }) => {
                format!("; {back} of {lost} were put back, the last in {commit}")
            }
        };
        Self {
            severity: Severity::of(finding.severity),
            kind: finding.code(),
            what: format!("{}{cure}", what(&finding)),
            hint: advice(&finding).filter(|_| !is_cured).map(|hint| as_begun(&hint)),
            count: finding.count(),
            path: finding.about.path,
            place: finding.about.place,
            branch,
            commit,
        }
    }
}
