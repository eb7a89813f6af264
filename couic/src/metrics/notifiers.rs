//! Reporting and the delivery of notifications, as metric families.

use couic_common::{NotifierInfo, NotifierName, NotifierState};
use couic_delivery::{ATTEMPT_BUCKETS, AttemptTimes, FIGURES};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::reporting::Notifiers;

/// One reading of reporting.
#[derive(Clone, Debug, Default)]
pub struct ReportingFigures {
    /// Rule changes handed to the notifiers.
    pub reported: u64,
    /// Rule changes that were not reported.
    pub missed: u64,
    /// Every notifier.
    pub notifiers: Vec<NotifierInfo>,
    /// How long the attempts of each took.
    pub attempt_times: Vec<(NotifierName, AttemptTimes)>,
}

impl ReportingFigures {
    /// Reads the current figures.
    #[must_use]
    pub fn of(notifiers: &Notifiers) -> Self {
        Self {
            reported: notifiers.counted().reported(),
            missed: notifiers.counted().missed(),
            notifiers: notifiers.list(),
            attempt_times: notifiers.attempt_times(),
        }
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let mut families = vec![
            family(
                "couic_reports_total",
                "Rule changes handed to the notifiers.",
                MetricType::COUNTER,
                vec![counter(Vec::new(), self.reported)],
            ),
            family(
                "couic_reports_missed_total",
                "Rule changes that came faster than they could be spooled, and are not reported.",
                MetricType::COUNTER,
                vec![counter(Vec::new(), self.missed)],
            ),
        ];
        families.extend(self.figures());
        families.extend([self.states(), self.attempts(), self.attempt_seconds()]);
        families
    }

    fn figures(&self) -> impl Iterator<Item = MetricFamily> + '_ {
        FIGURES.iter().map(|figure| {
            let (kind, metric): (_, fn(_, _) -> _) = if figure.counter {
                (MetricType::COUNTER, counter)
            } else {
                (MetricType::GAUGE, gauge)
            };
            let sample = |n: &NotifierInfo| Some(metric(named(&n.name, &[]), (figure.value)(n)?));
            let metrics = self.notifiers.iter().filter_map(sample).collect();
            let name = format!("couic_notifier_{}", figure.name);
            family(&name, figure.help, kind, metrics)
        })
    }

    fn states(&self) -> MetricFamily {
        let each = self.notifiers.iter().flat_map(|n| {
            NotifierState::ALL.map(|state| {
                let value = u64::from(n.state == state);
                gauge(named(&n.name, &[("state", state.as_str())]), value)
            })
        });
        let help = "1 for the current state of the notifier.";
        let kind = MetricType::GAUGE;
        family("couic_notifier_state", help, kind, each.collect())
    }

    fn attempts(&self) -> MetricFamily {
        let each = self.notifiers.iter().flat_map(|n| {
            let outcomes = n.attempts.iter();
            outcomes
                .map(|(outcome, count)| counter(named(&n.name, &[("outcome", outcome)]), *count))
        });
        let help = "Attempts to deliver, by outcome.";
        let kind = MetricType::COUNTER;
        family("couic_notifier_attempts_total", help, kind, each.collect())
    }

    fn attempt_seconds(&self) -> MetricFamily {
        let each = self
            .attempt_times
            .iter()
            .map(|(name, times)| histogram(named(name, &[]), times));
        let help = "Duration of attempts to deliver.";
        let kind = MetricType::HISTOGRAM;
        family("couic_notifier_attempt_seconds", help, kind, each.collect())
    }
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn named(notifier: &NotifierName, more: &[(&str, &str)]) -> Vec<LabelPair> {
    let own = ("notifier", notifier.as_str());
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    [own].iter().chain(more).map(pair).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "OpenMetrics numbers are floats; exact up to 2^53"
)]
fn counter(labels: Vec<LabelPair>, value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

#[expect(
    clippy::cast_precision_loss,
    reason = "OpenMetrics numbers are floats; exact up to 2^53"
)]
fn gauge(labels: Vec<LabelPair>, value: u64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    let mut metric = Metric::from_label(labels);
    metric.set_gauge(gauge);
    metric
}

fn histogram(labels: Vec<LabelPair>, times: &AttemptTimes) -> Metric {
    let mut below = 0;
    let buckets = ATTEMPT_BUCKETS.iter().zip(times.buckets).map(|(bound, n)| {
        below += n;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(times.count);
    histogram.set_sample_sum(times.sum);
    let mut metric = Metric::from_label(labels);
    metric.set_histogram(histogram);
    metric
}
