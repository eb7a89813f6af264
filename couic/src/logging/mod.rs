//! The log: lines to a rotated file and to standard output, and a line for each rule change.
//!
//! What holds:
//! - Logging never blocks on a disk or a terminal: lines go into bounded buffers, written out by threads of their own.
//!   Lines that do not fit are lost, and a line reports their number.
//! - Rule changes are logged from the event stream, in order, whatever made them. Their thread formats them in bulk: a
//!   hundred thousand per second cost a few percent of a CPU.
//! - One actor's changes fill no disk: beyond a bound they are summed up, and files are bounded in size.
//! - A log file that cannot be opened fails the start, unless the disk cannot be written: then lines go elsewhere, and
//!   opening is retried.

mod changes;
mod flood;
mod outlet;
mod rolling;
mod stamp;

use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use couic_common::unix_time;
use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    fmt::{MakeWriter, format::Writer, time::FormatTime},
    layer::SubscriberExt,
};

pub use changes::ChangeLog;
pub use flood::changes_summed_up;
use outlet::Outlet;
pub use rolling::RollingError;
use rolling::RollingFile;

use crate::config::{LogFormat, LogLevel, Logging};
use couic_files::Account;
use couic_firewall::rules::Subscription;

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log file cannot be opened.
    #[error(transparent)]
    File(#[from] RollingError),
    /// A thread cannot be started.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(io::Error),
    /// A global subscriber is set already.
    #[error("this process has a log already")]
    Twice,
}

/// The log of the process. [`Log::close`] flushes it.
#[derive(Debug)]
pub struct Log {
    fanout: Fanout,
    format: LogFormat,
    level: LogLevel,
    problem: Option<String>,
}

impl Log {
    /// Opens the log file, owned by `owner`, and installs the global subscriber of tracing.
    ///
    /// # Errors
    /// [`LogError`], which names the file and what to check.
    pub fn open(logging: &Logging, owner: &Account) -> Result<Self, LogError> {
        let log = Self::with_sinks(logging, owner)?;
        let subscriber = Registry::default().with(log.layer());
        tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
        Ok(log)
    }

    fn with_sinks(logging: &Logging, owner: &Account) -> Result<Self, LogError> {
        let format = logging.format;
        let file = RollingFile::open(logging, owner)?;
        let problem = file.problem();
        let file = Outlet::start("couic-log", file, format).map_err(LogError::Thread)?;
        let stdout = logging
            .stdout
            .then(|| Outlet::start("couic-stdout", io::stdout(), format))
            .transpose()
            .map_err(LogError::Thread)?;
        Ok(Self {
            fanout: Fanout {
                file: Arc::new(file),
                stdout: stdout.map(Arc::new),
            },
            format,
            level: logging.level,
            problem,
        })
    }

    /// Why the log file could not be opened at the start, if the disk could not be written.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        let level = match self.level {
            LogLevel::Error => Level::ERROR,
            LogLevel::Warn => Level::WARN,
            LogLevel::Info => Level::INFO,
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Trace => Level::TRACE,
        };
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(self.fanout.clone())
            .with_timer(Utc)
            .with_ansi(false);
        match self.format {
            LogFormat::Text => layer.with_filter(LevelFilter::from_level(level)).boxed(),
            LogFormat::Json => layer
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_filter(LevelFilter::from_level(level))
                .boxed(),
        }
    }

    /// Starts logging a line for each change of this subscription, until it is closed. `None` if the level excludes
    /// them.
    ///
    /// # Errors
    /// [`LogError::Thread`].
    pub fn log_changes(&self, changes: Subscription) -> Result<Option<ChangeLog>, LogError> {
        if matches!(self.level, LogLevel::Error | LogLevel::Warn) {
            return Ok(None);
        }
        ChangeLog::start(changes, self.fanout.clone(), self.format)
            .map(Some)
            .map_err(LogError::Thread)
    }

    /// Flushes the buffers, for at most `deadline` each, so that a stuck terminal does not block the exit.
    pub fn close(&self, deadline: Duration) {
        self.fanout.file.close(deadline);
        if let Some(stdout) = &self.fanout.stdout {
            stdout.close(deadline);
        }
    }
}

/// The outputs of the log.
#[derive(Clone, Debug)]
struct Fanout {
    file: Arc<Outlet>,
    stdout: Option<Arc<Outlet>>,
}

impl Fanout {
    /// Lines from a thread that may wait for room: a second for the file, hardly for standard output.
    fn push_bulk(&self, bytes: &[u8], lines: u64) {
        self.file.push(bytes, lines, Duration::from_secs(1));
        if let Some(stdout) = &self.stdout {
            stdout.push(bytes, lines, Duration::from_millis(5));
        }
    }
}

impl Write for Fanout {
    /// One line: the formatter of tracing calls this once per event.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.file.push(line, 1, Duration::ZERO);
        if let Some(stdout) = &self.stdout {
            stdout.push(line, 1, Duration::ZERO);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Fanout {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// UTC with microseconds.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let now = unix_time();
        let mut text = stamp::Stamp::default();
        write!(
            writer,
            "{}.{:06}Z",
            text.seconds(now.as_secs()),
            now.subsec_micros()
        )
    }
}

/// A line about the log itself, which cannot go through tracing. `message` must need no escaping.
fn warning(format: LogFormat, message: &str) -> String {
    let now = unix_time();
    let mut stamp = stamp::Stamp::default();
    let at = stamp.seconds(now.as_secs());
    match format {
        LogFormat::Text => format!("{at}Z  WARN couic::logging: {message}\n"),
        LogFormat::Json => format!(
            "{{\"timestamp\":\"{at}Z\",\"level\":\"WARN\",\"message\":\"{message}\",\"target\":\"couic::logging\"}}\n"
        ),
    }
}

#[cfg(test)]
mod tests;
