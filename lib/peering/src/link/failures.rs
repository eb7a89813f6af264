//! Failed requests: a smaller one follows, or plain jobs, or a pause. No change is lost.

use super::Link;
use crate::{Ask, Failure, LinkState, Moment, backoff};

/// Interval of probes whether a plain node was upgraded, in milliseconds.
const PROBE: u64 = 60_000;

impl Link {
    /// Records that the request failed.
    pub fn failed(&mut self, failure: Failure, now: Moment) {
        let Some((ask, _)) = self.in_flight.take() else {
            return;
        };
        let (is_plain, is_digest) = (matches!(ask, Ask::Plain(_)), matches!(ask, Ask::Digest(..)));
        match failure {
            Failure::TooLarge if self.reduce_size(&ask, now) => {}
            Failure::TooLarge => {
                self.gave_up(
                    ask,
                    "it rejects even the smallest body (413)".to_owned(),
                    now,
                );
            }
            Failure::NotEnabled => self.not_enabled(ask, now),
            Failure::Unknown if is_digest => self.switch_to_plain(now),
            Failure::Unknown => {
                self.gave_up(ask, "it no longer supports a route (404)".to_owned(), now);
            }
            Failure::Refused(problem) if is_plain => {
                self.succeeded(now);
                let lost = self.plain.refused() as u64;
                self.status.refused += lost;
                if lost > 0 {
                    self.status.last_error = Some((now.wall, problem));
                }
            }
            Failure::Refused(problem) | Failure::Other(problem) => self.gave_up(ask, problem, now),
        }
    }

    /// Reduces the size of the next request after one was too large. False if that is not possible.
    fn reduce_size(&mut self, ask: &Ask, now: Moment) -> bool {
        match ask {
            Ask::Push(policy, cidrs) => {
                let smaller = cidrs.len() > 1;
                self.batch = (cidrs.len() / 2).max(1);
                self.put_back(*policy, cidrs.clone(), now);
                self.send_at = now.mono;
                smaller
            }
            Ask::Pull(_, leaves, _) if leaves.len() > 1 => {
                if let Some(check) = &mut self.check {
                    check.too_large();
                }
                true
            }
            Ask::Plain(_) => self.plain.too_large(),
            Ask::Pull(..) | Ask::Digest(..) => false,
        }
    }

    fn switch_to_plain(&mut self, now: Moment) {
        let news = !self.is_plain;
        self.is_plain = true;
        self.check = None;
        self.check_at = now.mono + PROBE;
        self.succeeded(now);
        self.status.state = LinkState::Plain;
        if news {
            self.walk = self.settings.walk();
        }
    }

    /// It is no Couic 1.0, which the probe of one may tell, too.
    fn not_enabled(&mut self, ask: Ask, now: Moment) {
        self.is_plain = false;
        self.plain.clear();
        self.walk = self.settings.walk();
        let problem = "peering is not enabled there: list this node in [[peering.peers]] of its couic.toml, set \
                       [peering] enabled = true, and restart couic there";
        self.gave_up(ask, problem.to_owned(), now);
        self.status.state = LinkState::NotEnabled;
        self.status.last_answer = now.wall;
    }

    /// The peer speaks: if it was not ready before, it is asked at once.
    /// Returns whether there is something to do.
    pub fn peer_spoke(&mut self, now: Moment) -> bool {
        if self.status.state == LinkState::NotEnabled {
            self.retry_at = now.mono;
        } else if self.is_plain {
            self.check_at = now.mono;
        } else {
            return false;
        }
        true
    }

    pub(super) fn gave_up(&mut self, ask: Ask, problem: String, now: Moment) {
        if let Ask::Push(policy, cidrs) = ask {
            self.put_back(policy, cidrs, now);
        }
        let pause = backoff::failed(&mut self.backoff, &mut self.chance);
        self.retry_at = now.mono + pause;
        self.check = None;
        // A comparison comes first once it is back.
        self.check_at = 0;
        self.known.clear();
        if self.is_plain && self.backoff.failures() == 1 {
            self.walk = self.settings.walk();
        }
        self.status.state = LinkState::Failing;
        self.status.last_error = Some((now.wall, problem));
    }
}
