//! A panel: a border with a name, and the rows that fit.

use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    style::{Modifier, Style},
    text::Line,
    widgets::{Block, Cell, Paragraph, Row as TableRow, Table, TableState, Wrap},
};

use super::View;
use crate::top::{
    look::{Look, Tone},
    rows::{self, Column, Panel, Row},
};

/// The least width of the column that takes what is left.
const REST: u16 = 23;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, panel: Panel, view: &View<'_>) {
    let View {
        model,
        ui,
        look,
        now,
        ..
    } = view;
    let focused = ui.focus == panel;
    let about = rows::about(panel, model, ui);
    let title = match about.is_empty() {
        true => format!(" {} ", panel.name()),
        false => format!(" {}: {about} ", panel.name()),
    };
    let tone = if focused { Tone::Accent } else { Tone::Dim };
    let name = if focused {
        look.style(Tone::Accent)
    } else {
        Style::new()
    };
    let block = Block::bordered()
        .border_set(look.border())
        .border_style(look.style(tone))
        .title(Line::styled(title, name.add_modifier(Modifier::BOLD)));
    let inner = block.inner(area);
    let rows = rows::rows(panel, model, ui, now.unix);
    if rows.is_empty()
        && let Some(text) = rows::instead(panel, model, ui)
    {
        frame.render_widget(block, area);
        let text = Paragraph::new(look.text(&text)).style(look.style(Tone::Dim));
        frame.render_widget(text.wrap(Wrap { trim: true }), inner);
        return;
    }
    let selected = ui.selected(panel);
    let at = selected.and_then(|key| rows.iter().position(|row| row.key == *key));
    table(frame, area, block, panel, &rows, at, *look);
}

fn table(
    frame: &mut Frame<'_>,
    area: Rect,
    block: Block<'_>,
    panel: Panel,
    rows: &[Row],
    selected: Option<usize>,
    look: Look,
) {
    let columns = panel.columns();
    let inner = block.inner(area);
    let shown = fitting(columns, inner.width);
    let titled = columns.len() > 1;
    // Only what is seen is made: there may be a thousand rows.
    let height = usize::from(inner.height).saturating_sub(usize::from(titled));
    let first = selected.map_or(0, |at| (at + 1).saturating_sub(height));
    let seen = rows.iter().skip(first).take(height);
    let widths = widths(columns, &shown, inner.width);
    let line = |row| line(row, columns, &shown, &widths, look);
    let lines: Vec<TableRow<'_>> = seen.map(line).collect();
    let widths = widths.iter().map(|width| Constraint::Length(*width));
    let mut table = Table::new(lines, widths).block(block).column_spacing(1);
    if titled {
        let head = shown
            .iter()
            .map(|index| cell(columns[*index].title.to_owned(), &columns[*index]));
        table = table.header(TableRow::new(head).style(look.style(Tone::Dim)));
    }
    let highlight = Style::new().add_modifier(Modifier::REVERSED);
    let mut state = TableState::new().with_selected(selected.map(|at| at - first));
    frame.render_stateful_widget(table.row_highlight_style(highlight), area, &mut state);
}

/// The width of each column that is shown.
fn widths(columns: &[Column], shown: &[usize], width: u16) -> Vec<u16> {
    let fixed: u16 = shown.iter().map(|index| columns[*index].width).sum();
    let gaps = u16::try_from(shown.len()).unwrap_or(0).saturating_sub(1);
    let rest = width.saturating_sub(fixed + gaps);
    let width = |index: &usize| match columns[*index].width {
        0 => rest,
        width => width,
    };
    shown.iter().map(width).collect()
}

fn line<'a>(
    row: &Row,
    columns: &[Column],
    shown: &[usize],
    widths: &[u16],
    look: Look,
) -> TableRow<'a> {
    let cells = shown.iter().zip(widths).map(|(index, width)| {
        let text = row.cells.get(*index).map_or("", String::as_str);
        cell(cut(look.text(text), *width, look), &columns[*index])
    });
    TableRow::new(cells).style(look.style(row.tone))
}

/// A text that does not fit says so: half a network would be another one.
fn cut(text: String, width: u16, look: Look) -> String {
    let width = usize::from(width);
    if text.chars().count() <= width {
        return text;
    }
    let mark = if look.unicode { '…' } else { '~' };
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain([mark]).collect()
}

fn cell<'a>(text: String, column: &Column) -> Cell<'a> {
    let line = Line::from(text);
    Cell::from(if column.right {
        line.right_aligned()
    } else {
        line
    })
}

/// The columns that fit, by rank.
fn fitting(columns: &[Column], width: u16) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let needs = |shown: &[usize]| {
        let widths = shown.iter().map(|index| match columns[*index].width {
            0 => REST,
            width => width,
        });
        widths.sum::<u16>() + u16::try_from(shown.len()).unwrap_or(0).saturating_sub(1)
    };
    while shown.len() > 1 && needs(&shown) > width {
        let least = shown
            .iter()
            .copied()
            .max_by_key(|index| columns[*index].rank);
        let Some(least) = least.filter(|index| columns[*index].rank > 0) else {
            break;
        };
        shown.retain(|index| *index != least);
    }
    shown
}
