//! Names and ids that cannot hold a bad value.
//!
//! A server's name becomes a folder and a branch, a job's id a part of a file name, so what may
//! stand in them is decided once, here, and the types carry the proof. Text that comes from the
//! hub goes through the same door as text from the command line.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Why a name was not taken; the text is for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{given}` {why}")]
pub struct NameError {
    /// What kind of name it was to be: `server name`, `job id`.
    pub what: &'static str,
    /// The text as given, cut and with control characters escaped.
    pub given: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The longest server name: it becomes a folder and part of a branch.
const SERVER_NAME_LENGTH_MAX: usize = 63;
/// The longest id or lock name.
const ID_LENGTH_MAX: usize = 128;
/// How much of a bad name an error repeats.
const SHOWN_LENGTH_MAX: usize = 80;

/// Folders of a hub that are not servers, and words that mean something else as a recipient.
const RESERVED_SERVER_NAMES: &[&str] = &[
    "all",
    "archive",
    "benches",
    "coordination",
    "docs",
    "features",
    "messages",
    "scripts",
    "shared",
    "src",
    "tests",
];

fn refuse(what: &'static str, given: &str, why: &'static str) -> NameError {
    let given = given.chars().take(SHOWN_LENGTH_MAX).collect::<String>();
    NameError { what, given: given.escape_debug().to_string(), why }
}

/// The rule all names share: a letter or digit, then letters, digits and `extra`, never `..`.
fn check(what: &'static str, text: &str, length_max: usize, extra: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(refuse(what, text, "is empty"));
    }
    if text.len() > length_max {
        return Err(refuse(what, text, "is too long"));
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(refuse(what, text, "must begin with a letter or a digit"));
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c)) {
        return Err(refuse(what, text, "holds a character that is not allowed in it"));
    }
    if text.contains("..") || text.ends_with(['.', '/']) || text.contains("//") {
        return Err(refuse(what, text, "may not hold `..` or `//`, nor end with a dot or a slash"));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $length:expr, $extra:literal $(, $further:expr)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes `text` if it obeys the rule.
            ///
            /// # Errors
            /// [`NameError`] says what is wrong with it.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check($what, text, $length, $extra)?;
                $(($further)(text)?;)?
                Ok(Self(text.to_owned()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let text = String::deserialize(input)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of a server: a folder at the top of the hub and part of a branch name.
    ServerName, "server name", SERVER_NAME_LENGTH_MAX, "._-", |text: &str| {
        if RESERVED_SERVER_NAMES.contains(&text.to_ascii_lowercase().as_str()) {
            return Err(refuse("server name", text, "is reserved"));
        }
        if text.to_ascii_lowercase().ends_with(".lock") {
            return Err(refuse("server name", text, "may not end with `.lock`"));
        }
        Ok(())
    }
);
name!(
    /// The id of a job.
    JobId, "job id", ID_LENGTH_MAX, "._:-"
);
name!(
    /// The id of a message.
    MessageId, "message id", ID_LENGTH_MAX, "._:-"
);
name!(
    /// The name of a lock, or the key of a thing done once.
    LockName, "lock name", ID_LENGTH_MAX, "._:/@+-"
);
name!(
    /// The id of one operation on the hub; stands in the trailer `Muster-Op` of its commit.
    OpId, "op id", ID_LENGTH_MAX, "-", |text: &str| {
        if is_uuid(text) { Ok(()) } else { Err(refuse("op id", text, "is no UUID in lower case")) }
    }
);

/// Whether `text` is a UUID as it is written: two spellings of one would be two operations.
fn is_uuid(text: &str) -> bool {
    let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.chars().all(is_digit))
}

impl ServerName {
    /// The branch that carries this server's heartbeats unless configured otherwise.
    #[must_use]
    pub fn heartbeat_branch(&self) -> String {
        format!("{HEARTBEAT_BRANCH_PREFIX}{self}")
    }

    /// The branch that carries the logs of the jobs this server ran.
    #[must_use]
    pub fn logs_branch(&self) -> String {
        format!("{LOGS_BRANCH_PREFIX}{self}")
    }
}

/// What the names of branches with logs begin with.
pub const LOGS_BRANCH_PREFIX: &str = "logs-";

/// What the names of heartbeat branches begin with.
pub const HEARTBEAT_BRANCH_PREFIX: &str = "heartbeat-";

impl OpId {
    /// What the id of a new record borrows: twelve hexadecimal digits in which every digit of this one
    /// counts. Who gives operations their ids may count them up, and where is not ours to know.
    #[must_use]
    pub fn record_part(&self) -> String {
        const DIGITS: usize = 12;
        // FNV-1a, and the last steps of SplitMix64, which spread what is alike over all digits.
        let folded = self.0.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mixed = (folded ^ (folded >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        format!("{:016x}", mixed ^ (mixed >> 31)).chars().take(DIGITS).collect()
    }

    /// When it was made, in seconds and by the clock of who made it, where it is a version 7 uuid.
    #[must_use]
    pub fn unix_seconds(&self) -> Option<i64> {
        let digits: String = self.0.chars().filter(|c| *c != '-').take(13).collect();
        let millis = digits.strip_suffix('7').filter(|_| digits.len() == 13)?;
        Some(i64::from_str_radix(millis, 16).ok()? / 1000)
    }

    /// The last `length` hexadecimal digits, all random in a version 7 uuid.
    #[must_use]
    pub fn suffix(&self, length: usize) -> String {
        let digits: Vec<char> = self.0.chars().filter(|c| *c != '-').collect();
        digits.iter().skip(digits.len().saturating_sub(length)).collect()
    }
}

/// A branch of the hub, checked so that it can be put into a ref name and a command line.
///
/// # Errors
/// [`NameError`] when git would not take it as a branch name.
pub fn check_branch(text: &str) -> Result<(), NameError> {
    check("branch", text, ID_LENGTH_MAX, "._/-")?;
    // `HEAD` as a branch would be mistaken for the other HEAD.
    if text == "HEAD" || text.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock")) {
        return Err(refuse("branch", text, "is not a branch name git takes"));
    }
    Ok(())
}

/// The branch of a hub, which none may be that a server replaces.
///
/// # Errors
/// As [`check_branch`], and when it has the name of a branch that servers keep for themselves.
pub fn check_hub_branch(text: &str) -> Result<(), NameError> {
    check_branch(text)?;
    if is_side_branch(text) {
        return Err(refuse("branch", text, "has the name of a branch that servers keep beside the hub"));
    }
    Ok(())
}

/// Whether a branch is one that servers keep beside the hub, for heartbeats, logs or what was
/// squashed.
#[must_use]
pub fn is_side_branch(name: &str) -> bool {
    [HEARTBEAT_BRANCH_PREFIX, "logs-", "backup/"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_tricks_and_control_characters_are_no_names() {
        for text in [
            "",
            "../etc",
            "a/b",
            "a..b",
            ".hidden",
            "-rf",
            "a b",
            "a\nb",
            "\u{1b}[31m",
            "coordination",
            "Shared",
            "all",
            "x.lock",
            "dot.",
            "ü",
            &"a".repeat(64),
        ] {
            assert!(ServerName::new(text).is_err(), "{text:?}");
        }
        for text in ["build1", "ll-ACSBuilder1", "win-Dev_2", "code2.example", &"a".repeat(63)] {
            assert!(ServerName::new(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn ids_of_real_hubs_are_taken() {
        for text in ["job_1761781030", "job_1761778190_1804", "550e8400-e29b-41d4-a716-446655440000"] {
            assert!(JobId::new(text).is_ok(), "{text}");
        }
        assert!(MessageId::new("msg-build2-acs-mysql-root-20251030T172709Z").is_ok());
        assert!(LockName::new("deploy/production:eu").is_ok());
        assert!(LockName::new("../x").is_err());
    }

    #[test]
    fn operations_that_differ_anywhere_give_records_other_ids() {
        let op = |text: &str| OpId::new(text).expect("an id");
        let text = "0199c7f2-1c1a-7cc3-98c4-dc0c0c07398f";
        let alike = (0..text.len()).filter(|at| text.get(*at..=*at) != Some("-")).map(|at| {
            let other = if text.get(at..=at) == Some("5") { "6" } else { "5" };
            format!("{}{other}{}", &text[..at], &text[at + 1..])
        });
        let counted = (0..1000).map(|number| format!("{number:08x}-0000-4000-8000-000000000000"));
        let counted_at_the_end = (0..1000).map(|number| format!("00000000-0000-4000-8000-{number:012x}"));
        let texts = [text.to_owned()].into_iter().chain(alike).chain(counted).chain(counted_at_the_end);
        let mut parts: Vec<String> = texts
            .collect::<std::collections::BTreeSet<_>>()
            .iter()
            .map(|text| op(text).record_part())
            .collect();
        let number = parts.len();
        parts.sort();
        parts.dedup();
        assert_eq!(parts.len(), number, "two are alike");
        assert!(parts.iter().all(|part| part.len() == 12 && part.chars().all(|c| c.is_ascii_hexdigit())));
        assert_eq!(op(text).suffix(8), "0c07398f");
    }

    #[test]
    fn an_operation_is_named_by_a_uuid_in_one_spelling() {
        for text in [
            "------------------------------------",
            "0199c7f21c1a7cc398c4dc0c0c07398f0000",
            "0199c7f2-1c1a-7cc3-98c4dc0c0c07398f0",
            "0199C7F2-1C1A-7CC3-98C4-DC0C0C07398F",
            "0199c7f2-1c1a-7cc3-98c4-dc0c0c07398",
            "{199c7f2-1c1a-7cc3-98c4-dc0c0c07398}",
            "",
        ] {
            assert!(OpId::new(text).is_err(), "{text}");
        }
        assert!(OpId::new("00000000-0000-0000-0000-000000000000").is_ok());
    }

    #[test]
    fn a_bad_name_is_repeated_harmlessly() {
        let error = ServerName::new("a\u{1b}[2J").expect_err("control character");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }

    #[test]
    fn branches() {
        assert_eq!(ServerName::new("build1").expect("a name").heartbeat_branch(), "heartbeat-build1");
        assert!(check_branch("heartbeat-build1").is_ok());
        assert!(check_branch("backup/heartbeat-build1-20251029T120000Z").is_ok());
        for text in ["", "a b", "a..b", "-x", "x.lock", "a//b", "a/", "a:b", "a/.b", "HEAD"] {
            assert!(check_branch(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_hub_lies_in_no_branch_that_servers_keep_beside_it() {
        for (name, is_taken) in [
            ("main", true),
            ("my-logs-x", true),
            ("backups", true),
            ("heartbeat-build1", false),
            ("logs-build1", false),
            ("backup/main", false),
        ] {
            assert_eq!(check_hub_branch(name).is_ok(), is_taken, "{name}");
            assert_eq!(is_side_branch(name), !is_taken, "{name}");
        }
        assert!(check_hub_branch("a b").is_err(), "no branch at all");
    }

    #[test]
    fn an_operation_tells_when_it_was_begun_where_its_id_holds_that() {
        for (text, seconds) in [
            ("019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f", Some(0x019a_7c3e_5f0e / 1000)),
            ("00000000-03e8-7000-8000-000000000000", Some(1)),
            ("00000000-03e7-7000-8000-000000000000", Some(0)),
            ("019a7c3e-5f0e-4d31-b1ce-0a2f3c4d5e6f", None),
        ] {
            assert_eq!(OpId::new(text).expect("an id").unix_seconds(), seconds, "{text}");
        }
    }

    #[test]
    fn an_operation_gives_its_records_the_same_ids_for_ever() {
        for (text, part) in [
            ("00000000-0000-0000-0000-000000000000", "245a85b4a08c"),
            ("019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f", "22001afe32b6"),
        ] {
            assert_eq!(OpId::new(text).expect("an id").record_part(), part, "{text}");
        }
    }
}
