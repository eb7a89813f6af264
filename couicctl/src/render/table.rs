//! Tables with box-drawing characters.
//!
//! A custom implementation, because the output must not depend on the terminal width, and 200,000 rows must cost little
//! more than their text: all cells share one string and are visited twice.

use std::{
    fmt::{Display, Write as _},
    io::{self, Write},
};

use crate::failure::printable;

/// Rows below a header. Columns are as wide as their widest cell.
pub(crate) struct Table {
    columns: Vec<Column>,
    text: String,
    /// End offset of each cell in `text`, row by row.
    ends: Vec<usize>,
}

struct Column {
    title: &'static str,
    width: usize,
    right: bool,
}

impl Table {
    /// An empty table. A title that begins with `>` makes the column right-aligned.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| {
            let bare = title.trim_start_matches('>');
            Column {
                title: bare,
                width: bare.chars().count(),
                right: bare.len() < title.len(),
            }
        };
        Self {
            columns: titles.iter().map(column).collect(),
            text: String::new(),
            ends: Vec::new(),
        }
    }

    /// Adds a row, one cell per column.
    pub(crate) fn row(&mut self, cells: &[&dyn Display]) {
        debug_assert_eq!(cells.len(), self.columns.len());
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            let start = self.text.len();
            // Writing to a String does not fail.
            let _ = write!(self.text, "{cell}");
            if self.text[start..].contains(char::is_control) {
                let safe = printable(&self.text[start..]).replace('\n', "?");
                self.text.truncate(start);
                self.text += &safe;
            }
            column.width = column.width.max(self.text[start..].chars().count());
            self.ends.push(self.text.len());
        }
    }

    /// Draws it.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut buffer = String::with_capacity(1 << 16);
        self.rule(&mut buffer, ["┌", "─", "┬", "┐"]);
        let titles: Vec<&str> = self.columns.iter().map(|c| c.title).collect();
        self.line(&mut buffer, &titles);
        self.rule(&mut buffer, ["╞", "═", "╪", "╡"]);
        let mut start = 0;
        let mut cells = Vec::with_capacity(self.columns.len());
        for row in self.ends.chunks(self.columns.len()) {
            cells.clear();
            for end in row {
                cells.push(&self.text[start..*end]);
                start = *end;
            }
            self.line(&mut buffer, &cells);
            if buffer.len() > 1 << 15 {
                out.write_all(buffer.as_bytes())?;
                buffer.clear();
            }
        }
        self.rule(&mut buffer, ["└", "─", "┴", "┘"]);
        out.write_all(buffer.as_bytes())
    }

    fn rule(&self, out: &mut String, [left, dash, cross, right]: [&str; 4]) {
        for (index, column) in self.columns.iter().enumerate() {
            *out += if index == 0 { left } else { cross };
            for _ in 0..column.width + 2 {
                *out += dash;
            }
        }
        *out += right;
        out.push('\n');
    }

    fn line(&self, out: &mut String, cells: &[&str]) {
        for (index, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            *out += if index == 0 { "│ " } else { " ┆ " };
            let pad = column.width - cell.chars().count();
            if column.right {
                out.extend(std::iter::repeat_n(' ', pad));
            }
            *out += cell;
            if !column.right {
                out.extend(std::iter::repeat_n(' ', pad));
            }
        }
        *out += " │\n";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::drawn;

    #[test]
    fn as_in_the_documentation() {
        let mut table = Table::new(&["Name", ">Count"]);
        table.row(&[&"é", &1]);
        table.row(&[&"longer", &12_345_678]);
        table.row(&[&"", &0]);
        let expected = "\
┌────────┬──────────┐
│ Name   ┆    Count │
╞════════╪══════════╡
│ é      ┆        1 │
│ longer ┆ 12345678 │
│        ┆        0 │
└────────┴──────────┘
";
        assert_eq!(drawn(&table), expected);
    }

    #[test]
    fn an_empty_table_keeps_its_header() {
        let expected = "┌───┐\n│ A │\n╞═══╡\n└───┘\n";
        assert_eq!(drawn(&Table::new(&["A"])), expected);
    }

    #[test]
    fn cells_cannot_control_the_terminal() {
        let mut table = Table::new(&["A"]);
        table.row(&[&"x\u{1b}[2J\ny"]);
        assert!(drawn(&table).contains("│ x?[2J?y │"));
    }
}
