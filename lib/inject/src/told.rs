//! Lasting problems are logged when they begin and when they end, and those that come and go not more than once a minute.

use std::time::{Duration, Instant};

/// The shortest time from one report of a problem to the next.
const QUIET: Duration = Duration::from_secs(60);

/// The beginning of the client's advice for who repairs rules of a daemon that is gone: not for a log.
const AT_HAND: &str = "packets may still be filtered";

/// An error of the client in one line, for logs and status. Texts for terminals have advice and details on lines of their
/// own: those that repeat what was said, or are for a hand at the keyboard, are left out.
#[must_use]
pub fn in_a_line(text: &str) -> String {
    let mut lines = text.split("\n  ");
    let mut told = lines.next().unwrap_or_default().to_owned();
    for line in lines.filter(|line| !line.starts_with(AT_HAND)) {
        let detail = line.split_once(": ").map_or(line, |(_, detail)| detail);
        if !told.contains(detail) {
            told.push_str("; ");
            told.push_str(line);
        }
    }
    told
}

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
        let why = in_a_line(why);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_repeats_nothing_and_has_no_advice_for_a_keyboard() {
        let refused = "no policy ignore\n  policy: no policy ignore\n  cidr: too wide";
        assert_eq!(in_a_line(refused), "no policy ignore; cidr: too wide");
        assert_eq!(in_a_line("away"), "away");
    }

    /// The words are those of the client.
    #[tokio::test]
    async fn a_daemon_that_is_gone_is_told_without_the_way_to_detach_it() {
        let client = couic_client::Client::builder(couic_client::Endpoint::unix("/nowhere/s"));
        let error = client
            .build()
            .unwrap()
            .sets(couic_common::Policy::Drop)
            .await
            .unwrap_err();
        let (whole, line) = (error.to_string(), in_a_line(&error.to_string()));
        assert!(whole.contains("couic detach"), "{whole}");
        assert!(
            line.contains("systemctl status") && !line.contains("detach"),
            "{line}"
        );
    }
}
