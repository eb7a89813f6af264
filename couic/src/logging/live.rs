//! What can be changed while the daemon runs: level and format. And the request to open files again.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

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
    is_json: AtomicU8,
    reopened: AtomicU64,
}

impl Live {
    pub(super) fn new(level: LogLevel, format: LogFormat) -> Self {
        let live = Self {
            level: AtomicU8::new(0),
            is_json: AtomicU8::new(0),
            reopened: AtomicU64::new(0),
        };
        live.store(level, format);
        live
    }

    fn store(&self, level: LogLevel, format: LogFormat) {
        self.level.store(level as u8, Relaxed);
        self.is_json
            .store(u8::from(format == LogFormat::Json), Relaxed);
    }

    /// From the next line on.
    pub(super) fn set(&self, level: LogLevel, format: LogFormat) {
        self.store(level, format);
        // tracing remembers for each line of the source whether it is of interest.
        rebuild_interest_cache();
    }

    pub(super) fn level(&self) -> LevelFilter {
        const LEVELS: [LogLevel; 5] = [
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
            LogLevel::Trace,
        ];
        let level = self.level.load(Relaxed);
        let found = LEVELS.into_iter().find(|known| *known as u8 == level);
        LevelFilter::from_level(match found.unwrap_or(LogLevel::Info) {
            LogLevel::Error => Level::ERROR,
            LogLevel::Warn => Level::WARN,
            LogLevel::Info => Level::INFO,
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Trace => Level::TRACE,
        })
    }

    pub(super) fn format(&self) -> LogFormat {
        if self.is_json.load(Relaxed) == 1 {
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
