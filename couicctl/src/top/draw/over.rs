//! Dialogs over the panels.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Wrap},
};

use super::View;
use crate::top::{
    look::Tone,
    ui::{Dialog, Form},
};

/// Draws the dialog that is open, if there is one.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View<'_>) {
    match &view.ui.dialog {
        None | Some(Dialog::Filter(_)) => {}
        Some(Dialog::Form(shown)) => form(frame, shown, view),
        Some(Dialog::Sure(question, _)) => {
            let lines = vec![plain(question, view), hint("Enter yes   Esc no", view)];
            window(frame, "Sure?", Tone::Warn, lines, 0, view);
        }
        Some(Dialog::Panic { on, typed, wrong }) => panic(frame, *on, typed, *wrong, view),
        Some(Dialog::Text {
            title,
            lines,
            scroll,
        }) => {
            let lines = lines.iter().map(|line| plain(line, view)).collect();
            let tone = if title == "Refused" {
                Tone::Bad
            } else {
                Tone::Accent
            };
            window(frame, title, tone, lines, *scroll, view);
        }
    }
}

fn plain(text: &str, view: &View<'_>) -> Line<'static> {
    Line::from(view.look.text(text))
}

fn hint(text: &str, view: &View<'_>) -> Line<'static> {
    Line::styled(text.to_owned(), view.look.style(Tone::Dim))
}

fn form(frame: &mut Frame<'_>, form: &Form, view: &View<'_>) {
    let look = view.look;
    let mut lines = Vec::new();
    for (index, (label, text)) in form.fields.iter().enumerate() {
        let here = index == form.at;
        let tone = if here { Tone::Accent } else { Tone::Plain };
        let mark = if here { "> " } else { "  " };
        let cursor = if here { "_" } else { "" };
        lines.push(Line::from(vec![
            Span::styled(format!("{mark}{label:<9}"), look.style(tone)),
            Span::raw(look.text(text) + cursor),
        ]));
    }
    if let Some(error) = &form.error {
        lines.push(Line::styled(look.text(error), look.style(Tone::Bad)));
    }
    lines.push(hint(
        "Enter next, then done   Tab another field   Esc cancel",
        view,
    ));
    if form.changes() {
        let text = format!(
            "Undone after {} s unless you confirm it with c.",
            view.ui.within
        );
        lines.push(hint(&text, view));
    }
    window(frame, form.title(), Tone::Accent, lines, 0, view);
}

fn panic(frame: &mut Frame<'_>, on: bool, typed: &str, wrong: bool, view: &View<'_>) {
    let word = Dialog::word(on);
    let effect = if on {
        "Every packet passes then, regardless of the rules, until it is switched off."
    } else {
        "The rules are in force again then."
    };
    let mut lines = vec![
        plain(effect, view),
        plain(&format!("Type {word} and press Enter: {typed}_"), view),
    ];
    if wrong {
        let text = format!("That is not {word}.");
        lines.push(Line::styled(text, view.look.style(Tone::Bad)));
    }
    lines.push(hint("Esc cancels. This is not undone by itself.", view));
    let title = if on {
        "Switch panic on"
    } else {
        "Switch panic off"
    };
    window(frame, title, Tone::Bad, lines, 0, view);
}

/// A window in the middle, as large as its text, within the screen.
fn window(
    frame: &mut Frame<'_>,
    title: &str,
    tone: Tone,
    lines: Vec<Line<'static>>,
    scroll: u16,
    view: &View<'_>,
) {
    let screen = frame.area();
    let longest = lines.iter().map(Line::width).max().unwrap_or(0);
    let wanted = u16::try_from(longest.max(title.len()) + 4).unwrap_or(u16::MAX);
    let width = wanted.clamp(30, 100).min(screen.width);
    let inside = usize::from(width.saturating_sub(4)).max(1);
    let rows: usize = lines
        .iter()
        .map(|line| line.width().div_ceil(inside).max(1))
        .sum();
    // Words that do not fit move to the next line, so that a line may need one more.
    let slack = lines.iter().filter(|line| line.width() > inside).count();
    let height = u16::try_from(rows + slack + 2)
        .unwrap_or(u16::MAX)
        .min(screen.height);
    let area = Rect {
        x: screen.x + (screen.width - width) / 2,
        y: screen.y + (screen.height - height) / 2,
        width,
        height,
    };
    let look = view.look;
    let block = Block::bordered()
        .border_set(look.border())
        .border_style(look.style(tone))
        .title(Line::styled(
            format!(" {} ", look.text(title)),
            look.style(tone),
        ));
    let inner = block.inner(area);
    let text = Rect {
        x: inner.x + 1,
        width: inner.width.saturating_sub(2),
        ..inner
    };
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    let lines = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(lines.scroll((scroll, 0)), text);
}
