//! The log: lines to a rotated file and to standard output; and the audit log, which has an entry for each change.
//!
//! What holds:
//! - Logging never blocks on a disk or a terminal: lines go into bounded buffers, written out by threads of their own.
//!   Lines that do not fit are lost, and a line reports their number.
//! - The audit log has who changed what, from where and why. Rule changes are taken from the event stream, in order,
//!   whatever made them. Their thread formats them in bulk: a hundred thousand per second cost a few percent of a CPU.
//! - The main log has one line for a request, however many rules it changes.
//! - One actor's changes fill no disk: beyond a bound they are summed up, and files are bounded in size.
//! - A log file that cannot be opened fails the start, unless the disk cannot be written: then lines go elsewhere, and
//!   opening is retried.

mod audit;
mod changes;
mod entries;
mod flood;
mod live;
mod origin;
mod outlet;
mod rolling;
mod search;
mod stamp;
mod summary;

use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use couic_common::unix_time;
use couic_journald::is_journal;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    Layer, Registry,
    filter::filter_fn,
    fmt::{MakeWriter, format::Writer, time::FormatTime},
    layer::SubscriberExt,
};

pub use changes::ChangeLog;
pub(crate) use entries::actor_of;
pub use flood::changes_summed_up;
use live::{Lines, Live};
use outlet::{Outlet, lost_message};
pub use rolling::RollingError;
use rolling::RollingFile;
pub use search::{AuditFiles, AuditFilter, AuditFound, SearchError};

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
    audit: Option<Arc<Outlet>>,
    problems: Vec<String>,
}

/// Changes what may change while the process runs.
#[derive(Clone, Debug)]
pub struct LogControl(Arc<Live>);

impl LogControl {
    /// Level and format from the next line on.
    pub fn set(&self, level: LogLevel, format: LogFormat) {
        self.0.set(level, format);
    }

    /// Opens files that were moved, as by logrotate, anew.
    pub fn reopen(&self) {
        self.0.reopen();
    }
}

impl Log {
    /// Opens the log files, owned by `owner`, and installs the global subscriber of tracing.
    ///
    /// # Errors
    /// [`LogError`], which names the file and what to check.
    pub fn open(logging: &Logging, owner: &Account) -> Result<Self, LogError> {
        let log = Self::with_sinks(logging, owner)?;
        let subscriber = Registry::default().with(log.layers());
        tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
        Ok(log)
    }

    fn with_sinks(logging: &Logging, owner: &Account) -> Result<Self, LogError> {
        let live = Arc::new(Live::new(logging.level, logging.format));
        let file = RollingFile::open(logging, owner, &live)?;
        let audit = logging
            .audit
            .then(|| RollingFile::open_audit(logging, owner, &live))
            .transpose()?;
        let problems = [Some(&file), audit.as_ref()].into_iter().flatten();
        let problems = problems.filter_map(RollingFile::problem).collect();
        let to_journal = is_journal(io::stdout());
        let lost = |live: &Arc<Live>, to_journal| {
            let live = Arc::clone(live);
            move |lost| mark(to_journal, Level::WARN) + &warning(live.format(), &lost_message(lost))
        };
        let file = Outlet::start("couic-log", file, lost(&live, false));
        let stdout = logging
            .stdout
            .then(|| Outlet::start("couic-stdout", io::stdout(), lost(&live, to_journal)));
        let lost = |lost| audit::note(&lost_message(lost));
        let audit = audit.map(|file| Outlet::start("couic-audit", file, lost));
        let started = |outlet: io::Result<Outlet>| outlet.map(Arc::new).map_err(LogError::Thread);
        Ok(Self {
            fanout: Fanout {
                file: started(file)?,
                stdout: stdout.map(started).transpose()?,
                to_journal,
                live,
            },
            audit: audit.map(started).transpose()?,
            problems,
        })
    }

    /// Why log files could not be opened at the start, if the disk could not be written.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().map(String::as_str)
    }

    /// Changes level and format later.
    #[must_use]
    pub fn control(&self) -> LogControl {
        LogControl(Arc::clone(&self.fanout.live))
    }

    fn layers(&self) -> Vec<Box<dyn Layer<Registry> + Send + Sync>> {
        let lines = |format| Lines {
            live: Arc::clone(&self.fanout.live),
            format,
        };
        let layer = || {
            tracing_subscriber::fmt::layer()
                .with_writer(self.fanout.clone())
                .with_timer(Utc)
                .with_ansi(false)
        };
        let json = layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false);
        let audit = audit::AuditLayer::new(self.audit.clone(), self.fanout.clone());
        vec![
            layer().with_filter(lines(LogFormat::Text)).boxed(),
            json.with_filter(lines(LogFormat::Json)).boxed(),
            audit
                .with_filter(filter_fn(|meta| meta.target() == audit::TARGET))
                .boxed(),
        ]
    }

    /// Starts logging the changes of this subscription, until it is closed.
    ///
    /// # Errors
    /// [`LogError::Thread`].
    pub fn log_changes(&self, changes: Subscription) -> Result<ChangeLog, LogError> {
        ChangeLog::start(changes, self.fanout.clone(), self.audit.clone()).map_err(LogError::Thread)
    }

    /// Flushes the buffers, for at most `deadline` each, so that a stuck terminal does not block the exit.
    pub fn close(&self, deadline: Duration) {
        let Fanout { file, stdout, .. } = &self.fanout;
        let outlets = [Some(file), stdout.as_ref(), self.audit.as_ref()];
        for outlet in outlets.into_iter().flatten() {
            outlet.close(deadline);
        }
    }
}

/// The outputs of the main log.
#[derive(Clone, Debug)]
struct Fanout {
    file: Arc<Outlet>,
    stdout: Option<Arc<Outlet>>,
    /// Whether standard output is the journal of systemd.
    to_journal: bool,
    live: Arc<Live>,
}

impl Fanout {
    fn line(&self, level: Level, line: &[u8]) {
        self.file.push(line, 1, Duration::ZERO);
        match &self.stdout {
            Some(stdout) if self.to_journal => {
                let mark = couic_journald::prefix(&level).as_bytes();
                stdout.push(&[mark, line].concat(), 1, Duration::ZERO);
            }
            Some(stdout) => stdout.push(line, 1, Duration::ZERO),
            None => {}
        }
    }
}

/// The priority at the begin of a line, in the journal.
fn mark(to_journal: bool, level: Level) -> String {
    let mark = if to_journal {
        couic_journald::prefix(&level)
    } else {
        ""
    };
    mark.to_owned()
}

/// The writer of one line: the formatter of tracing writes once per event.
struct Line<'a> {
    fanout: &'a Fanout,
    level: Level,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.fanout.line(self.level, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Fanout {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            fanout: self,
            level: Level::INFO,
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line {
            fanout: self,
            level: *meta.level(),
        }
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
