//! What reporting costs those who add rules, while its endpoint hangs.
//!
//! Off and on take turns, each time with a fresh daemon, so that both see the same tables and the same weather. What a
//! machine does meanwhile hits both; the medians over the rounds are compared.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    thread,
    time::Instant,
};

use couic_e2e::{Daemon, Lab};

use crate::{
    Row,
    load::{self, ADDS, CONNECTIONS, IN_FLIGHT, LONE_ADDS},
};

const ROUNDS: usize = 9;
/// As much slower as adds may be.
const ALLOWED: f64 = 1.05;

/// What one daemon did.
#[derive(Clone, Copy)]
struct Sample {
    /// Of a lone add, seconds.
    median: f64,
    /// A second, many at once.
    rate: f64,
}

pub(crate) fn rows(lab: &Lab) -> Vec<Row> {
    let endpoint = hanging(lab);
    let reporting = format!(
        "[reporting]\nenabled = true\nwebhook = \"http://{endpoint}/v1/reports/550e8400-e29b-41d4-a716-446655440000\"\n"
    );
    let rounds: Vec<(Sample, Sample)> = (0..ROUNDS)
        .map(|round| {
            // Neither of them is always the first.
            if round % 2 == 0 {
                let off = sample(lab, "");
                (off, sample(lab, &reporting))
            } else {
                let on = sample(lab, &reporting);
                (sample(lab, ""), on)
            }
        })
        .collect();
    let compare = |figure: fn(Sample) -> f64| {
        let off = middle(rounds.iter().map(|(off, _)| figure(*off)));
        let on = middle(rounds.iter().map(|(_, on)| figure(*on)));
        (off, on)
    };
    let (off, on) = compare(|sample| sample.median);
    let lone = Row {
        what: "lone add with reporting, endpoint hanging",
        wanted: format!("≤ {ALLOWED} × the time without"),
        measured: format!("{:.3} ×", on / off),
        reached: Some(on / off <= ALLOWED),
        method: format!(
            "median of {LONE_ADDS} POST /v1/drop, {:.1} µs off, {:.1} µs on; medians of {ROUNDS} rounds off and on in turn",
            off * 1e6,
            on * 1e6
        ),
    };
    let (off, on) = compare(|sample| sample.rate);
    let many = Row {
        what: "adds at full load with reporting, endpoint hanging",
        wanted: "no processor is left: what writing every change to the spool takes of them".into(),
        measured: format!("{:.3} × the time without", off / on),
        reached: None,
        method: format!(
            "{ADDS} POST /v1/drop, {CONNECTIONS} connections, {IN_FLIGHT} in flight each, {off:.0}/s off, {on:.0}/s on; medians \
             of the same rounds"
        ),
    };
    vec![lone, many]
}

fn sample(lab: &Lab, reporting: &str) -> Sample {
    let limits = "[limits]\ndrop_entries = 1048576\n";
    let daemon = lab.daemon().config(limits).config(reporting).start();
    let latencies = load::lone_adds(&daemon);
    let start = Instant::now();
    load::pipelined_adds(&daemon, LONE_ADDS);
    let rate = f64::from(ADDS) / start.elapsed().as_secs_f64();
    all_counted(&daemon, reporting);
    Sample {
        median: latencies[latencies.len() / 2].as_secs_f64(),
        rate,
    }
}

/// A firewall that loses reports would be fast for a bad reason.
fn all_counted(daemon: &Daemon<'_>, reporting: &str) {
    assert_eq!(
        daemon.api().stats().drop_cidr_count,
        u64::from(ADDS + LONE_ADDS)
    );
    let log = daemon.log();
    assert!(!log.contains("are not reported"), "{log}");
    assert_eq!(
        log.contains("reporting rule changes"),
        !reporting.is_empty()
    );
}

fn middle(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Listens in the daemon's namespace, reads whatever comes, and never answers.
fn hanging(lab: &Lab) -> SocketAddr {
    let listener = lab
        .host
        .enter(|| TcpListener::bind("127.0.0.1:0"))
        .unwrap_or_else(|e| panic!("cannot listen: {e}"));
    let address = listener
        .local_addr()
        .unwrap_or_else(|e| panic!("no address: {e}"));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 1 << 16];
                while stream.read(&mut buffer).is_ok_and(|got| got > 0) {}
                // Until the other side has had enough of it.
                drop(stream);
            });
        }
    });
    address
}
