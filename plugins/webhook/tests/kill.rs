//! Kill -9 under load, end to end: dispatcher, spool and webhook in a process of their own, against a server that
//! answers 429, 503, resets and hangs. At most duplicates, never a loss, and no request within a `Retry-After`.

use std::{
    collections::{HashMap, HashSet},
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use couic_plugin_api::{
    Kind, Notification, Plugin, Report, Severity,
    host::{
        dispatcher::{Member, NotificationDispatcher, Policy},
        spool::Durability,
    },
};
use couic_plugin_shared::stand_in::{Reply, StandIn, status, with_header};
use couic_plugin_webhook::{Config, Webhook};
use serde_json as json;

const ROUNDS: usize = 6;
const VARIABLE: &str = "COUIC_KILL_TEST";
const RETRY_AFTER: Duration = Duration::from_millis(700);
/// How long a process that was told to wait lives at least to write that down.
const KNOWN: Duration = Duration::from_millis(50);

fn report(number: u64) -> Report {
    let text = format!(
        r#"{{"action":"add","entry":{{"creation":{number},"cidr":"192.0.2.0/24","tag":null,"expiration":0}},"timestamp":7}}"#
    );
    json::from_str(&text).unwrap()
}

/// The process that is killed: takes in numbers as fast as the disk goes, and prints each one that is safe.
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
        let member = Member::new(Arc::new(Webhook::create(config).unwrap()), policy);
        let dir = told["dir"].as_str().unwrap();
        let dispatcher =
            NotificationDispatcher::start("all", "here", Some(dir.as_ref()), vec![member]).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nready").unwrap();
        let first = told["first"].as_u64().unwrap();
        // The last process only delivers what is left.
        let numbers = if told["sends"].as_bool().unwrap() {
            first..
        } else {
            u64::MAX..
        };
        for number in numbers {
            if number == u64::MAX {
                std::future::pending::<()>().await;
            }
            let kind = Kind::Reports(vec![report(number)]);
            dispatcher
                .enqueue(&Notification::new(kind, Severity::Green, "here"))
                .unwrap();
            assert_eq!(dispatcher.durable().await, Durability::Disk);
            writeln!(out, "{number}").unwrap();
            out.flush().unwrap();
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
        "config": { "url": url, "timeout_ms": 200 },
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
    let wait = Duration::from_secs(30);
    while lines.recv_timeout(wait).unwrap() != "ready" {}
    Sender { child, lines }
}

/// How often each number came with an answer of success, in the order of the script.
fn numbers(server: &StandIn) -> Vec<u64> {
    let mut all = Vec::new();
    for request in server.requests() {
        let reports: Vec<Report> = json::from_slice(&request.body).unwrap();
        all.extend(reports.iter().map(|report| report.entry.creation));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    let bad = [
        status(503),
        Reply::Reset,
        Reply::Hang,
        Reply::Close,
        with_header(429, "retry-after", "0.7"),
    ];
    let mut acknowledged = HashSet::new();
    let mut delivered: HashMap<u64, u32> = HashMap::new();
    let mut first = 1;
    let mut early = 0;
    let mut quiet = None;
    for round in 0..ROUNDS {
        // Each round's server fails first, then works, then fails once more while the process is killed.
        let mut script = bad.to_vec();
        script.extend(vec![status(200); 20 * (round + 1)]);
        script.push(with_header(429, "retry-after", "0.7"));
        let server = StandIn::start(script.clone(), status(200)).await.unwrap();
        let mut sender = spawn(&path, &server.url("/"), first, true);
        let end = Instant::now() + Duration::from_millis(1_300 + 170 * round as u64);
        while let Ok(line) = sender
            .lines
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            acknowledged.extend(line.parse::<u64>());
        }
        sender.child.kill().unwrap();
        let killed = Instant::now();
        sender.child.wait().unwrap();
        while let Ok(line) = sender.lines.recv() {
            acknowledged.extend(line.parse::<u64>());
        }
        first = acknowledged.iter().max().map_or(first, |last| last + 1_000);
        early += count(&server, &script, &mut delivered, &mut quiet);
        // A 429 that the process did not live to write down binds nobody.
        quiet = quiet.filter(|until| *until + KNOWN < killed + RETRY_AFTER);
    }
    let server = StandIn::start([], status(200)).await.unwrap();
    let mut sender = spawn(&path, &server.url("/"), 0, false);
    let missing = |delivered: &HashMap<u64, u32>| {
        acknowledged
            .iter()
            .filter(|n| !delivered.contains_key(n))
            .count()
    };
    let end = Instant::now() + Duration::from_secs(30);
    let mut seen = delivered.clone();
    while missing(&seen) > 0 && Instant::now() < end {
        let more = server.wait_requests(server.requests().len() + 1);
        tokio::time::timeout(Duration::from_secs(1), more)
            .await
            .ok();
        seen.clone_from(&delivered);
        numbers(&server)
            .into_iter()
            .for_each(|n| *seen.entry(n).or_default() += 1);
    }
    sender.child.kill().unwrap();
    sender.child.wait().unwrap();
    let twice = seen.values().filter(|&&times| times > 1).count();
    println!(
        "{ROUNDS} kills: {} acknowledged, {} lost, {twice} delivered twice, {early} requests within a Retry-After",
        acknowledged.len(),
        missing(&seen)
    );
    assert!(
        acknowledged.len() > 100,
        "hardly any load: {}",
        acknowledged.len()
    );
    assert_eq!(missing(&seen), 0, "accepted and lost");
    assert_eq!(early, 0, "requests within a Retry-After");
    // A kill between a delivery and its acknowledgement can repeat what was in flight, and what the disk had not yet.
    assert!(twice <= acknowledged.len() / 10, "{twice} duplicates");
}

/// Counts what was delivered, and the requests that came too early. `quiet`: until when none may come, also after a
/// restart.
fn count(
    server: &StandIn,
    script: &[Reply],
    delivered: &mut HashMap<u64, u32>,
    quiet: &mut Option<Instant>,
) -> usize {
    let mut early = 0;
    for (at, request) in server.requests().iter().enumerate() {
        early += usize::from(quiet.take().is_some_and(|until| request.at < until));
        match script.get(at) {
            None | Some(Reply::Answer { status: 200, .. }) => {
                let reports: Vec<Report> = json::from_slice(&request.body).unwrap();
                for report in reports {
                    *delivered.entry(report.entry.creation).or_default() += 1;
                }
            }
            Some(Reply::Answer { status: 429, .. }) => *quiet = Some(request.at + RETRY_AFTER),
            Some(_) => {}
        }
    }
    early
}
