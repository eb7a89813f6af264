//! What the handle and its thread share.

use std::sync::{Arc, atomic::AtomicBool};

use couic_common::unix_seconds;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    Figures, Ignored, Limits,
    daemon::{Daemon, InjectError},
    held::Held,
    refusals::Refusals,
    rule::{Key, NEVER, Rule, Texts, cut},
    told::Told,
};

/// The state of an injector. Every lock is held for some hundred rules at most.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) held: Mutex<Held>,
    /// The queue is no longer empty.
    pub(crate) wake: Notify,
    pub(crate) counts: Mutex<Counts>,
    pub(crate) ignored: Mutex<Option<Arc<Ignored>>>,
    /// The daemon answered the question for its ignore list, with it or with an error that stays.
    pub(crate) ignored_answered: AtomicBool,
    pub(crate) refusals: Mutex<Refusals>,
}

/// Counters, and what is the matter.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Everything but what is taken from the queue.
    pub(crate) figures: Figures,
    pub(crate) refusing: Told,
    pub(crate) sending: Told,
    pub(crate) pace: Told,
    pub(crate) reading: Told,
    pub(crate) token: Told,
}

impl State {
    pub(crate) fn new(limits: Limits) -> Self {
        let refusing = Told::new(
            "the daemon refuses rules",
            "the daemon refuses no rule any more",
        );
        let sending = Told::new(
            "rules cannot be sent to the daemon, they wait",
            "the daemon takes rules again",
        );
        let pace = Told::new(
            "the daemon takes some rules only later, they wait",
            "the daemon has taken the rules that had to wait",
        );
        let reading = Told::new(
            "the daemon's ignore list cannot be read, the last one counts",
            "the daemon's ignore list can be read again",
        );
        let token = Told::new(
            "the daemon refuses the token: nothing is banned until it takes one",
            "the daemon takes the token",
        );
        Self {
            held: Mutex::new(Held::new(limits)),
            wake: Notify::new(),
            counts: Mutex::new(Counts {
                figures: Figures::default(),
                refusing,
                sending,
                pace,
                reading,
                token,
            }),
            ignored: Mutex::new(None),
            ignored_answered: AtomicBool::new(false),
            refusals: Mutex::default(),
        }
    }

    pub(crate) fn ban(&self, rule: Rule) {
        let key = match Key::new(rule.cidr, &rule.tag) {
            Ok(key) => key,
            Err(error) => return self.refuse(&format!("{}: the tag: {error}", rule.cidr)),
        };
        let end = if rule.until == 0 { NEVER } else { rule.until };
        let (texts, is_cut) = Texts::of(rule);
        if is_cut {
            self.counts.lock().figures.cut += 1;
        }
        let now = unix_seconds();
        self.held.lock().ban(key, end, texts, now);
        self.wake.notify_one();
    }

    pub(crate) fn remove(&self, cidr: ipnetwork::IpNetwork, tag: &str) {
        match Key::new(cidr, tag) {
            Ok(key) => self.held.lock().remove(key),
            Err(error) => return self.refuse(&format!("{cidr}: the tag: {error}")),
        }
        self.wake.notify_one();
    }

    /// The token was refused, and the file has no other one. Returns the problem.
    pub(crate) fn bad_token(
        &self,
        why: &str,
        daemon: &Daemon,
        renewed: Result<bool, InjectError>,
    ) -> String {
        let file = daemon.config.token_file.display();
        let why = match renewed {
            Ok(_) => {
                format!(
                    "{why}; the token in {file} is the same: write a new one there, `couicctl clients add` shows it once"
                )
            }
            Err(error) => format!("{why}; {error}"),
        };
        self.counts.lock().token.fails(&why);
        why
    }

    fn refuse(&self, why: &str) {
        let figures = &mut self.counts.lock().figures;
        figures.refused += 1;
        figures.refusal = Some(cut(why, 500).to_owned());
    }

    pub(crate) fn figures(&self) -> Figures {
        // The queue first: what has left it is counted.
        let held = self.held.lock();
        let (pending, pending_bytes) = (held.len(), held.bytes());
        let oldest = held.oldest().map(|since| since.elapsed());
        let (dropped, expired) = (held.dropped, held.expired);
        drop(held);
        let counts = self.counts.lock();
        let sending = counts.sending.problem().or_else(|| counts.pace.problem());
        Figures {
            pending,
            pending_bytes,
            oldest,
            dropped,
            expired,
            problem: sending.map(str::to_owned),
            token_problem: counts.token.problem().map(str::to_owned),
            ignored_problem: counts.reading.problem().map(str::to_owned),
            ..counts.figures.clone()
        }
    }
}
