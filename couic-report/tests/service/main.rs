//! couic-report as a process, with a stand-in for Discord: summaries, crashes, full disks, commands.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use serde_json::{Value, json};
use support::*;

/// A notifier that gets every notification as JSON.
fn json_notifier(url: &str) -> String {
    format!(
        "[[notifiers]]\nplugin = \"webhook\"\nconfig = {{ url = \"{url}\", format = \"notifications\" }}\n"
    )
}

#[test]
fn an_attack_is_posted_to_discord_once_with_its_figures() {
    const INTERVAL: u64 = 3;
    let (url, posts) = stand_in();
    let home = Home::new(
        INTERVAL,
        &format!(
            "[thresholds]\norange = 3\nred = 5\nthreshold_min = \"orange\"\n[discord]\nwebhook_url = \"{url}\"\n"
        ),
    );
    let mut service = home.serve();
    // Both requests must fall into the same interval: start with one that has just begun.
    let first = home.interval_from();
    until("the next interval begins", || {
        (home.interval_from() > first).then_some(())
    });
    let hostile = "@everyone <!channel> **x** `\u{202e}[a](http://e)".repeat(2);
    let batch: Vec<Value> = (0..4).map(|n| report(n % 3, &hostile)).collect();
    assert_eq!(
        home.post(&json!(batch), "couic-instance: fw1\r\n"),
        Some(200)
    );
    let more: Vec<Value> = (0..3).map(|n| report(n, "ssh")).collect();
    assert_eq!(
        home.post(&json!(more), "couic-instance: fw2\r\n"),
        Some(200)
    );
    let message = posts.recv_timeout(PATIENCE).unwrap();
    println!("{message:#}");
    assert_eq!(message["allowed_mentions"]["parse"], json!([]));
    assert_eq!(message["embeds"].as_array().unwrap().len(), 1);
    let text = message["embeds"][0].to_string();
    for part in ["tower", "fw1", "fw2"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    // Intervals below the threshold are not sent: two of them pass.
    let sent_in = home.interval_from();
    until("two more intervals pass", || {
        (home.interval_from() >= sent_in + 2 * INTERVAL).then_some(())
    });
    assert_eq!(service.terminate(), Some(0), "{}", home.log());
    assert_eq!(posts.try_iter().count(), 0);
    assert!(!home.log().contains("t0ken") && !home.log().contains(SECRET));
}

#[test]
fn threshold_green_sends_every_interval_even_an_empty_one() {
    let (url, posts) = stand_in();
    let home = Home::new(1, &json_notifier(&url));
    let _service = home.serve();
    for _ in 0..2 {
        let message = posts.recv_timeout(PATIENCE).unwrap();
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
    let (url, posts) = stand_in();
    let home = Home::new(1, &json_notifier(&url));
    let (over, accepted) = (AtomicBool::new(false), AtomicU64::new(0));
    let sent = thread::scope(|scope| {
        let senders = [0, 1].map(|n| {
            let (home, over, accepted) = (&home, &over, &accepted);
            scope.spawn(move || send_until(over, accepted, home, n))
        });
        for round in 0..ROUNDS {
            let mut service = home.serve();
            // Under load, at a different point in each round.
            let enough = accepted.load(Ordering::Relaxed) + 20 + 37 * round;
            until("requests are accepted", || {
                (accepted.load(Ordering::Relaxed) >= enough).then_some(())
            });
            service.kill();
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
        let message = posts.recv_timeout(PATIENCE).expect("a summary is lost");
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
fn send_until(over: &AtomicBool, accepted: &AtomicU64, home: &Home, sender: u32) -> (u64, u64) {
    let (mut batches, mut attempts) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        let reports: Vec<Value> = (0..EACH)
            .map(|n| report(sender * EACH + n, "ssh"))
            .collect();
        let header = format!("idempotency-key: {}\r\n", uuid::Uuid::new_v4());
        batches += 1;
        until("the request is accepted", || {
            attempts += 1;
            (home.post(&json!(reports), &header) == Some(200)).then_some(())
        });
        accepted.fetch_add(1, Ordering::Relaxed);
    }
    (batches, attempts)
}

#[test]
fn a_full_disk_refuses_reports_and_recovers_by_itself() {
    let home = Home::new(3600, "");
    let Some(_disk) = small_disk(&home.state(), 256) else {
        eprintln!("skipped: a tmpfs cannot be mounted (needs root)");
        return;
    };
    let mut service = home.serve();
    let health =
        || -> Value { serde_json::from_slice(&home.get("/v1/health").unwrap().1).unwrap() };
    let filler = home.state().join("filler");
    assert_eq!(home.post(&json!([report(1, "a")]), ""), Some(200));
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
    assert_eq!(home.post(&json!(many), ""), Some(503));
    let full = health();
    assert_eq!(
        (&full["status"], &full["interval"]["adds"]),
        (&json!("failed"), &json!(counted))
    );
    assert_eq!(home.get("/v1/health").unwrap().0, 503);
    fs::remove_file(&filler).unwrap();
    assert_eq!(home.post(&json!(many), ""), Some(200));
    counted += 2_000;
    assert_eq!(health()["interval"]["adds"], counted);
    service.kill();
    let _again = home.serve();
    assert_eq!(health()["interval"]["adds"], counted, "{}", home.log());
}

#[test]
fn a_hundred_thousand_reports_are_counted() {
    let home = Home::new(3600, "");
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
                    .for_each(|b| assert_eq!(home.post(b, ""), Some(200)));
            });
        }
    });
    println!("100,000 reports in {:?}", begun.elapsed());
    let metrics = String::from_utf8(home.get("/v1/metrics").unwrap().1).unwrap();
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
fn commands_print_their_outcome() {
    let (url, posts) = stand_in();
    let home = Home::new(60, &format!("[discord]\nwebhook_url = \"{url}\"\n"));
    let checked = home.run(&["check-config"]);
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(
        checked.status.success() && text.contains("notifiers   discord"),
        "{text}"
    );
    let tested = home.run(&["test-notify"]);
    let text = String::from_utf8(tested.stdout).unwrap();
    assert_eq!(
        (tested.status.code(), text.as_str()),
        (Some(0), "discord: delivered (HTTP 204)\n")
    );
    assert!(posts.recv_timeout(PATIENCE).unwrap()["embeds"].is_array());

    let absent = Home::new(
        60,
        "[[notifiers]]\nplugin = \"absent\"\n[plugins]\ndir = \"/nonexistent\"\n",
    );
    for command in ["check-config", "test-notify"] {
        let output = absent.run(&[command]);
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("absent"), "{text}");
    }
    let bad = Home::new(0, "[discord]\nurl = 1\n").run(&["check-config"]);
    let text = String::from_utf8(bad.stderr).unwrap();
    assert_eq!(
        (bad.status.code(), text.lines().count()),
        (Some(64), 3),
        "{text}"
    );
}

#[test]
fn two_services_cannot_share_a_state() {
    let home = Home::new(60, "");
    let _service = home.serve();
    let output = Home::new(60, "")
        .command(&[])
        .env("STATE_DIRECTORY", home.state())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("in use by another couic-report"), "{text}");
}
