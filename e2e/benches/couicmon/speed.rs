//! From the write of the line that is one too many to the first packet that is dropped.

use std::{
    fs::File,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use couic_e2e::{Frame, Lab, Monitor};
use tempfile::TempDir;

use crate::{
    Row,
    jails::ONE,
    live::{now, watching},
    sized,
};

const ATTEMPTS: u32 = 500;

pub(crate) fn rows(lab: &Lab) -> Vec<Row> {
    let dir = TempDir::new().expect("a directory");
    let daemon = lab.monitored_daemon().start();
    let mut log = File::create(dir.path().join("live.log")).expect("create a log");
    let _monitor = Monitor::start(lab, &daemon, dir.path(), &watching(dir.path(), ONE));
    let mut wire = lab.wire();
    let mut random = fastrand::Rng::with_seed(16);
    let attempts = sized(ATTEMPTS).max(20);
    let mut times: Vec<Duration> = (0..attempts)
        .map(|n| {
            let source = format!("198.18.{}.{}", n >> 8, n & 255);
            let line = format!(
                "{source} - - [{}] \"GET /x HTTP/1.1\" 404 1 \"-\" \"-\"\n",
                now()
            );
            let frame = Frame::v4(&source);
            assert!(wire.passes(&frame), "{source} is not banned yet");
            log.write_all(line.repeat(11).as_bytes())
                .expect("write a log");
            let start = Instant::now();
            while wire.passes(&frame) {
                assert!(
                    start.elapsed() < Duration::from_secs(30),
                    "{source} is not banned"
                );
            }
            let took = start.elapsed();
            // So that attempts do not begin just after the end of a batch.
            thread::sleep(Duration::from_millis(random.u64(0..100)));
            took
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
    vec![Row {
        what: "line written to packet dropped, p99".into(),
        wanted: "< 150 ms",
        measured: format!("{:.1} ms", at(99)),
        reached: Some(at(99) < 150.0),
        method: format!(
            "{attempts} sources one after the other, frames all the time through XDP; median {:.1} ms",
            at(50)
        ),
    }]
}
