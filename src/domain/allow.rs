//! Which commands a server runs: its own decision, never the queue's.
//!
//! A pattern names a program and its arguments, word by word, each with `*` and `?`; a last word `*`
//! stands for all further arguments, even none. In the program's word they match no slash and no
//! leading dot, so that `/srv/ci/*` leads nowhere else. What a `*` lets through is not judged: an option that
//! runs any command is an argument like others, so no example of ours has one. Nothing here splits a job's command: what it runs
//! is exactly the words that were compared.

use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};

/// Which commands may be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allow {
    /// Everything.
    Any,
    /// What one of these patterns matches.
    These(Vec<AllowPattern>),
}

/// One pattern for commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AllowPattern {
    text: String,
    words: Vec<Pattern>,
}

impl std::fmt::Display for AllowPattern {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

impl TryFrom<String> for AllowPattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AllowPattern> for String {
    fn from(pattern: AllowPattern) -> Self {
        pattern.text
    }
}

impl std::str::FromStr for AllowPattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Result<Vec<Pattern>, _> = text.split_whitespace().map(Pattern::new).collect();
        let words = words.map_err(|error| format!("it is no pattern: {error}"))?;
        if words.is_empty() {
            return Err("name a program, such as `/srv/ci/build`".to_owned());
        }
        Ok(Self { text: text.to_owned(), words })
    }
}

/// How the program's own word is compared.
const PROGRAM: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

impl AllowPattern {
    fn matches(&self, command: &[String]) -> bool {
        let (words, is_open) = match self.words.as_slice() {
            [words @ .., last] if last.as_str() == "*" && !words.is_empty() => (words, true),
            words => (words, false),
        };
        let is_long_enough =
            if is_open { command.len() >= words.len() } else { command.len() == words.len() };
        let mut pairs = words.iter().zip(command);
        let program_matches = pairs.next().is_some_and(|(word, given)| word.matches_with(given, PROGRAM));
        is_long_enough && program_matches && pairs.all(|(word, given)| word.matches(given))
    }
}

impl Allow {
    /// Whether a command may be run. None at all never may.
    #[must_use]
    pub fn permits(&self, command: &[String]) -> bool {
        match self {
            Self::Any => !command.is_empty(),
            Self::These(patterns) => patterns.iter().any(|pattern| pattern.matches(command)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(pattern: &str, command: &[&str]) -> bool {
        let allow = Allow::These(vec![pattern.parse().expect(pattern)]);
        allow.permits(&command.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_pattern_is_shown_as_it_was_given() {
        for text in ["make *", "./ci/*  --fast"] {
            assert_eq!(text.parse::<AllowPattern>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_command_is_compared_word_by_word() {
        for (pattern, command, expected) in [
            ("make", &["make"][..], true),
            ("make", &["make", "test"], false),
            ("make *", &["make"], true),
            ("make *", &["make", "-C", "x y", "test"], true),
            ("make test", &["make", "test"], true),
            ("make test", &["make", "test", "install"], false),
            ("make t?st", &["make", "tost"], true),
            ("make *-all", &["make", "build-all"], true),
            ("make *-all", &["make"], false),
            ("make x *", &["make"], false),
            ("make x *", &["make", "x"], true),
            ("make *", &["/usr/bin/make"], false),
            ("*/make", &["/usr/bin/make"], false),
            ("/usr/bin/* *", &["/usr/bin/make", "a"], true),
            ("./ci/*", &["./ci/build.sh"], true),
            ("./ci/*", &["./ci/../../bin/sh"], false),
            ("./ci/*", &["./ci/.."], false),
            ("*", &["anything"], true),
            ("*", &["anything", "more"], false),
            ("sh -c true", &["sh", "-c", "true; reboot"], false),
            ("cat *.log", &["cat", "a/b.log"], true),
            ("make", &[], false),
            // A `*` lets through whatever stands there; word for word nothing comes along.
            ("dpkg-buildpackage *", &["dpkg-buildpackage", "--hook-init=reboot"], true),
            ("dpkg-buildpackage -b", &["dpkg-buildpackage", "-b", "--hook-init=reboot"], false),
            ("dpkg-buildpackage -b", &["dpkg-buildpackage", "--hook-init=reboot"], false),
        ] {
            assert_eq!(permits(pattern, command), expected, "{pattern:?} {command:?}");
        }
        assert!(Allow::Any.permits(&["x".to_owned()]) && !Allow::Any.permits(&[]));
        assert!(!Allow::These(Vec::new()).permits(&["x".to_owned()]));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "  ", "make ["] {
            assert!(text.parse::<AllowPattern>().is_err(), "{text:?}");
        }
        let kept = serde_json::to_string(&Allow::These(vec!["make *".parse().expect("pattern")]));
        let kept = kept.expect("text keys");
        assert_eq!(kept, r#"{"these":["make *"]}"#);
        assert_eq!(
            serde_json::from_str::<Allow>(&kept).ok(),
            Some(Allow::These(vec!["make *".parse().expect("pattern")]))
        );
    }
}
