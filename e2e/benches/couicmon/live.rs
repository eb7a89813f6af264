//! Forty thousand lines a second, one `write` each as nginx does without a buffer: the CPU and memory of couicmon.

use std::{
    fs::File,
    io::Write,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use couic_e2e::{Lab, Monitor};
use tempfile::TempDir;
use time::{OffsetDateTime, macros::format_description};

use crate::{
    Row,
    child::{memory, used},
    jails::{THREE, UNGUARDED},
    logs, sized,
};

const PER_SECOND: u32 = 40_000;
const TICK: Duration = Duration::from_millis(5);

/// A source `log`, the file `live.log`, and these jails.
pub(crate) fn watching(dir: &Path, jails: &str) -> String {
    format!(
        "[source.log]\nfile = \"{}/live.log\"\nformat = \"combined\"\n{jails}{UNGUARDED}",
        dir.display()
    )
}

/// The time as in an access log, of UTC.
pub(crate) fn now() -> String {
    let form =
        format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    let now = OffsetDateTime::now_utc().format(form);
    now.expect("a time of this century")
}

/// Calls `write` for each tick until `whole` has passed, with the number of the tick; late ones follow at once.
pub(crate) fn paced(whole: Duration, mut write: impl FnMut(u32)) -> Duration {
    let start = Instant::now();
    let mut tick = 0;
    while TICK * tick < whole {
        write(tick);
        tick += 1;
        // A pace is time itself, there is no condition to await.
        thread::sleep((TICK * tick).saturating_sub(start.elapsed()));
    }
    start.elapsed()
}

pub(crate) fn rows(lab: &Lab) -> Vec<Row> {
    let dir = TempDir::new().expect("a directory");
    let daemon = lab.monitored_daemon().start();
    let mut log = File::create(dir.path().join("live.log")).expect("create a log");
    let monitor = Monitor::start(lab, &daemon, dir.path(), &watching(dir.path(), THREE));
    let seconds = sized(30).max(2);
    let each = PER_SECOND / 200;
    let lines = logs::undated(lab, dir.path(), 200_000);
    let mut endless = lines.iter().cycle();
    let before = used(monitor.pid());
    let took = paced(Duration::from_secs(seconds.into()), |_| {
        let time = now();
        for (before, behind) in endless.by_ref().take(each as usize) {
            let line = format!("{before}[{time}]{behind}\n");
            log.write_all(line.as_bytes()).expect("write a log");
        }
    });
    monitor.until_read(seconds * PER_SECOND);
    let cpu = (used(monitor.pid()) - before).as_secs_f64() / took.as_secs_f64() * 100.0;
    let rss = memory(monitor.pid(), "VmHWM");
    let written = f64::from(seconds * PER_SECOND) / took.as_secs_f64();
    let skipped = monitor.figure("couicmon_skipped_bytes_total");
    vec![
        Row {
            what: "live, 40,000 lines a second, CPU".into(),
            wanted: "< 5 % of a core",
            measured: format!("{cpu:.1} %"),
            reached: Some(cpu < 5.0),
            method: format!(
                "{seconds} s, {written:.0} lines a second written, one write each; {skipped:.0} bytes skipped"
            ),
        },
        Row {
            what: "the same, memory".into(),
            wanted: "< 32 MB",
            measured: format!("{rss:.1} MiB"),
            reached: Some(rss * 1.048_576 < 32.0),
            method: "VmHWM: the most at any time".into(),
        },
    ]
}
