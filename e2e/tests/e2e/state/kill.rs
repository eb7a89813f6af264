//! kill -9 at random points while rules change: all acknowledged changes are restored.
//!
//! `COUIC_KILLS=n` sets the number of kills, ten by default: `make soak` makes two hundred.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use couic_e2e::{Api, Daemon, Lab};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// Networks per writer.
const NETWORKS: u32 = 2_000;
/// Changes per request.
const BATCH: usize = 100;
const WRITERS: u32 = 2;

/// The expected state of a rule: tag and expiration. None if there is no rule.
type State = Option<(String, u64)>;
type States = BTreeMap<String, State>;

/// The changes of one client.
#[derive(Default)]
struct Writer {
    acknowledged: States,
    /// Changes of the unanswered request, in order.
    in_flight: Vec<(String, State)>,
}

impl Writer {
    /// Changes rules until the daemon is killed.
    fn work(&mut self, api: &Api, seed: u64, writer: u32, changes: &AtomicU64) {
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 1.. {
            let jobs: Vec<(String, State)> = (0..BATCH)
                .map(|_| {
                    let n = random.u32(..NETWORKS);
                    let cidr = format!("10.{writer}.{}.{}/32", n / 256, n % 256);
                    // Expirations differ between rounds, so that an older state is distinguishable from a newer one.
                    let wanted = random.u8(..4) > 0;
                    let state = wanted.then(|| (format!("t{}", n % 7), 4_000_000_000 + round));
                    (cidr, state)
                })
                .collect();
            // Include single changes, each of which is a write of its own.
            let jobs = if round % 3 == 0 {
                jobs[..1].to_vec()
            } else {
                jobs
            };
            let lines: String = jobs.iter().map(|job| format!("{}\n", line(job))).collect();
            let reply = api.try_request("POST", "/v1/drop/batch", Some(&format!("\n{lines}")));
            let Ok(reply) = reply else {
                self.in_flight = jobs;
                return;
            };
            let failed = reply.expect(200).json()["failed"].as_u64();
            assert_eq!(failed, Some(0), "round {round}");
            changes.fetch_add(jobs.len() as u64, Ordering::Relaxed);
            self.acknowledged.extend(jobs);
        }
    }

    /// Compares with the restored state, and continues from it.
    fn compare(&mut self, restored: &States, context: &str) {
        for (cidr, state) in &self.acknowledged {
            let found = restored.get(cidr).cloned().flatten();
            let asked = self.in_flight.iter().filter(|(c, _)| c == cidr);
            let may_be = found == *state || asked.into_iter().any(|(_, s)| found == *s);
            assert!(
                may_be,
                "{context}: {cidr} is {found:?}, acknowledged {state:?}"
            );
        }
        for (cidr, _) in std::mem::take(&mut self.in_flight) {
            let state = restored.get(&cidr).cloned().flatten();
            self.acknowledged.insert(cidr, state);
        }
    }
}

fn line((cidr, state): &(String, State)) -> Value {
    match state {
        Some((tag, expiration)) => {
            json!({"action": "add", "entry": {"cidr": cidr, "tag": tag, "expiration": expiration}})
        }
        None => json!({"action": "remove", "entry": {"cidr": cidr}}),
    }
}

fn restored(daemon: &Daemon<'_>) -> States {
    let list = daemon.api().get("/v1/drop");
    let entries = list.as_array().expect("a list").iter();
    let state = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let expiration = entry["expiration"].as_u64().expect("an expiration");
        (text("cidr"), Some((text("tag"), expiration)))
    };
    entries.map(state).collect()
}

/// Kills the daemon after a random number of changes. Returns that number.
fn kill_under_load(
    daemon: &mut Daemon<'_>,
    writers: &mut [Writer],
    random: &mut fastrand::Rng,
) -> u64 {
    let changes = AtomicU64::new(0);
    let target = random.u64(1..10_000);
    thread::scope(|scope| {
        for (n, writer) in (0..WRITERS).zip(writers) {
            let (api, changes, seed) = (daemon.api(), &changes, random.u64(..));
            scope.spawn(move || writer.work(api, seed, n, changes));
        }
        couic_e2e::until("so many changes", super::DEADLINE, || {
            (changes.load(Ordering::Relaxed) >= target).then_some(())
        });
        daemon.signal(Signal::SIGKILL);
    });
    assert_eq!(daemon.exit_code(), -9);
    changes.into_inner()
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    text.parse().ok()
}

#[test]
fn acknowledged_changes_are_restored_after_kill_9_under_load() {
    let Some(lab) = Lab::quiet() else { return };
    let kills = number("COUIC_KILLS").unwrap_or(10);
    let seed = number("COUIC_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("COUIC_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut daemon = lab.daemon().start();
    let mut writers: Vec<Writer> = (0..WRITERS).map(|_| Writer::default()).collect();
    let (mut total, mut busy) = (0, Duration::ZERO);
    for kill in 0..kills {
        let start = Instant::now();
        total += kill_under_load(&mut daemon, &mut writers, &mut random);
        busy += start.elapsed();
        daemon = daemon.restart();
        let restored = restored(&daemon);
        let context = format!("seed {seed}, kill {kill}");
        for writer in &mut writers {
            writer.compare(&restored, &context);
        }
        // No rule that was never added.
        let known = |cidr: &String| writers.iter().any(|w| w.acknowledged.contains_key(cidr));
        assert!(restored.keys().all(known), "{context}");
        assert_eq!(daemon.api().health().1.state_problems, [], "{context}");
    }
    let rate = total as f64 / busy.as_secs_f64();
    println!("{kills} kills, {total} changes acknowledged, {rate:.0} a second; all were restored");
}
