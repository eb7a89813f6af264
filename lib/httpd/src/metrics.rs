//! Metric families as text: OpenMetrics 1.0, and the Prometheus text format 0.0.4.
//!
//! The lines of samples are the same in both. In OpenMetrics, the name of a counter's family has no `_total`, that of an
//! info no `_info`, families without samples are left out, and the text ends in `# EOF`.
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>

use std::fmt::Write;

/// How the values of a family behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They only grow. The family's name ends in `_total`.
    Counter,
    /// They go up and down.
    Gauge,
    /// Counts by upper bound.
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric and its samples.
///
/// ```
/// use couic_httpd::{Family, Kind, open_metrics, prometheus};
///
/// let family = Family::new(Kind::Counter, "hits_total", "Hits, by tag.").with(&[("tag", "ssh")], 7);
/// assert_eq!(
///     open_metrics(&[family.clone()]),
///     "# TYPE hits counter\n# HELP hits Hits, by tag.\nhits_total{tag=\"ssh\"} 7\n# EOF\n"
/// );
/// assert_eq!(
///     prometheus(&[family]),
///     "# HELP hits_total Hits, by tag.\n# TYPE hits_total counter\nhits_total{tag=\"ssh\"} 7\n"
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Family {
    kind: Kind,
    name: String,
    help: String,
    /// The samples as text.
    lines: String,
}

impl Family {
    /// A family without samples. `name` is the full name, with `_total` or `_info`.
    #[must_use]
    pub fn new(kind: Kind, name: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            help: help.into(),
            lines: String::new(),
        }
    }

    /// The full name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a sample.
    #[must_use]
    pub fn with(mut self, labels: &[(&str, &str)], value: u64) -> Self {
        self.push(labels, float(value));
        self
    }

    /// Adds a sample.
    pub fn push(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample("", labels, value);
    }

    /// Adds a sample whose name has a suffix, as `_sum` and `_count` of a histogram.
    pub fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let lines = &mut self.lines;
        lines.push_str(&self.name);
        lines.push_str(suffix);
        let mut separator = '{';
        for (label, text) in labels {
            push(lines, format_args!("{separator}{label}=\""));
            escape(lines, text, true);
            lines.push('"');
            separator = ',';
        }
        lines.push_str(if labels.is_empty() { " " } else { "} " });
        number(lines, value);
        lines.push('\n');
    }

    /// Adds the buckets of a histogram: upper bounds, the last of them infinite, with cumulative counts.
    pub fn buckets(
        &mut self,
        labels: &[(&str, &str)],
        buckets: impl IntoIterator<Item = (f64, u64)>,
    ) {
        for (bound, count) in buckets {
            let mut le = String::new();
            number(&mut le, bound);
            let labels = [labels, &[("le", &le)]].concat();
            self.sample("_bucket", &labels, float(count));
        }
    }

    /// The name and kind that OpenMetrics has for it.
    fn open_metrics(&self) -> (&str, &'static str) {
        let short = |suffix| self.name.strip_suffix(suffix);
        match (self.kind, short("_total"), short("_info")) {
            (Kind::Counter, Some(name), _) => (name, "counter"),
            (Kind::Gauge, _, Some(name)) => (name, "info"),
            (kind, ..) => (&self.name, kind.as_str()),
        }
    }
}

/// OpenMetrics 1.0, of families in this order.
#[must_use]
pub fn open_metrics(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.lines.is_empty()) {
        let (name, kind) = family.open_metrics();
        push(&mut text, format_args!("# TYPE {name} {kind}\n"));
        // Optional, and refused on histograms by some strict parsers.
        if let Some(unit) = unit(name).filter(|_| family.kind != Kind::Histogram) {
            push(&mut text, format_args!("# UNIT {name} {unit}\n"));
        }
        help(&mut text, name, &family.help, true);
        text.push_str(&family.lines);
    }
    text.push_str("# EOF\n");
    text
}

/// The Prometheus text format 0.0.4, of families in this order.
#[must_use]
pub fn prometheus(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families {
        help(&mut text, &family.name, &family.help, false);
        let (name, kind) = (&family.name, family.kind.as_str());
        push(&mut text, format_args!("# TYPE {name} {kind}\n"));
        text.push_str(&family.lines);
    }
    text
}

/// A count as a number of both formats.
#[expect(
    clippy::cast_precision_loss,
    reason = "both formats have floats only; exact up to 2^53"
)]
#[must_use]
pub fn float(count: u64) -> f64 {
    count as f64
}

fn unit(name: &str) -> Option<&'static str> {
    ["seconds", "bytes"]
        .into_iter()
        .find(|unit| name.strip_suffix(unit).is_some_and(|n| n.ends_with('_')))
}

/// In the text format 0.0.4, a help text with `\"` is refused.
fn help(text: &mut String, name: &str, help: &str, escapes_quotes: bool) {
    push(text, format_args!("# HELP {name} "));
    escape(text, help, escapes_quotes);
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
fn escape(text: &mut String, raw: &str, quotes: bool) {
    for c in raw.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' if quotes => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

fn push(text: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = text.write_fmt(args);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families() -> Vec<Family> {
        let mut seconds = Family::new(Kind::Histogram, "wait_seconds", "Waits.");
        seconds.buckets(&[("who", "a")], [(0.5, 2), (f64::INFINITY, 3)]);
        seconds.sample("_sum", &[("who", "a")], 4.25);
        vec![
            Family::new(Kind::Gauge, "build_info", "The \"version\".").with(&[], 1),
            Family::new(Kind::Gauge, "queue_bytes", "Bytes.")
                .with(&[("a", "\\\n"), ("b", "\"")], 7),
            Family::new(Kind::Counter, "none_total", "Nothing."),
            seconds,
        ]
    }

    #[test]
    fn both_formats_have_the_same_samples_under_different_heads() {
        let build = "build_info 1\n";
        let queue = "queue_bytes{a=\"\\\\\\n\",b=\"\\\"\"} 7\n";
        let waits = "wait_seconds_bucket{who=\"a\",le=\"0.5\"} 2\n\
            wait_seconds_bucket{who=\"a\",le=\"+Inf\"} 3\nwait_seconds_sum{who=\"a\"} 4.25\n";
        assert_eq!(
            open_metrics(&families()),
            format!(
                "# TYPE build info\n# HELP build The \\\"version\\\".\n{build}\
                # TYPE queue_bytes gauge\n# UNIT queue_bytes bytes\n# HELP queue_bytes Bytes.\n{queue}\
                # TYPE wait_seconds histogram\n# HELP wait_seconds Waits.\n{waits}# EOF\n"
            )
        );
        assert_eq!(
            prometheus(&families()),
            format!(
                "# HELP build_info The \"version\".\n# TYPE build_info gauge\n{build}\
                # HELP queue_bytes Bytes.\n# TYPE queue_bytes gauge\n{queue}\
                # HELP none_total Nothing.\n# TYPE none_total counter\n\
                # HELP wait_seconds Waits.\n# TYPE wait_seconds histogram\n{waits}"
            )
        );
    }
}
