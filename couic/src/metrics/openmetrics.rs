//! OpenMetrics 1.0 text from metric families.
//!
//! The prometheus crate's encoder writes the older text format 0.0.4. In OpenMetrics, the name of a counter's family
//! has no `_total`, that of an info no `_info`, and the text ends in `# EOF`.
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>
//!
//! The gauge `couic_drop_cidr_total`, required by the contract, is allowed: the specification reserves the suffix
//! `_total` for samples of counters, and demands only that no two families yield samples of one name. There is no
//! counter `couic_drop_cidr`.

use std::fmt::Write;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// The families, in the order given, and the end mark.
pub(super) fn encode(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|f| !f.get_metric().is_empty()) {
        encode_family(&mut text, family);
    }
    text.push_str("# EOF\n");
    text
}

fn encode_family(text: &mut String, family: &MetricFamily) {
    let full = family.name();
    let (name, kind) = match family.get_field_type() {
        MetricType::COUNTER => (full.strip_suffix("_total").unwrap_or(full), "counter"),
        MetricType::HISTOGRAM => (full, "histogram"),
        MetricType::GAUGE => match full.strip_suffix("_info") {
            Some(name) => (name, "info"),
            None => (full, "gauge"),
        },
        // The daemon has none of these.
        MetricType::SUMMARY | MetricType::UNTYPED => return,
    };
    push(text, format_args!("# TYPE {name} {kind}\n"));
    // Optional, and refused on histograms by some strict parsers.
    if let Some(unit) = unit(name).filter(|_| kind != "histogram") {
        push(text, format_args!("# UNIT {name} {unit}\n"));
    }
    push(text, format_args!("# HELP {name} "));
    escape(text, family.help());
    text.push('\n');
    for metric in family.get_metric() {
        match kind {
            "counter" => {
                let value = metric.get_counter().get_value();
                sample(text, (name, "_total"), metric.get_label(), None, value);
            }
            "info" => sample(text, (name, "_info"), metric.get_label(), None, 1.0),
            "histogram" => histogram(text, name, metric),
            _ => {
                let value = metric.get_gauge().get_value();
                sample(text, (name, ""), metric.get_label(), None, value);
            }
        }
    }
}

fn unit(name: &str) -> Option<&'static str> {
    ["seconds", "bytes"]
        .into_iter()
        .find(|unit| name.strip_suffix(unit).is_some_and(|n| n.ends_with('_')))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "OpenMetrics numbers are floats; exact up to 2^53"
)]
fn histogram(text: &mut String, name: &str, metric: &Metric) {
    let (histogram, labels) = (metric.get_histogram(), metric.get_label());
    let buckets = histogram.get_bucket().iter();
    for bucket in buckets.filter(|b| b.upper_bound().is_finite()) {
        let count = bucket.cumulative_count() as f64;
        sample(
            text,
            (name, "_bucket"),
            labels,
            Some(bucket.upper_bound()),
            count,
        );
    }
    let count = histogram.get_sample_count() as f64;
    sample(text, (name, "_bucket"), labels, Some(f64::INFINITY), count);
    sample(text, (name, "_count"), labels, None, count);
    sample(
        text,
        (name, "_sum"),
        labels,
        None,
        histogram.get_sample_sum(),
    );
}

fn sample(
    text: &mut String,
    (name, suffix): (&str, &str),
    labels: &[LabelPair],
    le: Option<f64>,
    value: f64,
) {
    text.push_str(name);
    text.push_str(suffix);
    let mut separator = '{';
    for label in labels {
        push(text, format_args!("{separator}{}=\"", label.name()));
        escape(text, label.value());
        text.push('"');
        separator = ',';
    }
    if let Some(bound) = le {
        push(text, format_args!("{separator}le=\""));
        number(text, bound);
        text.push('"');
        separator = ',';
    }
    text.push_str(if separator == ',' { "} " } else { " " });
    number(text, value);
    text.push('\n');
}

fn number(text: &mut String, value: f64) {
    if value.is_nan() {
        text.push_str("NaN");
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        push(text, format_args!("{value}"));
    }
}

/// For label values and help texts.
fn escape(text: &mut String, raw: &str) {
    for c in raw.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

fn push(text: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = text.write_fmt(args);
}
