//! `panic`, `confirm`, `doctor`, and the option that makes a change await confirmation.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use couic_common::{CONFIRM_WITHIN_MAX, ConfirmId};

use super::{Command, EntryCommand, SetsCommand};
use crate::{complete, duration};

pub(super) const PANIC: &str = "\
Examples:
  couicctl panic on --reason 'customers are locked out'
  couicctl panic                  whether it is on, since when, by whom and why
  couicctl panic off

While it is on, nothing is filtered on any interface of that host, even after a restart of the daemon.
Rules can still be changed, and all of them are in force again once it is off.
Health is down, the daemon logs it every minute, and every command prints a warning.
Requires a token of group admin.";

pub(super) const CONFIRM: &str = "\
Examples:
  couicctl drop add 10.0.0.0/8 --confirm-within 60s
  couicctl confirm                confirm all your pending changes
  couicctl confirm 3f2a9c01       confirm this one
  couicctl confirm list           pending changes, and those that were undone
  couicctl confirm undo 3f2a9c01  undo it now

The daemon undoes the change, so this works even if you have locked yourself out, and after a crash or a restart.
Exits with 1 if nothing is pending, for example because it was undone already.";

pub(super) const DOCTOR: &str = "\
One line per check: ok, warn, fail, or skip if it cannot be checked, with advice. Some checks of the host need
privileges: run it as root for all of them. For a remote daemon (mode = \"remote\"), only the API is checked.
It changes nothing.

Exits with 1 if a check fails; warnings do not count.";

/// The option of commands whose change can be undone.
#[derive(Args)]
pub(crate) struct Confirm {
    /// Undo the change after this time, up to 1d, unless it is confirmed with couicctl confirm
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
    /// Let every packet pass
    On {
        /// The reason, shown to other operators
        #[arg(short, long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Put the rules back in force
    Off,
}

/// Changes to confirm.
#[derive(Args)]
pub(crate) struct ConfirmArgs {
    /// The change [default: all of yours]
    #[arg(add = complete::confirmations())]
    pub(crate) id: Option<ConfirmId>,
    #[command(subcommand)]
    pub(crate) command: Option<ConfirmCommand>,
}

/// Other operations on pending changes.
#[derive(Subcommand)]
pub(crate) enum ConfirmCommand {
    /// List pending changes, and those that were undone
    List,
    /// Undo a change at once
    Undo {
        /// The change
        #[arg(add = complete::confirmations())]
        id: ConfirmId,
    },
}

/// Options of the checks.
#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// The daemon's configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/couic/couic.toml")]
    pub(crate) daemon_config: PathBuf,
}

impl Command {
    /// The time to confirm the change of this command.
    pub(crate) fn confirm_within(&self) -> Option<Duration> {
        let confirm = match self {
            Self::Drop(args) => args.command.confirm()?,
            Self::Ignore(args) => args.command.confirm()?,
            Self::Sets {
                command:
                    Some(
                        SetsCommand::Create { confirm, .. }
                        | SetsCommand::Update { confirm, .. }
                        | SetsCommand::Delete { confirm, .. }
                        | SetsCommand::Reload { confirm },
                    ),
            } => confirm,
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
            Self::List(_) | Self::Inspect { .. } | Self::Export(_) => None,
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
