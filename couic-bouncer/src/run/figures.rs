//! Every metric, `couic_bouncer_*`.

use couic_crowdsec::Status;
use couic_httpd::{Family, Kind, float};
use couic_inject::Figures;

use super::{health, service::Service, status::Feed};

/// Name and help of a figure, and how it is had.
type Figure<T> = (Kind, &'static str, &'static str, fn(&T) -> f64);

const CROWDSEC: &[Figure<Status>] = &[
    (
        Kind::Gauge,
        "couic_bouncer_crowdsec_connected",
        "1 if CrowdSec's last answer could be used.",
        |s| f64::from(u8::from(s.connected)),
    ),
    (
        Kind::Gauge,
        "couic_bouncer_crowdsec_last_pull_seconds",
        "When CrowdSec last answered, Unix seconds.",
        |s| float(s.last_success.unwrap_or(0)),
    ),
    (
        Kind::Counter,
        "couic_bouncer_crowdsec_pulls_total",
        "Answers of CrowdSec that were used.",
        |s| float(s.pulls),
    ),
    (
        Kind::Counter,
        "couic_bouncer_crowdsec_failures_total",
        "Requests to CrowdSec that failed.",
        |s| float(s.failures),
    ),
    (
        Kind::Counter,
        "couic_bouncer_crowdsec_full_compares_total",
        "Comparisons with all of its decisions.",
        |s| float(s.full_compares),
    ),
    (
        Kind::Gauge,
        "couic_bouncer_crowdsec_decisions",
        "Bans of CrowdSec that are taken.",
        |s| float(s.decisions as u64),
    ),
    (
        Kind::Gauge,
        "couic_bouncer_crowdsec_claims",
        "Networks claimed at the daemon, once for each origin.",
        |s| float(s.claims as u64),
    ),
    (
        Kind::Gauge,
        "couic_bouncer_crowdsec_ignored",
        "Networks that are not banned, since the daemon ignores them.",
        |s| float(s.ignored as u64),
    ),
    (
        Kind::Counter,
        "couic_bouncer_crowdsec_added_total",
        "Claims made.",
        |s| float(s.added),
    ),
    (
        Kind::Counter,
        "couic_bouncer_crowdsec_renewed_total",
        "Claims given another end.",
        |s| float(s.renewed),
    ),
    (
        Kind::Counter,
        "couic_bouncer_crowdsec_removed_total",
        "Claims released.",
        |s| float(s.removed),
    ),
];

const INJECTOR: &[Figure<Figures>] = &[
    (
        Kind::Gauge,
        "couic_bouncer_pending_changes",
        "Changes of rules that wait for the daemon.",
        |f| float(f.pending as u64),
    ),
    (
        Kind::Gauge,
        "couic_bouncer_oldest_pending_change_seconds",
        "For how long the oldest of them has waited.",
        |f| f.oldest.map_or(0.0, |age| age.as_secs_f64()),
    ),
    (
        Kind::Counter,
        "couic_bouncer_batches_total",
        "Batches that the daemon answered.",
        |f| float(f.batches),
    ),
    (
        Kind::Counter,
        "couic_bouncer_batch_failures_total",
        "Batches that failed, and were sent again.",
        |f| float(f.failures),
    ),
    (
        Kind::Counter,
        "couic_bouncer_applied_changes_total",
        "Changes that the daemon has taken.",
        |f| float(f.applied),
    ),
    (
        Kind::Counter,
        "couic_bouncer_refused_changes_total",
        "Changes that the daemon refused.",
        |f| float(f.refused),
    ),
    (
        Kind::Counter,
        "couic_bouncer_dropped_changes_total",
        "Changes that were given up, since too many waited.",
        |f| float(f.dropped),
    ),
    (
        Kind::Gauge,
        "couic_bouncer_last_batch_seconds",
        "When the daemon last answered, Unix seconds.",
        |f| float(f.last_success.unwrap_or(0)),
    ),
];

/// The states of a feed.
const STATES: [&str; 7] = [
    "ok",
    "shadow",
    "waiting",
    "failing",
    "stale",
    "held back",
    "orphan",
];

/// Every metric.
pub(crate) fn families(service: &Service) -> Vec<Family> {
    let build = Family::new(
        Kind::Gauge,
        "couic_bouncer_build_info",
        "The running version; always 1.",
    );
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    let mut families = vec![build.with(&version, 1), health(service), config(service)];
    let figures = service.injector.lock().as_ref().map(|one| one.figures());
    if let Some(figures) = figures {
        families.extend(INJECTOR.iter().map(|figure| single(figure, &figures)));
    }
    let now = service.now.lock();
    if let Some(running) = &now.crowdsec {
        families.extend(crowdsec(&running.part.status()));
    }
    if let Some(running) = &now.feeds {
        families.extend(feeds(&running.part.shown()));
    }
    families
}

fn single<T>((kind, name, help, value): &Figure<T>, of: &T) -> Family {
    let mut family = Family::new(*kind, *name, *help);
    family.push(&[], value(of));
    family
}

fn health(service: &Service) -> Family {
    let help = "1 for the current status of health, as in GET /health.";
    let family = Family::new(Kind::Gauge, "couic_bouncer_health", help);
    let current = health::of(service).status;
    health::STATUSES.iter().fold(family, |family, status| {
        family.with(&[("status", status)], u64::from(*status == current))
    })
}

fn config(service: &Service) -> Family {
    let family = Family::new(
        Kind::Gauge,
        "couic_bouncer_config_ok",
        "0 if the last reload was refused, so that the configuration before is in force.",
    );
    let is_refused = service.now.lock().refused.is_some();
    family.with(&[], u64::from(!is_refused))
}

fn crowdsec(status: &Status) -> Vec<Family> {
    let mut families: Vec<Family> = CROWDSEC.iter().map(|one| single(one, status)).collect();
    let reasons = [
        (
            "couic_bouncer_crowdsec_skipped",
            "Decisions that are not taken, by reason.",
            &status.skipped,
        ),
        (
            "couic_bouncer_crowdsec_refused",
            "Claims that the daemon refuses at present, by reason.",
            &status.refused,
        ),
    ];
    families.extend(reasons.map(|(name, help, counts)| {
        let family = Family::new(Kind::Gauge, name, help);
        counts.iter().fold(family, |family, (reason, count)| {
            family.with(&[("reason", reason)], *count)
        })
    }));
    families
}

fn feeds(feeds: &[Feed]) -> Vec<Family> {
    let gauge = |name, help| Family::new(Kind::Gauge, name, help);
    let mut entries = gauge(
        "couic_bouncer_feed_entries",
        "Entries of the last good list of a feed.",
    );
    let mut networks = gauge(
        "couic_bouncer_feed_networks",
        "Networks of a feed's set, merged; in shadow, as they would be.",
    );
    let mut age = gauge(
        "couic_bouncer_feed_age_seconds",
        "Time since the publisher last confirmed the list of a feed.",
    );
    let mut state = gauge(
        "couic_bouncer_feed_state",
        "1 for the current state of a feed.",
    );
    let mut dropped = gauge(
        "couic_bouncer_feed_dropped_entries",
        "Entries of a feed's list that are not in force, by reason.",
    );
    for feed in feeds {
        let name = ("feed", feed.name.as_str());
        entries.push(&[name], float(feed.entries));
        networks.push(&[name], float(feed.networks));
        if let Some(seconds) = feed.age_seconds {
            age.push(&[name], float(seconds));
        }
        for one in STATES {
            let is_it = f64::from(u8::from(one == feed.state));
            state.push(&[name, ("state", one)], is_it);
        }
        for (reason, count) in &feed.dropped {
            dropped.push(&[name, ("reason", reason)], float(*count));
        }
    }
    vec![entries, networks, age, state, dropped]
}
