//! Compares two configurations. Fresh daemons alternate, so that both see the same tables and the same load of the
//! machine; the medians over the rounds are compared.

use std::time::Instant;

use couic_e2e::{Daemon, Lab};

use crate::load::{self, ADDS, LONE_ADDS};

/// Rounds of each configuration.
pub(crate) const ROUNDS: usize = 9;

/// Measurements of one daemon.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Latency of a single add, in seconds.
    pub(crate) median: f64,
    /// Pipelined adds per second.
    pub(crate) rate: f64,
}

/// The medians of both configurations.
#[derive(Clone, Copy)]
pub(crate) struct Compared {
    pub(crate) one: Sample,
    pub(crate) other: Sample,
}

/// Compares two configurations. `check` is called for every daemon at its end, with its configuration.
pub(crate) fn compare(
    lab: &Lab,
    [one, other]: [&str; 2],
    check: impl Fn(&Daemon<'_>, &str),
) -> Compared {
    let sample = |config: &str| {
        let limits = "[limits]\ndrop_entries = 1048576\n";
        let daemon = lab.daemon().config(limits).config(config).start();
        let latencies = load::lone_adds(&daemon);
        let start = Instant::now();
        load::pipelined_adds(&daemon, LONE_ADDS);
        let rate = f64::from(ADDS) / start.elapsed().as_secs_f64();
        let rules = daemon.api().stats().drop_cidr_count;
        assert_eq!(rules, u64::from(ADDS + LONE_ADDS));
        check(&daemon, config);
        Sample {
            median: latencies[latencies.len() / 2].as_secs_f64(),
            rate,
        }
    };
    let rounds = (0..ROUNDS).map(|round| {
        // Alternate which configuration goes first.
        if round % 2 == 0 {
            let one = sample(one);
            (one, sample(other))
        } else {
            let other = sample(other);
            (sample(one), other)
        }
    });
    let (ones, others): (Vec<Sample>, Vec<Sample>) = rounds.unzip();
    Compared {
        one: middle(&ones),
        other: middle(&others),
    }
}

fn middle(samples: &[Sample]) -> Sample {
    let median = |figure: fn(&Sample) -> f64| {
        let mut figures: Vec<f64> = samples.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Sample {
        median: median(|s| s.median),
        rate: median(|s| s.rate),
    }
}
