//! `couicctl top --once`: one frame as plain text, after two readings, so that there are rates.

use std::time::{Duration, Instant};

use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};
use tokio::sync::mpsc;

use super::{
    draw::{Now, View, draw},
    fetch::Fetch,
    look::Look,
    model::Model,
    ui::Ui,
};
use crate::{commands::Context, duration::now_ahead, failure::Failure};

/// Columns and lines if there is no terminal and no `COLUMNS` and `LINES`.
const SIZE: (u16, u16) = (120, 40);

/// The most columns and lines.
const LARGEST: u16 = 500;

pub(super) async fn run(cx: &mut Context, period: Duration, look: Look) -> Result<(), Failure> {
    let mut model = Model::new(period);
    let mut fetch = Fetch::new(cx.client.clone(), period);
    for round in 0..2 {
        let (out, mut reports) = mpsc::channel(16);
        let reading = async {
            let read = fetch.round(round, &out).await;
            drop(out);
            read
        };
        let taking = async {
            while let Some(report) = reports.recv().await {
                model.take(report, Instant::now());
            }
        };
        let (read, ()) = tokio::join!(reading, taking);
        read.map_err(|e| cx.failed(e))?;
        if round == 0 {
            tokio::time::sleep(period).await;
        }
    }
    let text = frame(cx, &model, look)?;
    cx.output.writer().write_all(text.as_bytes())?;
    cx.output.flush()
}

fn frame(cx: &Context, model: &Model, look: Look) -> Result<String, Failure> {
    let (width, height) = size();
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let now = Now {
        at: Instant::now(),
        unix: now_ahead(model.clock_ahead),
    };
    let ui = Ui::new(60);
    let endpoint = cx.client.endpoint().to_string();
    let view = View {
        model,
        ui: &ui,
        look,
        now,
        endpoint: &endpoint,
    };
    let Ok(_) = terminal.draw(|frame| draw(frame, &view));
    Ok(text(terminal.backend().buffer()))
}

/// `COLUMNS` and `LINES`, or the terminal's, or a common size.
fn size() -> (u16, u16) {
    let var = |name| std::env::var(name).ok()?.parse::<u16>().ok();
    let (width, height) = crossterm::terminal::size().unwrap_or(SIZE);
    let or = |set: Option<u16>, found: u16| set.unwrap_or(found).clamp(20, LARGEST);
    (or(var("COLUMNS"), width), or(var("LINES"), height))
}

/// The characters, without blanks at the end of lines.
pub(super) fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut text = String::new();
    for y in area.top()..area.bottom() {
        let line: String = (area.left()..area.right())
            .map(|x| buffer[(x, y)].symbol())
            .collect();
        text += line.trim_end();
        text.push('\n');
    }
    text
}
