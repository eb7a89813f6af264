//! The program's run time on real frames through veth, as measured by the kernel (`kernel.bpf_stats_enabled`): the mean
//! for innocent sources, with 200,000 host rules and with none.

use std::fs;

use couic_e2e::{Daemon, Frame, Lab};
use serde_json::json;

use crate::Row;

const RULES: u32 = 200_000;
const FRAMES: u32 = 131_072;
const SYSCTL: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Enables the kernel's accounting; restores the previous value on drop.
struct Accounting(String);

impl Accounting {
    fn on() -> Self {
        let before = fs::read_to_string(SYSCTL).unwrap_or_else(|_| "0".into());
        if let Err(error) = fs::write(SYSCTL, "1") {
            panic!("{SYSCTL}: {error}");
        }
        Self(before)
    }
}

impl Drop for Accounting {
    fn drop(&mut self) {
        // Best effort: an error on drop cannot be reported.
        let _ = fs::write(SYSCTL, &self.0);
    }
}

/// Nanoseconds and runs counted by the kernel for the daemon's program, whose descriptor the attacher holds.
fn account(daemon: &Daemon<'_>) -> (f64, f64) {
    let holder = daemon.attacher().unwrap_or(daemon.pid());
    let folder = format!("/proc/{holder}/fdinfo");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let figure = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().parse::<f64>().ok()
    };
    let found =
        texts.filter_map(|text| Some((figure(&text, "run_time_ns:")?, figure(&text, "run_cnt:")?)));
    let busiest = found.max_by(|a, b| a.1.total_cmp(&b.1));
    busiest.unwrap_or_else(|| panic!("{folder} shows no program: who holds it?"))
}

/// A pseudo-random number, the same in every run.
fn scatter(n: u32) -> u32 {
    let x = n.wrapping_mul(0x9E37_79B1);
    (x ^ x >> 15).wrapping_mul(0x85EB_CA77) ^ x >> 13
}

/// Mean nanoseconds per run while frames from scattered sources pass.
fn mean(lab: &Lab, daemon: &Daemon<'_>) -> f64 {
    let mut wire = lab.wire();
    let before = account(daemon);
    for chunk in 0..FRAMES / 4096 {
        let sources = (0..4096).map(|n| scatter(chunk * 4096 + n) | 1);
        let frames: Vec<_> = sources
            .map(|source| Frame::v4(&std::net::Ipv4Addr::from_bits(source).to_string()))
            .collect();
        wire.arrivals(&frames);
    }
    let after = account(daemon);
    (after.0 - before.0) / (after.1 - before.1)
}

pub(crate) fn rows(lab: &Lab) -> Vec<Row> {
    let _accounting = Accounting::on();
    let daemon = lab
        .daemon()
        .config("[limits]\ndrop_entries = 1048576\n")
        .start();
    // The first round warms up.
    mean(lab, &daemon);
    let none = mean(lab, &daemon);
    // Even addresses, which no sender has.
    let rules: Vec<_> = (0..RULES)
        .map(|n| {
            let host = std::net::Ipv4Addr::from_bits(scatter(n.wrapping_mul(7) + 3) & !1);
            json!({"action": "add", "entry": {"cidr": format!("{host}/32"), "expiration": 0}})
        })
        .collect();
    for chunk in rules.chunks(10_000) {
        assert_eq!(daemon.api().batch("drop", chunk)["failed"], 0);
    }
    mean(lab, &daemon);
    let many = mean(lab, &daemon);
    let ratio = many / none;
    vec![Row {
        what: "mean run time on veth, 200,000 rules to none",
        wanted: "≤ 1.2".into(),
        measured: format!("{ratio:.2}"),
        reached: Some(ratio <= 1.2),
        method: format!(
            "{FRAMES} frames from innocent scattered sources each, the kernel's accounting: {none:.0} ns and {many:.0} ns a run, which includes some 30 ns of accounting"
        ),
    }]
}
