//! `couicctl top`: what the filter does right now on one screen, and keys to act on it.
//!
//! [`fetch`] reads the API, one request at a time; [`model`] turns answers into rates; [`ui`] turns keys into actions;
//! [`draw`] makes a frame of both; [`run`] connects them to a terminal.
//!
//! Guarantees: text from the daemon cannot control the terminal, which is always restored. Memory and requests are bounded,
//! however many rules there are. Rules changed by a key are undone by the daemon unless the operator confirms them.

mod act;
mod answer;
mod changes;
mod draw;
mod fetch;
mod look;
mod model;
mod once;
mod rows;
mod run;
mod state;
mod sweep;
mod terminal;
mod ui;
mod why;

use std::{io::IsTerminal, time::Duration};

use clap::Args;

use crate::{
    commands::Context,
    duration,
    failure::{Failure, print_error},
};
use look::Look;

/// The longest time between readings.
const LONGEST: Duration = Duration::from_secs(60);

/// A screen of what happens now.
#[derive(Args)]
pub(crate) struct TopArgs {
    /// Time between readings, 1s to 1m
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = period)]
    interval: Duration,

    /// Print one screen as plain text, after two readings, and exit
    #[arg(long)]
    once: bool,

    /// Time to confirm a change that was made by a key, 10s to 1h
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = within)]
    confirm_within: Duration,
}

pub(crate) const HELP: &str = "\
Shows packets and bits per second, drops by tag, rules by hits, changes, interfaces, peers, notifiers and problems.
Keys: ? lists them. Bans and other changes made by a key are undone unless they are confirmed with c in time.

Examples:
  couicctl top
  couicctl top --interval 5s          over a slow link
  couicctl top --once                 one screen as text, for a ticket
  COLUMNS=160 LINES=60 couicctl top --once

With NO_COLOR set, no colours are used; without a UTF-8 locale, only ASCII.";

fn period(text: &str) -> Result<Duration, String> {
    let period = duration::parse(text)?;
    if period > LONGEST {
        return Err("at most 1m".to_owned());
    }
    Ok(period)
}

fn within(text: &str) -> Result<Duration, String> {
    let within = duration::parse(text)?;
    if !(10..=3_600).contains(&within.as_secs()) {
        return Err("from 10s to 1h".to_owned());
    }
    Ok(within)
}

/// Runs the command.
pub(crate) async fn run(args: TopArgs, cx: &mut Context) -> Result<(), Failure> {
    let TopArgs {
        interval,
        once,
        confirm_within,
    } = args;
    if cx.output.is_json() {
        return Err(Failure::Usage(
            "top prints no JSON: couicctl stats global -l --json does".to_owned(),
        ));
    }
    let look = Look::of(|name| std::env::var(name).ok());
    if !once {
        usable(cx)?;
    }
    // What fails at once is reported as by every other command, before the screen changes. The second needs a token.
    cx.client.health().await.map_err(|e| cx.failed(e))?;
    cx.client.confirmations().await.map_err(|e| cx.failed(e))?;
    if once {
        return once::run(cx, interval, look).await;
    }
    let model = run::run(cx, interval, confirm_within.as_secs(), look).await?;
    for id in model.own_ids() {
        print_error(&format!(
            "a change of yours is undone soon unless you confirm it\nhint: couicctl confirm {id}"
        ));
    }
    Ok(())
}

fn usable(cx: &Context) -> Result<(), Failure> {
    const INSTEAD: &str =
        "couicctl top --once prints one screen, couicctl stats global -l a line a second";
    if !cx.output.is_terminal() || !std::io::stdin().is_terminal() {
        let text = "top needs a terminal, and standard input or output is none";
        return Err(Failure::Usage(text.to_owned()).hint(INSTEAD));
    }
    if std::env::var("TERM").is_ok_and(|term| term == "dumb") {
        let text = "top cannot draw on this terminal (TERM=dumb)";
        return Err(Failure::Usage(text.to_owned()).hint(INSTEAD));
    }
    Ok(())
}
