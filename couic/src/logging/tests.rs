//! The whole log: lines of tracing and of rule changes in one file, from a real firewall.

use std::{fs, path::Path, time::Instant};

use couic_common::{AuditEntry, Cidr, Policy};
use nix::unistd::{getegid, geteuid};

use super::*;
use crate::config::Rotation;
use couic_firewall::{
    dataplane::{Limits, MemoryPlane},
    rules::{Actor, ClaimRequest, Firewall, Job, ManualClock, Request},
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
        audit: true,
        audit_max_mib: 256,
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
        let subscriber = Registry::default().with(log.layers());
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

fn audit_entries(dir: &Path) -> Vec<AuditEntry> {
    let mut entries = Vec::new();
    for file in rolling::files(dir, rolling::AUDIT).unwrap() {
        let text = fs::read_to_string(file).unwrap();
        entries.extend(
            text.lines()
                .map(|l| serde_json::from_str::<AuditEntry>(l).unwrap()),
        );
    }
    entries
}

#[test]
fn every_change_of_a_batch_has_its_entry_in_order_up_to_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&logging(dir.path(), LogFormat::Text, LogLevel::Info));
    let firewall = firewall();
    let changes = log.log_changes(firewall.subscribe(1 << 20)).unwrap();
    let half = flood::BURST / 2;
    let request = Arc::new(Request::new("7f3a".to_owned(), Some((0, None)), None));
    Request::on_behalf(Some(&request), || {
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
    });
    request.answer();
    changes.close();
    log.close(Duration::from_secs(30));
    let entries = audit_entries(dir.path());
    let of = |action: &'static str| entries.iter().filter(move |e| e.action == action);
    let mut added = of("added");
    for n in 0..half + 3_000 {
        let entry = added.next().unwrap();
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        assert_eq!(entry.cidr, Some(Cidr::host(address.into())));
        assert_eq!(entry.request.as_deref(), Some("7f3a"));
        assert_eq!(entry.from.as_deref(), Some("uid 0 (root)"));
    }
    let removed = of("removed").count() as u64;
    let few = u64::from(half) - 3_000..u64::from(half) - 2_000;
    assert!(few.contains(&removed), "{removed}");
    let summed: u64 = of("summed_up").filter_map(|entry| entry.count).sum();
    assert_eq!(removed + summed, u64::from(half) + 3_000);
    assert!(changes_summed_up() >= summed);
    let text = fs::read_to_string(dir.path().join("couic.log")).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let says = "client web: added 128000, removed 128000 drop rules, request 7f3a\n";
    assert!(text.ends_with(says), "{text}");
}

#[test]
fn a_log_that_lags_reports_the_number_of_missed_changes() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&logging(dir.path(), LogFormat::Text, LogLevel::Info));
    let firewall = firewall();
    let queue = firewall.subscribe(100);
    firewall.apply(Policy::Drop, jobs(0..1_000), &web());
    log.log_changes(queue).unwrap().close();
    log.close(Duration::from_secs(30));
    let entries = audit_entries(dir.path());
    assert_eq!(
        (entries[0].action.as_str(), entries[0].count),
        ("lost", Some(900))
    );
    assert_eq!(entries.len(), 101);
}

#[test]
fn a_level_above_info_leaves_changes_out_of_the_main_log_only() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&logging(dir.path(), LogFormat::Text, LogLevel::Warn));
    let firewall = firewall();
    let changes = log.log_changes(firewall.subscribe(9)).unwrap();
    firewall.apply(Policy::Drop, jobs(0..1), &web());
    changes.close();
    log.close(Duration::from_secs(30));
    assert_eq!(audit_entries(dir.path()).len(), 1);
    assert_eq!(fs::read(dir.path().join("couic.log")).unwrap(), b"");
}

#[test]
fn without_an_audit_log_the_summary_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut logging = logging(dir.path(), LogFormat::Json, LogLevel::Info);
    logging.audit = false;
    let (log, firewall) = (open(&logging), firewall());
    let changes = log.log_changes(firewall.subscribe(9)).unwrap();
    firewall.apply(Policy::Drop, jobs(0..2), &web());
    changes.close();
    log.close(Duration::from_secs(30));
    assert!(audit_entries(dir.path()).is_empty());
    let text = fs::read_to_string(dir.path().join("couic.log")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["message"], "client web: added 2 drop rules");
    assert_eq!(
        (&line["level"], &line["count"]),
        (&"INFO".into(), &2.into())
    );
    assert_eq!(line["actor"]["name"], "web");
}

#[test]
fn an_audit_event_is_an_entry_and_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&logging(dir.path(), LogFormat::Text, LogLevel::Info));
    let subscriber = Registry::default().with(log.layers());
    let request = Arc::new(Request::new("7f3a".to_owned(), Some((0, Some(9))), None));
    request.client.set("web".parse().unwrap()).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        let policy = Policy::Drop;
        Request::on_behalf(Some(&request), || {
            tracing::info!(target: "couic::audit", action = "set_created", %policy, entries = 3, "set x created");
        });
        tracing::warn!(target: "couic::audit", action = "undone", client = "a", reason = "r", "undone");
        for _ in 0..1_000 {
            tracing::warn!(target: "couic::audit", action = "refused", "GET /v1/x");
        }
        tracing::error!(target: "couic::audit", action = "stopped", "stopped");
    });
    log.close(Duration::from_secs(30));
    let entries = audit_entries(dir.path());
    let first = &entries[0];
    assert_eq!(first.action, "set_created");
    assert_eq!(first.describe(), "client web: set x created entries=3");
    assert_eq!(first.from.as_deref(), Some("uid 0 (root), pid 9"));
    assert_eq!(
        (first.policy, first.request.as_deref()),
        (Some(Policy::Drop), Some("7f3a"))
    );
    assert_eq!(entries[1].describe(), "client a: undone: r");
    assert_eq!(entries.last().unwrap().describe(), "daemon: stopped");
    let refused = entries
        .iter()
        .filter(|entry| entry.action == "refused")
        .count();
    assert!((200..300).contains(&refused), "bounded: {refused}");
    let text = fs::read_to_string(dir.path().join("couic.log")).unwrap();
    let line = text.lines().next().unwrap();
    let says = "Z  INFO couic::audit: client web: set x created entries=3, request 7f3a";
    assert!(line.ends_with(says), "{line}");
    assert_eq!(text.lines().count(), entries.len(), "one line each");
}

#[test]
fn level_and_format_change_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&logging(dir.path(), LogFormat::Text, LogLevel::Info));
    let subscriber = Registry::default().with(log.layers());
    tracing::subscriber::with_default(subscriber, || {
        for (level, format) in [
            (LogLevel::Debug, LogFormat::Json),
            (LogLevel::Error, LogFormat::Text),
        ] {
            log.control().set(level, format);
            tracing::debug!("d");
            tracing::error!("e");
        }
    });
    log.close(Duration::from_secs(30));
    let text = fs::read_to_string(dir.path().join("couic.log")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].contains("\"DEBUG\"") && lines[1].contains("\"ERROR\""),
        "{text}"
    );
    assert!(
        lines[2].ends_with("ERROR couic::logging::tests: e"),
        "{text}"
    );
}

/// The journal reads a priority from the begin of each line; the file has none.
#[test]
fn lines_for_the_journal_have_their_priority() {
    #[derive(Clone, Default)]
    struct Sink(Arc<parking_lot::Mutex<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for format in [LogFormat::Text, LogFormat::Json] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(&logging(dir.path(), format, LogLevel::Debug));
        let sink = Sink::default();
        let outlet = Outlet::start("test", sink.clone(), |_| String::new()).unwrap();
        log.fanout.stdout = Some(Arc::new(outlet));
        log.fanout.to_journal = true;
        let firewall = firewall();
        let changes = log.log_changes(firewall.subscribe(9)).unwrap();
        let subscriber = Registry::default().with(log.layers());
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("e");
            tracing::warn!(target: "couic::audit", action = "x", "w");
            tracing::info!("i");
            tracing::debug!("d");
        });
        firewall.apply(Policy::Drop, jobs(0..2), &web());
        changes.close();
        log.close(Duration::from_secs(30));
        let text = String::from_utf8(sink.0.lock().clone()).unwrap();
        let marks: Vec<&str> = text.lines().map(|line| &line[..3]).collect();
        assert_eq!(marks, ["<3>", "<4>", "<6>", "<7>", "<6>"], "{text}");
        let file = fs::read_to_string(dir.path().join("couic.log")).unwrap();
        let without: String = text
            .lines()
            .map(|line| line[3..].to_owned() + "\n")
            .collect();
        assert_eq!(file, without);
    }
}

/// The cost of the log, all threads together: `cargo test --release -p couic --lib logging_a_change -- --nocapture`
/// prints it.
#[test]
fn logging_a_change_is_cheap() {
    let cost = |follow: bool| {
        let dir = tempfile::tempdir().unwrap();
        let log = open(&logging(dir.path(), LogFormat::Text, LogLevel::Info));
        let firewall = firewall();
        let changes = follow.then(|| log.log_changes(firewall.subscribe(1 << 20)).unwrap());
        let before = processor_time();
        let start = Instant::now();
        for n in 0..50 {
            firewall.apply(Policy::Drop, jobs(n * 4_000..(n + 1) * 4_000), &web());
        }
        if let Some(changes) = changes {
            changes.close();
        }
        log.close(Duration::from_secs(30));
        let entries = rolling::files(dir.path(), rolling::AUDIT).unwrap();
        let sizes = entries.iter().map(|file| fs::metadata(file).unwrap().len());
        (
            processor_time() - before,
            start.elapsed(),
            sizes.sum::<u64>(),
        )
    };
    let (without, _, _) = cost(false);
    let (with, elapsed, bytes) = cost(true);
    let each = with.saturating_sub(without) / 200_000;
    println!(
        "200,000 changes logged in {elapsed:?}, {bytes} bytes, {each:?} of processor time each"
    );
    // A loose limit: the CPU time of other tests in this process is included.
    assert!(each < Duration::from_micros(500), "{each:?}");
}

/// With a resolution of 10 ms.
fn processor_time() -> Duration {
    Duration::from_secs_f64(crate::metrics::cpu_seconds().unwrap())
}
