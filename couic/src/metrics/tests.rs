//! The whole text against a strict parser, and single lines against the contract.

use couic_common::{Counter, Policy};
use couic_httpd::{open_metrics, prometheus};
use openmetrics_parser::openmetrics::parse_openmetrics;
use proptest::prelude::*;

use super::*;
use couic_common::{
    Health, InterfaceHealth, NotifierInfo, NotifierName, NotifierSpool, NotifierState, XdpMode,
};
use couic_delivery::AttemptTimes;
use couic_firewall::{journal::JournalFigures, rules::Usage};

fn figures() -> Figures {
    let mut figures = Figures::default();
    figures.stats.drop_cidr_count = 3;
    figures.stats.ignore_cidr_count = 1;
    figures.stats.xdp.xdp_drop = counter(7, 700);
    figures.drop_tags.insert("ssh".to_owned(), counter(5, 500));
    figures
        .drop_tags
        .insert("untagged".to_owned(), counter(2, 200));
    for (policy, limit) in [(Policy::Ignore, 65_536), (Policy::Drop, 1_048_576)] {
        for family in ["IPv4", "IPv6"] {
            figures.usage.push(Usage {
                policy,
                family,
                rules: 2,
                limit,
            });
        }
    }
    figures.state = Some(StateFigures {
        journal: JournalFigures {
            recording: true,
            records: 11,
            unrecorded: 3,
            failures: 1,
            log_bytes: 4_096,
            snapshot_bytes: 900,
        },
        kept_rules: 5,
    });
    figures.reporting = Some(ReportingFigures {
        reported: 9,
        missed: 1,
        notifiers: vec![notifier("siem"), notifier("chat")],
        attempt_times: vec![times("siem"), times("chat")],
    });
    let interface = |name: &str, attached| InterfaceHealth {
        name: name.to_owned(),
        attached,
        mode: attached.then_some(XdpMode::Native),
        problem: None,
        note: None,
    };
    let mut health = Health::well("2");
    health.interfaces = vec![interface("eth0", true), interface("wan0", false)];
    health.notes = vec!["a note is no problem".to_owned()];
    health.status = health.derived_status();
    figures.health = Some(health);
    figures
}

/// As the API answers.
fn rendered(metrics: &MetricsRegistry, figures: &Figures) -> String {
    open_metrics(&metrics.families(figures))
}

fn notifier(name: &str) -> NotifierInfo {
    NotifierInfo {
        name: name.parse().unwrap(),
        plugin: name.to_owned(),
        mode: None,
        state: NotifierState::Failed,
        problems: Vec::new(),
        last_error: None,
        last_success: Some(1_800_000_000),
        next_attempt_secs: None,
        queue_events: 4,
        queue_bytes: 400,
        oldest_age_secs: 7,
        dead_letters: 2,
        enqueued: 0,
        delivered: 12,
        failed_attempts: 5,
        attempts: [("retry".to_owned(), 5)].into(),
        dropped: 3,
        merged: 0,
        dead: 0,
        restarts: 1,
        spool: Some(NotifierSpool {
            bytes: 4096,
            segments: 1,
            problem: Some("the disk is full".to_owned()),
        }),
    }
}

fn times(name: &str) -> (NotifierName, AttemptTimes) {
    let mut times = AttemptTimes {
        sum: 30.5,
        count: 3,
        ..AttemptTimes::default()
    };
    (times.buckets[0], times.buckets[10]) = (2, 1);
    (name.parse().unwrap(), times)
}

fn counter(rx_packets: u64, rx_bytes: u64) -> Counter {
    Counter {
        rx_packets,
        rx_bytes,
    }
}

fn observed() -> MetricsRegistry {
    let metrics = MetricsRegistry::new();
    for (status, micros) in [(201, 20), (201, 900), (409, 15), (500, 7_000_000)] {
        let elapsed = Duration::from_micros(micros);
        metrics.observe_request("/v1/{policy}", "POST", status, elapsed);
    }
    metrics
}

#[test]
fn a_strict_parser_reads_all_of_it() {
    let text = rendered(&observed(), &figures());
    let parsed = parse_openmetrics(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    for (family, kind) in [
        ("couic_health", "gauge"),
        ("couic_health_problems", "gauge"),
        ("couic_interface_attached", "gauge"),
        ("couic_connections", "gauge"),
        ("couic_connections_served", "counter"),
        ("couic_connections_refused", "counter"),
        ("couic_api_route_seconds", "counter"),
        ("couic_stats_rx_packets", "counter"),
        ("couic_stats_rx_bytes", "counter"),
        ("couic_drop_tag_rx_packets", "counter"),
        ("couic_drop_tag_rx_bytes", "counter"),
        ("couic_panic", "gauge"),
        ("couic_pending_confirmations", "gauge"),
        ("couic_rules", "gauge"),
        ("couic_rules_limit", "gauge"),
        ("couic_api_requests", "counter"),
        ("couic_api_request_duration_seconds", "histogram"),
        ("couic_build", "info"),
        ("process_start_time_seconds", "gauge"),
        ("process_cpu_seconds", "counter"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_open_fds", "gauge"),
        ("couic_state_recording", "gauge"),
        ("couic_state_records", "counter"),
        ("couic_reports", "counter"),
        ("couic_notifier_delivered", "counter"),
        ("couic_notifier_spool_bytes", "gauge"),
        ("couic_notifier_last_success_timestamp_seconds", "gauge"),
        ("couic_notifier_attempt_seconds", "histogram"),
    ] {
        let found = parsed
            .families
            .get(family)
            .unwrap_or_else(|| panic!("no {family} in\n{text}"));
        assert_eq!(found.family_type.to_string(), kind, "{family}");
    }
    assert!(
        !parsed.families.contains_key("couic_ignore_tag_rx_packets"),
        "a family without samples is left out"
    );
}

#[test]
fn the_names_of_1_0_are_apart() {
    let text = open_metrics(&figures().old_families());
    for line in [
        "# TYPE couic_drop_cidr_total gauge",
        "couic_drop_cidr_total 3",
        "couic_ignore_cidr_total 1",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
    }
    for family in observed().families(&figures()) {
        let is_gauge = prometheus(std::slice::from_ref(&family)).contains(" gauge\n");
        assert!(
            !is_gauge || !family.name().ends_with("_total"),
            "{family:?}"
        );
    }
}

#[test]
fn the_lines_of_the_contract() {
    let text = rendered(&observed(), &figures());
    for line in [
        "# TYPE couic_stats_rx_packets counter",
        "couic_stats_rx_packets_total{action=\"XDP_DROP\"} 7",
        "couic_stats_rx_packets_total{action=\"XDP_PASS\"} 0",
        "# UNIT couic_stats_rx_bytes bytes",
        "couic_stats_rx_bytes_total{action=\"XDP_DROP\"} 700",
        "couic_drop_tag_rx_packets_total{tag=\"ssh\"} 5",
        "couic_drop_tag_rx_bytes_total{tag=\"untagged\"} 200",
        "couic_rules{family=\"IPv6\",policy=\"drop\"} 2",
        "couic_rules_limit{family=\"IPv4\",policy=\"ignore\"} 65536",
        "couic_api_requests_total{method=\"POST\",route=\"/v1/{policy}\",status=\"201\"} 2",
        "couic_api_request_duration_seconds_bucket{status=\"2xx\",le=\"0.000025\"} 1",
        "couic_api_request_duration_seconds_bucket{status=\"2xx\",le=\"+Inf\"} 2",
        "couic_api_request_duration_seconds_count{status=\"5xx\"} 1",
        "couic_health{status=\"ok\"} 0",
        "couic_health{status=\"down\"} 1",
        "couic_health_problems{area=\"interface\"} 1",
        "couic_health_problems{area=\"sets\"} 0",
        "couic_interface_attached{interface=\"eth0\",mode=\"native\"} 1",
        "couic_interface_attached{interface=\"wan0\",mode=\"none\"} 0",
        "couic_connections_refused_total{listener=\"api\"} 0",
        "couic_state_recording 1",
        "couic_state_kept_rules 5",
        "couic_state_log_bytes 4096",
        "couic_state_snapshot_bytes 900",
        "couic_state_records_total 11",
        "couic_state_unrecorded_total 3",
        "couic_state_failures_total 1",
        "couic_reports_total 9",
        "couic_reports_missed_total 1",
        "couic_notifier_delivered_total{notifier=\"siem\"} 12",
        "couic_notifier_dropped_total{notifier=\"chat\"} 3",
        "couic_notifier_queue_events{notifier=\"siem\"} 4",
        "couic_notifier_spool_bytes{notifier=\"siem\"} 4096",
        "couic_notifier_spool_failing{notifier=\"siem\"} 1",
        "couic_notifier_dead_letters{notifier=\"siem\"} 2",
        "couic_notifier_last_success_timestamp_seconds{notifier=\"siem\"} 1800000000",
        "couic_notifier_state{notifier=\"siem\",state=\"failed\"} 1",
        "couic_notifier_state{notifier=\"siem\",state=\"ok\"} 0",
        "couic_notifier_attempts_total{notifier=\"siem\",outcome=\"retry\"} 5",
        "couic_notifier_attempt_seconds_bucket{notifier=\"siem\",le=\"10\"} 2",
        "couic_notifier_attempt_seconds_bucket{notifier=\"siem\",le=\"+Inf\"} 3",
        "couic_notifier_attempt_seconds_sum{notifier=\"siem\"} 30.5",
        concat!(
            "couic_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
    }
    assert!(text.ends_with("\n# EOF\n"));
}

proptest! {
    /// Any label value is parsed back. (Tags cannot contain such texts; the encoder does not rely on it.)
    #[test]
    fn labels_are_escaped(tag in "[ -~\n\"\\\\é]{1,20}", packets in any::<u32>()) {
        let mut figures = Figures::default();
        figures.drop_tags.insert(tag.clone(), counter(packets.into(), 0));
        let text = rendered(&MetricsRegistry::new(), &figures);
        let line = text
            .lines()
            .find(|l| l.starts_with("couic_drop_tag_rx_packets_total{"))
            .unwrap();
        let escaped = line
            .strip_prefix("couic_drop_tag_rx_packets_total{tag=\"").unwrap()
            .strip_suffix(&format!("\"}} {packets}")).unwrap();
        let back = escaped.replace("\\\\", "\0").replace("\\n", "\n").replace("\\\"", "\"").replace('\0', "\\");
        prop_assert_eq!(back, tag);
        prop_assert!(parse_openmetrics(&text).is_ok(), "{}", text);
    }
}

/// The budget is 200 ns in a release build: `cargo test --release -p couic --lib observing -- --nocapture` prints the
/// cost. The limit here is loose, for unoptimised builds, and applies to the best of many rounds.
#[test]
fn observing_is_cheap() {
    let metrics = observed();
    let round = |_| {
        let start = std::time::Instant::now();
        for n in 0..1_000 {
            let status = if n % 8 == 0 { 409 } else { 201 };
            let took = Duration::from_micros(n % 700);
            metrics.observe_request("/v1/{policy}", "POST", status, took);
        }
        start.elapsed() / 1_000
    };
    let each = (0..200).map(round).min().unwrap();
    println!("observe_request: {each:?}");
    assert!(each < Duration::from_micros(5), "{each:?}");
}
