//! The log of a service: to stderr, which systemd collects, at a level that may change while it runs.

use std::io::{self, IsTerminal as _};

use tracing::error;
use tracing_subscriber::EnvFilter;

use crate::{Prefixed, is_journal};

/// Changes the level of the log.
pub struct Level {
    variable: &'static str,
    set: Box<dyn Fn(EnvFilter) + Send + Sync>,
}

impl Level {
    /// Starts the log. The environment's `variable`, such as `COUICMON_LOG=debug`, goes before `level`.
    #[must_use]
    pub fn start(variable: &'static str, level: &str) -> Self {
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter(variable, level))
            .with_writer(Prefixed::new(io::stderr, is_journal(io::stderr())))
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .with_filter_reloading();
        let handle = log.reload_handle();
        log.init();
        let set = move |filter: EnvFilter| {
            if let Err(error) = handle.reload(filter) {
                error!("the level of the log cannot be changed: {error}");
            }
        };
        Self {
            variable,
            set: Box::new(set),
        }
    }

    /// From the next line on.
    pub fn set(&self, level: &str) {
        (self.set)(filter(self.variable, level));
    }
}

fn filter(variable: &str, level: &str) -> EnvFilter {
    EnvFilter::try_from_env(variable).unwrap_or_else(|_| level.into())
}
