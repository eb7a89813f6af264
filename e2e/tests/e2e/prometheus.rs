//! A real Prometheus scrapes a real daemon and couic-report with the shipped configuration; promtool reads all metrics
//! and every shipped file.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use couic_common::{Area, HealthStatus};
use couic_e2e::{Daemon, Lab, until};
use couic_testkit::{Api, At, LONG, Program};
use serde_json::Value;
use tempfile::TempDir;

/// In the lab's own namespace, where it is free.
const LISTEN: &str = "[metrics]\nlisten = \"127.0.0.1:9464\"\n";

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    let command = command.arg("--version").stdout(Stdio::null());
    let status = command.stderr(Stdio::null()).status();
    let found = status.is_ok_and(|status| status.success());
    if !found {
        println!("skipped: no {program}; scripts/setup fetches it");
    }
    found
}

fn config_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/prometheus")
}

/// Runs promtool with this input; it must be content.
fn promtool(args: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(args).current_dir(config_dir());
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = pipes.stderr(Stdio::piped()).spawn().expect("promtool");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success(),
        "promtool {args:?}: {said}\n{input}"
    );
}

fn inside(lab: &Lab, port: u16) -> Api {
    Api::new(
        At::Inside(lab.host.clone(), ([127, 0, 0, 1], port).into()),
        None,
    )
}

/// The daemon's text in the format 0.0.4.
fn scraped(lab: &Lab) -> String {
    let page = inside(lab, 9464).request("GET", "/metrics", None);
    page.expect(200).body
}

/// The shipped configuration, in a hurry.
fn start_prometheus(lab: &Lab, home: &Path) -> Program {
    for file in ["scrape.yml", "couic.rules.yml"] {
        let text = fs::read_to_string(config_dir().join(file)).expect("a shipped file");
        let text = text.replace("interval: 15s", "interval: 1s");
        fs::write(home.join(file), text).expect("write");
    }
    let mut command = lab.host.command("prometheus");
    command.current_dir(home).args([
        "--config.file=scrape.yml",
        "--storage.tsdb.path=data",
        "--web.listen-address=127.0.0.1:9090",
        "--log.level=warn",
    ]);
    Program::start(command, &home.join("log"))
}

/// The value of a query that has one result.
fn value(prometheus: &Api, query: &str) -> Option<String> {
    let query = query
        .replace('{', "%7B")
        .replace('}', "%7D")
        .replace('"', "%22");
    let path = format!("/api/v1/query?query={query}");
    let answer = prometheus.try_request("GET", &path, None).ok()?;
    let answer: Value = serde_json::from_str(&answer.body).ok()?;
    let results = answer["data"]["result"].as_array()?;
    let [one] = &results[..] else { return None };
    one["value"][1].as_str().map(str::to_owned)
}

fn await_value(prometheus: &Api, query: &str, expected: &str) {
    until(&format!("{query} is {expected}"), LONG, || {
        (value(prometheus, query).as_deref() == Some(expected)).then_some(())
    });
}

#[test]
fn prometheus_scrapes_the_daemon_and_couic_report_and_alerts() {
    let Some(lab) = Lab::quiet() else { return };
    if !is_there("prometheus") {
        return;
    }
    let collector = lab.collector(900, "");
    let _report = collector.serve();
    let config = format!(
        "{LISTEN}[reporting]\nenabled = true\nwebhook = \"{}\"\n",
        collector.webhook()
    );
    let daemon = lab.daemon().config(&config).start();
    // The listener works in the confined process.
    assert!(
        daemon.log().contains("no capabilities on "),
        "{}",
        daemon.log()
    );
    daemon.ctl_ok(&["drop", "add", "198.51.100.7", "-t", "ssh"]);
    let home = TempDir::new().expect("a directory");
    let _prometheus = start_prometheus(&lab, home.path());
    let prometheus = inside(&lab, 9090);
    for (query, expected) in [
        ("up{job=\"couic\"}", "1"),
        ("up{job=\"couic-report\"}", "1"),
        ("couic_rules{policy=\"drop\",family=\"IPv4\"}", "1"),
        ("couic_health{status=\"ok\"}", "1"),
        ("couic_interface_attached{interface=\"eth0\"}", "1"),
        ("couic_report_health{status=\"ok\"}", "1"),
        ("sum(couic_report_reports_total{action=\"add\"})", "1"),
    ] {
        await_value(&prometheus, query, expected);
    }
    // OpenMetrics was negotiated: only there is it an info.
    let metadata = prometheus.get("/api/v1/metadata?metric=couic_build");
    let metadata = metadata.to_string()
        + &prometheus
            .get("/api/v1/metadata?metric=couic_build_info")
            .to_string();
    assert!(metadata.contains("\"info\""), "{metadata}");
    daemon.ctl_ok(&["panic", "on", "--reason", "a test"]);
    let firing = "count(ALERTS{alertname=\"CouicPanicOn\",alertstate=\"firing\"})";
    await_value(&prometheus, firing, "1");
}

#[test]
fn promtool_finds_nothing_in_what_we_serve() {
    let Some(lab) = Lab::quiet() else { return };
    if !is_there("promtool") {
        return;
    }
    let collector = lab.collector(900, "");
    let _report = collector.serve();
    let config = format!(
        "{LISTEN}[reporting]\nenabled = true\nwebhook = \"{}\"\n[peering]\nenabled = true\n\
         [[peering.peers]]\nhost = \"127.0.0.1\"\nport = 1\ntls = false\ntoken = \"{}\"\n",
        collector.webhook(),
        "bbfa1388-3218-463c-9722-6805507c14bb"
    );
    let daemon = lab.daemon().config(&config).start();
    daemon.ctl_ok(&["drop", "add", "198.51.100.7", "-t", "ssh"]);
    daemon.ctl_ok(&["ignore", "add", "198.51.100.8"]);
    let text = scraped(&lab);
    assert!(
        text.contains("couic_peer_up{peer=\"127-0-0-1\"} 0"),
        "{text}"
    );
    promtool(&["check", "metrics"], &text);
    promtool(&["check", "metrics"], &daemon.ctl_ok(&["metrics"]));
    for path in ["/metrics", "/v1/metrics"] {
        let page = collector.api().request("GET", path, None).expect(200);
        promtool(&["check", "metrics"], &page.body);
    }
}

#[test]
fn promtool_accepts_the_shipped_files() {
    if !is_there("promtool") {
        return;
    }
    promtool(&["check", "config", "scrape.yml"], "");
    promtool(&["check", "rules", "couic.rules.yml"], "");
    promtool(&["test", "rules", "couic.rules.test.yml"], "");
}

fn metrics_problems(daemon: &Daemon<'_>) -> (HealthStatus, Vec<String>) {
    let (_, health) = daemon.api().health();
    let problems = health.problems().into_iter();
    let problems = problems.filter(|problem| problem.area == Area::Metrics);
    (health.status, problems.map(|p| p.message).collect())
}

/// Filtering does not depend on a port; and once the other program is gone, the confined daemon listens.
#[test]
fn a_daemon_whose_metrics_port_is_taken_filters_and_takes_it_later() {
    let Some(lab) = Lab::quiet() else { return };
    let taken = lab.host.enter(|| TcpListener::bind("127.0.0.1:9464"));
    let taken = taken.expect("a free port in an own namespace");
    let daemon = lab.daemon().config(LISTEN).start();
    let (status, problems) = metrics_problems(&daemon);
    assert_eq!(status, HealthStatus::Degraded);
    assert!(
        problems[0].contains("no metrics on 127.0.0.1:9464"),
        "{problems:?}"
    );
    drop(taken);
    until("it listens", LONG, || {
        (metrics_problems(&daemon) == (HealthStatus::Ok, Vec::new())).then_some(())
    });
    let text = scraped(&lab);
    assert!(text.contains("couic_health{status=\"ok\"} 1"), "{text}");
}
