//! What all sources share: the detector, and what each source's lines are read with.

use std::{collections::HashMap, sync::Arc};

use couic_common::unix_time;
use couic_detect::{Detector, Nets};
use couic_inject::Ignored;
use parking_lot::Mutex;

use super::{late::Late, proxies::Judge, watch::Settings};
use crate::config::{Config, SourceConfig};

/// Locked from the first line of a chunk to its end.
pub(crate) struct Core {
    pub(crate) detector: Detector,
    pub(crate) late: Late,
    /// By the name of the source.
    pub(crate) settings: HashMap<String, Arc<Settings>>,
    /// Another one whenever `settings` change.
    pub(crate) generation: u64,
}

/// Arrival times, in Unix ms.
pub(crate) fn clock_ms() -> i64 {
    i64::try_from(unix_time().as_millis()).unwrap_or(i64::MAX)
}

impl Core {
    /// For a configuration that was checked. None if it is not valid after all.
    pub(crate) fn new(config: &Config, seed: u64) -> Option<Self> {
        let rules = config.rules()?;
        let names = config
            .sources
            .iter()
            .map(|source| source.name.clone())
            .collect();
        Some(Self {
            detector: Detector::new(rules, seed),
            late: Late::new(Arc::clone(&config.detect), names, seed),
            settings: HashMap::new(),
            generation: 0,
        })
    }

    /// Takes over what the daemon ignores, and with it sets of proxies.
    pub(crate) fn know(&mut self, sources: &[SourceConfig], ignored: Option<&Ignored>) {
        self.settings = sources
            .iter()
            .filter_map(|source| {
                let id = self.detector.source(&source.name)?;
                let settings = Settings {
                    id,
                    needs: self.detector.needs(id)?,
                    format: source.format.clone(),
                    format_text: source.format_text.clone(),
                    judge: Judge::of(source, ignored),
                };
                Some((source.name.clone(), Arc::new(settings)))
            })
            .collect();
        self.generation += 1;
        if let Some(ignored) = ignored {
            let nets: Nets = ignored.nets.iter().copied().collect();
            self.detector.set_ignored(nets.clone());
            self.late.set_ignored(nets);
        }
    }

    /// Sources of which nobody is judged yet, with a set that is not known.
    pub(crate) fn blind(core: &Mutex<Self>, sources: &[SourceConfig]) -> Vec<(String, String)> {
        let core = core.lock();
        let blind = sources.iter().filter(|source| {
            let settings = core.settings.get(&source.name);
            settings.is_some_and(|settings| settings.judge.is_none())
        });
        blind
            .map(|source| {
                let feeds: Vec<&str> = source.feeds().collect();
                (source.name.clone(), feeds.join(", "))
            })
            .collect()
    }
}
