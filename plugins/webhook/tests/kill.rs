//! Kill -9 under load, end to end: dispatcher, spool and webhook in a process of their own, against a server that
//! answers 429, 503, resets and hangs. At most duplicates, never a loss, and no request within a `Retry-After`.

#![expect(clippy::unwrap_used, reason = "a failure ends the test")]

#[path = "kill/tally.rs"]
mod tally;

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use couic_delivery::{Member, NotificationDispatcher, Policy, spool::Durability};
use couic_plugin_api::{
    Kind, Notification, Notifier, NotifyError, Plugin, Receipt, Report, Severity, async_trait,
};
use couic_plugin_webhook::{Config, Webhook};
use serde_json as json;
use tally::Tally;

const ROUNDS: u64 = 6;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many notifications wait at most: a request each, and some milliseconds.
const BACKLOG: u64 = 2_000;
const VARIABLE: &str = "COUIC_KILL_TEST";
fn report(number: u64) -> Report {
    let text = format!(
        r#"{{"action":"add","entry":{{"creation":{number},"cidr":"192.0.2.0/24","tag":null,"expiration":0}},"timestamp":7}}"#
    );
    json::from_str(&text).unwrap()
}

/// The webhook, and a line of output for each attempt and its outcome, which a kill does not take back.
///
/// The record of the server cannot replace them: it has answered a request even if its answer comes after the timeout,
/// and it may read that request after the next one.
struct Recorded(Webhook);

#[async_trait]
impl Notifier for Recorded {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        println!(
            "attempt {} {}",
            unix_millis(),
            json::json!(numbers(notification))
        );
        let outcome = self.0.notify(notification).await;
        match &outcome {
            Ok(_) => println!("delivered"),
            Err(NotifyError::RateLimited { .. }) => println!("limited {}", unix_millis()),
            Err(_) => {}
        }
        outcome
    }
}

fn unix_millis() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis()
}

fn numbers(notification: &Notification) -> Vec<u64> {
    match &notification.kind {
        Kind::Reports(reports) => reports.iter().map(|report| report.entry.creation).collect(),
        _ => Vec::new(),
    }
}

/// The process that is killed: takes in numbers as fast as the disk goes, and prints each one that is safe. With each,
/// it prints the number of deliveries and the number of the current pause, which are safe by then, too.
#[test]
fn sender() {
    let Ok(told) = env::var(VARIABLE) else {
        eprintln!("skipped: this is the other test's child process");
        return;
    };
    let told: json::Value = json::from_str(&told).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let config: Config = json::from_value(told["config"].clone()).unwrap();
        let policy = Policy {
            max_backoff: Duration::from_millis(50),
            ..Policy::of_plugin("webhook")
        };
        let member = Member::new(Arc::new(Recorded(Webhook::create(config).unwrap())), policy);
        let dir = told["dir"].as_str().unwrap();
        println!("\nready");
        let dispatcher =
            NotificationDispatcher::start("all", "here", Some(dir.as_ref()), vec![member]).unwrap();
        let first = told["first"].as_u64().unwrap();
        if !told["sends"].as_bool().unwrap() {
            // The last process only delivers what is left.
            return std::future::pending().await;
        }
        for number in first.. {
            // However fast the machine, the last process can deliver the backlog while the test waits.
            while dispatcher.list()[0].queue_events > BACKLOG {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let kind = Kind::Reports(vec![report(number)]);
            dispatcher
                .enqueue(&Notification::new(kind, Severity::Green, "here"))
                .unwrap();
            let now = dispatcher.list().remove(0);
            let limited = now.attempts.get("rate_limited").copied();
            let held = limited.filter(|_| now.state.as_str() == "rate_limited");
            assert_eq!(dispatcher.durable().await, Durability::Disk);
            let (delivered, held) = (now.delivered, held.unwrap_or(0));
            println!("safe {number} {delivered} {held}");
        }
    });
}

struct Sender {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

fn spawn(dir: &str, url: &str, first: u64, sends: bool) -> Sender {
    let told = json::json!({
        "dir": dir, "first": first, "sends": sends,
        "config": { "url": url, "timeout_ms": 400 },
    });
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "sender", "--nocapture"])
        .env(VARIABLE, told.to_string());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        out.lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    while lines.recv_timeout(PATIENCE).unwrap() != "ready" {}
    Sender { child, lines }
}

#[test]
fn killed_under_load_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let mut tally = Tally::default();
    for round in 0..ROUNDS {
        tally.round(path, round);
    }
    tally.settle(path);
    let accepted = tally.acknowledged.len();
    let twice = tally.delivered.values().filter(|&&times| times > 1).count();
    let (lost, early, again) = (tally.lost(), tally.early, tally.again);
    let (noted, pauses) = (tally.noted.len(), tally.pauses);
    println!(
        "{ROUNDS} kills: {accepted} acknowledged, {lost} lost, {twice} delivered twice, of {noted} that are known to \
         have been noted {again}; {early} attempts within one of {pauses} pauses"
    );
    assert_eq!(lost, 0, "accepted and lost");
    assert_eq!(early, 0, "attempts within a Retry-After");
    assert_eq!(again, 0, "delivered again although that was on the disk");
    assert!(pauses > 0, "no pause in {ROUNDS} rounds");
    assert!(noted > 0, "no delivery was noted in {ROUNDS} rounds");
}
