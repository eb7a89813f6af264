//! Four million sources in a minute, one request each, and a thousand attackers among them: all of these are found, no
//! one else, in the same memory.

use std::{
    collections::BTreeSet, fmt::Write as _, fs::File, io::Write, net::Ipv4Addr, time::Duration,
};

use couic_e2e::{Lab, Monitor, until};
use couic_testkit::LONG;
use tempfile::TempDir;

use crate::{
    Row,
    child::memory,
    live::{now, paced, watching},
    sized,
};

const SECONDS: u32 = 60;
const TICKS: u32 = 200;
const SOURCES: u32 = 4_000_000;
const ATTACKERS: u32 = 1_000;
/// Requests a second of each attacker, of which the jail allows one, after twenty.
const HITS: u32 = 5;
const JAIL: &str = "[jail.flood]\nsource = \"log\"\nrate = \"20 per 20s\"\nban = \"1h\"\n";

fn line(text: &mut String, source: u32, time: &str) {
    let source = Ipv4Addr::from_bits(source);
    let _ = writeln!(
        text,
        "{source} - - [{time}] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\""
    );
}

/// Writes all lines within a minute, and returns how many; `half` is called in the middle.
fn write(log: &mut File, sources: u32, mut half: impl FnMut()) -> u32 {
    let (each, attackers) = (sources / (SECONDS * TICKS), ATTACKERS * HITS / TICKS);
    paced(Duration::from_secs(SECONDS.into()), |tick| {
        if tick == SECONDS * TICKS / 2 {
            half();
        }
        let (time, mut text) = (now(), String::new());
        for n in tick * each..(tick + 1) * each {
            // The factor is odd, so it is a bijection: every source once, in no order.
            let source = n.wrapping_mul(0x9E37_79B1) & 0x03ff_ffff;
            line(&mut text, 0x1000_0000 | source, &time);
        }
        for n in tick * attackers..(tick + 1) * attackers {
            line(&mut text, 0xc612_0000 + n % ATTACKERS, &time);
        }
        log.write_all(text.as_bytes()).expect("write a log");
    });
    SECONDS * TICKS * (each + attackers)
}

pub(crate) fn rows(lab: &Lab) -> Vec<Row> {
    let dir = TempDir::new().expect("a directory");
    let daemon = lab.monitored_daemon().start();
    let mut log = File::create(dir.path().join("live.log")).expect("create a log");
    let monitor = Monitor::start(lab, &daemon, dir.path(), &watching(dir.path(), JAIL));
    let most = || memory(monitor.pid(), "VmHWM");
    let before = most();
    let mut half = before;
    let sources = sized(SOURCES);
    let lines = write(&mut log, sources, || half = most());
    monitor.until_read(lines);
    until("bans arrive", LONG, || {
        (monitor.figure("couicmon_pending_bans") < 1.0).then_some(())
    });
    let after = most();
    let list = daemon.api().get("/v1/drop");
    let rules = list.as_array().into_iter().flatten();
    let banned: BTreeSet<&str> = rules.filter_map(|rule| rule["cidr"].as_str()).collect();
    let is_attacker = |cidr: &&&str| cidr.starts_with("198.18.");
    let found = banned.iter().filter(is_attacker).count();
    let row = |what: &str, wanted, measured: String, reached, method: String| Row {
        what: what.into(),
        wanted,
        measured,
        reached: Some(reached),
        method,
    };
    vec![
        row(
            "attackers found among 4 M sources",
            "1,000 of 1,000",
            found.to_string(),
            found == ATTACKERS as usize,
            format!(
                "{sources} sources with one request each, in a minute; attackers: {HITS} a second each, 1 a second after 20 is allowed"
            ),
        ),
        row(
            "innocents banned",
            "0",
            (banned.len() - found).to_string(),
            banned.len() == found,
            "an exact count would ban nobody else".into(),
        ),
        row(
            "growth of memory in the second half minute",
            "constant",
            format!("{:.1} MiB", after - half),
            after - half < 2.0,
            format!(
                "VmHWM: {before:.1} MiB before the first line, {half:.1} after half of them, {after:.1} after the last"
            ),
        ),
    ]
}
