//! `couicctl stats --live`: the figures every second, with rates, until Ctrl-C.
//!
//! On a terminal it uses the alternate screen, always restores the terminal, and leaves the last figures on it.
//! Otherwise it prints lines every second. It keeps running while the daemon restarts.

use std::time::{Duration, Instant};

use couic_client::ClientError;
use couic_common::{Policy, Stats, TagStats};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::{Context, interrupt::Interrupt};
use crate::{
    failure::{Failure, print_warning, printable},
    render::{self, Rates},
};

const PERIOD: Duration = Duration::from_secs(1);

/// Enters the alternate screen and hides the cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Shows the cursor and leaves the alternate screen.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Moves the cursor to the upper left corner.
const HOME: &str = "\x1b[H";
/// Clears the line after the cursor.
const END_OF_LINE: &str = "\x1b[K";
/// Clears the screen after the cursor.
const REST: &str = "\x1b[J";

/// What is watched.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Global,
    Tags(Policy),
}

/// The figures of one reading, as the API answers.
#[derive(Serialize)]
#[serde(untagged)]
enum Figures {
    Global(Stats),
    Tags(TagStats),
}

impl Source {
    async fn read(self, cx: &Context) -> Result<Figures, ClientError> {
        Ok(match self {
            Self::Global => Figures::Global(cx.client.stats().await?),
            Self::Tags(policy) => Figures::Tags(cx.client.tag_stats(policy).await?),
        })
    }
}

/// Figures and the time of their reading.
struct Sample {
    at: Instant,
    figures: Figures,
}

pub(super) async fn run(source: Source, cx: &mut Context) -> Result<(), Failure> {
    // The first reading may fail, so it is made before the screen changes.
    let first = source.read(cx).await.map_err(|e| cx.failed(e))?;
    let screen = cx.output.is_terminal() && !cx.output.is_json();
    if !screen {
        return watch(source, cx, first, write).await.map(drop);
    }
    write(cx, ENTER)?;
    let result = watch(source, cx, first, |cx, text| write(cx, &frame(text))).await;
    write(cx, LEAVE)?;
    write(cx, &result?)
}

/// Reads and shows figures until a signal arrives. Returns the last text shown.
async fn watch(
    source: Source,
    cx: &mut Context,
    first: Figures,
    show: impl Fn(&mut Context, &str) -> Result<(), Failure>,
) -> Result<String, Failure> {
    let mut interrupt = Interrupt::with_hangup()?;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut last = Sample {
        at: Instant::now(),
        figures: first,
    };
    let mut shown = text(cx, &last, None)?;
    show(cx, &shown)?;
    loop {
        tokio::select! {
            () = interrupt.wait() => return Ok(shown),
            next = next(source, cx, &mut ticks) => match next {
                Ok(figures) => {
                    let sample = Sample { at: Instant::now(), figures };
                    shown = text(cx, &sample, Some(&last))?;
                    show(cx, &shown)?;
                    last = sample;
                }
                Err(error @ ClientError::Refused { .. }) => return Err(cx.failed(error)),
                Err(error) => show_error(cx, &shown, &error, &show)?,
            },
        }
    }
}

async fn next(
    source: Source,
    cx: &Context,
    ticks: &mut tokio::time::Interval,
) -> Result<Figures, ClientError> {
    ticks.tick().await;
    source.read(cx).await
}

fn show_error(
    cx: &mut Context,
    shown: &str,
    error: &ClientError,
    show: &impl Fn(&mut Context, &str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if cx.output.is_terminal() && !cx.output.is_json() {
        let text = format!(
            "{shown}\nThese figures are out of date: {}\n",
            printable(&error.to_string())
        );
        return show(cx, &text);
    }
    print_warning(&error.to_string());
    Ok(())
}

/// The text of one reading: a table on a terminal, else lines.
fn text(cx: &Context, sample: &Sample, before: Option<&Sample>) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let elapsed = before.map_or(Duration::ZERO, |before| sample.at - before.at);
    if cx.output.is_json() {
        serde_json::to_writer(&mut bytes, &sample.figures)?;
        bytes.push(b'\n');
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    let now = std::time::SystemTime::now();
    let is_terminal = cx.output.is_terminal();
    match (&sample.figures, before.map(|before| &before.figures)) {
        (Figures::Global(stats), before) => {
            let rates = match before {
                Some(Figures::Global(before)) => Some(Rates::between(before, stats, elapsed)),
                _ => None,
            };
            if is_terminal {
                render::stats(stats, Some(&rates.unwrap_or_default()), &mut bytes)?;
            } else {
                render::stats_line(stats, rates.as_ref(), now, &mut bytes)?;
            }
        }
        (Figures::Tags(stats), before) => {
            let rates = match before {
                Some(Figures::Tags(before)) => {
                    render::tag_rates(&before.tags, &stats.tags, elapsed)
                }
                _ => render::tag_rates(&stats.tags, &stats.tags, elapsed),
            };
            if is_terminal {
                render::tag_screen(&rates, rows(), &mut bytes)?;
            } else {
                render::tag_lines(&rates, now, &mut bytes)?;
            }
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How many tags there is room for: the table takes four lines more, and the line below it one.
fn rows() -> usize {
    let (_, lines) = render::terminal_size().unwrap_or((80, 24));
    lines.saturating_sub(6).max(1)
}

/// Overwrites the screen without flicker.
fn frame(text: &str) -> String {
    let mut frame = String::from(HOME);
    for line in text.lines() {
        frame += line;
        frame += END_OF_LINE;
        frame.push('\n');
    }
    frame + REST
}

fn write(cx: &mut Context, text: &str) -> Result<(), Failure> {
    cx.output.writer().write_all(text.as_bytes())?;
    cx.output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_overwrites_the_one_before() {
        assert_eq!(frame("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }
}
