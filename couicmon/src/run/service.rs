//! The service without signals and sockets: sources, the detector, what acts on its decisions, and the state on disk.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use couic_common::counted;
use couic_files::ensure_dir;
use couic_httpd::Unserved;
use couic_inject::{Config as Client, Ignored, InjectError, Injector, Limits};
use couic_tail::{Figures, Handle, Options, Stop, TailError, Unread};
use parking_lot::Mutex;
use tracing::{error, info, warn};

use super::{
    alarms::Alarms,
    answers::{Answers, Asker},
    confine::Readable,
    core::{Core, clock_ms},
    decide::Decider,
    state::State,
    watch::{Counts, Watch},
};
use crate::config::{Config, SourceConfig};

/// How long the end waits for the daemon.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The state directory cannot be used.
    #[error("the state directory {} cannot be used: {source}", dir.display())]
    State {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The client of the daemon cannot start.
    #[error("{}", couic_common::error_chain(.0))]
    Inject(#[from] InjectError),
    /// A source cannot be read.
    #[error("source {name}: {source}")]
    Source {
        /// Its name.
        name: String,
        /// Why.
        source: TailError,
    },
    /// The rules are not valid after all.
    #[error("the rules are not valid, although they were checked, which is a bug")]
    Rules,
    /// A thread or a descriptor cannot be had.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// The running service.
pub(crate) struct Service {
    pub(crate) core: Arc<Mutex<Core>>,
    pub(crate) decider: Arc<Decider>,
    pub(super) state: Arc<State>,
    /// Why metrics are not served.
    pub(crate) unserved: Arc<Unserved>,
    pub(super) readable: Readable,
    pub(super) own_log: Vec<PathBuf>,
    pub(super) now: Mutex<Now>,
    pub(super) alarms: Alarms,
    pub(super) seed: u64,
}

/// What a reload changes.
pub(super) struct Now {
    pub(super) config: Config,
    pub(super) running: Vec<Running>,
    pub(super) ignored: Option<Arc<Ignored>>,
    /// The sources of which it was told that nobody is judged.
    told: Vec<String>,
    /// Why the state cannot be written.
    problem: Option<String>,
    /// Why the last reload was refused.
    pub(super) refused: Option<String>,
}

pub(super) struct Running {
    pub(super) config: SourceConfig,
    counts: Arc<Counts>,
    handle: Handle,
    stop: Stop,
}

/// A source, for metrics and health.
pub(crate) struct SourceFigures {
    pub(crate) name: String,
    pub(crate) tail: Figures,
    pub(crate) counts: Arc<Counts>,
    /// What it cannot read at present.
    pub(crate) unread: Vec<Unread>,
    /// Whether its thread has ended: standard input does.
    pub(crate) ended: bool,
}

impl Service {
    /// Starts everything. `own_log` are files that it logs to.
    ///
    /// # Errors
    /// [`StartError`].
    pub(crate) fn start(
        config: &Config,
        readable: Readable,
        own_log: Vec<PathBuf>,
    ) -> Result<Arc<Self>, StartError> {
        config.warnings().iter().for_each(|text| warn!("{text}"));
        let dir = config.state_dir.clone();
        ensure_dir(&dir, 0o700).map_err(|source| StartError::State {
            dir: dir.clone(),
            source,
        })?;
        let state = Arc::new(State::new(&dir));
        let seed = RandomState::new().hash_one(std::process::id());
        let mut core = Core::new(config, seed).ok_or(StartError::Rules)?;
        state.restore_ladder(&mut core.detector);
        let core = Arc::new(Mutex::new(core));
        let injector = Injector::start(
            Client::unix(&config.socket, &config.token_file),
            Limits::default(),
        )?;
        state.restore_pending(&injector);
        let decider = Arc::new(Decider::new(injector, Answers::start()?, &state));
        let service = Self {
            core,
            decider,
            state,
            unserved: Arc::default(),
            readable,
            own_log,
            now: Mutex::new(Now {
                config: config.clone(),
                running: Vec::new(),
                ignored: None,
                told: Vec::new(),
                problem: None,
                refused: None,
            }),
            alarms: Alarms::default(),
            seed,
        };
        service.know(&mut service.now.lock());
        let running = service.read(&config.sources)?;
        service.now.lock().running = running;
        Ok(Arc::new(service))
    }

    /// Starts to read these sources; none of them if one cannot be read.
    pub(super) fn read(&self, sources: &[SourceConfig]) -> Result<Vec<Running>, StartError> {
        let mut running = Vec::new();
        for config in sources {
            match self.read_one(config) {
                Ok(one) => running.push(one),
                Err(error) => {
                    end(running);
                    return Err(error);
                }
            }
        }
        Ok(running)
    }

    fn read_one(&self, config: &SourceConfig) -> Result<Running, StartError> {
        let (stop, counts) = (Stop::new()?, Arc::default());
        let now = self.now.lock();
        let options = Options {
            catch_up: now.config.catch_up,
            own_log: self.own_log.clone(),
            ..Options::new(now.config.state_dir.clone())
        };
        drop(now);
        let watch = Watch::new(&config.name, &self.core, &self.decider, &counts);
        let input = config.input.clone();
        let handle = couic_tail::start(&config.name, input, options, Box::new(watch), stop.clone());
        let handle = handle.map_err(|source| StartError::Source {
            name: config.name.clone(),
            source,
        })?;
        Ok(Running {
            config: config.clone(),
            counts,
            handle,
            stop,
        })
    }

    /// Takes over the daemon's ignore list, and tells which sources wait for it.
    pub(super) fn know(&self, now: &mut Now) {
        let mut core = self.core.lock();
        core.know(&now.config.sources, now.ignored.as_deref());
        drop(core);
        self.warn_of_blind(now);
    }

    /// Logs sources that have become blind or see again, after [`Core::know`].
    pub(super) fn warn_of_blind(&self, now: &mut Now) {
        let blind = Core::blind(&self.core, &now.config.sources);
        for (name, feeds) in &blind {
            if !now.told.contains(name) {
                warn!(
                    "source {name}: nobody is judged by its lines until the daemon tells its set {feeds} of policy ignore, \
                     since a proxy would be taken for the client"
                );
            }
        }
        for name in now
            .told
            .iter()
            .filter(|name| !blind.iter().any(|(blind, _)| blind == *name))
        {
            info!("source {name}: its proxies are known, its lines are judged from here on");
        }
        now.told = blind.into_iter().map(|(name, _)| name).collect();
    }

    /// To be called a few times a second.
    pub(crate) fn tick(&self) {
        let ignored = self.decider.with(Injector::ignored).flatten();
        let mut now = self.now.lock();
        let same = match (&ignored, &now.ignored) {
            (Some(new), Some(old)) => Arc::ptr_eq(new, old),
            (None, _) => true,
            (Some(_), None) => false,
        };
        if !same {
            now.ignored = ignored;
            self.know(&mut now);
        }
        drop(now);
        self.core.lock().late.tidy(clock_ms());
        self.hear();
        self.decider.tidy();
    }

    /// Gives the detectors what is known about crawlers.
    fn hear(&self) {
        for (ask, answer, asker) in self.decider.answered() {
            let now_ms = clock_ms();
            let mut core = self.core.lock();
            let decisions = match asker {
                Asker::Live => core.detector.answer(ask, answer, now_ms),
                Asker::Late => core.late.answer(ask, answer, now_ms),
            };
            drop(core);
            for decision in decisions {
                self.decider.act(decision, asker, now_ms);
            }
        }
    }

    /// To be called each few seconds: tells what lasts.
    pub(crate) fn look(&self) {
        let dominant = self.core.lock().detector.counters().dominant;
        self.alarms.look(&self.sources(), &dominant);
    }

    /// To be called each 30 s: writes the state. Blocks on the disk.
    pub(crate) fn save(&self) {
        self.write(false);
    }

    fn write(&self, at_end: bool) {
        let ladder = self.core.lock().detector.ladder();
        let saved = self.state.save_ladder(&ladder, at_end);
        let saved = saved.and_then(|()| {
            self.decider
                .with(|injector| self.state.save_pending(injector))
                .unwrap_or(Ok(()))
        });
        let mut now = self.now.lock();
        match (saved, &now.problem) {
            (Ok(()), Some(_)) => {
                info!("the state is written again");
                now.problem = None;
            }
            (Ok(()), None) => {}
            (Err(error), before) => {
                let problem = format!(
                    "the state in {} cannot be written: {error}",
                    now.config.state_dir.display()
                );
                if before.is_none() {
                    error!("{problem}; how often sources were banned is forgotten at a restart");
                }
                now.problem = Some(problem);
            }
        }
    }

    /// Ends: sources with their checkpoints, then bans with a deadline; the rest is kept on disk.
    pub(crate) fn stop(&self) {
        let running = std::mem::take(&mut self.now.lock().running);
        end(running);
        self.write(true);
        let Some(rest) = self.decider.stop(DRAIN) else {
            return;
        };
        let left = counted(rest.len() as u64, "ban was", "bans were");
        match (rest.is_empty(), self.state.keep(rest)) {
            (true, Ok(())) => {}
            (false, Ok(())) => {
                warn!("{left} not sent: they are kept, and sent after the next start");
            }
            (_, Err(error)) => {
                error!("{left} not sent, and are lost: they cannot be written: {error}");
            }
        }
    }

    /// Every source as it stands.
    pub(crate) fn sources(&self) -> Vec<SourceFigures> {
        let now = self.now.lock();
        let of = |running: &Running| SourceFigures {
            name: running.config.name.clone(),
            tail: running.handle.figures(),
            counts: Arc::clone(&running.counts),
            unread: running.handle.unread(),
            ended: running.handle.is_finished(),
        };
        now.running.iter().map(of).collect()
    }

    /// Sources of which nobody is judged since a set of proxies is not known.
    pub(crate) fn blind(&self) -> Vec<String> {
        self.now.lock().told.clone()
    }

    /// Why the state cannot be written, and why the last reload was refused.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        let now = self.now.lock();
        let refused = now.refused.as_ref().map(|why| {
            format!("the last reload was refused, the configuration before stays in force: {why}")
        });
        now.problem.clone().into_iter().chain(refused)
    }

    /// A line for systemctl.
    pub(crate) fn summary(&self) -> String {
        let now = self.now.lock();
        let sources = counted(now.config.sources.len() as u64, "source", "sources");
        let jails = counted(now.config.detect.jails.len() as u64, "jail", "jails");
        format!("reading {sources} for {jails}")
    }
}

/// Asks all to stop first, so that they end together.
pub(super) fn end(running: Vec<Running>) {
    running.iter().for_each(|one| one.stop.stop());
    for one in running {
        if !one.handle.join() {
            error!(
                "source {}: its thread has panicked, which is a bug",
                one.config.name
            );
        }
    }
}
