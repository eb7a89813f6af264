//! The whole log: lines of tracing and of rule changes in one file, from a real firewall.

use std::{fs, path::Path, time::Instant};

use couic_common::{Cidr, Policy};
use nix::unistd::{getegid, geteuid};

use super::*;
use crate::config::Rotation;
use couic_firewall::{
    dataplane::{Limits, MemoryPlane},
    rules::{Actor, ClaimRequest, Firewall, Job, ManualClock},
};

fn logging(dir: &Path, format: LogFormat, level: LogLevel) -> Logging {
    Logging {
        dir: dir.to_owned(),
        rotation: Rotation::Never,
        max_log_files: 1,
        max_file_mib: 1,
        format,
        level,
        stdout: false,
    }
}

fn open(logging: &Logging) -> Log {
    let owner = Account {
        user: "root".to_owned(),
        group: "root".to_owned(),
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
    };
    Log::with_sinks(logging, &owner).unwrap()
}

fn firewall() -> Firewall {
    let plane = MemoryPlane::default();
    let clock = Arc::new(ManualClock::default());
    clock.set(1_795_248_000);
    Firewall::new(
        Box::new(plane.clone()),
        Arc::new(plane),
        Limits::default(),
        clock,
    )
}

fn jobs(range: std::ops::Range<u32>) -> Vec<Job> {
    range
        .map(|n| {
            let rule = ClaimRequest {
                cidr: Cidr::host(std::net::Ipv4Addr::from(0x0a00_0000 + n).into()),
                tag: None,
                expiration: 0,
            };
            Job::Add(rule, None)
        })
        .collect()
}

fn web() -> Actor {
    Actor::Client("web".parse().unwrap())
}

#[test]
fn traced_lines_have_the_shape_of_change_lines() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(&logging(dir.path(), format, LogLevel::Info));
        let subscriber = Registry::default().with(log.layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "couic::test", "started");
            tracing::debug!("not worth a line");
        });
        log.close(Duration::from_secs(30));
        let text = fs::read_to_string(dir.path().join("couic.log")).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        match format {
            LogFormat::Text => {
                assert!(text.ends_with("Z  INFO couic::test: started\n"), "{text}");
                assert_eq!(
                    text.find("Z  INFO"),
                    Some("2026-11-21T08:00:00.123456".len())
                );
            }
            LogFormat::Json => {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value["message"], "started");
                assert_eq!(value["target"], "couic::test");
                assert_eq!(value["level"], "INFO");
            }
        }
    }
}

#[test]
fn every_change_of_a_batch_has_its_line_in_order_up_to_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&logging(dir.path(), LogFormat::Text, LogLevel::Info));
    let firewall = firewall();
    let changes = log
        .log_changes(firewall.subscribe(1 << 16))
        .unwrap()
        .unwrap();
    let half = flood::BURST / 2;
    firewall.apply(Policy::Drop, jobs(0..half + 3_000), &web());
    firewall.remove_by_tag(
        Policy::Drop,
        &"untagged".parse().unwrap(),
        false,
        &couic_firewall::rules::Origin {
            actor: web(),
            metadata: None,
        },
    );
    changes.close();
    log.close(Duration::from_secs(30));
    let text = fs::read_to_string(dir.path().join("couic.log")).unwrap();
    let mut added = text
        .lines()
        .filter(|l| l.contains(" client web added drop "));
    for n in 0..half + 3_000 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        let line = added.next().unwrap();
        assert!(
            line.ends_with(&format!(" {address}/32 expires=never")),
            "{line}"
        );
    }
    let removed = text
        .lines()
        .filter(|l| l.contains(" client web removed drop "));
    let removed = removed.count() as u32;
    assert!((half - 3_000..half - 2_000).contains(&removed), "{removed}");
    let summed: u32 = text
        .lines()
        .filter_map(|line| line.split_once(" client web made ")?.1.split_once(" more"))
        .map(|(count, _)| count.parse::<u32>().unwrap())
        .sum();
    assert_eq!(removed + summed, half + 3_000);
    assert!(changes_summed_up() >= u64::from(summed));
}

#[test]
fn a_log_that_lags_reports_the_number_of_missed_changes() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&logging(dir.path(), LogFormat::Text, LogLevel::Info));
    let firewall = firewall();
    let queue = firewall.subscribe(100);
    firewall.apply(Policy::Drop, jobs(0..1_000), &web());
    log.log_changes(queue).unwrap().unwrap().close();
    log.close(Duration::from_secs(30));
    let text = fs::read_to_string(dir.path().join("couic.log")).unwrap();
    let mut lines = text.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .contains("900 rule changes before this are not logged")
    );
    assert_eq!(lines.count(), 100);
}

#[test]
fn a_level_above_info_leaves_changes_out() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&logging(dir.path(), LogFormat::Text, LogLevel::Warn));
    assert!(log.log_changes(firewall().subscribe(1)).unwrap().is_none());
}

/// The cost of the log, all threads together: `cargo test --release -p couic --lib logging_a_change -- --nocapture`
/// prints it.
#[test]
fn logging_a_change_is_cheap() {
    let cost = |follow: bool| {
        let dir = tempfile::tempdir().unwrap();
        let log = open(&logging(dir.path(), LogFormat::Text, LogLevel::Info));
        let firewall = firewall();
        let changes = follow.then(|| {
            log.log_changes(firewall.subscribe(1 << 16))
                .unwrap()
                .unwrap()
        });
        let before = processor_time();
        let start = Instant::now();
        for n in 0..50 {
            firewall.apply(Policy::Drop, jobs(n * 4_000..(n + 1) * 4_000), &web());
        }
        if let Some(changes) = changes {
            changes.close();
        }
        log.close(Duration::from_secs(30));
        let text = fs::read_to_string(dir.path().join("couic.log")).unwrap();
        (
            processor_time() - before,
            start.elapsed(),
            text.lines().count(),
        )
    };
    let (without, _, _) = cost(false);
    let (with, elapsed, lines) = cost(true);
    let each = with.saturating_sub(without) / 200_000;
    println!(
        "200,000 changes logged in {elapsed:?}, {lines} lines, {each:?} of processor time each"
    );
    // A loose limit: the CPU time of other tests in this process is included.
    assert!(each < Duration::from_micros(500), "{each:?}");
}

/// With a resolution of 10 ms.
fn processor_time() -> Duration {
    Duration::from_secs_f64(crate::metrics::cpu_seconds().unwrap())
}
