//! Lasting problems are logged when they begin and when they end, and those that come and go not more than once a minute.

use std::time::{Duration, Instant};

/// The shortest time from one report of a problem to the next.
const QUIET: Duration = Duration::from_secs(60);

/// What is the matter with one of the things that a program does.
#[derive(Debug)]
pub struct Told {
    fails: &'static str,
    works: &'static str,
    problem: Option<String>,
    /// When a problem was last logged, and whether its end is to be.
    logged: Option<Instant>,
    is_open: bool,
}

impl Told {
    /// `fails` is logged with the reason.
    #[must_use]
    pub const fn new(fails: &'static str, works: &'static str) -> Self {
        Self {
            fails,
            works,
            problem: None,
            logged: None,
            is_open: false,
        }
    }

    /// It fails. Logged unless that was.
    pub fn fails(&mut self, why: &str) {
        // Texts for terminals have their advice on lines of their own.
        let why = why.replace("\n  ", "; ");
        if !self.is_open && self.logged.is_none_or(|at| at.elapsed() >= QUIET) {
            tracing::warn!("{}: {why}", self.fails);
            self.logged = Some(Instant::now());
            self.is_open = true;
        }
        self.problem = Some(why);
    }

    /// It works. Logged if the problem was.
    pub fn works(&mut self) {
        self.problem = None;
        if std::mem::take(&mut self.is_open) {
            tracing::info!("{}", self.works);
        }
    }

    /// What is the matter at present.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}
