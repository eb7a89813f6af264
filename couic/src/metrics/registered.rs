//! Metrics counted in the registry of the prometheus crate, as metric families.

use couic_httpd::{Family, Kind, float};
use prometheus::{
    Registry,
    proto::{Histogram, MetricFamily, MetricType},
};

/// The registered metrics: counters, gauges and histograms.
pub(super) fn families(registry: &Registry) -> impl Iterator<Item = Family> {
    registry.gather().into_iter().map(|family| convert(&family))
}

fn convert(registered: &MetricFamily) -> Family {
    let kind = match registered.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::HISTOGRAM => Kind::Histogram,
        _ => Kind::Gauge,
    };
    let mut family = Family::new(kind, registered.name(), registered.help());
    for metric in registered.get_metric() {
        let pairs = metric.get_label().iter();
        let labels: Vec<_> = pairs.map(|pair| (pair.name(), pair.value())).collect();
        match kind {
            Kind::Counter => family.push(&labels, metric.get_counter().get_value()),
            Kind::Gauge => family.push(&labels, metric.get_gauge().get_value()),
            Kind::Histogram => histogram(&mut family, &labels, metric.get_histogram()),
        }
    }
    family
}

fn histogram(family: &mut Family, labels: &[(&str, &str)], histogram: &Histogram) {
    let count = histogram.get_sample_count();
    let buckets = histogram.get_bucket().iter();
    let finite = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let finite = finite.filter(|(bound, _)| bound.is_finite());
    family.buckets(labels, finite.chain([(f64::INFINITY, count)]));
    family.sample("_count", labels, float(count));
    family.sample("_sum", labels, histogram.get_sample_sum());
}
