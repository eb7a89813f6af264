//! Every metric, `couicmon_*`, and what `couicmon top` shows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use couic_detect::{Counters, JailFigures};
use couic_httpd::{Family, Kind, float};
use couic_inject::Injector;
use serde_json::{Value, json};

use super::{
    health,
    service::{Service, SourceFigures},
    watch::REASONS,
};

/// Name and help of a figure, and how it is had.
type Figure<T> = (Kind, &'static str, &'static str, fn(&T) -> f64);

const SOURCE: &[Figure<SourceFigures>] = &[
    (Kind::Counter, "couicmon_lines_total", "Lines read.", |s| {
        float(s.tail.lines)
    }),
    (Kind::Counter, "couicmon_bytes_total", "Bytes read.", |s| {
        float(s.tail.bytes)
    }),
    (
        Kind::Counter,
        "couicmon_irrelevant_lines_total",
        "Lines that tell of no client.",
        |s| load(&s.counts.irrelevant),
    ),
    (
        Kind::Counter,
        "couicmon_unjudged_lines_total",
        "Lines of which nobody was judged, since a set of proxies is not known.",
        |s| load(&s.counts.unjudged),
    ),
    (
        Kind::Counter,
        "couicmon_undated_lines_total",
        "Late lines without a time, of which nobody was judged.",
        |s| load(&s.counts.undated),
    ),
    (
        Kind::Counter,
        "couicmon_cut_lines_total",
        "Lines of more than 128 KiB, of which only the head was judged.",
        |s| float(s.tail.cut_lines),
    ),
    (
        Kind::Counter,
        "couicmon_cut_bytes_total",
        "Bytes of such lines that were not looked at.",
        |s| float(s.tail.cut_bytes),
    ),
    (
        Kind::Counter,
        "couicmon_skipped_bytes_total",
        "Bytes jumped over to be at the newest lines.",
        |s| float(s.tail.skipped_bytes),
    ),
    (
        Kind::Counter,
        "couicmon_late_bytes_total",
        "Of them, bytes read later.",
        |s| float(s.tail.late_bytes),
    ),
    (
        Kind::Counter,
        "couicmon_lost_bytes_total",
        "Of them, bytes never read.",
        |s| float(s.tail.lost_bytes),
    ),
    (
        Kind::Gauge,
        "couicmon_behind_bytes",
        "Bytes written and not yet read.",
        |s| float(s.tail.behind_bytes),
    ),
    (
        Kind::Gauge,
        "couicmon_lag_seconds",
        "For how long the source has not been at the newest line.",
        |s| s.tail.lag.as_secs_f64(),
    ),
    (
        Kind::Gauge,
        "couicmon_clock_offset_seconds",
        "How far the time in the last line was behind its arrival.",
        |s| seconds(s.counts.offset_ms.load(Relaxed)),
    ),
    (
        Kind::Counter,
        "couicmon_rotations_total",
        "Files replaced or truncated.",
        |s| float(s.tail.rotations),
    ),
    (Kind::Gauge, "couicmon_files", "Files known.", |s| {
        float(s.tail.files)
    }),
    (
        Kind::Counter,
        "couicmon_datagrams_lost_total",
        "Datagrams that the kernel dropped.",
        |s| float(s.tail.lost),
    ),
    (
        Kind::Counter,
        "couicmon_source_errors_total",
        "Failures to read files, to write checkpoints, of journalctl.",
        |s| float(s.tail.errors),
    ),
    (
        Kind::Counter,
        "couicmon_checkpoints_total",
        "Checkpoints written.",
        |s| float(s.tail.checkpoints),
    ),
    (
        Kind::Gauge,
        "couicmon_source_ended",
        "1 if the source is not read any more.",
        |s| f64::from(u8::from(s.ended)),
    ),
];

const JAIL: &[Figure<JailFigures>] = &[
    (
        Kind::Counter,
        "couicmon_hits_total",
        "Lines that met the conditions of a jail.",
        |j| float(j.hits),
    ),
    (
        Kind::Counter,
        "couicmon_bans_total",
        "Bans, renewals among them.",
        |j| float(j.bans),
    ),
    (
        Kind::Counter,
        "couicmon_shadow_bans_total",
        "Bans of jails in shadow mode, which are told only.",
        |j| float(j.shadow_bans),
    ),
    (
        Kind::Counter,
        "couicmon_held_bans_total",
        "Bans that were held back.",
        |j| float(j.held),
    ),
    (
        Kind::Gauge,
        "couicmon_table_fill_ratio",
        "The part of the buckets that is in use.",
        |j| j.fill,
    ),
    (
        Kind::Counter,
        "couicmon_table_evictions_total",
        "Buckets that had to make room while in use: bans may come late.",
        |j| float(j.pushed_out),
    ),
];

const DETECTOR: &[Figure<Counters>] = &[
    (
        Kind::Counter,
        "couicmon_proxy_lines_total",
        "Lines of which only trusted proxies are known.",
        |c| float(c.of_proxies),
    ),
    (
        Kind::Counter,
        "couicmon_addressless_hits_total",
        "Hits in lines without an address.",
        |c| float(c.no_address),
    ),
    (
        Kind::Counter,
        "couicmon_ignored_total",
        "Full buckets of sources that are never banned.",
        |c| float(c.ignored),
    ),
    (
        Kind::Counter,
        "couicmon_verified_total",
        "Full buckets of crawlers that are who they say.",
        |c| float(c.verified),
    ),
    (
        Kind::Counter,
        "couicmon_running_total",
        "Full buckets of sources with a ban that still runs.",
        |c| float(c.running),
    ),
    (
        Kind::Counter,
        "couicmon_told_again_bans_total",
        "Bans told again with the same end, since their sources come through: were they lifted?",
        |c| float(c.again),
    ),
    (
        Kind::Counter,
        "couicmon_renewals_total",
        "Bans told once more.",
        |c| float(c.renewals),
    ),
    (
        Kind::Counter,
        "couicmon_widened_total",
        "Networks banned as a whole.",
        |c| float(c.widened),
    ),
    (
        Kind::Counter,
        "couicmon_widen_refused_total",
        "Networks that were not, since they have an address that is never banned.",
        |c| float(c.widen_refused),
    ),
    (
        Kind::Counter,
        "couicmon_asked_total",
        "Questions about crawlers.",
        |c| float(c.asked),
    ),
    (
        Kind::Counter,
        "couicmon_forgotten_total",
        "Entries of bans and the ladder that had to be forgotten early.",
        |c| float(c.forgotten),
    ),
    (
        Kind::Gauge,
        "couicmon_sources_seen",
        "Sources of requests seen in the last 5 to 10 minutes, about.",
        |c| float(c.sources),
    ),
];

const INJECTOR: &[Figure<couic_inject::Figures>] = &[
    (
        Kind::Gauge,
        "couicmon_pending_bans",
        "Bans that wait for the daemon.",
        |f| float(f.pending as u64),
    ),
    (
        Kind::Gauge,
        "couicmon_oldest_pending_ban_seconds",
        "For how long the oldest of them has waited.",
        |f| f.oldest.map_or(0.0, |age| age.as_secs_f64()),
    ),
    (
        Kind::Counter,
        "couicmon_batches_total",
        "Batches that the daemon answered.",
        |f| float(f.batches),
    ),
    (
        Kind::Counter,
        "couicmon_batch_failures_total",
        "Batches that failed, and were sent again.",
        |f| float(f.failures),
    ),
    (
        Kind::Counter,
        "couicmon_applied_bans_total",
        "Bans that the daemon has taken.",
        |f| float(f.applied),
    ),
    (
        Kind::Counter,
        "couicmon_refused_bans_total",
        "Bans that the daemon refused.",
        |f| float(f.refused),
    ),
    (
        Kind::Counter,
        "couicmon_postponed_bans_total",
        "Bans that had to wait for the limits of the daemon.",
        |f| float(f.postponed),
    ),
    (
        Kind::Counter,
        "couicmon_dropped_bans_total",
        "Bans that were given up, since too many waited.",
        |f| float(f.dropped),
    ),
    (
        Kind::Counter,
        "couicmon_expired_bans_total",
        "Bans that were over before they could be sent.",
        |f| float(f.expired),
    ),
    (
        Kind::Gauge,
        "couicmon_last_batch_seconds",
        "When the daemon last answered, Unix seconds.",
        |f| float(f.last_success.unwrap_or(0)),
    ),
];

fn load(count: &AtomicU64) -> f64 {
    float(count.load(Relaxed))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "metrics are floats; exact up to 2^53"
)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// Every metric.
pub(crate) fn families(service: &Service) -> Vec<Family> {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    let build = Family::new(
        Kind::Gauge,
        "couicmon_build_info",
        "The running version; always 1.",
    );
    let mut families = vec![build.with(&version, 1), health(service)];
    let sources = service.sources();
    families.extend(each(SOURCE, "source", &sources, |s| &s.name));
    families.push(unparsed(&sources));
    let (counters, jails, late) = {
        let core = service.core.lock();
        (
            core.detector.counters(),
            core.detector.jails(),
            core.late.judged(),
        )
    };
    families.extend(each(JAIL, "jail", &jails, |jail| &jail.jail));
    families.extend(DETECTOR.iter().map(|figure| single(figure, &counters)));
    families.push(dominant(&counters));
    let judged = Family::new(
        Kind::Counter,
        "couicmon_late_lines_total",
        "Late lines that were judged by their own time.",
    );
    families.push(judged.with(&[], late));
    families.extend(decisions(service));
    if let Some(figures) = service.decider.with(Injector::figures) {
        families.extend(INJECTOR.iter().map(|figure| single(figure, &figures)));
    }
    families
}

fn single<T>((kind, name, help, value): &Figure<T>, of: &T) -> Family {
    let mut family = Family::new(*kind, *name, *help);
    family.push(&[], value(of));
    family
}

fn each<'a, T>(
    figures: &'a [Figure<T>],
    label: &'a str,
    all: &'a [T],
    named: impl Fn(&T) -> &str + 'a,
) -> impl Iterator<Item = Family> + 'a {
    figures.iter().map(move |(kind, name, help, value)| {
        let mut family = Family::new(*kind, *name, *help);
        for one in all {
            family.push(&[(label, named(one))], value(one));
        }
        family
    })
}

fn health(service: &Service) -> Family {
    let help = "1 for the current status of health, as in GET /health.";
    let family = Family::new(Kind::Gauge, "couicmon_health", help);
    let current = health::of(service, false).status;
    health::STATUSES.iter().fold(family, |family, status| {
        family.with(&[("status", status)], u64::from(*status == current))
    })
}

fn unparsed(sources: &[SourceFigures]) -> Family {
    let help = "Lines that the format of their source cannot read.";
    let mut family = Family::new(Kind::Counter, "couicmon_unparsed_lines_total", help);
    for source in sources {
        for (reason, count) in REASONS.iter().zip(&source.counts.unparsed) {
            family.push(&[("source", &source.name), ("reason", reason)], load(count));
        }
    }
    family
}

/// Without the address: it is for those who may read logs.
fn dominant(counters: &Counters) -> Family {
    let help = "The part of the lines of a source that a single address has, if it is more than half: a proxy?";
    let mut family = Family::new(Kind::Gauge, "couicmon_dominant_share_ratio", help);
    for dominant in &counters.dominant {
        family.push(&[("source", &dominant.source)], dominant.share);
    }
    family
}

fn decisions(service: &Service) -> [Family; 2] {
    let counts = &service.decider.counts;
    let family = |name, help, count| Family::new(Kind::Counter, name, help).with(&[], count);
    let alarms = "Bans that were held back as a bound of harm was reached; each minute of it is an ALARM in the log.";
    [
        family("couicmon_alarms_total", alarms, counts.held.load(Relaxed)),
        family(
            "couicmon_over_bans_total",
            "Bans found in late lines that were over by then.",
            counts.over.load(Relaxed),
        ),
    ]
}

/// For `couicmon top`: talkers, jails, sources.
pub(crate) fn top(service: &Service, count: usize) -> Value {
    let (talkers, jails, counters) = {
        let core = service.core.lock();
        (
            core.detector.top(count),
            core.detector.jails(),
            core.detector.counters(),
        )
    };
    let talkers = talkers.iter().map(|talker| {
        json!({"addr": talker.addr, "lines": talker.lines, "over": talker.over, "share": talker.share})
    });
    let jails = jails.iter().map(|jail| {
        json!({
            "jail": &*jail.jail, "shadow": jail.shadow, "hits": jail.hits, "bans": jail.bans,
            "shadow_bans": jail.shadow_bans, "held": jail.held, "fill": jail.fill, "pushed_out": jail.pushed_out,
        })
    });
    let sources = service.sources();
    let sources = sources.iter().map(|source| {
        json!({
            "source": source.name, "lines": source.tail.lines, "unparsed": health::unparsed(&source.counts),
            "lag_seconds": source.tail.lag.as_secs_f64(), "behind_bytes": source.tail.behind_bytes,
        })
    });
    let dominant = counters.dominant.iter().map(ToString::to_string);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "talkers": talkers.collect::<Vec<_>>(),
        "jails": jails.collect::<Vec<_>>(),
        "sources": sources.collect::<Vec<_>>(),
        "dominant": dominant.collect::<Vec<_>>(),
        "pending_bans": service.decider.with(|injector| injector.figures().pending),
    })
}
