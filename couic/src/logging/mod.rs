//! The log: lines to a rotated file and to standard output, and a line for each rule change.
//!
//! What holds:
//! - Whoever logs never waits for a disk or a terminal: lines go into bounded buffers that threads of their own write
//!   out. What does not fit is lost, and a line says how many there were.
//! - Rule changes come from the event stream, in order, so that all ways to change a rule are logged alike. Their
//!   thread formats them in bulk: a hundred thousand a second cost a few percent of a processor.
//! - A file that cannot be opened is an error of the start; not so where the disk takes no data: then lines go elsewhere,
//!   and the file is tried again.

mod changes;
mod outlet;
mod rolling;
mod stamp;

use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    fmt::{MakeWriter, format::Writer, time::FormatTime},
    layer::SubscriberExt,
};

pub use changes::ChangeLog;
use outlet::Outlet;
pub use rolling::RollingError;
use rolling::RollingFile;

use crate::config::{LogFormat, LogLevel, Logging};
use couic_files::Account;
use couic_firewall::rules::Subscription;

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file.
    #[error(transparent)]
    File(#[from] RollingError),
    /// A thread.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(io::Error),
    /// There is a log already.
    #[error("this process has a log already")]
    Twice,
}

/// The log of the process. [`Log::close`] writes out what is buffered.
#[derive(Debug)]
pub struct Log {
    fanout: Fanout,
    format: LogFormat,
    level: LogLevel,
    trouble: Option<String>,
}

impl Log {
    /// Opens the log file, which belongs to `owner`, and takes over what the program traces.
    ///
    /// # Errors
    /// [`LogError`] names the file and what to look at.
    pub fn open(logging: &Logging, owner: &Account) -> Result<Self, LogError> {
        let log = Self::with_sinks(logging, owner)?;
        let subscriber = Registry::default().with(log.layer());
        tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
        Ok(log)
    }

    fn with_sinks(logging: &Logging, owner: &Account) -> Result<Self, LogError> {
        let format = logging.format;
        let file = RollingFile::open(logging, owner)?;
        let trouble = file.trouble();
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
            trouble,
        })
    }

    /// Why the log file could not be opened at the start, where the disk took no data then.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
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

    /// Writes a line for each change that this subscription brings, until it is closed. None where the level leaves
    /// such lines out.
    ///
    /// # Errors
    /// [`LogError::Thread`].
    pub fn follow(&self, changes: Subscription) -> Result<Option<ChangeLog>, LogError> {
        if matches!(self.level, LogLevel::Error | LogLevel::Warn) {
            return Ok(None);
        }
        ChangeLog::start(changes, self.fanout.clone(), self.format)
            .map(Some)
            .map_err(LogError::Thread)
    }

    /// Writes out what is buffered, for as long as `deadline` allows: a terminal that nobody reads holds up no exit.
    pub fn close(&self, deadline: Duration) {
        self.fanout.file.close(deadline);
        if let Some(stdout) = &self.fanout.stdout {
            stdout.close(deadline);
        }
    }
}

/// Where lines go.
#[derive(Clone, Debug)]
struct Fanout {
    file: Arc<Outlet>,
    stdout: Option<Arc<Outlet>>,
}

impl Fanout {
    /// Lines from a thread that may wait: for the file until there is room, for standard output hardly.
    fn push_bulk(&self, bytes: &[u8], lines: u64) {
        self.file.push(bytes, lines, Duration::from_secs(1));
        if let Some(stdout) = &self.stdout {
            stdout.push(bytes, lines, Duration::from_millis(5));
        }
    }
}

impl Write for Fanout {
    /// One line, as the formatter of tracing writes it.
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

/// Microseconds in UTC.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let mut text = stamp::Stamp::default();
        write!(
            writer,
            "{}.{:06}Z",
            text.seconds(now.as_secs()),
            now.subsec_micros()
        )
    }
}

/// A line of the log about itself, which cannot go through tracing. `message` needs no escaping.
fn warning(format: LogFormat, message: &str) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
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
