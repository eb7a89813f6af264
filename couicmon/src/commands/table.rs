//! Tables: aligned columns below a header on a terminal, rows with tabs for programs, as those of couicctl.

use std::io::{self, IsTerminal, Write};

/// Rows below a header. A title that starts with `>` is that of a column of numbers.
pub(super) struct Table {
    titles: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) const fn new(titles: &'static [&'static str]) -> Self {
        Self {
            titles,
            rows: Vec::new(),
        }
    }

    /// Adds a row, one cell for each title. Control characters are replaced: cells come from logs.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let safe = |cell: String| cell.replace(char::is_control, "?");
        self.rows.push(cells.into_iter().map(safe).collect());
    }

    /// Writes it as fits what standard output is.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.print(out, io::stdout().is_terminal())
    }

    /// For people or for programs.
    pub(super) fn print(&self, out: &mut dyn Write, people: bool) -> io::Result<()> {
        if people {
            self.aligned(out)
        } else {
            self.tabs(out)
        }
    }

    fn tabs(&self, out: &mut dyn Write) -> io::Result<()> {
        self.rows
            .iter()
            .try_for_each(|row| writeln!(out, "{}", row.join("\t")))
    }

    fn aligned(&self, out: &mut dyn Write) -> io::Result<()> {
        let titles: Vec<String> = self
            .titles
            .iter()
            .map(|t| t.trim_start_matches('>').to_owned())
            .collect();
        let lines = || std::iter::once(&titles).chain(&self.rows);
        let width = |column: usize| {
            lines()
                .filter_map(|l| l.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..titles.len())
            .map(|column| width(column).unwrap_or(0))
            .collect();
        for line in lines() {
            let cells = line
                .iter()
                .zip(&widths)
                .zip(self.titles)
                .map(|((cell, width), title)| {
                    if title.starts_with('>') {
                        format!("{cell:>width$}")
                    } else {
                        format!("{cell:width$}")
                    }
                });
            let text = cells.collect::<Vec<_>>().join("  ");
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_for_people_and_cells_cannot_control_the_terminal() {
        let mut table = Table::new(&["Name", ">Count", "Why"]);
        table.row(["é".into(), "1".into(), "x\u{1b}[2J".into()]);
        table.row(["longer".into(), "12345".into(), String::new()]);
        let mut out = Vec::new();
        table.aligned(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "Name    Count  Why\né           1  x?[2J\nlonger  12345\n"
        );
        let mut out = Vec::new();
        table.tabs(&mut out).unwrap();
        assert_eq!(out, "é\t1\tx?[2J\nlonger\t12345\t\n".as_bytes());
    }
}
