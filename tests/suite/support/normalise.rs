//! Replaces what differs from run to run by placeholders, so that whole outputs can be compared.
//!
//! Written by hand: at the start of every word each rule says how many bytes it takes. The rules err
//! on the side of replacing, never on the side of an output that is equal only most of the time: every
//! word of hexadecimal digits as long as a short commit id is one, whichever digits chance gave it.

use super::place::place;
use std::env;

/// A rule looks at the text from the start of a word and tells how much of it is to be replaced.
type Rule = fn(&str) -> Option<(usize, &'static str)>;

/// Tried in this order; a timestamp begins like a number and a uuid like a commit id.
const RULES: [Rule; 7] = [timestamp, uuid, record_id, port, duration, commit_id, compact_timestamp];

/// Units of time in which something is measured.
const UNITS: [&str; 9] = ["ns", "µs", "us", "ms", "s", "m", "min", "h", "d"];

/// Replaces identifiers, times, durations, ports and temporary paths by placeholders.
#[must_use]
pub(crate) fn normalise(text: &str) -> String {
    let text = temporary_paths(text);
    let mut result = String::with_capacity(text.len());
    let mut rest = text.as_str();
    let mut before = None;
    while let Some(next) = rest.chars().next() {
        let starts_word = !before.is_some_and(is_word);
        let found = RULES.iter().filter(|_| starts_word).find_map(|rule| rule(rest));
        let length = if let Some((length, placeholder)) = found {
            result.push_str(placeholder);
            length
        } else {
            result.push(next);
            next.len_utf8()
        };
        before = rest[..length].chars().next_back();
        rest = &rest[length..];
    }
    result
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The directories of hubs and fleets: `/tmp/muster-hub-x1Y2z3/hub.git` becomes `[HUB]/hub.git`.
pub(super) fn temporary_paths(text: &str) -> String {
    let folders = [place().to_owned(), env::temp_dir()];
    let mut text = text.to_owned();
    for (name, placeholder) in [("muster-hub-", "[HUB]"), ("muster-fleet-", "[FLEET]")] {
        let named = folders.iter().map(|folder| folder.join(name).display().to_string());
        // `git daemon` names hubs without the directory before them.
        for start in named.chain([format!("/{name}")]) {
            while let Some(at) = text.find(&start) {
                let length = start.len() + span(&text[at + start.len()..], char::is_alphanumeric);
                text.replace_range(at..at + length, placeholder);
            }
        }
    }
    text
}

/// How many bytes at the start of `text` are characters of a kind.
fn span(text: &str, kind: impl Fn(char) -> bool) -> usize {
    text.find(|c| !kind(c)).unwrap_or(text.len())
}

/// The length of a match if a word ends there.
fn ending_word(text: &str, length: usize, placeholder: &'static str) -> Option<(usize, &'static str)> {
    let ends = !text[length..].chars().next().is_some_and(is_word);
    (length > 0 && ends).then_some((length, placeholder))
}

/// Matches text against a shape in which `0` is a digit, `f` a hexadecimal digit, the rest itself.
fn shape(text: &str, shape: &str) -> Option<usize> {
    let fits = |(byte, form): (u8, u8)| match form {
        b'0' => byte.is_ascii_digit(),
        b'f' => byte.is_ascii_hexdigit(),
        other => byte == other,
    };
    let enough = text.len() >= shape.len();
    (enough && text.bytes().zip(shape.bytes()).all(fits)).then_some(shape.len())
}

/// `2026-11-21T01:02:03.456Z`, also with an offset or with a space between date and time.
fn timestamp(text: &str) -> Option<(usize, &'static str)> {
    let mut length = shape(text, "0000-00-00T00:00:00").or(shape(text, "0000-00-00 00:00:00"))?;
    if let Some(fraction) = text[length..].strip_prefix('.') {
        length += 1 + span(fraction, |c| c.is_ascii_digit());
    }
    let zone = &text[length..];
    let offset = shape(zone, "+00:00").or(shape(zone, "-00:00")).or(shape(zone, "Z"));
    ending_word(text, length + offset.unwrap_or(0), "[TIME]")
}

/// `20261121T010203Z`, as in the names of logs.
fn compact_timestamp(text: &str) -> Option<(usize, &'static str)> {
    shape(text, "00000000T000000Z").map(|length| (length, "[TIME]"))
}

/// `0191d0c2-7c1e-7b1a-8f00-0123456789ab`
fn uuid(text: &str) -> Option<(usize, &'static str)> {
    let length = shape(text, "ffffffff-ffff-ffff-ffff-ffffffffffff")?;
    ending_word(text, length, "[UUID]")
}

/// `job_` and `msg_` with something made by a machine behind it; `job_assignment` is a word.
fn record_id(text: &str) -> Option<(usize, &'static str)> {
    let (prefix, placeholder) = [("job_", "[JOB]"), ("msg_", "[MESSAGE]")]
        .into_iter()
        .find(|(prefix, _)| text.starts_with(prefix))?;
    let id = &text[prefix.len()..];
    let length = span(id, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let id = &id[..length];
    let by_machine =
        id.contains(|c: char| c.is_ascii_digit()) || id.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if length < 6 || !by_machine {
        return None;
    }
    ending_word(text, prefix.len() + length, placeholder)
}

/// The port of a server on loopback, as addresses name it and as curl and ssh do.
fn port(text: &str) -> Option<(usize, &'static str)> {
    let (before, placeholder) =
        [("127.0.0.1:", "127.0.0.1:[PORT]"), ("127.0.0.1 port ", "127.0.0.1 port [PORT]")]
            .into_iter()
            .find(|(before, _)| text.starts_with(before))?;
    let digits = span(&text[before.len()..], |c| c.is_ascii_digit());
    ending_word(text, before.len() + digits, placeholder).filter(|_| digits > 0)
}

/// `1.2 s`, `350 ms` or `90s`.
fn duration(text: &str) -> Option<(usize, &'static str)> {
    let number = span(text, |c| c.is_ascii_digit() || c == '.');
    let starts_with_digit = text.starts_with(|c: char| c.is_ascii_digit());
    let unit = &text[number..];
    let gap = usize::from(unit.starts_with(' '));
    let unit = &unit[gap..];
    let length = span(unit, char::is_alphabetic);
    let known = UNITS.contains(&&unit[..length]);
    let found = ending_word(text, number + gap + length, "[DURATION]");
    found.filter(|_| starts_with_digit && known)
}

/// A whole commit id or the seven and more digits by which it is usually told.
fn commit_id(text: &str) -> Option<(usize, &'static str)> {
    let length = span(text, |c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    ending_word(text, length, "[COMMIT]").filter(|_| (7..=40).contains(&length))
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn what_differs_is_replaced_and_the_rest_stays() {
        let cases = [
            ("at 2026-11-21T01:02:03.456Z, or", "at [TIME], or"),
            ("2025-10-29 12:00:00+02:00", "[TIME]"),
            ("build1/logs/20251029T120000Z-j.log", "build1/logs/[TIME]-j.log"),
            ("op 0191d0c2-7c1e-7b1a-8f00-0123456789ab.", "op [UUID]."),
            ("job_0191d0c2-7c1e-7b1a-8f00-0123456789ab", "[JOB]"),
            ("job_1761778190_0a1b2c3d job_1761778190_0a1b2c3d_12", "[JOB] [JOB]"),
            ("`msg_01jd3x5kq7` job_assignment job_id job_1", "`[MESSAGE]` job_assignment job_id job_1"),
            ("[main 0a1b2c3] 1234567 face", "[main [COMMIT]] [COMMIT] face"),
            ("took 1.2 s, 350 ms, 90s, 3 servers", "took [DURATION], [DURATION], [DURATION], 3 servers"),
            ("http://127.0.0.1:40123/hub.git", "http://127.0.0.1:[PORT]/hub.git"),
            ("to 127.0.0.1 port 40123 after 0 ms", "to 127.0.0.1 port [PORT] after [DURATION]"),
            ("version 1.2 saved, 5 jobs", "version 1.2 saved, 5 jobs"),
            ("Straße 12 µs", "Straße [DURATION]"),
        ];
        for (text, expected) in cases {
            assert_eq!(normalise(text), expected);
        }
    }

    #[test]
    fn temporary_directories_are_named_by_what_they_are() {
        for folder in [super::place(), &std::env::temp_dir()] {
            let hub = folder.join("muster-hub-x1Y2z3");
            let text = format!(
                "{0}/hub.git file://{0}/hub.git git://127.0.0.1:4/muster-hub-x1Y2z3/hub.git",
                hub.display()
            );
            let expected = "[HUB]/hub.git file://[HUB]/hub.git git://127.0.0.1:[PORT][HUB]/hub.git";
            assert_eq!(normalise(&text), expected);
        }
    }
}
