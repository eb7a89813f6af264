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
use couic_inject::{Config as Client, Ignored, InjectError, Injector, Limits};
use couic_tail::{Figures, Handle, Options, Stop, TailError};
use parking_lot::Mutex;
use tracing::{error, info, warn};

use super::{
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
    state: State,
    readable: Readable,
    own_log: Vec<PathBuf>,
    now: Mutex<Now>,
    seed: u64,
}

/// What a reload changes.
struct Now {
    config: Config,
    running: Vec<Running>,
    ignored: Option<Arc<Ignored>>,
    /// The sources of which it was told that nobody is judged.
    told: Vec<String>,
    /// Why the state cannot be written.
    problem: Option<String>,
}

struct Running {
    config: SourceConfig,
    counts: Arc<Counts>,
    handle: Handle,
    stop: Stop,
}

/// A source, for metrics and health.
pub(crate) struct SourceFigures {
    pub(crate) name: String,
    pub(crate) tail: Figures,
    pub(crate) counts: Arc<Counts>,
    /// Whether its thread has ended: standard input does.
    pub(crate) ended: bool,
}

impl Service {
    /// Starts everything. `own_log` are files that it logs to.
    ///
    /// # Errors
    /// [`StartError`].
    pub(crate) fn start(
        config: Config,
        readable: Readable,
        own_log: Vec<PathBuf>,
    ) -> Result<Arc<Self>, StartError> {
        let dir = config.state_dir.clone();
        ensure_dir(&dir, 0o700).map_err(|source| StartError::State {
            dir: dir.clone(),
            source,
        })?;
        let state = State::new(&dir);
        let seed = RandomState::new().hash_one(std::process::id());
        let mut core = Core::new(&config, seed).ok_or(StartError::Rules)?;
        state.restore_ladder(&mut core.detector);
        let core = Arc::new(Mutex::new(core));
        let injector = Injector::start(
            Client::unix(&config.socket, &config.token_file),
            Limits::default(),
        )?;
        state.restore_pending(&injector);
        let decider = Arc::new(Decider::new(injector, Answers::start()?));
        let service = Self {
            core,
            decider,
            state,
            readable,
            own_log,
            now: Mutex::new(Now {
                config: config.clone(),
                running: Vec::new(),
                ignored: None,
                told: Vec::new(),
                problem: None,
            }),
            seed,
        };
        service.know(&mut service.now.lock());
        let running = service.read(&config.sources)?;
        service.now.lock().running = running;
        Ok(Arc::new(service))
    }

    /// Starts to read these sources; none of them if one cannot be read.
    fn read(&self, sources: &[SourceConfig]) -> Result<Vec<Running>, StartError> {
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
    fn know(&self, now: &mut Now) {
        let sources = &now.config.sources;
        self.core.lock().know(sources, now.ignored.as_deref());
        let blind = Core::blind(&self.core, sources);
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

    /// Takes over another configuration. Sources that stay go on without a gap; those that are read in another way, or not
    /// any more, end. Buckets begin empty, the ladder and running bans are kept.
    ///
    /// # Errors
    /// Why the configuration before stays in force.
    pub(crate) fn reload(&self, config: Config) -> Result<String, String> {
        for source in &config.sources {
            if let Some(why) = self.readable.lacks(source) {
                return Err(format!(
                    "source {}: {why}, so it needs a restart",
                    source.name
                ));
            }
        }
        let fresh_core = Core::new(&config, self.seed).ok_or("the rules are not valid")?;
        let mut now = self.now.lock();
        let pending = pending(&now.config, &config);
        let stays = |old: &Running| {
            let mut new = config.sources.iter();
            new.any(|new| new.name == old.config.name && new.same_input(&old.config))
        };
        // Another source may take the socket or the checkpoint of one that ends.
        let (kept, ended) = std::mem::take(&mut now.running)
            .into_iter()
            .partition(stays);
        now.running = kept;
        let named = |running: &[Running]| {
            running
                .iter()
                .map(|one| one.config.name.clone())
                .collect::<Vec<_>>()
        };
        let (kept, before) = (named(&now.running), configs(&ended));
        let fresh: Vec<_> = config
            .sources
            .iter()
            .filter(|new| !kept.contains(&new.name))
            .cloned()
            .collect();
        end(ended);
        let old_config = std::mem::replace(&mut now.config, config);
        let old_core = self.swap(fresh_core, &mut now);
        drop(now);
        // They may read their first lines before this returns, by the rules that are in force now.
        let started = self.read(&fresh);
        if let Err(error) = started {
            let mut now = self.now.lock();
            now.config = old_config;
            self.swap(old_core, &mut now);
            drop(now);
            let back = self
                .read(&before)
                .inspect_err(|error| error!("after a failed reload: {error}"));
            self.now.lock().running.extend(back.into_iter().flatten());
            return Err(error.to_string());
        }
        let mut now = self.now.lock();
        let Now {
            config, running, ..
        } = &mut *now;
        running.extend(started.into_iter().flatten());
        for one in running {
            if let Some(new) = config
                .sources
                .iter()
                .find(|new| new.name == one.config.name)
            {
                one.config = new.clone();
            }
        }
        drop(now);
        Ok(format!(
            "configuration reloaded, {}{pending}",
            self.summary()
        ))
    }

    /// Puts another core in place, with the ladder of the one before, which is returned.
    fn swap(&self, mut core: Core, now: &mut Now) -> Core {
        let mut current = self.core.lock();
        core.detector.restore_ladder(current.detector.ladder());
        core.generation = current.generation;
        let before = std::mem::replace(&mut *current, core);
        drop(current);
        self.know(now);
        before
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
                warn!("{left} not sent: they are kept, and sent after the next start")
            }
            (_, Err(error)) => {
                error!("{left} not sent, and are lost: they cannot be written: {error}")
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
            ended: running.handle.is_finished(),
        };
        now.running.iter().map(of).collect()
    }

    /// Sources of which nobody is judged since a set of proxies is not known.
    pub(crate) fn blind(&self) -> Vec<String> {
        self.now.lock().told.clone()
    }

    /// Why the state cannot be written.
    pub(crate) fn problem(&self) -> Option<String> {
        self.now.lock().problem.clone()
    }

    /// A line for systemctl.
    pub(crate) fn summary(&self) -> String {
        let now = self.now.lock();
        let sources = counted(now.config.sources.len() as u64, "source", "sources");
        let jails = counted(now.config.detect.jails.len() as u64, "jail", "jails");
        format!("reading {sources} for {jails}")
    }
}

fn configs(running: &[Running]) -> Vec<SourceConfig> {
    running.iter().map(|one| one.config.clone()).collect()
}

/// Asks all to stop first, so that they end together.
fn end(running: Vec<Running>) {
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

/// A clause that names keys that a reload does not take over.
fn pending(old: &Config, new: &Config) -> String {
    let keys = [
        ("user", old.user != new.user),
        ("state_dir", old.state_dir != new.state_dir),
        ("control", old.control != new.control),
        ("metrics.listen", old.metrics != new.metrics),
        ("daemon.socket", old.socket != new.socket),
        ("daemon.token_file", old.token_file != new.token_file),
    ];
    let changed: Vec<&str> = keys
        .into_iter()
        .filter(|(_, changed)| *changed)
        .map(|(key, _)| key)
        .collect();
    match changed.as_slice() {
        [] => String::new(),
        keys => format!(
            "; these keys have changed and take effect at the next restart: {}",
            keys.join(", ")
        ),
    }
}
