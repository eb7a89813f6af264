//! Kill -9 under load, end to end: dispatcher, spool and webhook in a process of their own, against a server that
//! answers 429, 503, resets and hangs. At most duplicates, never a loss, and no request within a `Retry-After`.

#![expect(clippy::unwrap_used, reason = "a test: what fails is to end it")]

use std::{
    collections::{HashMap, HashSet},
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use couic_delivery::{Member, NotificationDispatcher, Policy, spool::Durability};
use couic_plugin_api::{
    Kind, Notification, Notifier, NotifyError, Plugin, Receipt, Report, Severity, async_trait,
};
use couic_plugin_webhook::{Config, Webhook};
use couic_testkit::{Reply, Request, StandIn, script};
use serde_json as json;

const ROUNDS: u64 = 6;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many notifications wait at most: a request each, and some milliseconds.
const BACKLOG: u64 = 2_000;
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

/// The webhook, and a line of output for each attempt and its outcome, which a kill does not take back.
///
/// What the server saw cannot replace them: to a request whose answer comes after the timeout it has answered all the
/// same, and it may read that request after the next one.
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

/// What a sender said before it was killed.
#[derive(Default)]
struct Said {
    attempts: usize,
    /// The numbers of the attempt that has no outcome yet.
    pending: Vec<u64>,
    delivered: Vec<Vec<u64>>,
    pauses: usize,
    /// How many of its deliveries are noted on the disk.
    deliveries_noted: usize,
    /// The last pause that is noted there.
    pause_noted: usize,
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
    pauses: usize,
    /// Until when no attempt may begin, across a restart too, in Unix milliseconds.
    quiet: Option<u128>,
}

impl Tally {
    /// Runs a sender against a server that fails first, then works, then asks for patience, and kills it meanwhile.
    fn round(&mut self, dir: &str, round: u64) {
        let limited = || Reply::status(429).with("retry-after", "0.7");
        let mut replies = vec![
            Reply::status(503),
            Reply::Reset,
            Reply::Hang,
            Reply::Close,
            limited(),
        ];
        replies.extend(vec![
            Reply::status(200);
            20 * (usize::try_from(round).unwrap() + 1)
        ]);
        replies.push(limited());
        let server = StandIn::tcp(script(replies, Reply::status(200)));
        let first = self
            .acknowledged
            .iter()
            .max()
            .map_or(1, |last| last + 1_000);
        let sender = spawn(dir, &server.url("/"), first, true);
        let mut said = Said::default();
        let end = Instant::now() + Duration::from_millis(1_500 + 170 * round);
        let enough = self.acknowledged.len() + LOAD;
        while self.acknowledged.len() < enough {
            let line = sender.lines.recv_timeout(PATIENCE).unwrap();
            self.hear(&line, &mut said);
        }
        while let Ok(line) = sender
            .lines
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            self.hear(&line, &mut said);
        }
        self.kill(sender, &mut said);
        self.count(&server, said);
    }

    /// Kills it, and hears what it said before.
    fn kill(&mut self, mut sender: Sender, said: &mut Said) {
        sender.child.kill().unwrap();
        sender.child.wait().unwrap();
        while let Ok(line) = sender.lines.recv() {
            self.hear(&line, said);
        }
    }

    /// A line is written at once, so that a kill cuts none off.
    fn hear(&mut self, line: &str, said: &mut Said) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["attempt", at, numbers] => {
                said.attempts += 1;
                said.pending = json::from_str(numbers).unwrap();
                let again = said.pending.iter().filter(|n| self.noted.contains(n));
                self.again += again.count();
                let at = at.parse::<u128>().unwrap();
                self.early += usize::from(self.quiet.take().is_some_and(|until| at < until));
            }
            ["delivered"] => said.delivered.push(std::mem::take(&mut said.pending)),
            ["limited", at] => {
                said.pauses += 1;
                self.quiet = Some(at.parse::<u128>().unwrap() + RETRY_AFTER.as_millis());
            }
            ["safe", number, delivered, pause] => {
                self.acknowledged.insert(number.parse().unwrap());
                said.deliveries_noted = delivered.parse().unwrap();
                said.pause_noted = said.pause_noted.max(pause.parse().unwrap());
            }
            _ => {}
        }
    }

    /// Counts each number of a request that was answered with success.
    fn receive(&mut self, request: &Request) {
        let reports: Vec<Report> = json::from_slice(&request.body).unwrap();
        for report in reports {
            *self.delivered.entry(report.entry.creation).or_default() += 1;
        }
    }

    /// Counts what was delivered, and takes over what was noted on the disk.
    fn count(&mut self, server: &StandIn, said: Said) {
        let exchanges = server.exchanges();
        let (requests, attempts) = (exchanges.len(), said.attempts);
        assert!(
            requests <= attempts,
            "{requests} requests in {attempts} attempts"
        );
        for (request, reply) in &exchanges {
            if matches!(reply, Reply::Answer { status: 200, .. }) {
                self.receive(request);
            }
        }
        // A pause that was not persisted before the kill does not count.
        self.quiet = self.quiet.filter(|_| said.pause_noted == said.pauses);
        self.pauses += said.pauses;
        let noted = said.delivered.into_iter().take(said.deliveries_noted);
        self.noted.extend(noted.flatten());
    }

    /// Lets a last sender deliver what is left.
    fn settle(&mut self, dir: &str) {
        let server = StandIn::tcp(|_| Reply::status(200));
        let sender = spawn(dir, &server.url("/"), 0, false);
        while self.lost() > 0
            && let Some(request) = server.try_next(PATIENCE)
        {
            self.receive(&request);
        }
        self.kill(sender, &mut Said::default());
    }

    fn lost(&self) -> usize {
        let lost = |number: &&u64| !self.delivered.contains_key(number);
        self.acknowledged.iter().filter(lost).count()
    }
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
