//! couic-report as a process, with a stand-in for Discord: summaries, crashes, full disks, commands.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod crowd;
mod page;
mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use couic_testkit::{Collector, LONG, StandIn, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{collector, interval_from, post, report, small_disk, stand_in};

/// A notifier that gets every notification as JSON.
fn json_notifier(server: &StandIn) -> String {
    format!(
        "[[notifiers]]\nplugin = \"webhook\"\nconfig = {{ url = \"{}\", format = \"notifications\" }}\n",
        server.url("/hook/t0ken")
    )
}

#[test]
fn an_attack_is_posted_to_discord_once_with_its_figures() {
    const INTERVAL: u64 = 3;
    let told = stand_in();
    let home = collector(
        INTERVAL,
        &format!(
            "[thresholds]\norange = 3\nred = 5\nthreshold_min = \"orange\"\n[discord]\nwebhook_url = \"{}\"\n",
            told.url("/hook/t0ken")
        ),
    );
    let mut service = home.serve();
    // Both requests must fall into the same interval: start with one that has just begun.
    let first = interval_from(&home);
    until("the next interval begins", LONG, || {
        (interval_from(&home) > first).then_some(())
    });
    let hostile = "@everyone <!channel> **x** `\u{202e}[a](http://e)".repeat(2);
    let batch: Vec<Value> = (0..4).map(|n| report(n % 3, &hostile)).collect();
    assert_eq!(
        post(&home, &json!(batch), "couic-instance: fw1\r\n"),
        Some(200)
    );
    let more: Vec<Value> = (0..3).map(|n| report(n, "ssh")).collect();
    assert_eq!(
        post(&home, &json!(more), "couic-instance: fw2\r\n"),
        Some(200)
    );
    let message = told.next(LONG).json();
    println!("{message:#}");
    assert_eq!(message["allowed_mentions"]["parse"], json!([]));
    assert_eq!(message["embeds"].as_array().unwrap().len(), 1);
    let text = message["embeds"][0].to_string();
    for part in ["tower", "fw1", "fw2"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    // Intervals below the threshold are not sent: two of them pass.
    let told_in = interval_from(&home);
    until("two more intervals pass", LONG, || {
        (interval_from(&home) >= told_in + 2 * INTERVAL).then_some(())
    });
    assert_eq!(service.end(Signal::SIGTERM), 0, "{}", home.log());
    assert!(told.rest().is_empty());
    let secret = home.webhook();
    let secret = secret.rsplit('/').next().unwrap();
    assert!(!home.log().contains("t0ken") && !home.log().contains(secret));
}

#[test]
fn green_tells_every_interval_an_empty_one_too() {
    let told = stand_in();
    let home = collector(1, &json_notifier(&told));
    let _service = home.serve();
    for _ in 0..2 {
        let message = told.next(LONG).json();
        assert_eq!(
            (&message["kind"], &message["severity"]),
            (&json!("summary"), &json!("green"))
        );
        assert_eq!(message["summary"]["total"], 0);
    }
}

/// A request that is retried until the response is 200 is counted once, however often the service is killed.
#[test]
fn kill_9_under_load_neither_loses_nor_doubles_figures() {
    const ROUNDS: u64 = 8;
    let told = stand_in();
    let home = collector(1, &json_notifier(&told));
    let (over, accepted) = (AtomicBool::new(false), AtomicU64::new(0));
    let sent = thread::scope(|scope| {
        let senders = [0, 1].map(|n| {
            let (home, over, accepted) = (&home, &over, &accepted);
            scope.spawn(move || send_until(over, accepted, home, n))
        });
        for round in 0..ROUNDS {
            let service = home.serve();
            // Under load, at a different point in each round.
            let enough = accepted.load(Ordering::Relaxed) + 20 + 37 * round;
            until("requests are accepted", LONG, || {
                (accepted.load(Ordering::Relaxed) >= enough).then_some(())
            });
            drop(service);
        }
        let _service = home.serve();
        over.store(true, Ordering::Relaxed);
        senders.map(|sender| sender.join().unwrap())
    });
    let _service = home.serve();
    let batches: u64 = sent.iter().map(|(batches, _)| batches).sum();
    let attempts: u64 = sent.iter().map(|(_, attempts)| attempts).sum();
    let all = batches * u64::from(EACH);
    let (mut totals, mut repeated) = (BTreeMap::new(), 0);
    while totals.values().sum::<u64>() < all {
        let message = told.next(LONG).json();
        let total = message["summary"]["total"].as_u64().unwrap();
        if let Some(before) = totals.insert(message["id"].to_string(), total) {
            assert_eq!(before, total, "the same id with other figures");
            repeated += 1;
        }
    }
    println!(
        "{all} adds in {} summaries over {ROUNDS} kill -9; {attempts} attempts for {batches} requests; {repeated} summaries sent twice",
        totals.len(),
    );
    assert_eq!(totals.values().sum::<u64>(), all);
    assert!(
        attempts > batches,
        "no request was interrupted: the test proves nothing"
    );
    assert!(repeated <= ROUNDS, "{repeated}");
}

/// Reports in a request of the test above.
const EACH: u32 = 25;

/// Sends requests one by one, each until it is accepted. Returns the numbers of requests and attempts.
fn send_until(
    over: &AtomicBool,
    accepted: &AtomicU64,
    home: &Collector,
    sender: u32,
) -> (u64, u64) {
    let (mut batches, mut attempts) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        let reports: Vec<Value> = (0..EACH)
            .map(|n| report(sender * EACH + n, "ssh"))
            .collect();
        let header = format!("idempotency-key: {}\r\n", uuid::Uuid::new_v4());
        batches += 1;
        until("the request is accepted", LONG, || {
            attempts += 1;
            (post(home, &json!(reports), &header) == Some(200)).then_some(())
        });
        accepted.fetch_add(1, Ordering::Relaxed);
    }
    (batches, attempts)
}

#[test]
fn a_full_disk_refuses_reports_and_recovers_by_itself() {
    let home = collector(3600, "");
    let Some(_disk) = small_disk(&home.state(), 256) else {
        eprintln!("skipped: a tmpfs cannot be mounted (needs root)");
        return;
    };
    let service = home.serve();
    let health = || home.health();
    let filler = home.state().join("filler");
    assert_eq!(post(&home, &json!([report(1, "a")]), ""), Some(200));
    let mut counted = 1;
    // Fill the disk to the last KiB.
    let mut room = 1 << 20;
    while room >= 1024 {
        let mut bytes = fs::read(&filler).unwrap_or_default();
        bytes.resize(bytes.len() + room, 7);
        if fs::write(&filler, &bytes).is_err() {
            bytes.truncate(bytes.len() - room);
            fs::write(&filler, &bytes).unwrap();
            room /= 2;
        }
    }
    let many: Vec<Value> = (0..2_000).map(|n| report(n, "a")).collect();
    assert_eq!(post(&home, &json!(many), ""), Some(503));
    let full = health();
    assert_eq!(
        (&full["status"], &full["interval"]["adds"]),
        (&json!("failed"), &json!(counted))
    );
    assert_eq!(home.api().request("GET", "/v1/health", None).status, 503);
    fs::remove_file(&filler).unwrap();
    assert_eq!(post(&home, &json!(many), ""), Some(200));
    counted += 2_000;
    assert_eq!(health()["interval"]["adds"], counted);
    drop(service);
    let _again = home.serve();
    assert_eq!(health()["interval"]["adds"], counted, "{}", home.log());
}

#[test]
fn a_hundred_thousand_reports_arrive_in_a_second_or_so() {
    let home = collector(3600, "");
    let _service = home.serve();
    let batches: Vec<Value> = (0..100)
        .map(|b| {
            json!(
                (0..1_000)
                    .map(|n| report(b * 1_000 + n, "flood"))
                    .collect::<Vec<_>>()
            )
        })
        .collect();
    let begun = std::time::Instant::now();
    thread::scope(|scope| {
        for part in batches.chunks(25) {
            let home = &home;
            scope.spawn(move || {
                part.iter()
                    .for_each(|b| assert_eq!(post(home, b, ""), Some(200)));
            });
        }
    });
    println!("100,000 reports in {:?}", begun.elapsed());
    let metrics = home
        .api()
        .request("GET", "/v1/metrics", None)
        .expect(200)
        .body;
    assert!(
        metrics.contains("couic_report_interval_adds 100000\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("couic_report_interval_distinct_cidrs 100000\n"),
        "{metrics}"
    );
}

#[test]
fn commands_say_what_became_of_them() {
    let told = stand_in();
    let home = collector(
        60,
        &format!("[discord]\nwebhook_url = \"{}\"\n", told.url("/hook/t0ken")),
    );
    let checked = home.command(&["check-config"]).output().unwrap();
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(
        checked.status.success() && text.contains("notifiers   discord"),
        "{text}"
    );
    let tested = home.command(&["test-notify"]).output().unwrap();
    let text = String::from_utf8(tested.stdout).unwrap();
    assert_eq!(
        (tested.status.code(), text.as_str()),
        (Some(0), "discord: delivered (HTTP 204)\n")
    );
    assert!(told.next(LONG).json()["embeds"].is_array());

    let absent = collector(
        60,
        "[[notifiers]]\nplugin = \"absent\"\n[plugins]\ndir = \"/nonexistent\"\n",
    );
    for command in ["check-config", "test-notify"] {
        let output = absent.command(&[command]).output().unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("absent"), "{text}");
    }
    let bad = collector(0, "[discord]\nurl = 1\n")
        .command(&["check-config"])
        .output()
        .unwrap();
    let text = String::from_utf8(bad.stderr).unwrap();
    assert_eq!(
        (bad.status.code(), text.lines().count()),
        (Some(64), 3),
        "{text}"
    );
}

#[test]
fn two_services_cannot_share_a_state() {
    let home = collector(60, "");
    let _service = home.serve();
    let output = collector(60, "")
        .command(&[])
        .env("STATE_DIRECTORY", home.state())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("in use by another couic-report"), "{text}");
}

#[test]
fn sighup_takes_over_the_level_of_the_log_and_names_what_needs_a_restart() {
    let home = collector(900, "");
    let service = home.serve();
    let file = home.state().with_file_name("config.toml");
    let before = fs::read_to_string(&file).unwrap();
    let logged = |text: &str| until(text, LONG, || home.log().contains(text).then_some(()));
    let reloaded_with = |text: &str| {
        fs::write(&file, text).unwrap();
        service.signal(Signal::SIGHUP);
    };
    let other = before.replace("batch_interval_secs = 900", "batch_interval_secs = 901");
    reloaded_with(&format!("{other}[logging]\nlevel = \"debug\"\n"));
    logged(
        "configuration reloaded; these keys of the configuration have changed and take effect at the next restart: \
         batch_interval_secs",
    );
    let mut broken = TcpStream::connect(home.address()).unwrap();
    broken.write_all(b"no request\r\n\r\n").unwrap();
    logged("DEBUG connection from 127.0.0.1");
    reloaded_with("[logging]\nlevel = \"loud\"\n");
    logged("the configuration is NOT reloaded, the one before stays in force");
    assert!(home.log().contains("logging.level"), "{}", home.log());
}
