//! What the service is doing, for `couic-bouncer status` and `feeds list`: the answer of `/v1/status` on the control socket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{health, service::Service};

/// The answer. Fields of later versions are passed over.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Status {
    /// `ok`, `degraded` or `failed`.
    pub(crate) status: String,
    pub(crate) version: String,
    /// One sentence for each problem.
    pub(crate) problems: Vec<String>,
    pub(crate) daemon: Daemon,
    /// Without `[crowdsec]` none.
    pub(crate) crowdsec: Option<CrowdSec>,
    pub(crate) feeds: Vec<Feed>,
}

/// Rules on their way to the daemon.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Daemon {
    pub(crate) pending: u64,
    pub(crate) applied: u64,
    pub(crate) refused: u64,
    /// Unix seconds.
    pub(crate) last_success: Option<u64>,
}

/// The consumer of CrowdSec's decisions.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct CrowdSec {
    pub(crate) url: String,
    pub(crate) connected: bool,
    /// Unix seconds.
    pub(crate) last_success: Option<u64>,
    pub(crate) decisions: u64,
    pub(crate) claims: u64,
    /// Networks that are not banned, since the daemon ignores them.
    #[serde(default)]
    pub(crate) ignored: u64,
    pub(crate) waiting: u64,
    pub(crate) added: u64,
    pub(crate) renewed: u64,
    pub(crate) removed: u64,
    /// By reason.
    pub(crate) skipped: BTreeMap<String, u64>,
    /// By reason.
    pub(crate) refused: BTreeMap<String, u64>,
}

/// A feed.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Feed {
    pub(crate) name: String,
    /// Its set in the daemon.
    pub(crate) set: String,
    pub(crate) policy: String,
    pub(crate) source: String,
    /// `ok`, `shadow`, `waiting`, `failing`, `stale`, `held back`, `orphan`.
    pub(crate) state: String,
    /// Why, and what to do.
    pub(crate) why: Option<String>,
    /// The first digits of the checksum of the list that is held back.
    pub(crate) held: Option<String>,
    /// Of the last good list.
    pub(crate) entries: u64,
    /// Of its set, merged; in shadow, as they would be.
    pub(crate) networks: u64,
    /// Whether there is a set of it.
    pub(crate) in_force: bool,
    /// Since the list was last confirmed by its publisher.
    pub(crate) age_seconds: Option<u64>,
    /// Entries that are not in force, by reason.
    pub(crate) dropped: BTreeMap<String, u64>,
}

/// Everything now.
pub(crate) fn of(service: &Service) -> Status {
    let health = health::of(service);
    let injector = service.injector.lock().as_ref().map(|one| one.figures());
    let daemon = injector.map_or_else(Daemon::default, |figures| Daemon {
        pending: figures.pending as u64,
        applied: figures.applied,
        refused: figures.refused,
        last_success: figures.last_success,
    });
    let now = service.now.lock();
    let url = now
        .config
        .crowdsec
        .as_ref()
        .map(|config| config.url.clone());
    let consumer = now.crowdsec.as_ref().map(|running| running.part.status());
    let feeds = now.feeds.as_ref().map(|running| running.part.shown());
    Status {
        status: health.status.to_owned(),
        version: health.version.to_owned(),
        problems: health.problems,
        daemon,
        crowdsec: url.zip(consumer).map(|(url, status)| crowdsec(url, status)),
        feeds: feeds.unwrap_or_default(),
    }
}

fn crowdsec(url: String, status: couic_crowdsec::Status) -> CrowdSec {
    let owned = |counts: BTreeMap<&'static str, u64>| {
        let counts = counts.into_iter();
        counts.map(|(why, count)| (why.to_owned(), count)).collect()
    };
    CrowdSec {
        url,
        connected: status.connected,
        last_success: status.last_success,
        decisions: status.decisions as u64,
        claims: status.claims as u64,
        ignored: status.ignored as u64,
        waiting: status.waiting as u64,
        added: status.added,
        renewed: status.renewed,
        removed: status.removed,
        skipped: owned(status.skipped),
        refused: owned(status.refused),
    }
}
