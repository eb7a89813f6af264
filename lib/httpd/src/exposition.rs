//! Which of the two metrics formats a client gets: chosen by its `Accept` header.

use crate::{Family, open_metrics, prometheus};

/// A text format of metrics.
///
/// ```
/// use couic_httpd::Exposition::{self, OpenMetrics, Text};
///
/// let scraper = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
/// assert_eq!(Exposition::accepted([scraper], Text), OpenMetrics);
/// assert_eq!(Exposition::accepted(["*/*"], Text), Text);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4, which every scraper and node_exporter's textfile collector read.
    Text,
}

impl Exposition {
    /// The format that the values of `Accept` prefer; `default` if they prefer none.
    pub fn accepted<'a>(accept: impl IntoIterator<Item = &'a str>, default: Self) -> Self {
        let other = match default {
            Self::OpenMetrics => Self::Text,
            Self::Text => Self::OpenMetrics,
        };
        let (mut of_default, mut of_other) = (Quality::default(), Quality::default());
        for range in accept.into_iter().flat_map(|value| value.split(',')) {
            of_default.read(range, default);
            of_other.read(range, other);
        }
        if of_other.value > of_default.value {
            other
        } else {
            default
        }
    }

    /// For the header `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The text of families, in this order.
    #[must_use]
    pub fn render(self, families: &[Family]) -> String {
        match self {
            Self::OpenMetrics => open_metrics(families),
            Self::Text => prometheus(families),
        }
    }

    /// Type, subtype and version.
    const fn name(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
            Self::Text => ("text", "plain", "0.0.4"),
        }
    }
}

/// How much a client wants a format, by the most specific range that covers it (RFC 9110, 12.5.1).
#[derive(Default)]
struct Quality {
    specific: u8,
    value: f32,
}

impl Quality {
    fn read(&mut self, range: &str, format: Exposition) {
        let mut parts = range.split(';').map(str::trim);
        let (kind, subtype) = parts
            .next()
            .unwrap_or("")
            .split_once('/')
            .unwrap_or(("", ""));
        let (mut value, mut version) = (1.0_f32, None);
        for (key, text) in parts.filter_map(|parameter| parameter.split_once('=')) {
            match key.trim() {
                key if key.eq_ignore_ascii_case("q") => value = text.trim().parse().unwrap_or(0.0),
                key if key.eq_ignore_ascii_case("version") => {
                    version = Some(text.trim().trim_matches('"'));
                }
                _ => {}
            }
        }
        let (its_kind, its_subtype, its_version) = format.name();
        let is_type = kind.eq_ignore_ascii_case(its_kind);
        let specific = match (kind, subtype) {
            ("*", "*") => 1,
            (_, "*") if is_type => 2,
            _ if is_type && subtype.eq_ignore_ascii_case(its_subtype) => match version {
                None => 3,
                Some(version) if version == its_version => 4,
                Some(_) => return,
            },
            _ => return,
        };
        if specific >= self.specific && value.is_finite() {
            let value = value.clamp(0.0, 1.0);
            let value = if specific == self.specific {
                value.max(self.value)
            } else {
                value
            };
            *self = Self { specific, value };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Exposition::{OpenMetrics, Text},
        *,
    };

    /// The headers of clients in use, and what each gets from a service with either default.
    #[test]
    fn each_client_gets_the_format_that_it_prefers() {
        let prometheus_2_42 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_2_5 =
            "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let telegraf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3";
        for (accept, from_open_metrics, from_text) in [
            (&[][..], OpenMetrics, Text),
            (&[""], OpenMetrics, Text),
            (&["*/*"], OpenMetrics, Text),
            (&["application/json, text/plain, */*"], OpenMetrics, Text),
            (&["application/openmetrics-text"], OpenMetrics, OpenMetrics),
            (
                &["Application/OpenMetrics-Text; Version=\"1.0.0\""],
                OpenMetrics,
                OpenMetrics,
            ),
            (&["text/plain"], Text, Text),
            (&["text/*"], Text, Text),
            (
                &["text/plain;q=0.5", "application/openmetrics-text"],
                OpenMetrics,
                OpenMetrics,
            ),
            (&["text/plain;q=0, */*"], OpenMetrics, OpenMetrics),
            (
                &["application/openmetrics-text;q=x, text/plain;q=0.1"],
                Text,
                Text,
            ),
            (&["application/openmetrics-text;q=NaN"], OpenMetrics, Text),
            (&["text/html"], OpenMetrics, Text),
            (&[prometheus_2_42], OpenMetrics, OpenMetrics),
            (&[prometheus_2_5], Text, Text),
            (&[telegraf], Text, Text),
        ] {
            let given = |default| Exposition::accepted(accept.iter().copied(), default);
            let both = (given(OpenMetrics), given(Text));
            assert_eq!(both, (from_open_metrics, from_text), "{accept:?}");
        }
    }
}
