//! What couicmon does besides running: nothing here bans anybody or needs the daemon.

mod explain;
mod fail2ban;
mod presets;
mod reading;
mod replay;
mod table;
mod top;

use std::{
    fmt::Display,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use crate::args::{Command, Import};

/// The configuration is invalid, or what an argument names is not in it (EX_USAGE). What clap refuses is 2.
const EXIT_USAGE: u8 = 64;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something is wrong with the configuration or an argument.
    #[error("{0}")]
    Usage(String),
    /// It could not be done.
    #[error("{0}")]
    Failed(String),
    /// Standard output.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    fn failed(what: impl Display, error: impl Display) -> Self {
        Self::Failed(format!("{what}: {error}"))
    }
}

/// Runs a command with the configuration at `config`.
pub(crate) fn run(command: &Command, config: &Path) -> ExitCode {
    let mut out = io::stdout().lock();
    let result = match command {
        Command::Replay(args) => replay::run(args, config, &mut out),
        Command::Explain(args) => explain::run(args, config, &mut out),
        Command::Top(args) => top::run(args, config, &mut out),
        Command::Presets { name } => presets::run(name.as_deref(), &mut out),
        Command::Import {
            from: Import::Fail2ban { jails, filters },
        } => fail2ban::run(jails, filters.as_deref(), &mut out),
    };
    let result = result.and_then(|code| Ok(out.flush().map(|()| code)?));
    match result {
        Ok(code) => code,
        // Nobody reads on, as in `| head`.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) {
                EXIT_USAGE
            } else {
                1
            })
        }
    }
}
