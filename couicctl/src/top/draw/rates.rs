//! The rates of pass and drop, and their history as bars.

use ratatui::{
    Frame,
    layout::Rect,
    style::Modifier,
    text::{Line, Span},
    widgets::{Block, Paragraph, Sparkline},
};

use super::View;
use crate::{
    duration::remaining,
    top::{
        look::{Tone, bits, rate},
        model::{Flow, Point, Traffic},
    },
};

/// Columns of the figures left of the bars.
const FIGURES: u16 = 16;

/// A bordered panel with both verdicts.
pub(super) fn panel(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) {
    let View { model, look, .. } = view;
    let columns = area.width.saturating_sub(FIGURES + 3);
    let (filled, per) = model.traffic.columns(usize::from(columns), |p| p.drop);
    // A column stands for `per` readings.
    let seconds = filled.len() as u64 * per as u64 * view.model.period.max(1);
    let mut title = format!(" Traffic: last {} ", remaining(seconds.max(1), 0));
    if let Some(aborted) = model.traffic.aborted.filter(|flow| flow.packets > 0.0) {
        title += &format!("- malformed {} pkt/s ", rate(Some(aborted.packets)));
    }
    let block = Block::bordered().border_set(look.border()).title(title);
    let block = block.border_style(look.style(Tone::Dim));
    let mut inner = block.inner(area);
    frame.render_widget(block, area);
    let half = inner.height / 2;
    let pass = super::top(&mut inner, half);
    one(frame, pass, "pass", Tone::Good, view);
    one(frame, inner, "drop", Tone::Bad, view);
}

/// A line for each verdict, without borders.
pub(super) fn lines(frame: &mut Frame<'_>, mut area: Rect, view: &View<'_>) {
    if area.height >= 2 {
        one(frame, super::top(&mut area, 1), "pass", Tone::Good, view);
        one(frame, area, "drop", Tone::Bad, view);
    }
}

fn one(frame: &mut Frame<'_>, mut area: Rect, name: &'static str, tone: Tone, view: &View<'_>) {
    let View { model, look, .. } = view;
    let flow = flow(&model.traffic, name);
    let packets = rate(flow.map(|flow| flow.packets));
    let volume = bits(flow.map(|flow| flow.bits));
    let style = look.style(tone);
    let name_and = |text: String| {
        Line::from(vec![
            Span::styled(format!("{name} "), style),
            Span::raw(text),
        ])
    };
    let (lines, width) = match area.height {
        1 => (
            vec![name_and(format!("{packets:>6} pkt/s {volume:>11} "))],
            FIGURES + 14,
        ),
        2 => (
            vec![
                name_and(format!("{packets:>6} pkt/s")),
                Line::from(format!("{volume:>15}")),
            ],
            FIGURES + 1,
        ),
        _ => (
            vec![
                name_and(String::new()),
                Line::from(format!("{packets:>9} pkt/s")),
                Line::from(format!("{volume:>15}")),
            ],
            FIGURES + 1,
        ),
    };
    let figures = super::left(&mut area, width);
    frame.render_widget(Paragraph::new(lines), figures);
    let of: fn(&Point) -> Option<f64> = match name {
        "pass" => |point| point.pass,
        _ => |point| point.drop,
    };
    let (columns, _) = model.traffic.columns(usize::from(area.width), of);
    // The newest is at the right edge.
    let missing = usize::from(area.width).saturating_sub(columns.len());
    let bars = std::iter::repeat_n(None, missing).chain(columns);
    let bars: Vec<u64> = bars.map(Option::unwrap_or_default).collect();
    let sparkline = Sparkline::default()
        .data(bars)
        .bar_set(look.bars())
        // Underlined, as what is bad without colours, the empty columns would be a line.
        .style(style.remove_modifier(Modifier::UNDERLINED));
    frame.render_widget(sparkline, area);
}

fn flow(traffic: &Traffic, name: &str) -> Option<Flow> {
    if name == "pass" {
        traffic.pass
    } else {
        traffic.drop
    }
}
