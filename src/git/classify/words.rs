//! From what git printed to one line for people. Judges nothing.

/// Lines that a server sends for company and not as an explanation.
#[rustfmt::skip]
const CHATTER: &[&str] = &[
    "resolving deltas", "counting objects", "compressing objects", "enumerating objects",
    "processing changes", "total ", "review all repository rules", "error: hook declined to update",
    "another git process seems",
];

/// Longest reason, in characters: one line of a log.
pub(super) const REASON_CHARS_MAX: usize = 300;

/// What the hub sent for people, without `remote:` and the blanks git adds.
pub(super) fn remote_lines(stderr: &str) -> impl Iterator<Item = &str> {
    stderr.lines().filter_map(|line| line.strip_prefix("remote:")).map(str::trim)
}

/// One line for people: `head`, then the first two lines with which the hub explains it.
pub(super) fn explain(head: &str, stderr: &str) -> String {
    let head = headline(head);
    let is_useful = |line: &String| {
        let lower = line.to_lowercase();
        line.contains(char::is_alphanumeric)
            && !CHATTER.iter().any(|start| lower.starts_with(start))
            && !head.contains(headline(line))
    };
    let said: Vec<String> = remote_lines(stderr)
        .map(without_escapes)
        .filter(is_useful)
        .map(|line| headline(&line).to_owned())
        .take(2)
        .collect();
    if said.is_empty() { one_line(head) } else { one_line(&format!("{head}: {}", said.join("; "))) }
}

/// The most telling line of a failed run that no table knows.
pub(super) fn last_words(code: i32, stdout: &str, stderr: &str) -> String {
    let is_error = |line: &&str| line.starts_with("fatal: ") || line.starts_with("error: ");
    let any_line = || stderr.lines().chain(stdout.lines()).find(|line| !line.trim().is_empty());
    match stderr.lines().find(is_error).or_else(any_line) {
        Some(line) => explain(line, stderr),
        None => format!("git ended with exit code {code} and no message"),
    }
}

/// `line` without the prefix that git and the forges put before it, and without a final period.
pub(super) fn headline(line: &str) -> &str {
    let line = line.strip_prefix("remote:").unwrap_or(line).trim();
    let start = ["fatal: ", "error: ", "ERROR: ", "- "];
    let line = start.iter().find_map(|prefix| line.strip_prefix(prefix)).unwrap_or(line);
    line.trim_end_matches(['.', ':', ' '])
}

/// Makes `text` fit for a terminal and a log: one line, no control characters, no secrets, bounded.
pub(super) fn one_line(text: &str) -> String {
    let clean = without_passwords(&without_escapes(text));
    let line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= REASON_CHARS_MAX {
        return line;
    }
    line.chars().take(REASON_CHARS_MAX - 1).chain(['…']).collect()
}

/// Drops terminal escape sequences, control characters and the marks that reorder text.
fn without_escapes(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                // CSI: parameters up to one final character.
                chars.by_ref().find(|char| matches!(char, '@'..='~'));
            }
            '\u{1b}' if chars.next_if_eq(&']').is_some() => {
                // OSC (window titles, links): text up to BEL or ESC.
                chars.by_ref().find(|char| matches!(char, '\u{7}' | '\u{1b}'));
            }
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {}
            _ if char.is_control() => clean.push(' '),
            _ => clean.push(char),
        }
    }
    clean
}

/// Replaces `user:password@`, `token@` and what follows a question mark in web addresses, which
/// not every message of git leaves out.
pub(in crate::git) fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_ssh = clean.ends_with("ssh");
        let end = part.find([' ', '\'', '"']).unwrap_or(part.len());
        let query = part.find('?').filter(|query| *query < end);
        let hidden = query.map(|query| {
            format!("{}?***{}", part.get(..query).unwrap_or_default(), part.get(end..).unwrap_or_default())
        });
        let part = hidden.as_deref().unwrap_or(part);
        let host_end = part.find(['/', ' ', '\'', '"']).unwrap_or(part.len());
        clean.push_str("://");
        match part.get(..host_end).and_then(|host| host.rfind('@')) {
            Some(at) if !is_ssh => {
                clean.push_str("***");
                clean.push_str(part.get(at..).unwrap_or_default());
            }
            _ => clean.push_str(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_reaches_a_reason() {
        for (text, clean) in [
            (
                "unable to access 'https://bob:s3cret@example.com/hub.git/': no",
                "unable to access 'https://***@example.com/hub.git/': no",
            ),
            ("at https://ghp_token@example.com", "at https://***@example.com"),
            ("at ssh://git@example.com/hub.git", "at ssh://git@example.com/hub.git"),
            ("at https://example.com/a@b", "at https://example.com/a@b"),
            ("at https://example.com/x?token=s3cret now", "at https://example.com/x?*** now"),
            ("at 'https://bob@example.com/x?t=s3cret'?", "at 'https://***@example.com/x?***'?"),
            ("is https://example.com/x there?", "is https://example.com/x there?"),
        ] {
            assert_eq!(one_line(text), clean);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        for (text, clean) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link", "\\link"),
            // What begins no known sequence is one blank, and takes nothing with it.
            ("a\u{1b}b c", "a b c"),
            ("a\u{9b}b\u{0}c\rd", "a b c d"),
            ("a\u{202e}b\u{2066}c\u{2069}\u{200e}\u{200f}\u{feff}d", "abcd"),
            ("\u{2065}\u{202f}ü", "\u{2065}\u{202f}ü"),
        ] {
            assert_eq!(without_escapes(text), clean, "{text:?}");
        }
    }

    #[test]
    fn of_an_unknown_failure_the_most_telling_line_is_told() {
        for (stdout, stderr, expected) in [
            ("", "", "git ended with exit code 9 and no message"),
            ("", "\n  \n", "git ended with exit code 9 and no message"),
            ("out", "\n", "out"),
            ("out", "\nhint: x\nfatal: broken.\nerror: y", "broken"),
            ("out", "hint: x\nerror: y\nfatal: broken", "y"),
            ("out", "hint: x\n", "hint: x"),
        ] {
            assert_eq!(last_words(9, stdout, stderr), expected, "{stderr:?}");
        }
    }
}
