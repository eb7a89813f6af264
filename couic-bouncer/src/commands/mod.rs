//! What couic-bouncer does besides running: it asks the running one, or fetches feeds without the daemon.

mod preview;
mod show;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use couic_httpd::{Ask, AskError};

use self::show::Shown;
use crate::{
    args::{Command, Feeds},
    config::Config,
    run::{NAME, Status},
};

/// The configuration is invalid, or what an argument names is not in it (EX_USAGE). What clap refuses is 2.
const EXIT_USAGE: u8 = 64;

/// The socket is on this machine: a longer silence is a program that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// A list is fetched and judged before an order is answered.
const FETCHING: Duration = Duration::from_secs(120);

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something is wrong with the configuration or an argument.
    #[error("{0}")]
    Usage(String),
    /// It could not be done.
    #[error("{0}")]
    Failed(String),
    /// The running program does not answer, or refuses.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Standard output.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

/// Runs a command with the configuration at `config`.
pub(crate) fn run(command: &Command, config: &Path) -> ExitCode {
    let mut out = io::stdout().lock();
    let result = match command {
        Command::Status { json } => status(config, Shown::All, *json, &mut out),
        Command::Feeds {
            command: Feeds::List { json },
        } => status(config, Shown::Feeds, *json, &mut out),
        Command::Feeds {
            command: Feeds::Accept { name, checksum },
        } => accept(config, name, checksum.as_deref(), &mut out),
        Command::Feeds {
            command: Feeds::Refresh { name },
        } => order(config, name, "refresh", &mut out),
        Command::Feeds {
            command: Feeds::Preview { what, json },
        } => preview::run(config, what, *json, &mut out),
    };
    let result = result.and_then(|code| Ok(out.flush().map(|()| code)?));
    match result {
        Ok(code) => code,
        // Nothing reads on, as in `| head`.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(match failure {
                Failure::Usage(_) => EXIT_USAGE,
                _ => 1,
            })
        }
    }
}

/// The socket of the running one. Mistakes of the configuration are no reason not to look at it, but they are told.
fn socket(config: &Path) -> PathBuf {
    match Config::load(config) {
        Ok(config) => config.control,
        Err(mistakes) => {
            let control = Config::control_in(config);
            eprintln!(
                "warning: the configuration is not usable, a reload or restart would fail; asking {}\n  {}",
                control.display(),
                mistakes.to_string().replace('\n', "\n  ")
            );
            control
        }
    }
}

fn ask(config: &Path, request: &str, patience: Duration) -> Result<String, Failure> {
    let socket = socket(config);
    let ask = Ask {
        program: NAME,
        socket: &socket,
        patience,
    };
    ask.send(request).map_err(|error| match error {
        // What it tells is a sentence of its own.
        AskError::Refused { message, .. } => Failure::Failed(message),
        other => other.into(),
    })
}

fn status(
    config: &Path,
    what: Shown,
    json: bool,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let text = ask(config, "GET /v1/status", PATIENCE)?;
    let status: Status = serde_json::from_str(&text).map_err(|error| {
        Failure::Failed(format!("the answer of {NAME} cannot be read: {error}"))
    })?;
    match (json, what) {
        (true, Shown::All) => writeln!(out, "{}", text.trim_end())?,
        (true, Shown::Feeds) => {
            let feeds = serde_json::to_string(&status.feeds).map_err(io::Error::other)?;
            writeln!(out, "{feeds}")?;
        }
        (false, what) => show::show(&status, what, out)?,
    }
    let is_failed = what == Shown::All && status.status == "failed";
    Ok(if is_failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn accept(
    config: &Path,
    name: &str,
    checksum: Option<&str>,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    match checksum {
        None => order(config, name, "accept", out),
        Some(hash) if hash.chars().all(|c| c.is_ascii_hexdigit()) => {
            order(config, name, &format!("accept?list={hash}"), out)
        }
        Some(other) => Err(Failure::Usage(format!("{other:?} is no checksum"))),
    }
}

fn order(config: &Path, name: &str, order: &str, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(fits) {
        return Err(Failure::Usage(format!(
            "{name:?} is not the name of a feed"
        )));
    }
    let text = ask(config, &format!("POST /v1/feeds/{name}/{order}"), FETCHING)?;
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let message = answer["message"].as_str().unwrap_or("done");
    writeln!(out, "{message}")?;
    Ok(ExitCode::SUCCESS)
}
