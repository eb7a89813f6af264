//! The routes, without a socket.

use serde_json::{Value, json};
use tempfile::TempDir;
use warp::http::Response as HttpResponse;

use super::*;
use crate::{config::Settings as _, state::Committer};

const SECRET: &str = "550e8400-e29b-41d4-a716-446655440000";

struct Fixture {
    context: Arc<Context>,
    _committer: Committer,
    _dir: TempDir,
}

async fn fixture() -> Fixture {
    let text = format!("[server]\nname = \"a\"\nsecret = \"{SECRET}\"\nmax_request_mib = 1\n");
    let config = Config::parse(&text).unwrap();
    let dir = TempDir::new().unwrap();
    let (journal, committer, _) =
        Journal::open(dir.path(), 1_000, config.history, config.thresholds).unwrap();
    let (dispatcher, _) = crate::notify::start(&config, None).await.unwrap();
    Fixture {
        context: Arc::new(Context::new(&config, journal, Arc::new(dispatcher))),
        _committer: committer,
        _dir: dir,
    }
}

fn report(host: u8) -> Value {
    json!({"action":"add","entry":{"creation":1,"cidr":format!("192.0.2.{host}/32"),"tag":"ssh","expiration":0}})
}

async fn send(f: &Fixture, method: &str, path: &str, body: &str) -> HttpResponse<bytes::Bytes> {
    let request = warp::test::request().method(method).path(path).body(body);
    request.reply(&routes(Arc::clone(&f.context))).await
}

/// Every error has the same form.
fn code(answer: &HttpResponse<bytes::Bytes>) -> (u16, String) {
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert!(
        body["message"].is_string() && body["errors"].is_object(),
        "{body}"
    );
    (
        answer.status().as_u16(),
        body["code"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn every_request_has_its_documented_status() {
    let f = fixture().await;
    let path = format!("/v1/reports/{SECRET}");
    let good = json!([report(1), report(1), report(2)]).to_string();
    let answer = send(&f, "POST", &path, &good).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body(), r#"{"accepted":3,"repeated":false}"#);
    let wrong = "/v1/reports/550e8400-e29b-41d4-a716-446655440001";
    let huge = format!("[{}]", " ".repeat(1 << 20));
    for (method, path, body, expected) in [
        ("POST", wrong, good.as_str(), (401, "unauthorized")),
        ("POST", "/v1/reports/x", "", (401, "unauthorized")),
        ("POST", &path, "{}", (400, "bad_request")),
        ("POST", &path, "[{}]", (400, "bad_request")),
        ("POST", &path, &good[..50], (400, "bad_request")),
        ("POST", &path, &huge, (413, "bad_request")),
        ("GET", &path, "", (405, "not_implemented")),
        ("PUT", &path, &good, (405, "not_implemented")),
        ("DELETE", "/v1/health", "", (405, "not_implemented")),
        ("POST", "/v1/reports", &good, (404, "not_found")),
        ("GET", "/", "", (404, "not_found")),
    ] {
        let (status, name) = code(&send(&f, method, path, body).await);
        assert_eq!((status, name.as_str()), expected, "{method} {path:.20}");
    }
    let overview = f.context.journal.overview();
    assert_eq!(
        (overview.adds, overview.distinct),
        (3, 2),
        "what was refused is not counted"
    );
}

#[tokio::test]
async fn a_retried_request_is_counted_once_and_always_answered() {
    let f = fixture().await;
    let send = || {
        let request = warp::test::request()
            .method("POST")
            .path(&format!("/v1/reports/{SECRET}"))
            .header("idempotency-key", "7e57d004-2b97-4e7a-b45f-5387367791cd")
            .body(json!([report(1)]).to_string());
        let routes = routes(Arc::clone(&f.context));
        async move { request.reply(&routes).await }
    };
    let answers = futures_util::future::join_all((0..8).map(|_| send())).await;
    assert!(answers.iter().all(|answer| answer.status() == 200));
    let fresh = answers
        .iter()
        .filter(|a| a.body() == r#"{"accepted":1,"repeated":false}"#);
    assert_eq!(fresh.count(), 1);
    assert_eq!(f.context.journal.overview().adds, 1);
}

#[tokio::test]
async fn one_request_may_carry_200_000_reports() {
    let text = format!("[server]\nname = \"a\"\nsecret = \"{SECRET}\"\n");
    let mut f = fixture().await;
    let big = Context::new(
        &Config::parse(&text).unwrap(),
        f.context.journal.clone(),
        Arc::clone(&f.context.dispatcher),
    );
    f.context = Arc::new(big);
    let one = |n: u32| {
        format!(
            r#"{{"action":"add","policy":"drop","entry":{{"creation":1,"cidr":"{}/32","tag":"ssh","expiration":0}},"metadata":null,"timestamp":1}}"#,
            std::net::Ipv4Addr::from_bits(n)
        )
    };
    let all: Vec<String> = (0..200_000).map(one).collect();
    let body = format!("[{}]", all.join(","));
    let answer = send(&f, "POST", &format!("/v1/reports/{SECRET}"), &body).await;
    assert_eq!(answer.body(), r#"{"accepted":200000,"repeated":false}"#);
    let overview = f.context.journal.overview();
    assert!(overview.estimated && overview.adds == 200_000);
    assert!(
        (196_000..204_000).contains(&overview.distinct),
        "{}",
        overview.distinct
    );
}

#[tokio::test]
async fn health_and_metrics_show_the_current_figures() {
    let f = fixture().await;
    let body = json!([report(1), report(2)]).to_string();
    send(&f, "POST", &format!("/v1/reports/{SECRET}"), &body).await;
    send(&f, "POST", "/v1/reports/x", "").await;
    let health = send(&f, "GET", "/v1/health", "").await;
    let health: Value = serde_json::from_slice(health.body()).unwrap();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["interval"]["adds"], 2);
    assert_eq!(health["interval"]["length_secs"], 900);
    assert_eq!(send(&f, "HEAD", "/v1/health", "").await.status(), 200);
    let metrics = send(&f, "GET", "/v1/metrics", "").await;
    let text = std::str::from_utf8(metrics.body()).unwrap();
    for line in [
        "couic_report_requests_total{status=\"401\"} 1",
        "couic_report_reports_total{action=\"add\"} 2",
        "couic_report_interval_distinct_cidrs 2",
        "couic_report_journal_failing 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains(SECRET));
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        assert!(
            line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(),
            "{line}"
        );
    }
}

#[tokio::test]
async fn metrics_come_in_the_format_that_accept_prefers() {
    let f = fixture().await;
    let scrape = async |path: &str, accept: &str| {
        let request = warp::test::request().path(path).header("accept", accept);
        let answer = request.reply(&routes(Arc::clone(&f.context))).await;
        assert_eq!(answer.status(), 200);
        let kind = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        (kind, String::from_utf8(answer.body().to_vec()).unwrap())
    };
    for path in ["/metrics", "/v1/metrics"] {
        let (kind, text) = scrape(path, "*/*").await;
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        for line in [
            "couic_report_health{status=\"ok\"} 1",
            "couic_report_health{status=\"failed\"} 0",
            "couic_report_connections_refused_total{listener=\"http\"} 0",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line} is missing in {text}"
            );
        }
        let (kind, text) = scrape(path, "application/openmetrics-text").await;
        assert_eq!(
            kind,
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}

async fn send_traffic(f: &Fixture, body: &str, id: &str) -> HttpResponse<bytes::Bytes> {
    let request = warp::test::request()
        .method("POST")
        .path(&format!("/v1/reports/{SECRET}"))
        .header("couic-kind", "traffic")
        .header("couic-instance", "fw1")
        .header("idempotency-key", id)
        .body(body);
    request.reply(&routes(Arc::clone(&f.context))).await
}

#[tokio::test]
async fn traffic_is_announced_counted_once_and_bounded() {
    let f = fixture().await;
    let answer = send(&f, "POST", &format!("/v1/reports/{SECRET}"), "[]").await;
    assert_eq!(answer.headers()["couic-accepts"], "traffic");
    let now = couic_common::unix_seconds();
    // More tags and interfaces than there may be, and names of any length.
    let tags = (0..1_000).map(|n| {
        let tag = format!("t{n}{}", "x".repeat(100));
        json!({"policy":"drop","tag":tag,"packets":1,"bytes":60})
    });
    let interfaces =
        (0..200).map(|n| json!({"name":format!("if{n}{}", "é".repeat(100)),"attached":true}));
    let body = json!({
        "from": now - 60, "until": now, "dropped": {"packets": 1_000, "bytes": 60_000},
        "tags": tags.collect::<Vec<_>>(), "interfaces": interfaces.collect::<Vec<_>>(),
        "health": "ok", "version": "9", "new": [1],
    });
    let id = "0d9e1b2c-0000-4000-8000-000000000001";
    for repeated in [false, true] {
        let answer = send_traffic(&f, &body.to_string(), id).await;
        assert_eq!(answer.status(), 200);
        let expected = json!({"repeated": repeated}).to_string();
        assert_eq!(answer.body(), expected.as_str());
    }
    let firewalls = f.context.history.firewalls();
    // The sender of the empty request has no name.
    assert_eq!(firewalls.len(), 2, "{firewalls:?}");
    let named = firewalls.iter().find(|firewall| firewall.name == "fw1");
    let firewall = named.unwrap();
    assert_eq!(firewall.dropped_packets_24h, Some(1_000));
    let status = firewall.status.as_ref().unwrap();
    assert_eq!((&*status.version, status.interfaces.len()), ("9", 64));
    let range = crate::history::Range::Hour;
    let tags = f.context.history.top_tags(None, range, 9_999);
    assert_eq!((tags.len(), &*tags[0].tag), (101, "(others)"));
    assert_eq!(tags[0].packets, 900);

    for bad in [
        "",
        "[]",
        "7",
        r#"{"tags":[{"tag":"x"}]}"#,
        r#"{"until":-1}"#,
    ] {
        assert_eq!(code(&send_traffic(&f, bad, "x").await).0, 400, "{bad}");
    }
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(256 << 10));
    assert_eq!(code(&send_traffic(&f, &large, "x").await).0, 413);
    let metrics = send(&f, "GET", "/v1/metrics", "").await;
    let metrics = String::from_utf8(metrics.body().to_vec()).unwrap();
    for line in [
        "couic_report_traffic_requests_total 1",
        "couic_report_history_firewalls 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{metrics}");
    }
}

#[tokio::test]
async fn a_page_that_has_ended_is_a_problem() {
    let mut f = fixture().await;
    let context = Arc::get_mut(&mut f.context).unwrap();
    let page = tokio::spawn(std::future::pending::<()>());
    context.page = Some(page.abort_handle());
    assert_eq!(health::of(context).status, "ok");
    page.abort();
    assert!(page.await.unwrap_err().is_cancelled());
    assert_eq!(health::of(context).status, "degraded");
}
