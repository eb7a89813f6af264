//! Kill -9 under load, end to end: dispatcher, spool and webhook in a process of their own, against a server that
//! answers 429, 503, resets and hangs. At most duplicates, never a loss, and no request within a `Retry-After`.

#![expect(clippy::unwrap_used, reason = "a test: what fails is to end it")]

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
        dispatcher::{LaneState, Member, NotificationDispatcher, Policy},
        spool::Durability,
    },
};
use couic_plugin_shared::stand_in::{Reply, StandIn, status, with_header};
use couic_plugin_webhook::{Config, Webhook};
use serde_json as json;

const ROUNDS: u64 = 6;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many notifications wait at most: a request each, and some milliseconds.
const BACKLOG: usize = 2_000;
const VARIABLE: &str = "COUIC_KILL_TEST";
const RETRY_AFTER: Duration = Duration::from_millis(700);
/// How many notifications a round takes in at least, however slow the disk.
const LOAD: usize = 30;

fn report(number: u64) -> Report {
    let text = format!(
        r#"{{"action":"add","entry":{{"creation":{number},"cidr":"192.0.2.0/24","tag":null,"expiration":0}},"timestamp":7}}"#
    );
    json::from_str(&text).unwrap()
}

/// The process that is killed: takes in numbers as fast as the disk goes, and prints each one that is safe. With it, what
/// else is safe by then: how many were delivered, and as how manieth pause the other side asked for the one it is in.
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
            let limited = now.counters.attempts.get("rate_limited").copied();
            let held = limited.filter(|_| now.state == LaneState::RateLimited);
            assert_eq!(dispatcher.durable().await, Durability::Disk);
            let (delivered, held) = (now.counters.delivered, held.unwrap_or(0));
            writeln!(out, "{number} {delivered} {held}").unwrap();
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

/// How often each number came with an answer of success, in the order of the script.
fn numbers(server: &StandIn) -> Vec<u64> {
    let mut all = Vec::new();
    for request in server.requests() {
        let reports: Vec<Report> = json::from_slice(&request.body).unwrap();
        all.extend(reports.iter().map(|report| report.entry.creation));
    }
    all
}

/// What a sender said, or tried to say, before it was killed.
#[derive(Clone, Copy, Default)]
struct Known {
    /// How many of its deliveries are noted on the disk.
    delivered: usize,
    /// The last pause that is noted there.
    pause: usize,
}

/// What the rounds add up to.
#[derive(Default)]
struct Tally {
    acknowledged: HashSet<u64>,
    delivered: HashMap<u64, u32>,
    /// Whose delivery was noted on the disk: not to be delivered once more.
    noted: HashSet<u64>,
    again: usize,
    early: usize,
    /// Until when no request may come, across a restart too.
    quiet: Option<Instant>,
}

impl Tally {
    /// Runs a sender against a server that fails first, then works, then asks for patience, and kills it meanwhile.
    async fn round(&mut self, dir: &str, round: u64) {
        let limited = || with_header(429, "retry-after", "0.7");
        let mut script = vec![
            status(503),
            Reply::Reset,
            Reply::Hang,
            Reply::Close,
            limited(),
        ];
        script.extend(vec![
            status(200);
            20 * (usize::try_from(round).unwrap() + 1)
        ]);
        script.push(limited());
        let server = StandIn::start(script.clone(), status(200)).await.unwrap();
        let first = self
            .acknowledged
            .iter()
            .max()
            .map_or(1, |last| last + 1_000);
        let mut sender = spawn(dir, &server.url("/"), first, true);
        let mut known = Known::default();
        let end = Instant::now() + Duration::from_millis(1_500 + 170 * round);
        let enough = self.acknowledged.len() + LOAD;
        while self.acknowledged.len() < enough {
            let line = sender.lines.recv_timeout(PATIENCE).unwrap();
            self.hear(&line, &mut known);
        }
        while let Ok(line) = sender
            .lines
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            self.hear(&line, &mut known);
        }
        sender.child.kill().unwrap();
        sender.child.wait().unwrap();
        while let Ok(line) = sender.lines.recv() {
            self.hear(&line, &mut known);
        }
        self.count(&server, &script, known);
    }

    fn hear(&mut self, line: &str, known: &mut Known) {
        // The last line may be cut off by the kill: nothing was acknowledged by it.
        let numbers: Vec<u64> = line.split(' ').map_while(|n| n.parse().ok()).collect();
        if let [number, delivered, pause] = numbers[..] {
            self.acknowledged.insert(number);
            *known = Known {
                delivered: usize::try_from(delivered).unwrap(),
                pause: known.pause.max(usize::try_from(pause).unwrap()),
            };
        }
    }

    /// Counts what was delivered, and the requests that should not have come.
    fn count(&mut self, server: &StandIn, script: &[Reply], known: Known) {
        let mut order = Vec::new();
        let mut pauses = 0;
        for (at, request) in server.requests().iter().enumerate() {
            let quiet = self.quiet.take();
            self.early += usize::from(quiet.is_some_and(|until| request.at < until));
            match script.get(at) {
                None | Some(Reply::Answer { status: 200, .. }) => {
                    let reports: Vec<Report> = json::from_slice(&request.body).unwrap();
                    order.extend(reports.iter().map(|report| report.entry.creation));
                }
                Some(Reply::Answer { status: 429, .. }) => {
                    pauses += 1;
                    self.quiet = Some(request.at + RETRY_AFTER);
                }
                Some(_) => {}
            }
        }
        // A pause that the process did not live to write down binds nobody.
        self.quiet = self.quiet.filter(|_| known.pause == pauses);
        self.again += order.iter().filter(|n| self.noted.contains(n)).count();
        for number in &order {
            *self.delivered.entry(*number).or_default() += 1;
        }
        // Answers that came too late are repeated at once, so that a number may stand there several times in a row.
        order.dedup();
        self.noted.extend(order.iter().take(known.delivered));
    }

    /// Lets a last sender deliver what is left.
    async fn settle(&mut self, dir: &str) {
        let server = StandIn::start([], status(200)).await.unwrap();
        let mut sender = spawn(dir, &server.url("/"), 0, false);
        let before = self.delivered.clone();
        let end = Instant::now() + Duration::from_secs(120);
        while self.lost() > 0 && Instant::now() < end {
            let more = server.wait_requests(server.requests().len() + 1);
            tokio::time::timeout(Duration::from_secs(1), more)
                .await
                .ok();
            self.delivered.clone_from(&before);
            for number in numbers(&server) {
                *self.delivered.entry(number).or_default() += 1;
            }
        }
        sender.child.kill().unwrap();
        sender.child.wait().unwrap();
    }

    fn lost(&self) -> usize {
        let lost = |number: &&u64| !self.delivered.contains_key(number);
        self.acknowledged.iter().filter(lost).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let mut tally = Tally::default();
    for round in 0..ROUNDS {
        tally.round(path, round).await;
    }
    tally.settle(path).await;
    let accepted = tally.acknowledged.len();
    let twice = tally.delivered.values().filter(|&&times| times > 1).count();
    let (lost, early, again) = (tally.lost(), tally.early, tally.again);
    let noted = tally.noted.len();
    println!(
        "{ROUNDS} kills: {accepted} acknowledged, {lost} lost, {twice} delivered twice, of {noted} that are known to \
         have been noted {again}; {early} requests within a Retry-After"
    );
    assert_eq!(lost, 0, "accepted and lost");
    assert_eq!(early, 0, "requests within a Retry-After");
    assert_eq!(again, 0, "delivered again although that was on the disk");
    assert!(noted > 0, "no delivery was noted in {ROUNDS} rounds");
}
