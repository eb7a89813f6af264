//! couicmon measured against its targets, beside fail2ban and fail2ban-rs: the same logs, by turns in the same run. Prints
//! one table, with the method of each row. `scripts/bench-couicmon` builds all in release mode and runs this.
//! `cargo bench -p couic-e2e --bench couicmon -- replay` measures one part; `COUIC_BENCH_PART=0.05` that part of each log.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that fails ends the run"
)]

mod burst;
mod child;
mod jails;
mod live;
mod logs;
mod replay;
mod rivals;
mod sources;
mod speed;

use std::{env, fs, thread};

use couic_e2e::Lab;

/// A part of the table, with the argument that selects it.
type Measure = (&'static str, fn(&Lab) -> Vec<Row>);

/// One row of the table.
struct Row {
    what: String,
    wanted: &'static str,
    measured: String,
    /// None without a target.
    reached: Option<bool>,
    method: String,
}

fn main() {
    let Some(lab) = Lab::quiet() else { return };
    let wanted: Vec<String> = env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let measures: [Measure; 5] = [
        ("replay", replay::rows),
        ("live", live::rows),
        ("speed", speed::rows),
        ("sources", sources::rows),
        ("burst", burst::rows),
    ];
    let cpus = thread::available_parallelism().map_or(0, usize::from);
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    println!(
        "\n{cpus} CPUs, Linux {}, load at the start {}; what writes the logs runs on the same machine\n",
        kernel.trim(),
        load.split(' ').next().unwrap_or_default()
    );
    println!("| figure | wanted | measured | | method |\n|---|---|---|---|---|");
    for (name, rows) in measures {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            rows(&lab).iter().for_each(print);
        }
    }
}

fn print(row: &Row) {
    let verdict = match row.reached {
        Some(true) => "reached",
        Some(false) => "MISSED",
        None => "",
    };
    println!(
        "| {} | {} | {} | {verdict} | {} |",
        row.what, row.wanted, row.measured, row.method
    );
}

/// So many lines, sources or attempts, or the part of them that `COUIC_BENCH_PART` asks for.
fn sized(whole: u32) -> u32 {
    let part = env::var("COUIC_BENCH_PART").ok();
    let part: f64 = part.and_then(|part| part.parse().ok()).unwrap_or(1.0);
    let size = (f64::from(whole) * part.clamp(0.0, 1.0)) as u32;
    size.max(1)
}
