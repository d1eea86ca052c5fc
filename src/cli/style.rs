//! How wide a text is on a terminal, and its colors there. Elsewhere, and where `NO_COLOR` is set, a text
//! is what it says.

use super::output::clean_lines;
use crate::machine::environment;
use std::io::{self, IsTerminal as _};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A way to show a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// The head of a table.
    Head,
    /// Something stands still.
    Bad,
    /// Somebody should look at it.
    Doubtful,
}

/// Marks in a text that is to be printed: characters that are none (Unicode reserves them for use within
/// a program), which [`super::output::clean`] takes out of what others wrote.
pub(super) const MARKS: std::ops::RangeInclusive<char> = '\u{fdd0}'..='\u{fdd3}';
const PLAIN: char = '\u{fdd3}';

/// Words that begin a cell which wants to be seen.
const TONES: [(&str, Tone); 12] = [
    ("critical", Tone::Bad),
    ("error", Tone::Bad),
    ("stale", Tone::Bad),
    ("dead", Tone::Bad),
    ("failed", Tone::Bad),
    ("problem", Tone::Bad),
    ("warning", Tone::Doubtful),
    ("late", Tone::Doubtful),
    ("unknown", Tone::Doubtful),
    ("paused", Tone::Doubtful),
    ("unread", Tone::Doubtful),
    ("wants", Tone::Doubtful),
];

impl Tone {
    /// That of a cell, by the word it begins with.
    pub(super) fn of(cell: &str) -> Option<Self> {
        let word = cell.split(|c: char| !c.is_alphanumeric()).next()?;
        TONES.iter().find(|(known, _)| *known == word).map(|(_, tone)| *tone)
    }

    const fn mark(self) -> char {
        match self {
            Self::Head => '\u{fdd0}',
            Self::Bad => '\u{fdd1}',
            Self::Doubtful => '\u{fdd2}',
        }
    }
}

/// What a mark is to a terminal.
const fn sequence(mark: char) -> &'static str {
    match mark {
        '\u{fdd0}' => "\u{1b}[1m",
        '\u{fdd1}' => "\u{1b}[31m",
        '\u{fdd2}' => "\u{1b}[33m",
        _ => "\u{1b}[0m",
    }
}

/// Whether answers are in color: on a terminal that knows some, unless the user wants none.
pub(super) fn is_wanted() -> bool {
    io::stdout().is_terminal()
        && environment::variable("NO_COLOR").is_none()
        && environment::variable("TERM").is_some_and(|term| term != "dumb")
}

/// How many columns the terminal has to which answers go, if they go to one.
pub(super) fn columns() -> Option<usize> {
    io::stdout()
        .is_terminal()
        .then(|| terminal_size::terminal_size_of(io::stdout()))?
        .map(|size| size.0.0.into())
}

/// `text` in a tone.
pub(super) fn marked(text: &str, tone: Tone) -> String {
    format!("{}{text}{PLAIN}", tone.mark())
}

/// A text that is to be printed, its marks as the terminal knows them and nothing else in it that a
/// terminal would obey.
pub(super) fn painted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(|c| MARKS.contains(&c)) {
        let mark = part.chars().next_back().filter(|c| MARKS.contains(c));
        let words = part.strip_suffix(|c| MARKS.contains(&c)).unwrap_or(part);
        out.push_str(&clean_lines(words));
        out.push_str(mark.map_or("", sequence));
    }
    out
}

/// How many columns a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// `text` in at most so many columns, the last of which tells that there was more.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let does = width <= left;
        left = left.saturating_sub(width);
        does
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_by_what_it_takes_on_the_terminal() {
        for (text, columns, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            // Two columns each.
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            // None of its own.
            ("e\u{301}tude", 5, "e\u{301}tude"),
        ] {
            assert_eq!(cut(text, columns), expected, "{text}");
        }
    }

    #[test]
    fn only_our_own_marks_become_colors() {
        let bad = marked("dead", Tone::Bad);
        assert_eq!(painted(&format!("a {bad} b\u{1b}[2J\n")), "a \u{1b}[31mdead\u{1b}[0m b\\u{1b}[2J\n");
        assert_eq!(super::super::output::clean(&bad), "\\u{fdd1}dead\\u{fdd3}");
        for (cell, tone) in [
            ("stale, 4m ago", Some(Tone::Bad)),
            ("late, 2m ago", Some(Tone::Doubtful)),
            ("deadline", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(Tone::of(cell), tone, "{cell}");
        }
    }
}
