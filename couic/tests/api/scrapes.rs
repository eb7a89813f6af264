//! The listener for metrics, over real sockets: what it serves, to whom, and what it refuses.

use std::{net::SocketAddr, sync::Arc};

use couic::exporter::{Exporter, ListenProblem};
use couic_common::{Group, HealthStatus, XdpMode};
use couic_testkit::{Answer, Connection};
use openmetrics_parser::{openmetrics::parse_openmetrics, prometheus::parse_prometheus};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};

use crate::support::{TestApi, healthy, start};

struct Scraped {
    test: TestApi,
    address: SocketAddr,
    problem: ListenProblem,
    stop: oneshot::Sender<()>,
    service: JoinHandle<couic_httpd::ServeSummary>,
}

/// A listener on a free port of this address.
fn listen(ip: &str) -> Scraped {
    let exporter = Exporter::bind(format!("{ip}:0").parse().unwrap());
    let address = exporter.address();
    run(exporter, address)
}

fn run(exporter: Exporter, address: SocketAddr) -> Scraped {
    let test = start();
    let (stop, stopped) = oneshot::channel::<()>();
    let problem = exporter.problem();
    let shutdown = async { drop(stopped.await) };
    let service = tokio::spawn(exporter.run(Arc::clone(&test.api), shutdown));
    Scraped {
        test,
        address,
        problem,
        stop,
        service,
    }
}

impl Scraped {
    async fn send(&self, request: String) -> Answer {
        let address = ([127, 0, 0, 1], self.address.port());
        let address = if self.address.is_ipv6() {
            self.address
        } else {
            address.into()
        };
        spawn_blocking(move || Connection::tcp(address).unwrap().ask(request))
            .await
            .unwrap()
    }

    async fn get(&self, path: &str, headers: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"))
            .await
    }

    async fn end(self) {
        drop(self.stop);
        assert_eq!(self.service.await.unwrap().aborted, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_serves_both_formats_without_a_token() {
    let scraped = listen("127.0.0.1");
    let text = scraped.get("/metrics", "").await.expect(200);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(text.header("content-type"), Some(kind));
    assert_eq!(text.header("connection"), Some("close"));
    let families = parse_prometheus(&text.body).unwrap().families;
    for name in ["couic_health", "couic_rules", "couic_build_info"] {
        assert!(families.contains_key(name), "{name} not in {}", text.body);
    }
    let accept = "Accept: application/openmetrics-text;version=1.0.0\r\n";
    let open = scraped.get("/metrics", accept).await.expect(200);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), Some(kind));
    parse_openmetrics(&open.body).unwrap();
    for answer in [text, open] {
        // These two are of the API, where Couic 1.0 had them.
        assert!(!answer.body.contains("_cidr_total"), "{}", answer.body);
    }
    // As long as the page would be, without the page.
    let address = scraped.address;
    let (status, head) = spawn_blocking(move || {
        let mut connection = Connection::tcp(address).unwrap();
        connection.send("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = connection.head();
        assert!(connection.is_closed());
        head
    })
    .await
    .unwrap();
    assert_eq!(status, 200);
    assert!(!head.contains("content-length: 0"), "{head}");
    scraped.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_works_too() {
    let scraped = listen("[::1]");
    let _ = scraped.get("/metrics", "").await.expect(200);
    scraped.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_served_there() {
    let scraped = listen("127.0.0.1");
    for path in [
        "/",
        "/v1/metrics",
        "/v1/health",
        "/v1/drop",
        "/metrics/",
        "//metrics",
    ] {
        let answer = scraped.get(path, "").await.expect(404);
        assert_eq!(answer.body, "metrics are at /metrics\n");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = format!("{method} /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        let answer = scraped.send(request).await.expect(405);
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    let with_body = "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}".to_owned();
    let _ = scraped.send(with_body).await.expect(413);
    let long = format!("X-Long: {}\r\n", "a".repeat(10_000));
    assert_eq!(scraped.get("/metrics", &long).await.status, 431);
    scraped.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_address_asks_for_the_token_of_a_monitoring_client() {
    let scraped = listen("0.0.0.0");
    let bearer = |token: &dyn std::fmt::Display| format!("Authorization: Bearer {token}\r\n");
    for group in Group::ALL {
        let header = bearer(&scraped.test.token(group));
        let expected = if group == Group::Monitoring { 200 } else { 401 };
        let answer = scraped.get("/metrics", &header).await.expect(expected);
        if expected == 401 {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert!(
                answer.body.contains("couicctl clients add"),
                "{}",
                answer.body
            );
        }
    }
    let unknown = bearer(&"00000000-0000-4000-8000-000000000000");
    for header in ["", &unknown, "Authorization: Bearer x\r\n"] {
        let _ = scraped.get("/metrics", header).await.expect(401);
    }
    scraped.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_address_is_a_problem_until_it_is_free() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let exporter = Exporter::bind(address);
    let scraped = run(exporter, address);
    let problem = scraped.problem.get().unwrap();
    for part in ["no metrics on", "ss -ltnp", "[metrics] listen", "in use"] {
        assert!(problem.contains(part), "{part} not in {problem}");
    }
    drop(other);
    let free = || scraped.problem.get().is_none().then_some(());
    couic_testkit::until("a listener", couic_testkit::LONG, free);
    let _ = scraped.get("/metrics", "").await.expect(200);
    scraped.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_clients_make_room_and_are_counted() {
    let scraped = listen("127.0.0.1");
    let address = scraped.address;
    let silent: Vec<_> = (0..40).map(|_| Connection::tcp(address).unwrap()).collect();
    let answer = scraped.get("/metrics", "").await.expect(200);
    let served = "couic_connections_served_total{listener=\"metrics\"} ";
    let line = answer.body.lines().find_map(|l| l.strip_prefix(served));
    let served: u32 = line.unwrap().parse().unwrap();
    assert!((1..=41).contains(&served), "{served}");
    let open = "couic_connections{listener=\"metrics\"} ";
    let open = answer.body.lines().find_map(|l| l.strip_prefix(open));
    let open: u32 = open.unwrap().parse().unwrap();
    assert!(open <= 32, "{open}");
    drop(silent);
    scraped.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_interfaces_are_metrics() {
    let scraped = listen("127.0.0.1");
    *scraped.test.health.lock().unwrap() = Box::new(|| {
        let mut health = healthy();
        let mut absent = health.interfaces[0].clone();
        (absent.name, absent.attached) = ("wan0".to_owned(), false);
        absent.mode = Some(XdpMode::Generic);
        health.interfaces.push(absent);
        health.metrics_problem = Some("x".to_owned());
        assert_eq!(health.derived_status(), HealthStatus::Down);
        health
    });
    let text = scraped.get("/metrics", "").await.expect(200).body;
    for line in [
        "couic_interface_attached{interface=\"test0\",mode=\"native\"} 1",
        "couic_interface_attached{interface=\"wan0\",mode=\"none\"} 0",
        "couic_health{status=\"down\"} 1",
        "couic_health{status=\"ok\"} 0",
        "couic_health_problems{area=\"interface\"} 1",
        "couic_health_problems{area=\"metrics\"} 1",
        "couic_health_problems{area=\"panic\"} 0",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line} is missing in {text}"
        );
    }
    scraped.end().await;
}
