//! Tables for people: left-aligned columns, two spaces apart, no borders.

use super::output::clean;

/// The widest a column may get before its text is cut.
const COLUMN_WIDTH_MAX: usize = 48;

/// Lines up `rows` under `head`. The last column is never cut.
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
    let last = head.len().saturating_sub(1);
    let cells: Vec<Vec<String>> = std::iter::once(head.iter().map(ToString::to_string).collect())
        .chain(rows.iter().map(|row| {
            row.iter()
                .enumerate()
                .map(|(column, cell)| if column == last { clean(cell) } else { cut(&clean(cell), width_max) })
                .collect()
        }))
        .collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            cells
                .iter()
                .filter_map(|row: &Vec<String>| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in &cells {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
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

fn cut(cell: &str, width_max: usize) -> String {
    if cell.chars().count() <= width_max {
        return cell.to_owned();
    }
    let mut short: String = cell.chars().take(width_max - 1).collect();
    short.push('…');
    short
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
}
