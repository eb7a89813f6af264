//! The whole text, read by a strict parser, and single lines against the contract.

use couic_common::{Counter, Policy};
use openmetrics_parser::openmetrics::parse_openmetrics;
use proptest::prelude::*;

use super::*;
use crate::firewall::Usage;

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
    figures
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
    let text = observed().render_figures(&figures());
    let parsed = parse_openmetrics(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    for (family, kind) in [
        ("couic_drop_cidr_total", "gauge"),
        ("couic_ignore_cidr_total", "gauge"),
        ("couic_stats_rx_packets", "counter"),
        ("couic_stats_rx_bytes", "counter"),
        ("couic_drop_tag_rx_packets", "counter"),
        ("couic_drop_tag_rx_bytes", "counter"),
        ("couic_rules", "gauge"),
        ("couic_rules_limit", "gauge"),
        ("couic_api_requests", "counter"),
        ("couic_api_request_duration_seconds", "histogram"),
        ("couic_build", "info"),
        ("process_start_time_seconds", "gauge"),
        ("process_cpu_seconds", "counter"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_open_fds", "gauge"),
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
fn the_lines_of_the_contract() {
    let text = observed().render_figures(&figures());
    for line in [
        "# TYPE couic_drop_cidr_total gauge",
        "couic_drop_cidr_total 3",
        "couic_ignore_cidr_total 1",
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
        "couic_api_request_duration_seconds_bucket{route=\"/v1/{policy}\",status=\"2xx\",le=\"0.000025\"} 1",
        "couic_api_request_duration_seconds_bucket{route=\"/v1/{policy}\",status=\"2xx\",le=\"+Inf\"} 2",
        "couic_api_request_duration_seconds_count{route=\"/v1/{policy}\",status=\"5xx\"} 1",
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
    /// Whatever a label holds, the parser gets it back. (Tags cannot hold such texts; the encoder does not rely on it.)
    #[test]
    fn labels_are_escaped(tag in "[ -~\n\"\\\\é]{1,20}", packets in any::<u32>()) {
        let mut figures = Figures::default();
        figures.drop_tags.insert(tag.clone(), counter(packets.into(), 0));
        let text = MetricsRegistry::new().render_figures(&figures);
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

/// The budget is 200 ns in a release build: `cargo test --release -p couic --lib observing -- --nocapture` prints it.
/// Unoptimised and on a busy machine only a gross slip is caught: the best of many rounds, since others may interrupt.
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
