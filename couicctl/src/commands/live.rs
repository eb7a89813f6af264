//! `couicctl stats global --live`: the figures every second, with rates, until Ctrl-C.
//!
//! On a terminal it uses the alternate screen, always restores the terminal, and leaves the last figures on it.
//! Otherwise it prints a line per second. It keeps running while the daemon restarts.

use std::time::{Duration, Instant};

use couic_client::ClientError;
use couic_common::Stats;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use super::Context;
use crate::{
    failure::{Failure, print_error, printable},
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

/// Figures and the time of their reading.
struct Sample {
    at: Instant,
    stats: Stats,
}

pub(super) async fn run(cx: &mut Context) -> Result<(), Failure> {
    // The first reading may fail, so it is made before the screen changes.
    let first = cx.client.stats().await.map_err(|e| cx.failed(e))?;
    let screen = cx.output.is_terminal() && !cx.output.is_json();
    if !screen {
        return watch(cx, first, write).await.map(drop);
    }
    write(cx, ENTER)?;
    let result = watch(cx, first, |cx, text| write(cx, &frame(text))).await;
    write(cx, LEAVE)?;
    write(cx, &result?)
}

/// Reads and shows figures until a signal arrives. Returns the last text shown.
async fn watch(
    cx: &mut Context,
    first: Stats,
    show: impl Fn(&mut Context, &str) -> Result<(), Failure>,
) -> Result<String, Failure> {
    let failed = |e| Failure::Failed(format!("signal handlers cannot be installed: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut last = Sample {
        at: Instant::now(),
        stats: first,
    };
    let mut shown = text(cx, &last.stats, None)?;
    show(cx, &shown)?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(shown),
            _ = terminate.recv() => return Ok(shown),
            _ = hangup.recv() => return Ok(shown),
            next = next(cx, &mut ticks) => match next {
                Ok(stats) => {
                    let sample = Sample { at: Instant::now(), stats };
                    let rates = Rates::between(&last.stats, &sample.stats, sample.at - last.at);
                    shown = text(cx, &sample.stats, Some(&rates))?;
                    show(cx, &shown)?;
                    last = sample;
                }
                Err(error @ ClientError::Refused { .. }) => return Err(cx.failed(error)),
                Err(error) => show_error(cx, &shown, &error, &show)?,
            },
        }
    }
}

async fn next(cx: &Context, ticks: &mut tokio::time::Interval) -> Result<Stats, ClientError> {
    ticks.tick().await;
    cx.client.stats().await
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
    print_error(&error.to_string());
    Ok(())
}

/// The text of one reading: a table on a terminal, else a line.
fn text(cx: &Context, stats: &Stats, rates: Option<&Rates>) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    if cx.output.is_json() {
        serde_json::to_writer(&mut bytes, stats)?;
        bytes.push(b'\n');
    } else if cx.output.is_terminal() {
        render::stats(stats, Some(rates.unwrap_or(&Rates::default())), &mut bytes)?;
    } else {
        render::stats_line(stats, rates, std::time::SystemTime::now(), &mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
