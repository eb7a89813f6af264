//! `panic`, `confirm`, `doctor`, and the option that makes a change wait to be confirmed.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use couic_common::{CONFIRM_WITHIN_MAX, ConfirmId};

use super::{Command, EntryCommand, SetsCommand};
use crate::duration;

pub(super) const PANIC: &str = "\
Examples:
  couicctl panic on --reason 'customers are locked out'
  couicctl panic                  whether it is on, who switched it on, and why
  couicctl panic off

While it is on, nothing is filtered on any interface of that machine, also across a restart of the daemon. Rules go on
being changed, and all of them hold again once it is off. Health is down, the log says so every minute, and every
command says so. Only tokens of group admin may switch.";

pub(super) const CONFIRM: &str = "\
Examples:
  couicctl drop add 10.0.0.0/8 --confirm-within 60s
  couicctl confirm                all changes of yours that wait
  couicctl confirm 3f2a9c01       this one
  couicctl confirm list           what waits, and what was undone
  couicctl confirm undo 3f2a9c01  do not wait

The daemon undoes the change, so it does even where you have locked yourself out, and after a crash or a restart.
Exits with 1 where nothing waits, say because it was undone already.";

pub(super) const DOCTOR: &str = "\
One line a check: ok, warn, fail, or skip where it cannot be looked at, with what to do. Of the machine itself it looks
at what this user may see: run it as root to see all. Of a daemon elsewhere (mode = \"remote\") it asks what the API
tells. It changes nothing.

Exits with 1 where a check fails; warnings do not count.";

/// The option of every change that can be undone.
#[derive(Args)]
pub(crate) struct Confirm {
    /// Undo this after so long, up to 1d, unless it is confirmed with couicctl confirm
    #[arg(long, value_name = "DURATION", value_parser = within)]
    pub(crate) confirm_within: Option<Duration>,
}

fn within(text: &str) -> Result<Duration, String> {
    let within = duration::parse(text)?;
    if within.as_secs() > CONFIRM_WITHIN_MAX {
        return Err("at most 1d".to_owned());
    }
    Ok(within)
}

/// The panic switch.
#[derive(Subcommand)]
pub(crate) enum PanicCommand {
    /// Let every packet pass from now on
    On {
        /// Why, for those who see it later
        #[arg(short, long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Have the rules hold again
    Off,
}

/// What to confirm.
#[derive(Args)]
pub(crate) struct ConfirmArgs {
    /// Which change [default: all of yours]
    pub(crate) id: Option<ConfirmId>,
    #[command(subcommand)]
    pub(crate) command: Option<ConfirmCommand>,
}

/// What else can be done to changes that wait.
#[derive(Subcommand)]
pub(crate) enum ConfirmCommand {
    /// List what waits, and what was undone
    List,
    /// Undo a change at once
    Undo {
        /// Which
        id: ConfirmId,
    },
}

/// Where to look.
#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// The daemon's configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/couic/couic.toml")]
    pub(crate) daemon_config: PathBuf,
}

impl Command {
    /// After how long the change that this makes is undone.
    pub(crate) fn confirm_within(&self) -> Option<Duration> {
        let confirm = match self {
            Self::Drop(args) => args.command.confirm()?,
            Self::Ignore(args) => args.command.confirm()?,
            Self::Sets(
                SetsCommand::Create { confirm, .. }
                | SetsCommand::Update { confirm, .. }
                | SetsCommand::Delete { confirm, .. }
                | SetsCommand::Reload { confirm },
            ) => confirm,
            _ => return None,
        };
        confirm.confirm_within
    }
}

impl<F: Args> EntryCommand<F> {
    fn confirm(&self) -> Option<&Confirm> {
        match self {
            Self::Add(args) => Some(&args.confirm),
            Self::Delete(args) => Some(&args.confirm),
            Self::Import(args) => Some(&args.confirm),
            Self::List(_) | Self::Inspect { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_at_most() {
        assert_eq!(within("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(within("1d"), Ok(Duration::from_secs(86_400)));
        assert!(within("1d1s").is_err() && within("0s").is_err() && within("60").is_err());
    }
}
