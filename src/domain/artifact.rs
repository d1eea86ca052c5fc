//! What jobs make: the patterns by which files are asked for, and the manifest that names them with
//! size and checksum.
//!
//! Files themselves stay on the server that made them, out of git; the manifest lies beside the log
//! of the attempt. Nothing here opens a file.

use super::json::{self, DocumentError};
use super::lenient;
use super::time::Timestamp;
use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most files of one attempt that are kept.
pub const FILES_MAX: usize = 200;

/// The largest manifest that is read, in bytes.
const MANIFEST_BYTES_MAX: usize = 1024 * 1024;

/// The longest pattern and the longest name of a file, in bytes.
const NAME_LENGTH_MAX: usize = 250;

/// What the name of a log ends with, and that of the manifest beside it.
const LOG: &str = ".log";
const MANIFEST: &str = ".artifacts.json";

/// How a part of a name is compared.
const PART: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Files that a job is to make, such as `*.deb` or `reports/*.xml`: the last parts of a file's path, each
/// with `*`, `?` and `[...]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePattern(Vec<Pattern>);

impl std::str::FromStr for FilePattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > NAME_LENGTH_MAX || text.chars().any(char::is_control) {
            return Err(format!("it is longer than {NAME_LENGTH_MAX} or holds a control character"));
        }
        let parts = text.split('/').map(|part| match part {
            "" | "." | ".." => Err("give names of files below the job's folder, such as `*.deb`".to_owned()),
            part => Pattern::new(part).map_err(|error| format!("it is no pattern: {error}")),
        });
        parts.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for FilePattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = self.0.iter().map(Pattern::as_str).collect();
        out.write_str(&parts.join("/"))
    }
}

impl FilePattern {
    /// Whether the last parts of `path` are as it says.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        parts.len() >= self.0.len()
            && self
                .0
                .iter()
                .rev()
                .zip(parts.iter().rev())
                .all(|(pattern, part)| pattern.matches_with(part, PART))
    }
}

/// The first of `patterns` that none of `files` matches; one that is none is matched by nothing.
#[must_use]
pub fn first_missing<'a>(patterns: &'a [String], files: &[String]) -> Option<&'a str> {
    let is_there = |text: &&String| {
        let pattern: Result<FilePattern, _> = text.parse();
        pattern.is_ok_and(|pattern| files.iter().any(|file| pattern.matches(file)))
    };
    patterns.iter().find(|text| !is_there(text)).map(String::as_str)
}

/// One file that a job made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Artifact {
    /// Its path below the folder of the job.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub file: String,
    /// Its size in bytes.
    #[serde(default, deserialize_with = "lenient::count")]
    pub size: Option<u64>,
    /// Its SHA-256, in hexadecimal digits.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub sha256: String,
    /// Where it can be fetched from.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where a copy of it lies on the branch of the manifest, if one does.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub copy: Option<String>,
}

/// What one attempt made. The document `<server>/logs/<time>-<job>.artifacts.json` on the branch
/// `logs-<server>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Manifest {
    /// The job.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub job: String,
    /// The server that ran it.
    #[serde(default, deserialize_with = "lenient::plain_text")]
    pub server: String,
    /// The fencing token of the claim.
    #[serde(default, deserialize_with = "lenient::count")]
    pub token: Option<u64>,
    /// When the attempt ended.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// The branch that was worked on.
    #[serde(default, deserialize_with = "lenient::text")]
    pub branch: Option<String>,
    /// The commit that was worked on.
    #[serde(default, deserialize_with = "lenient::text")]
    pub commit: Option<String>,
    /// The exit code of the job's process.
    #[serde(default, deserialize_with = "lenient::integer")]
    pub exit_code: Option<i64>,
    /// The folder on the server that holds the files.
    #[serde(default, deserialize_with = "lenient::text")]
    pub folder: Option<String>,
    /// The files, in the order of their names.
    #[serde(default, deserialize_with = "lenient::objects")]
    pub artifacts: Vec<Artifact>,
}

impl Manifest {
    /// Reads one that somebody else wrote.
    ///
    /// # Errors
    /// When it is too large, no manifest, or names more files than are kept.
    pub fn read(path: &str, bytes: &[u8]) -> Result<Self, DocumentError> {
        let wrong = |problem: String| DocumentError::new(path, problem);
        if bytes.len() > MANIFEST_BYTES_MAX {
            let bytes = bytes.len();
            return Err(wrong(format!(
                "it has {bytes} bytes, more than the {MANIFEST_BYTES_MAX} that are read"
            )));
        }
        let manifest: Self = json::parse(path, "", json::text(path, bytes)?)?;
        if manifest.artifacts.len() > FILES_MAX {
            return Err(wrong(format!("it names more than {FILES_MAX} files")));
        }
        match manifest.artifacts.iter().find(|artifact| !is_below(&artifact.file)) {
            Some(artifact) => Err(wrong(format!("`{}` leads elsewhere", artifact.file.escape_debug()))),
            None => Ok(manifest),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn write(&self) -> String {
        format!("{}\n", json::pretty(self, 0))
    }

    /// The names of the files.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        self.artifacts.iter().map(|artifact| artifact.file.clone()).collect()
    }

    /// How many bytes all files have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.artifacts.iter().fold(0, |sum, artifact| sum.saturating_add(artifact.size.unwrap_or(0)))
    }
}

/// Whether `file` names something below a folder, whoever wrote it.
#[must_use]
pub fn is_below(file: &str) -> bool {
    !file.is_empty()
        && file.len() <= NAME_LENGTH_MAX
        && !file.contains(char::REPLACEMENT_CHARACTER)
        && !file.chars().any(char::is_control)
        && file.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// What the attempt whose log lies at `log` is called: `<time>-<job>`.
#[must_use]
pub fn attempt_of_log(log: &str) -> Option<&str> {
    log.rsplit('/').next()?.strip_suffix(LOG).filter(|attempt| is_below(attempt))
}

/// The attempt that a file in the folder of logs is about, if it is a manifest.
#[must_use]
pub fn attempt_of_manifest(name: &str) -> Option<&str> {
    name.strip_suffix(MANIFEST)
}

/// The file's name of the manifest of an attempt.
#[must_use]
pub fn manifest_name(attempt: &str) -> String {
    format!("{attempt}{MANIFEST}")
}

/// When the attempt that is called so began.
#[must_use]
pub fn attempt_time(attempt: &str) -> Option<Timestamp> {
    Timestamp::parse_compact(attempt.split('-').next()?)
}

/// Where the manifest beside the log at `log` lies.
#[must_use]
pub fn manifest_beside(log: &str) -> Option<String> {
    Some(format!("{}{MANIFEST}", log.strip_suffix(LOG)?))
}

/// How a file differs between two builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Bit for bit the same.
    Same,
    /// Another content.
    Differs,
    /// Only the first build made it.
    OnlyFirst,
    /// Only the second build made it.
    OnlySecond,
}

/// What two builds made, file by file.
#[must_use]
pub fn compare<'a>(first: &'a Manifest, second: &'a Manifest) -> Vec<(&'a str, Comparison)> {
    let of =
        |manifest: &'a Manifest, file: &str| manifest.artifacts.iter().find(|artifact| artifact.file == file);
    let mut compared: Vec<(&str, Comparison)> = Vec::new();
    for artifact in &first.artifacts {
        let comparison = match of(second, &artifact.file) {
            None => Comparison::OnlyFirst,
            Some(other) if other.sha256 == artifact.sha256 && other.size == artifact.size => Comparison::Same,
            Some(_) => Comparison::Differs,
        };
        compared.push((&artifact.file, comparison));
    }
    let added = second.artifacts.iter().filter(|artifact| of(first, &artifact.file).is_none());
    compared.extend(added.map(|artifact| (artifact.file.as_str(), Comparison::OnlySecond)));
    compared.sort();
    compared
}

/// Which of `builds` (attempt and branch) go when the newest `keep` of each branch stay.
#[must_use]
pub fn beyond(builds: &[(String, Option<String>)], keep: usize) -> Vec<&str> {
    let mut sorted: Vec<&(String, Option<String>)> = builds.iter().collect();
    // Their names begin with the time.
    sorted.sort_by(|one, other| other.0.cmp(&one.0));
    let mut seen: Vec<&Option<String>> = Vec::new();
    let mut gone = Vec::new();
    for (attempt, branch) in sorted {
        seen.push(branch);
        if seen.iter().filter(|known| **known == branch).count() > keep {
            gone.push(attempt.as_str());
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_the_last_parts_of_a_path() {
        for (pattern, path, expected) in [
            ("*.deb", "hello_1.0_all.deb", true),
            ("*.deb", "source/dist/hello.deb", true),
            ("*.deb", "hello.deb.txt", false),
            ("*.deb", ".hidden.deb", false),
            ("dist/*.deb", "source/dist/hello.deb", true),
            ("dist/*.deb", "dist/hello.deb", true),
            ("dist/*.deb", "hello.deb", false),
            ("dist/*.deb", "dist/old/hello.deb", false),
            ("a?[0-9].txt", "ab7.txt", true),
        ] {
            let parsed: FilePattern = pattern.parse().expect(pattern);
            assert_eq!(parsed.matches(path), expected, "{pattern} {path}");
            assert_eq!(parsed.to_string(), pattern);
        }
        for wrong in ["", "/srv/*.deb", "../*.deb", "a//b", "a/./b", "[", "a\nb", &"x".repeat(501)] {
            assert!(wrong.parse::<FilePattern>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_first_pattern_without_a_file_is_missing() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (patterns, files, missing) in [
            (&[][..], &[][..], None),
            (&["*.deb"], &["a.deb"], None),
            (&["*.deb", "*.changes"], &["/srv/a.deb"], Some("*.changes")),
            (&["*.deb"], &[], Some("*.deb")),
            (&["["], &["["], Some("[")),
        ] {
            assert_eq!(first_missing(&texts(patterns), &texts(files)), missing, "{patterns:?}");
        }
    }

    fn manifest(files: &[(&str, u64, &str)]) -> Manifest {
        let artifact = |(file, size, sha256): &(&str, u64, &str)| Artifact {
            file: (*file).to_owned(),
            size: Some(*size),
            sha256: (*sha256).to_owned(),
            url: None,
            copy: None,
        };
        Manifest {
            job: "job_1".to_owned(),
            server: "build1".to_owned(),
            token: Some(1),
            at: None,
            branch: None,
            commit: None,
            exit_code: Some(0),
            folder: None,
            artifacts: files.iter().map(artifact).collect(),
        }
    }

    #[test]
    fn manifests_are_read_as_they_were_written_and_lead_nowhere() {
        let ours = manifest(&[("a.deb", 3, "aa"), ("dist/b.deb", 4, "bb")]);
        assert_eq!(Manifest::read("m", ours.write().as_bytes()).expect("reads"), ours);
        assert_eq!((ours.bytes(), ours.files()), (7, vec!["a.deb".to_owned(), "dist/b.deb".to_owned()]));
        for file in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a\u{1b}[2J"] {
            let text = manifest(&[(file, 1, "aa")]).write();
            assert!(Manifest::read("m", text.as_bytes()).is_err(), "{file}");
        }
        let many: Vec<_> = (0..=FILES_MAX).map(|_| ("a", 1, "aa")).collect();
        assert!(Manifest::read("m", manifest(&many).write().as_bytes()).is_err());
        let large = format!("{{\"x\": \"{}\"}}", "x".repeat(MANIFEST_BYTES_MAX));
        assert!(Manifest::read("m", large.as_bytes()).is_err());
        let strange = br#"{"job": 7, "artifacts": [{"file": "a", "size": "9"}], "more": true}"#;
        let strange = Manifest::read("m", strange).expect("reads");
        assert_eq!((strange.job.as_str(), strange.bytes()), ("7", 9));
    }

    #[test]
    fn builds_are_compared_file_by_file() {
        let first = manifest(&[("a", 1, "aa"), ("b", 1, "bb"), ("c", 1, "cc"), ("e", 1, "ee")]);
        let second = manifest(&[("d", 1, "dd"), ("b", 1, "xx"), ("a", 1, "aa"), ("e", 2, "ee")]);
        let expected = vec![
            ("a", Comparison::Same),
            ("b", Comparison::Differs),
            ("c", Comparison::OnlyFirst),
            ("d", Comparison::OnlySecond),
            ("e", Comparison::Differs),
        ];
        assert_eq!(compare(&first, &second), expected);
    }

    #[test]
    fn the_newest_builds_of_each_branch_stay() {
        let build = |attempt: &str, branch: Option<&str>| (attempt.to_owned(), branch.map(str::to_owned));
        let builds = [
            build("20251101T000000Z-a", Some("main")),
            build("20251103T000000Z-b", Some("main")),
            build("20251102T000000Z-c", Some("main")),
            build("20251101T000000Z-d", Some("release")),
            build("20251101T000000Z-e", None),
        ];
        assert_eq!(beyond(&builds, 2), ["20251101T000000Z-a"]);
        assert_eq!(beyond(&builds, 0).len(), 5);
        assert_eq!(beyond(&builds, 5), [""; 0]);
    }

    #[test]
    fn a_manifest_lies_beside_its_log() {
        let attempt = attempt_of_log("build1/logs/20251101T000000Z-job_1.log").expect("an attempt");
        assert_eq!(attempt, "20251101T000000Z-job_1");
        assert_eq!(attempt_of_manifest(&manifest_name(attempt)), Some(attempt));
        assert_eq!(attempt_of_manifest("20251101T000000Z-job_1.log"), None);
        assert_eq!(attempt_time(attempt).map(|at| at.to_string()).as_deref(), Some("2025-11-01T00:00:00Z"));
        assert_eq!(attempt_time("documents-job_1"), None);
        for log in ["build1/logs/.log", "build1/logs/..log", "x.txt", "build1/logs/..\u{7}.log"] {
            assert_eq!(attempt_of_log(log), None, "{log}");
        }
    }
}
