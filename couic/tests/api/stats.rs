//! Statistics and metrics.

use std::net::IpAddr;

use couic_common::Group;
use serde_json::json;

use crate::support::{TestApi, start};

async fn traffic() -> TestApi {
    let test = start();
    test.add("drop", "1.0.0.0/8", Some("ssh")).await;
    test.add("drop", "2.0.0.0/8", None).await;
    test.add("ignore", "1.2.0.0/16", Some("office")).await;
    for source in ["1.1.1.1", "1.1.1.2", "1.2.3.4", "2.0.0.1", "9.9.9.9"] {
        let source: IpAddr = source.parse().unwrap();
        test.plane.packet(source, 100);
    }
    test
}

#[tokio::test]
async fn stats_count_rules_and_frames() {
    let test = traffic().await;
    let zero = json!({"rx_packets": 0, "rx_bytes": 0});
    let expected = json!({
        "drop_cidr_count": 2,
        "ignore_cidr_count": 1,
        "xdp": {
            "XDP_ABORTED": zero,
            "XDP_DROP": {"rx_packets": 3, "rx_bytes": 300},
            "XDP_PASS": {"rx_packets": 2, "rx_bytes": 200},
            "XDP_TX": zero,
            "XDP_REDIRECT": zero,
        },
        "not_inspected": {
            "arp": zero, "llc": zero, "mpls": zero, "pppoe": zero, "macsec": zero, "vlan": zero, "other": zero,
        },
    });
    assert_eq!(test.get("/v1/stats").await.is(200).json(), expected);
}

#[tokio::test]
async fn tags_are_counted_by_policy() {
    let test = traffic().await;
    let drop = test.get("/v1/stats/tags/drop").await.is(200).json();
    assert_eq!(
        drop["tags"]["ssh"],
        json!({"rx_packets": 2, "rx_bytes": 200})
    );
    assert_eq!(
        drop["tags"]["untagged"],
        json!({"rx_packets": 1, "rx_bytes": 100})
    );
    let ignore = test.get("/v1/stats/tags/ignore").await.is(200).json();
    assert_eq!(
        ignore["tags"]["office"],
        json!({"rx_packets": 1, "rx_bytes": 100})
    );
}

#[tokio::test]
async fn metrics_are_stats_and_tags_in_one() {
    let test = traffic().await;
    let stats = test.get("/v1/stats").await.json();
    for query in [
        "",
        "?format=json",
        "?format=Prometheus",
        "?format=",
        "?other=prometheus",
    ] {
        let reply = test.get(&format!("/v1/metrics{query}")).await.is(200);
        assert_eq!(reply.headers["content-type"], "application/json", "{query}");
        let metrics = reply.json();
        for key in ["drop_cidr_count", "ignore_cidr_count", "xdp"] {
            assert_eq!(metrics[key], stats[key], "{key}");
        }
        assert_eq!(metrics["drop_tags"]["ssh"]["rx_packets"], 2);
        assert_eq!(metrics["ignore_tags"]["office"]["rx_packets"], 1);
    }
}

#[tokio::test]
async fn prometheus_text_parses_and_has_the_documented_names() {
    let test = traffic().await;
    test.get("/v1/Drop").await.error(400, "bad_request");
    test.anonymous("BREW", "/v1/nothing/here")
        .send()
        .await
        .error(404, "not_found");
    let reply = test.get("/v1/metrics?format=prometheus").await.is(200);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(reply.headers["content-type"], kind);
    let text = String::from_utf8(reply.body).unwrap();
    assert!(
        text.ends_with("# EOF\n") || text.ends_with("# EOF"),
        "{text}"
    );
    openmetrics_parser::openmetrics::parse_openmetrics(&text).unwrap();
    for line in [
        "couic_drop_cidr_total 2",
        "couic_ignore_cidr_total 1",
        "couic_stats_rx_packets_total{action=\"XDP_DROP\"} 3",
        "couic_stats_rx_bytes_total{action=\"XDP_DROP\"} 300",
        "couic_drop_tag_rx_packets_total{tag=\"ssh\"} 2",
        "couic_drop_tag_rx_bytes_total{tag=\"untagged\"} 100",
        "couic_ignore_tag_rx_packets_total{tag=\"office\"} 1",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line} is missing in {text}"
        );
    }
    // Requests are counted by route pattern and a bounded set of methods, for any request.
    for part in [
        "route=\"/v1/{policy}\"",
        "route=\"unmatched\"",
        "method=\"other\"",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains("/v1/Drop") && !text.contains("BREW"));
}

#[tokio::test]
async fn the_format_follows_accept_and_is_that_of_1_0_by_default() {
    let test = traffic().await;
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = "text/plain; version=0.0.4; charset=utf-8";
    for (accept, expected) in [
        ("*/*", open),
        ("application/json, text/plain, */*", open),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            open,
        ),
        ("text/plain", text),
        ("text/plain;version=0.0.4;q=1,*/*;q=0.1", text),
    ] {
        let path = "/v1/metrics?format=prometheus";
        let request = test.as_group(Group::Monitoring, "GET", path);
        let reply = request.header("accept", accept).send().await.is(200);
        assert_eq!(reply.headers["content-type"], expected, "{accept}");
        let body = String::from_utf8(reply.body).unwrap();
        assert_eq!(
            body.contains("couic_drop_cidr_total 2\n"),
            expected == open,
            "{accept}"
        );
        assert!(
            body.contains("couic_rules{family=\"IPv4\",policy=\"drop\"} 2\n"),
            "{body}"
        );
    }
}
