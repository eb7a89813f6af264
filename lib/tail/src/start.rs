//! Starting a source on its thread.

use std::{
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use thiserror::Error;

use crate::{
    Figures, Options, Sink, Source, Stop, Unread,
    figures::Counters,
    files::{Files, OwnLog, Patterns},
    journal::Journal,
    output::Output,
    stdin,
    syslog::Syslog,
};

/// Why a source does not start.
#[derive(Debug, Error)]
pub enum TailError {
    /// The name becomes that of a file.
    #[error("{0:?} is no name of a source: up to 64 letters, digits, - and _")]
    Name(String),
    /// A pattern of files is not usable.
    #[error("{pattern}: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The path is that of the program's own log.
    #[error("{}: this is the program's own log, which would feed itself", .0.display())]
    OwnLog(PathBuf),
    /// A match for the journal is not usable.
    #[error("{0:?}: a match of the journal is FIELD=value, as _SYSTEMD_UNIT=ssh.service")]
    Match(String),
    /// The address cannot be received on.
    #[error("cannot receive on {address}: {source}")]
    Udp {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The Unix socket cannot be made.
    #[error("cannot make the socket {}: {source}", path.display())]
    Unix {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refuses what each source needs: a thread, descriptors, inotify.
    #[error("cannot start a source: {0}")]
    System(#[from] io::Error),
}

type Run = Box<dyn FnOnce(&Stop) -> io::Result<()>>;
type Prepare = Box<dyn FnOnce() -> io::Result<Run> + Send>;

/// A source that runs.
#[derive(Debug)]
pub struct Handle {
    counters: Arc<Counters>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Its figures, without a lock.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.counters.figures()
    }

    /// What it cannot read at present, at most some dozens.
    #[must_use]
    pub fn unread(&self) -> Vec<Unread> {
        self.counters.unread.lock().clone()
    }

    /// Whether it has ended: asked to, at the end of standard input, or by an error that was told.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end. Ask it to [`Stop::stop`] before. Returns false if its sink panicked.
    #[must_use]
    pub fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

/// Starts to read. The sink is called on a thread that is named after the source. What is written to files and sockets
/// after this returns is read.
///
/// # Errors
/// What can be known at once to be wrong; files that are not there or not readable are waited for.
pub fn start(
    name: &str,
    source: Source,
    options: Options,
    sink: Box<dyn Sink>,
    stop: Stop,
) -> Result<Handle, TailError> {
    if !is_name(name) {
        return Err(TailError::Name(name.to_owned()));
    }
    let counters = Arc::new(Counters::default());
    let output = Output::new(sink, Arc::clone(&counters));
    let prepare = prepare(name, source, options, output)?;
    let source = name.to_owned();
    let (ready, wait) = mpsc::channel();
    let thread = thread::Builder::new().name(format!("source {name}"));
    let thread = thread.spawn(move || {
        let _told = tracing::info_span!("source", name = source).entered();
        let run = match prepare() {
            Ok(run) => run,
            Err(error) => {
                // The other end waits for it.
                let _ = ready.send(Err(error));
                return;
            }
        };
        let _ = ready.send(Ok(()));
        if let Err(error) = run(&stop) {
            tracing::error!("the source {source} has ended: {error}; restart to read it again");
        }
    })?;
    match wait.recv() {
        Ok(Err(error)) => Err(error.into()),
        // If the sink has panicked, joining tells.
        Ok(Ok(())) | Err(_) => Ok(Handle { counters, thread }),
    }
}

/// Checks what can be checked without the thread. What it returns opens the source, and then runs it.
fn prepare(
    name: &str,
    source: Source,
    options: Options,
    output: Output<'static>,
) -> Result<Prepare, TailError> {
    let state = options.state_dir.join(format!("{name}.tail.json"));
    Ok(match source {
        Source::File { patterns } => {
            let patterns = check_patterns(patterns, &options)?;
            Box::new(move || {
                let files = Files::new(patterns, options, state, output)?;
                Ok(Box::new(move |stop: &Stop| files.run(stop)) as Run)
            })
        }
        Source::Journal { matches } => {
            let mut journal = Journal::new(matches, &options, state, output)?;
            running(move |stop| journal.run(stop))
        }
        Source::Udp(address) => {
            let syslog = Syslog::udp(address, &options, output);
            let mut syslog = syslog.map_err(|source| TailError::Udp { address, source })?;
            running(move |stop| syslog.run(stop))
        }
        Source::Unix(path) => {
            let syslog = Syslog::unix(&path, &options, output);
            let mut syslog = syslog.map_err(|source| TailError::Unix { path, source })?;
            running(move |stop| syslog.run(stop))
        }
        Source::Stdin => running(move |stop| stdin::run(io::stdin(), output, stop)),
    })
}

fn running(run: impl FnOnce(&Stop) -> io::Result<()> + Send + 'static) -> Prepare {
    Box::new(move || Ok(Box::new(run)))
}

fn is_name(name: &str) -> bool {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(valid)
}

fn check_patterns(patterns: Vec<String>, options: &Options) -> Result<Patterns, TailError> {
    let patterns =
        Patterns::new(patterns).map_err(|(pattern, why)| TailError::Pattern { pattern, why })?;
    let mut own = OwnLog::new(options.own_log.clone());
    for path in patterns.literal() {
        if let Ok(is) = fs::metadata(path)
            && own.has(path, &is)
        {
            return Err(TailError::OwnLog(path.to_owned()));
        }
    }
    Ok(patterns)
}
