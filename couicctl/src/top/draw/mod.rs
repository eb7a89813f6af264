//! Draws the screen: a pure function of the model, the state of keys, and the time.
//!
//! From 60 columns and 16 lines all panels are shown; on less, the rates and the panel with the focus.

mod over;
mod panel;
mod rates;

use std::time::Instant;

use ratatui::{
    Frame,
    layout::Rect,
    style::Modifier,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    look::{Look, Tone, clock},
    model::Model,
    rows::Panel,
    state,
    ui::{Dialog, Ui},
};
use crate::duration::remaining;

/// The time, for ages and countdowns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) at: Instant,
    /// Unix seconds by the daemon's clock.
    pub(super) unix: u64,
}

/// What is drawn.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) model: &'a Model,
    pub(super) ui: &'a Ui,
    pub(super) look: Look,
    pub(super) now: Now,
    /// The address of the daemon.
    pub(super) endpoint: &'a str,
}

/// Less than this cannot show a panel.
const SMALLEST: (u16, u16) = (20, 6);

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View<'_>) {
    let mut rest = frame.area();
    if rest.width < SMALLEST.0 || rest.height < SMALLEST.1 {
        frame.render_widget(
            Paragraph::new("couicctl top: this terminal is too small"),
            rest,
        );
        return;
    }
    header(frame, top(&mut rest, 1), view);
    banners(frame, &mut rest, view);
    footer(frame, bottom(&mut rest, 1), view);
    pending(frame, &mut rest, view);
    let alone = view.ui.zoom || rest.width < 60 || rest.height < 13;
    if alone {
        let lines = if rest.height > 8 { 2 } else { 0 };
        rates::lines(frame, top(&mut rest, lines), view);
        panel::draw(frame, rest, view.ui.focus, view);
    } else {
        let height = match rest.height {
            30.. => 8,
            20..30 => 6,
            _ => 4,
        };
        rates::panel(frame, top(&mut rest, height), view);
        quarters(frame, rest, view);
    }
    over::draw(frame, view);
}

fn quarters(frame: &mut Frame<'_>, mut rest: Rect, view: &View<'_>) {
    let half = rest.height.div_ceil(2);
    let mut upper = top(&mut rest, half);
    // Rules need more room than tags, changes more than states.
    let (narrow, wide) = (rest.width * 9 / 20, rest.width * 11 / 20);
    let tags = left(&mut upper, narrow);
    let changes = left(&mut rest, wide);
    for (panel, area) in [
        (Panel::Tags, tags),
        (Panel::Rules, upper),
        (Panel::Changes, changes),
        (Panel::State, rest),
    ] {
        panel::draw(frame, area, panel, view);
    }
}

fn header(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) {
    let View { model, look, .. } = view;
    let (tone, word) = state::word(model);
    let version = model
        .health
        .as_ref()
        .map_or("", |health| health.version.as_str());
    let mut spans = vec![
        Span::styled(
            look.text(&format!("couic {version} ")),
            look.style(Tone::Accent),
        ),
        Span::styled(word, look.style(tone).add_modifier(Modifier::BOLD)),
    ];
    if let Some(counts) = state::counts(model) {
        spans.push(Span::raw(format!("  {counts}")));
    }
    let time = format!(" {} UTC", clock(view.now.unix));
    let mut room = usize::from(area.width);
    if room > 70 {
        room = room.saturating_sub(time.len());
        frame.render_widget(Line::from(time).right_aligned(), area);
    }
    // The state is worth more than a long path.
    let endpoint = Span::raw(look.text(&format!("{} ", view.endpoint)));
    if spans.iter().map(Span::width).sum::<usize>() + endpoint.width() <= room {
        spans.insert(1, endpoint);
    }
    let area = Rect {
        width: u16::try_from(room).unwrap_or(area.width),
        ..area
    };
    frame.render_widget(Line::from(spans), area);
}

/// Panic, and a daemon that is away.
fn banners(frame: &mut Frame<'_>, rest: &mut Rect, view: &View<'_>) {
    let View {
        model, look, now, ..
    } = view;
    if let Some(away) = &model.away {
        let since = remaining(
            now.at
                .saturating_duration_since(away.since)
                .as_secs()
                .max(1),
            0,
        );
        let elapsed = now.at.saturating_duration_since(away.at);
        let next = away.retry.saturating_sub(elapsed).as_secs().max(1);
        let why = away.why.lines().next().unwrap_or("");
        let text = format!(" No answer for {since}, next attempt in {next} s: {why}");
        banner(frame, rest, look, Tone::Bad, &text);
    }
    let panic = model.health.as_ref().and_then(|health| health.panic_since);
    let Some(since) = panic else { return };
    let mut text = " PANIC IS ON: every packet passes, regardless of the rules".to_owned();
    if since > 0 {
        text += &format!(
            ", for {}",
            remaining(now.unix.saturating_sub(since).max(1), 0)
        );
    }
    if let Some(panic) = &model.panic {
        let by = panic.by.as_ref().map(|by| format!("; by {by}"));
        let reason = panic.reason.as_ref().map(|reason| format!(": {reason}"));
        text += &(by.unwrap_or_default() + &reason.unwrap_or_default());
    }
    banner(frame, rest, look, Tone::Bad, &(text + ". p ends it"));
}

fn banner(frame: &mut Frame<'_>, rest: &mut Rect, look: &Look, tone: Tone, text: &str) {
    if rest.height > 4 {
        let area = top(rest, 1);
        let line = Paragraph::new(look.text(text)).style(look.banner(tone));
        frame.render_widget(line, area);
    }
}

/// The first change that awaits confirmation, with its countdown.
fn pending(frame: &mut Frame<'_>, rest: &mut Rect, view: &View<'_>) {
    let View {
        model, look, now, ..
    } = view;
    let all = model.pending(now.at);
    let Some((change, left)) = all.first() else {
        return;
    };
    if rest.height < 6 {
        return;
    }
    let area = bottom(rest, 1);
    let more = match all.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let by = match model.is_own(change.id) {
        true => String::new(),
        false => format!(" of {}", change.client),
    };
    let text = format!(
        " UNDONE IN {}:{:02}{by} unless confirmed: c confirms, x undoes. {}{more}",
        left / 60,
        left % 60,
        change.summary
    );
    frame.render_widget(
        Paragraph::new(look.text(&text)).style(look.banner(Tone::Warn)),
        area,
    );
}

/// What happened last, the filter, or the keys.
fn footer(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) {
    let View { ui, look, .. } = view;
    let line = match (&ui.message, &ui.dialog) {
        (_, Some(Dialog::Filter(_))) => {
            let typed = look.text(&format!("/{}", ui.filter));
            let at = u16::try_from(typed.chars().count()).unwrap_or(u16::MAX);
            let x = area
                .x
                .saturating_add(at)
                .min(area.right().saturating_sub(1));
            frame.set_cursor_position((x, area.y));
            Line::from(typed)
        }
        (Some((tone, text)), _) => Line::styled(look.text(text), look.style(*tone)),
        (None, _) => keys(view),
    };
    frame.render_widget(line, area);
}

fn keys(view: &View<'_>) -> Line<'static> {
    let View { ui, look, .. } = view;
    let mut spans = Vec::new();
    if !ui.filter.is_empty() {
        let text = look.text(&format!("filter {} (Esc ends it)  ", ui.filter));
        spans.push(Span::styled(text, look.style(Tone::Accent)));
    }
    for (key, what) in [
        ("Enter", "why"),
        ("b", "ban"),
        ("u", "unban"),
        ("a", "allow"),
        ("/", "filter"),
        ("s", "sort"),
        ("z", "zoom"),
        ("p", "panic"),
        ("?", "help"),
        ("q", "quit"),
    ] {
        spans.push(Span::styled(key, look.style(Tone::Accent)));
        spans.push(Span::styled(format!(" {what}  "), look.style(Tone::Dim)));
    }
    Line::from(spans)
}

/// Cuts lines off the top.
fn top(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    let cut = Rect { height, ..*rest };
    rest.y += height;
    rest.height -= height;
    cut
}

/// Cuts lines off the bottom.
fn bottom(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    rest.height -= height;
    Rect {
        y: rest.y + rest.height,
        height,
        ..*rest
    }
}

/// Cuts columns off the left.
fn left(rest: &mut Rect, width: u16) -> Rect {
    let width = width.min(rest.width);
    let cut = Rect { width, ..*rest };
    rest.x += width;
    rest.width -= width;
    cut
}

#[cfg(test)]
mod tests;
