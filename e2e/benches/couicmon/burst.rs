//! A hundred thousand sources exceed a limit at once.

use std::{
    fs::File,
    io::Write,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use couic_e2e::{Lab, Monitor, until};
use tempfile::TempDir;

use crate::{
    Row,
    live::{now, paced, watching},
    sized,
};

const SOURCES: u32 = 100_000;
/// Ticks of a second.
const CHUNKS: u32 = 200;
const JAIL: &str =
    "[jail.login]\nsource = \"log\"\nstatus = [401]\nrate = \"2 per 1m\"\nban = \"1h\"\n";
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn rows(lab: &Lab) -> Vec<Row> {
    let dir = TempDir::new().expect("a directory");
    let daemon = lab
        .monitored_daemon()
        .config("[limits]\ndrop_entries = 1048576\n")
        .start();
    let mut log = File::create(dir.path().join("live.log")).expect("create a log");
    let _monitor = Monitor::start(lab, &daemon, dir.path(), &watching(dir.path(), JAIL));
    let sources = sized(SOURCES);
    let each = sources.div_ceil(CHUNKS);
    // Within a second: what is more than 8 MiB behind is a storm, of which the newest lines are read first.
    let wrote = paced(Duration::from_secs(1), |tick| {
        let (time, mut text) = (now(), String::new());
        for n in tick * each..((tick + 1) * each).min(sources) {
            // Not neighbours, so nothing is widened to a network.
            let source = Ipv4Addr::from_bits(0x1000_0000 + n * 256);
            let line =
                format!("{source} - - [{time}] \"POST /login HTTP/1.1\" 401 1 \"-\" \"-\"\n");
            text += &line.repeat(2);
        }
        log.write_all(text.as_bytes()).expect("write a log");
    });
    let start = Instant::now();
    until("all are banned", PATIENCE, || {
        (daemon.api().stats().drop_cidr_count >= u64::from(sources)).then_some(())
    });
    let took = start.elapsed().as_secs_f64();
    vec![Row {
        what: format!("{sources} bans in one burst, in force after the last line"),
        wanted: "≤ 2 s",
        measured: format!("{took:.2} s"),
        reached: Some(took <= 2.0),
        method: format!(
            "{} lines within {:.1} s; then the daemon's count of rules",
            2 * sources,
            wrote.as_secs_f64()
        ),
    }]
}
