//! Taking over another configuration while lines are read.
//!
//! Sources that stay go on without a gap; those that are read in another way, or not any more, end. The counts of jails that
//! are as they were go on, those of others begin empty, as do those of late lines; the ladder and running bans are kept. If a new source cannot be read, everything is as before.

use couic_settings::awaiting_restart;
use tracing::error;

use super::{
    core::{Core, clock_ms},
    service::{Now, Running, Service, end},
};
use crate::config::{Config, SourceConfig};

impl Service {
    /// Takes over another configuration, if it could be read. Returns what to tell. A refusal is a problem until a reload
    /// succeeds.
    ///
    /// # Errors
    /// Why the configuration before stays in force.
    pub(crate) fn take_over(&self, config: Result<Config, String>) -> Result<String, String> {
        let told = config.and_then(|config| self.reload(config));
        self.now.lock().refused = told.as_ref().err().cloned();
        told
    }

    /// # Errors
    /// Why the configuration before stays in force.
    pub(super) fn reload(&self, config: Config) -> Result<String, String> {
        for source in &config.sources {
            if let Some(why) = self.readable.lacks(source) {
                let name = &source.name;
                return Err(format!("source {name}: {why}, so it needs a restart"));
            }
        }
        let core = Core::new(&config, self.seed).ok_or("the rules are not valid")?;
        let mut now = self.now.lock();
        let pending = pending(&now.config, &config);
        let (fresh, ended) = divide(&mut now, &config);
        let before = ended
            .iter()
            .map(|one| one.config.clone())
            .collect::<Vec<_>>();
        end(ended);
        let old_config = std::mem::replace(&mut now.config, config);
        let old_core = self.swap(core, &mut now);
        drop(now);
        // They may read their first lines before this returns, by the rules that are in force now.
        let started = match self.read(&fresh) {
            Ok(started) => started,
            Err(error) => {
                self.go_back(old_config, old_core, &before);
                return Err(error.to_string());
            }
        };
        let mut now = self.now.lock();
        let Now {
            config, running, ..
        } = &mut *now;
        running.extend(started);
        for one in running {
            let mut new = config.sources.iter();
            if let Some(new) = new.find(|new| new.name == one.config.name) {
                one.config = new.clone();
            }
        }
        drop(now);
        let summary = self.summary();
        Ok(format!("configuration reloaded, {summary}{pending}"))
    }

    /// Puts another core in place, with the ladder of the one before, which is returned.
    fn swap(&self, mut core: Core, now: &mut Now) -> Core {
        let mut current = self.core.lock();
        let ladder = current.detector.ladder();
        core.detector.adopt(&mut current.detector);
        core.detector.restore_ladder(ladder, clock_ms());
        core.generation = current.generation;
        // Before its first line: settings of the core before go with other jails.
        core.know(&now.config.sources, now.ignored.as_deref());
        let before = std::mem::replace(&mut *current, core);
        drop(current);
        self.warn_of_blind(now);
        before
    }

    fn go_back(&self, config: Config, core: Core, ended: &[SourceConfig]) {
        let mut now = self.now.lock();
        now.config = config;
        self.swap(core, &mut now);
        drop(now);
        match self.read(ended) {
            Ok(back) => self.now.lock().running.extend(back),
            Err(error) => {
                error!("after a failed reload: {error}: it is not read any more; restart couicmon");
            }
        }
    }
}

/// The sources to start, and those that end now, since another may take their socket or checkpoint.
fn divide(now: &mut Now, config: &Config) -> (Vec<SourceConfig>, Vec<Running>) {
    let stays = |old: &Running| {
        let mut new = config.sources.iter();
        new.any(|new| new.name == old.config.name && new.same_input(&old.config))
    };
    let (kept, ended) = std::mem::take(&mut now.running)
        .into_iter()
        .partition(stays);
    now.running = kept;
    let is_kept = |new: &&SourceConfig| now.running.iter().any(|one| one.config.name == new.name);
    let fresh = config
        .sources
        .iter()
        .filter(|new| !is_kept(new))
        .cloned()
        .collect();
    (fresh, ended)
}

/// A clause that names keys that a reload does not take over.
fn pending(old: &Config, new: &Config) -> String {
    awaiting_restart(&[
        ("user", old.user != new.user),
        ("state_dir", old.state_dir != new.state_dir),
        ("control", old.control != new.control),
        ("metrics.listen", old.metrics != new.metrics),
        ("daemon.socket", old.socket != new.socket),
        ("daemon.token_file", old.token_file != new.token_file),
    ])
}
