//! Two configurations compared: each daemon is fresh, and they take turns, so that both see the same tables and the same
//! weather. What a machine does meanwhile hits both; the medians over the rounds are compared.

use std::time::Instant;

use couic_e2e::{Daemon, Lab};

use crate::load::{self, ADDS, LONE_ADDS};

/// How often each of them gets its turn.
pub(crate) const ROUNDS: usize = 9;

/// What one daemon did.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Of a lone add, seconds.
    pub(crate) median: f64,
    /// A second, many at once.
    pub(crate) rate: f64,
}

/// The medians with the one configuration and with the other.
#[derive(Clone, Copy)]
pub(crate) struct Compared {
    pub(crate) one: Sample,
    pub(crate) other: Sample,
}

/// Compares two configurations. `check` looks at every daemon when it is done, with its configuration.
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
        // Neither of them is always the first.
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
