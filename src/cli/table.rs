//! Tables for people: left-aligned columns, two spaces apart, no borders.

use super::output::clean;
use super::style::{self, Tone};

/// The widest a column may get before its text is cut.
const COLUMN_WIDTH_MAX: usize = 48;

/// What the last column keeps of a terminal that is too narrow.
const LAST_WIDTH_MIN: usize = 20;

/// Lines up `rows` under `head`. The last column is cut where a terminal ends, and nowhere else.
#[must_use]
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    lay_out(head, rows, COLUMN_WIDTH_MAX)
}

/// A table whose cells are whole, because people copy them.
#[must_use]
pub(super) fn whole_table(head: &[&str], rows: &[Vec<String>]) -> String {
    lay_out(head, rows, usize::MAX)
}

fn lay_out(head: &[&str], rows: &[Vec<String>], width_max: usize) -> String {
    let screen = Screen { columns: style::columns(), is_colored: style::is_wanted() };
    lay_out_on(screen, head, rows, width_max)
}

/// Where a table is shown.
#[derive(Debug, Clone, Copy)]
struct Screen {
    columns: Option<usize>,
    is_colored: bool,
}

fn lay_out_on(screen: Screen, head: &[&str], rows: &[Vec<String>], width_max: usize) -> String {
    let last = head.len().saturating_sub(1);
    let shown = |column: usize, cell: &str| match column {
        column if column == last => clean(cell),
        _ => style::cut(&clean(cell), width_max),
    };
    let mut widths: Vec<usize> = head.iter().map(|cell| style::width(cell)).collect();
    for row in rows {
        for ((column, cell), width) in row.iter().enumerate().zip(&mut widths) {
            *width = (*width).max(style::width(&shown(column, cell)));
        }
    }
    let before: usize = widths.iter().take(last).map(|width| width + 2).sum();
    // People copy what is whole; a terminal breaks its lines.
    let cut_at = screen.columns.filter(|_| width_max != usize::MAX);
    let room = cut_at.map(|columns| columns.saturating_sub(before).max(LAST_WIDTH_MIN));
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = (String, Option<Tone>)>| {
        let start = out.len();
        for ((column, (cell, tone)), width) in cells.enumerate().zip(&widths) {
            let cell = room.filter(|_| column == last).map_or(cell.clone(), |room| style::cut(&cell, room));
            let pad = width.saturating_sub(style::width(&cell)) + 2;
            let tone = tone.filter(|_| screen.is_colored);
            out.push_str(&tone.map_or(cell.clone(), |tone| style::marked(&cell, tone)));
            out.push_str(&" ".repeat(pad));
        }
        out.truncate(start + out.get(start..).map_or(0, |line| line.trim_end().len()));
        out.push('\n');
    };
    line(&mut head.iter().map(|cell| ((*cell).to_owned(), Some(Tone::Head))));
    for row in rows {
        line(&mut row.iter().enumerate().map(|(column, cell)| (shown(column, cell), Tone::of(cell))));
    }
    out
}

/// `name: value` lines with the values lined up; lines without a value are left out.
#[must_use]
pub(super) fn facts(lines: &[(&str, Option<String>)]) -> String {
    let width =
        lines.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.len() + 1).max().unwrap_or(0);
    lines
        .iter()
        .filter_map(|(name, value)| {
            Some(format!("{:width$} {}\n", format!("{name}:"), clean(value.as_ref()?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_long_cells_are_cut() {
        let rows = [
            vec!["a".to_owned(), "x".repeat(60), "end".to_owned()],
            vec!["bcd".to_owned(), "y\u{7}".to_owned(), "e".to_owned()],
        ];
        let text = table(&["ID", "WHAT", "LAST"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].contains('…') && lines[1].ends_with("end"));
        assert!(lines[2].starts_with("bcd  y\\u{7}"));
        assert_eq!(
            facts(&[("id", Some("1".into())), ("none", None), ("status", Some("x".into()))]),
            "id:     1\nstatus: x\n"
        );
    }

    #[test]
    fn columns_line_up_where_characters_are_wide_and_where_a_terminal_ends() {
        let rows = [
            vec!["日本".to_owned(), "stale, 4m ago".to_owned(), "a long tale of what went wrong".to_owned()],
            vec!["bcd".to_owned(), "ok".to_owned(), "short".to_owned()],
        ];
        let on = |columns, is_colored| {
            lay_out_on(Screen { columns, is_colored }, &["ID", "LIFE", "WHAT"], &rows, COLUMN_WIDTH_MAX)
        };
        assert_eq!(
            on(Some(41), false),
            "ID    LIFE           WHAT\n日本  stale, 4m ago  a long tale of what…\nbcd   ok             short\n"
        );
        assert!(on(None, false).contains("a long tale of what went wrong\n"));
        let colored = style::painted(&on(Some(41), true));
        assert!(colored.starts_with("\u{1b}[1mID\u{1b}[0m    "), "{colored:?}");
        assert!(colored.contains("  \u{1b}[31mstale, 4m ago\u{1b}[0m  a long"), "{colored:?}");
    }
}
