//! What the rules that wait for a daemon take: `cargo bench -p couic-inject`.
//!
//! Nothing listens at the socket. The rules are those of couicmon: a sample line of 100 bytes, a jail, a count.

#![expect(clippy::unwrap_used, reason = "a measurement that fails ends the run")]

use std::{
    fs,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use couic_inject::{Config, Injector, Limits, Pending, Rule};
use serde_json::{Map, json};

const SAMPLE: &str = "203.0.113.9 - - [01/Dec/2026:00:00:00 +0000] \"POST /wp-login.php HTTP/1.1\" 401 12 \"-\" \"curl/8\"";

fn rule(n: u32, until: u64) -> Rule {
    let mut extra = Map::new();
    extra.insert("jail".into(), json!("login"));
    extra.insert("count".into(), json!(n));
    extra.insert("level".into(), json!(1));
    extra.insert("sample".into(), json!(SAMPLE));
    Rule {
        cidr: format!("{}/32", Ipv4Addr::from_bits(n.wrapping_mul(0x9e37_79b1)))
            .parse()
            .unwrap(),
        tag: "mon-login".into(),
        until,
        kind: "couicmon".into(),
        detail: "login: 5 in 10 s".into(),
        extra,
    }
}

fn resident_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib * 1024.0 / 1e6
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "b09d58a9-aaf1-4911-a592-040ff5dc45eb").unwrap();
    let config = Config::unix(dir.path().join("none"), token);
    let limits = Limits::default();
    let injector = Injector::start(config, limits).unwrap();
    let until = couic_common::unix_seconds() + 3_600;
    let before = resident_mb();
    let held = u32::try_from(limits.held).unwrap();
    let mut longest = Duration::ZERO;
    let start = Instant::now();
    for n in 0..held {
        let one = Instant::now();
        injector.ban(rule(n, until + u64::from(n)));
        longest = longest.max(one.elapsed());
    }
    let each = start.elapsed() / held;
    let full = resident_mb();
    println!(
        "{held} rules held: {full:.0} MB resident, {before:.0} MB before; {each:?} a ban, longest {longest:?}"
    );
    for n in held..2 * held {
        injector.ban(rule(n, until + u64::from(n)));
    }
    let figures = injector.figures();
    println!(
        "as many more at the bound: {:.0} MB resident, {} dropped, {} bytes of texts",
        resident_mb(),
        figures.dropped,
        figures.pending_bytes
    );
    let file = dir.path().join("pending");
    let start = Instant::now();
    injector.stop(Duration::ZERO).save(&file).unwrap();
    let saved = start.elapsed();
    let bytes = fs::metadata(&file).unwrap().len();
    let start = Instant::now();
    let loaded = Pending::load(&file, limits).unwrap();
    println!(
        "saved in {saved:?}, {:.0} MB; {} rules loaded in {:?}",
        bytes as f64 / 1e6,
        loaded.pending.len(),
        start.elapsed()
    );
}
