//! Tables: boxes on a terminal, aligned columns where the terminal has no UTF-8, and rows for programs in a pipe.
//!
//! A custom implementation, because 1,000,000 rows must cost little more than their text: all cells of a block share
//! one string and are visited twice, and long lists are drawn block by block ([`Table::block`]). On a narrow terminal,
//! texts are wrapped, and then columns are hidden and named below: nothing is cut.

use std::{
    fmt::{Display, Write as _},
    io::{self, Write},
};

use super::{
    style::{Frame, Style, style},
    wrap::wrap,
};
use crate::failure::printable;

/// Columns that are wrapped stay at least this wide.
const NARROWEST: usize = 12;

/// Rows below a header. Columns are as wide as their widest cell, if there is room.
pub(crate) struct Table {
    columns: Vec<Column>,
    text: String,
    /// End offset of each cell in `text`, row by row.
    ends: Vec<usize>,
    /// The widths of the block before; empty before the first.
    drawn: Vec<usize>,
}

struct Column {
    title: &'static str,
    width: usize,
    right: bool,
    /// Whether its cells may be wrapped.
    wraps: bool,
    /// Hidden first where it is highest; 0 = never.
    rank: usize,
    /// Whether a terminal shows it only if a cell has text.
    sparse: bool,
    filled: bool,
}

impl Column {
    fn is_absent(&self) -> bool {
        self.sparse && !self.filled
    }
}

impl Table {
    /// An empty table. Marks before a title: `>` aligns to the right, `~` lets cells be wrapped on a narrow terminal,
    /// `?` lets the column be hidden there, those with most of them first; `-` hides it on any terminal while it is empty.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| {
            let bare = title.trim_start_matches(['>', '~', '?', '-']);
            let marks = &title[..title.len() - bare.len()];
            Column {
                title: bare,
                width: bare.chars().count(),
                right: marks.contains('>'),
                wraps: marks.contains('~'),
                rank: marks.matches('?').count(),
                sparse: marks.contains('-'),
                filled: false,
            }
        };
        Self {
            columns: titles.iter().map(column).collect(),
            text: String::new(),
            ends: Vec::new(),
            drawn: Vec::new(),
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
            column.filled |= self.text.len() > start;
            self.ends.push(self.text.len());
        }
    }

    /// Draws it.
    pub(crate) fn write(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.block(out)?;
        self.end(out)
    }

    /// Draws the rows so far and forgets them. If they need other widths than the rows before, a new header is drawn.
    pub(crate) fn block(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.block_as(style(), out)
    }

    fn block_as(&mut self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        let mut buffer = String::with_capacity(1 << 16);
        let mut widths = Vec::new();
        if let Some(frame) = style.frame {
            widths = self.widths(frame, style.width);
            if self.drawn != widths {
                if !self.drawn.is_empty() {
                    frame.bottom(&self.drawn, &mut buffer);
                }
                frame.top(&widths, &mut buffer);
                let titles: Vec<&str> = self.columns.iter().map(|c| c.title).collect();
                self.line(frame, &widths, &mut buffer, &titles);
                frame.middle(&widths, &mut buffer);
                self.drawn.clone_from(&widths);
            }
        }
        let mut start = 0;
        let mut cells = Vec::with_capacity(self.columns.len());
        for row in self.ends.chunks(self.columns.len()) {
            cells.clear();
            for end in row {
                cells.push(&self.text[start..*end]);
                start = *end;
            }
            match style.frame {
                Some(frame) => self.line(frame, &widths, &mut buffer, &cells),
                None => {
                    buffer += &cells.join("\t");
                    buffer.push('\n');
                }
            }
            if buffer.len() > 1 << 15 {
                out.write_all(buffer.as_bytes())?;
                buffer.clear();
            }
        }
        self.text.clear();
        self.ends.clear();
        out.write_all(buffer.as_bytes())
    }

    /// Ends the table after its last block, and names the hidden columns.
    pub(crate) fn end(self, out: &mut dyn Write) -> io::Result<()> {
        self.end_as(style(), out)
    }

    fn end_as(self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        let Some(frame) = style.frame else {
            return Ok(());
        };
        let mut buffer = String::new();
        frame.bottom(&self.drawn, &mut buffer);
        let columns = self.columns.iter().zip(&self.drawn);
        let hidden: Vec<&str> = columns
            .filter(|(column, width)| **width == 0 && !column.is_absent())
            .map(|(column, _)| column.title)
            .collect();
        if !hidden.is_empty() {
            let names = hidden.join(", ");
            buffer += &format!("Not shown on this narrow terminal: {names}. --json shows all.\n");
        }
        out.write_all(buffer.as_bytes())
    }

    /// The width of each column, 0 if it is hidden.
    fn widths(&self, frame: Frame, limit: Option<usize>) -> Vec<usize> {
        let shown = self
            .columns
            .iter()
            .map(|c| if c.is_absent() { 0 } else { c.width });
        let mut widths: Vec<usize> = shown.collect();
        let Some(limit) = limit else { return widths };
        let floor = |column: &Column| match column.wraps {
            _ if column.is_absent() => 0,
            true => column
                .width
                .min(NARROWEST.max(column.title.chars().count())),
            false => column.width,
        };
        let mut least: Vec<usize> = self.columns.iter().map(floor).collect();
        while frame.total(&least) > limit {
            let shown = (0..least.len()).filter(|i| least[*i] > 0 && self.columns[*i].rank > 0);
            let Some(hide) = shown.max_by_key(|i| self.columns[*i].rank) else {
                break;
            };
            (least[hide], widths[hide]) = (0, 0);
        }
        while frame.total(&widths) > limit {
            let wrapped = (0..widths.len()).filter(|i| widths[*i] > least[*i]);
            let Some(widest) = wrapped.max_by_key(|i| widths[*i]) else {
                break;
            };
            widths[widest] -= 1;
        }
        widths
    }

    fn line(&self, frame: Frame, widths: &[usize], out: &mut String, cells: &[&str]) {
        let mut parts: Vec<std::vec::IntoIter<&str>> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| wrap(cell, *width).into_iter())
            .collect();
        let mut rows = parts.iter().map(ExactSizeIterator::len).max().unwrap_or(1);
        while rows > 0 {
            let cells = parts.iter_mut().zip(widths).zip(&self.columns);
            let cells = cells.filter(|((_, width), _)| **width > 0);
            let cells = cells
                .map(|((part, width), column)| (part.next().unwrap_or(""), *width, column.right));
            frame.line(cells, out);
            rows -= 1;
        }
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
        assert_eq!(drawn(table), expected);
    }

    #[test]
    fn an_empty_table_keeps_its_header() {
        let expected = "┌───┐\n│ A │\n╞═══╡\n└───┘\n";
        assert_eq!(drawn(Table::new(&["A"])), expected);
    }

    #[test]
    fn cells_cannot_control_the_terminal() {
        let mut table = Table::new(&["A"]);
        table.row(&[&"x\u{1b}[2J\ny"]);
        assert!(drawn(table).contains("│ x?[2J?y │"));
    }

    fn table() -> Table {
        let mut table = Table::new(&["Name", ">?Count", "~Problem"]);
        table.row(&[&"a", &12, &"connection refused by the other side"]);
        table.row(&[&"b", &"", &""]);
        table
    }

    fn styled(frame: Option<Frame>, width: Option<usize>) -> String {
        let (mut table, mut out) = (table(), Vec::new());
        let style = Style { frame, width };
        table.block_as(style, &mut out).unwrap();
        table.end_as(style, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn programs_read_rows_separated_by_tabs_without_a_header() {
        let expected = "a\t12\tconnection refused by the other side\nb\t\t\n";
        assert_eq!(styled(None, None), expected);
    }

    #[test]
    fn a_terminal_without_utf_8_has_aligned_columns() {
        let expected = "Name  Count  Problem\n\
            a        12  connection refused by the other side\n\
            b\n";
        assert_eq!(styled(Some(Frame::Spaces), None), expected);
    }

    #[test]
    fn texts_are_wrapped_then_columns_hidden() {
        let expected = "\
┌──────┬───────┬──────────────────┐
│ Name ┆ Count ┆ Problem          │
╞══════╪═══════╪══════════════════╡
│ a    ┆    12 ┆ connection       │
│      ┆       ┆ refused by the   │
│      ┆       ┆ other side       │
│ b    ┆       ┆                  │
└──────┴───────┴──────────────────┘
";
        assert_eq!(styled(Some(Frame::Boxes), Some(35)), expected);
        let narrow = styled(Some(Frame::Boxes), Some(24));
        assert!(
            narrow.ends_with("terminal: Count. --json shows all.\n"),
            "{narrow}"
        );
        assert!(
            narrow.lines().take(8).all(|l| l.chars().count() <= 24),
            "{narrow}"
        );
    }

    #[test]
    fn later_blocks_may_be_wider() {
        let style = Style {
            frame: Some(Frame::Boxes),
            width: None,
        };
        let (mut table, mut out) = (Table::new(&["A"]), Vec::new());
        for cell in ["1", "2", "333"] {
            table.row(&[&cell]);
            table.block_as(style, &mut out).unwrap();
        }
        table.end_as(style, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "┌───┐\n│ A │\n╞═══╡\n│ 1 │\n│ 2 │\n└───┘\n┌─────┐\n│ A   │\n╞═════╡\n│ 333 │\n└─────┘\n"
        );
    }
}
