//! What can be changed while the daemon runs: level and format. And the request to open files again.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use tracing::{
    Level, Metadata, Subscriber, callsite::rebuild_interest_cache, level_filters::LevelFilter,
    subscriber::Interest,
};
use tracing_subscriber::layer::{Context, Filter};

use super::audit::TARGET;
use crate::config::{LogFormat, LogLevel};

/// Shared by all parts of the log.
#[derive(Debug)]
pub(super) struct Live {
    level: AtomicU8,
    is_json: AtomicBool,
    reopened: AtomicU64,
}

impl Live {
    pub(super) fn new(level: LogLevel, format: LogFormat) -> Self {
        let live = Self {
            level: AtomicU8::new(0),
            is_json: AtomicBool::new(false),
            reopened: AtomicU64::new(0),
        };
        live.store(level, format);
        live
    }

    fn store(&self, level: LogLevel, format: LogFormat) {
        self.level.store(level as u8, Relaxed);
        self.is_json.store(format == LogFormat::Json, Relaxed);
    }

    /// From the next line on.
    pub(super) fn set(&self, level: LogLevel, format: LogFormat) {
        self.store(level, format);
        // tracing remembers for each line of the source whether it is of interest.
        rebuild_interest_cache();
    }

    pub(super) fn level(&self) -> LevelFilter {
        const LEVELS: [(LogLevel, LevelFilter); 5] = [
            (LogLevel::Error, LevelFilter::ERROR),
            (LogLevel::Warn, LevelFilter::WARN),
            (LogLevel::Info, LevelFilter::INFO),
            (LogLevel::Debug, LevelFilter::DEBUG),
            (LogLevel::Trace, LevelFilter::TRACE),
        ];
        let level = self.level.load(Relaxed);
        let found = LEVELS.iter().find(|(known, _)| *known as u8 == level);
        found.map_or(LevelFilter::INFO, |(_, filter)| *filter)
    }

    pub(super) fn format(&self) -> LogFormat {
        if self.is_json.load(Relaxed) {
            LogFormat::Json
        } else {
            LogFormat::Text
        }
    }

    pub(super) fn has_line(&self, level: Level) -> bool {
        level <= self.level()
    }

    /// Has the files opened again at their next line, if they were moved.
    pub(super) fn reopen(&self) {
        self.reopened.fetch_add(1, Relaxed);
    }

    /// How often that was asked for.
    pub(super) fn reopened(&self) -> u64 {
        self.reopened.load(Relaxed)
    }
}

/// Lets the lines of the present level through to the formatter of the present format. Those of the audit log have a
/// layer of their own.
pub(super) struct Lines {
    pub(super) live: std::sync::Arc<Live>,
    pub(super) format: LogFormat,
}

impl Lines {
    fn takes(&self, meta: &Metadata<'_>) -> bool {
        meta.target() != TARGET
            && self.live.format() == self.format
            && self.live.has_line(*meta.level())
    }
}

impl<S: Subscriber> Filter<S> for Lines {
    fn enabled(&self, meta: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.takes(meta)
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        if self.takes(meta) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.live.level())
    }
}
