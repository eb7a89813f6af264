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

pub(crate) fn rows(lab: &Lab) -> Vec<Row> {
    let dir = TempDir::new().expect("a directory");
    let daemon = lab.monitored_daemon().start();
    let mut log = File::create(dir.path().join("live.log")).expect("create a log");
    let monitor = Monitor::start(lab, &daemon, dir.path(), &watching(dir.path(), JAIL));
    let sources = sized(SOURCES);
    let (each, attackers) = (sources / (SECONDS * TICKS), ATTACKERS * HITS / TICKS);
    let before = memory(monitor.pid(), "VmHWM");
    let mut half = before;
    let took = paced(Duration::from_secs(SECONDS.into()), |tick| {
        if tick == SECONDS * TICKS / 2 {
            half = memory(monitor.pid(), "VmHWM");
        }
        let (time, mut text) = (now(), String::new());
        for n in tick * each..(tick + 1) * each {
            // Odd, so a bijection: every source once, in no order.
            line(
                &mut text,
                0x1000_0000 | n.wrapping_mul(0x9E37_79B1) & 0x03ff_ffff,
                &time,
            );
        }
        for n in tick * attackers..(tick + 1) * attackers {
            line(&mut text, 0xc612_0000 + n % ATTACKERS, &time);
        }
        log.write_all(text.as_bytes()).expect("write a log");
    });
    monitor.until_read(SECONDS * TICKS * (each + attackers));
    until("bans arrive", LONG, || {
        (monitor.figure("couicmon_pending_bans") < 1.0).then_some(())
    });
    let after = memory(monitor.pid(), "VmHWM");
    let rules = daemon.api().get("/v1/drop");
    let banned: BTreeSet<String> = (rules.as_array().into_iter().flatten())
        .filter_map(|rule| rule["cidr"].as_str().map(str::to_owned))
        .collect();
    let found = (banned.iter())
        .filter(|cidr| cidr.starts_with("198.18.") || cidr.starts_with("198.19."))
        .count();
    let innocent = banned.len() - found;
    let counted = format!(
        "{} sources with one request each, in {:.0} s",
        SECONDS * TICKS * each,
        took.as_secs_f64()
    );
    vec![
        Row {
            what: "attackers found among 4 M sources".into(),
            wanted: "1,000 of 1,000",
            measured: format!("{found}"),
            reached: Some(found == ATTACKERS as usize),
            method: format!(
                "{counted}; attackers: {HITS} a second each, 1 a second after 20 is allowed"
            ),
        },
        Row {
            what: "innocents banned".into(),
            wanted: "0",
            measured: format!("{innocent}"),
            reached: Some(innocent == 0),
            method: "an exact count would ban nobody else".into(),
        },
        Row {
            what: "growth of memory in the second half minute".into(),
            wanted: "constant",
            measured: format!("{:.1} MiB", after - half),
            reached: Some(after - half < 2.0),
            method: format!(
                "VmHWM: {before:.1} MiB before the first line, {half:.1} after half of them, {after:.1} after the last"
            ),
        },
    ]
}
