//! Metrics, health, and what `couicmon top` is told.

use std::{future::ready, net::Ipv4Addr};

use couic_httpd::{SideListeners, open_metrics, prometheus};
use couic_testkit::{Api, At};
use tokio::{runtime::Builder, sync::watch};

use super::*;
use crate::run::{figures, health, http};

#[test]
fn metrics_are_valid_and_count() {
    let rig = Rig::new();
    let service = rig.start(&rig.config("", SCAN));
    rig.write(&["192.0.2.7"; 3], 404);
    rig.write(&["not an address"], 404);
    rig.daemon.await_rule("192.0.2.7/32");
    await_lines(&service, 4);
    let families = figures::families(&service);
    let text = prometheus(&families);
    for sample in [
        "couicmon_lines_total{source=\"web\"} 4",
        "couicmon_hits_total{jail=\"scan\"} 3",
        "couicmon_bans_total{jail=\"scan\"} 1",
        "couicmon_unjudged_lines_total{source=\"web\"} 0",
        "couicmon_health{status=\"ok\"} 1",
    ] {
        assert!(text.contains(&format!("{sample}\n")), "{sample} in {text}");
    }
    let unparsed: u64 = text
        .lines()
        .filter(|line| line.starts_with("couicmon_unparsed_lines_total{"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum();
    assert_eq!(unparsed, 1);
    openmetrics_parser::prometheus::parse_prometheus(&text).unwrap();
    openmetrics_parser::openmetrics::parse_openmetrics(&open_metrics(&families)).unwrap();
    service.stop();
}

#[test]
fn lines_and_addresses_are_told_on_the_control_socket_only() {
    let rig = Rig::new();
    let config = rig.config("", SCAN);
    let control = config.control.clone();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let service = rig.start(&config);
    let (stop, stopping) = watch::channel(false);
    let (address, tasks) = runtime.block_on(async {
        let listeners = SideListeners::bind(Some(([127, 0, 0, 1], 0).into()), &control)
            .await
            .unwrap();
        let address = (Ipv4Addr::LOCALHOST, listeners.port().unwrap()).into();
        let told = Arc::clone(&service);
        let answer = move |asker, head| ready(http::answer(&told, asker, &head));
        (
            address,
            listeners.serve(answer, &service.unserved, &stopping),
        )
    });
    rig.write(&["192.0.2.7"; 3], 200);
    rig.write(&["not an address"], 404);
    await_lines(&service, 4);
    let (group, anybody) = (
        Api::new(At::Unix(control.clone()), None),
        Api::new(At::Tcp(address), None),
    );
    let top = group.get("/v1/top?n=5");
    assert_eq!(top["talkers"][0]["addr"], "192.0.2.7");
    assert_eq!(top["jails"][0]["jail"], "scan");
    let sample = group.get("/health")["sources"][0]["sample"].to_string();
    assert!(sample.contains("not an address"), "{sample}");
    let health = anybody.get("/health");
    assert_eq!(health["status"], "ok");
    assert!(health["sources"][0].get("sample").is_none());
    let _ = anybody.request("GET", "/v1/top", None).expect(403);
    let _ = anybody.request("POST", "/metrics", None).expect(405);
    let _ = anybody.request("GET", "/", None).expect(404);
    assert!(
        anybody
            .request("GET", "/metrics", None)
            .expect(200)
            .body
            .contains("couicmon_lines_total")
    );
    stop.send_replace(true);
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
    service.stop();
}

#[test]
fn a_wrong_format_and_a_silent_daemon_are_problems() {
    let rig = Rig::new();
    rig.daemon.go();
    let service = rig.start(&rig.config("", SCAN));
    fs::write(rig.log(), "junk\njunk\n").unwrap();
    await_lines(&service, 2);
    let problems = || {
        let health = serde_json::to_value(health::of(&service, false)).unwrap();
        let told = health["problems"].to_string();
        told.contains("2 lines of 2 cannot be read")
            .then_some(health)
    };
    let (health, _) = until("the format is told", LONG, problems);
    assert_eq!(health["status"], "degraded");
    service.stop();
}

/// The problems that health tells.
fn problems(service: &Service) -> Vec<String> {
    let health = serde_json::to_value(health::of(service, false)).unwrap();
    serde_json::from_value(health["problems"].clone()).unwrap()
}

#[test]
fn a_refused_token_is_a_problem_until_the_daemon_takes_it() {
    let rig = Rig::new();
    rig.daemon.revoke(true);
    let service = rig.start(&rig.config("", SCAN));
    let told = || {
        let told = problems(&service);
        told.iter()
            .any(|p| p.contains("refuses the token"))
            .then_some(told)
    };
    let (told, _) = until("the refusal is told", LONG, told);
    let advice = told.iter().any(|p| p.contains("couicctl clients add"));
    assert!(advice, "{told:?}");
    rig.write(&["192.0.2.7"; 3], 404);
    await_lines(&service, 3);
    rig.daemon.revoke(false);
    rig.daemon.await_rule("192.0.2.7/32");
    let over = || problems(&service).is_empty().then_some(());
    until("it is over", LONG, over);
    service.stop();
}

#[test]
fn a_log_that_cannot_be_read_is_a_problem_until_it_can() {
    let rig = Rig::new();
    let config = rig.config("", SCAN);
    let service = rig.start(&config);
    // Root reads everything; a link to itself nobody.
    fs::remove_file(rig.log()).unwrap();
    std::os::unix::fs::symlink(rig.log(), rig.log()).unwrap();
    let about = rig.log().display().to_string();
    let told = || {
        let told = problems(&service);
        told.iter().any(|p| p.contains(&about)).then_some(())
    };
    until("the log is told", LONG, told);
    service.look();
    fs::remove_file(rig.log()).unwrap();
    fs::write(rig.log(), "").unwrap();
    let over = || problems(&service).is_empty().then_some(());
    until("it is over", LONG, over);
    service.stop();
    let unread = couic_tail::Unread {
        path: "/var/log/x".into(),
        kind: std::io::ErrorKind::PermissionDenied,
        why: "Permission denied".into(),
    };
    let text = crate::run::alarms::unread("web", &unread);
    assert!(
        text.contains("setfacl -m u:") && text.contains("usermod -aG adm"),
        "{text}"
    );
}
