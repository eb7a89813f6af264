//! Charts as SVG, drawn here so that they need no script. They contain numbers and fixed words only.

use std::fmt::Write as _;

use couic_httpd::float;
use serde::Serialize;

use super::text;
use crate::history::{Point, Series};

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 150.0;
/// Room for the labels of both axes.
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 18.0;
const TOP: f64 = 8.0;

/// The share of the last step that must be over for its rate to be drawn.
const PARTIAL: u64 = 4;

/// A chart with its figures as a table.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) svg: String,
    /// Where the script gets the figures.
    pub(super) data: String,
    pub(super) columns: Vec<&'static str>,
    pub(super) rows: Vec<(String, Vec<String>)>,
}

/// A line of a chart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Line {
    pub(super) name: &'static str,
    /// One for each time; null if nothing was reported.
    pub(super) values: Vec<Option<f64>>,
}

/// What a chart shows: the answer of `/api/series`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Plot {
    /// Unix seconds.
    pub(super) times: Vec<u64>,
    pub(super) lines: Vec<Line>,
}

/// Packets per second. The step that has not ended is left out until a rate of it says something.
pub(super) fn traffic(series: &Series, now: u64) -> Plot {
    let rate = |pick: fn(&Point) -> Option<u64>| {
        let value = |(index, point): (usize, &Point)| {
            let start = start_of(series, index);
            let over = now.saturating_sub(start).min(series.step_secs);
            let packets = pick(point)?;
            (over * PARTIAL >= series.step_secs && over > 0).then(|| float(packets) / float(over))
        };
        series.points.iter().enumerate().map(value).collect()
    };
    Plot {
        times: times(series),
        lines: vec![
            Line {
                name: "dropped",
                values: rate(|p| p.traffic.map(|t| t.dropped_packets)),
            },
            Line {
                name: "passed",
                values: rate(|p| p.traffic.map(|t| t.passed_packets)),
            },
        ],
    }
}

/// Rules added and removed, per step.
pub(super) fn rules(series: &Series) -> Plot {
    let values = |pick: fn(&Point) -> u64| {
        let points = series.points.iter();
        points.map(|point| Some(float(pick(point)))).collect()
    };
    Plot {
        times: times(series),
        lines: vec![
            Line {
                name: "added",
                values: values(|p| p.adds),
            },
            Line {
                name: "removed",
                values: values(|p| p.removes),
            },
        ],
    }
}

fn start_of(series: &Series, index: usize) -> u64 {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    series
        .from
        .saturating_add(index.saturating_mul(series.step_secs))
}

fn times(series: &Series) -> Vec<u64> {
    (0..series.points.len())
        .map(|index| start_of(series, index))
        .collect()
}

impl Plot {
    /// The chart with its table.
    pub(super) fn chart(&self, id: &'static str, title: &'static str, data: String) -> Chart {
        Chart {
            id,
            title,
            svg: self.svg(title),
            data,
            columns: self.lines.iter().map(|line| line.name).collect(),
            rows: self.rows(),
        }
    }

    /// The newest figures, thinned out to some two dozen rows.
    fn rows(&self) -> Vec<(String, Vec<String>)> {
        const ROWS: usize = 24;
        let every = self.times.len().div_ceil(ROWS).max(1);
        let shown = (0..self.times.len()).rev().step_by(every);
        let cell = |line: &Line, index: usize| {
            let value = line.values.get(index).copied().flatten();
            value.map_or_else(|| "not reported".to_owned(), text::short)
        };
        let row = |index: usize| {
            let cells = self.lines.iter().map(|line| cell(line, index)).collect();
            (text::when(self.times[index]), cells)
        };
        shown.map(row).collect()
    }

    fn svg(&self, title: &str) -> String {
        let (highest, bottom) = (nice(highest(&self.lines)), HEIGHT - BOTTOM);
        let mut svg = format!(
            r#"<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}, up to {}">"#,
            text::short(highest)
        );
        for part in [0.0, 0.5, 1.0] {
            let y = bottom - part * (bottom - TOP);
            let _ = write!(
                svg,
                r#"<path class="grid" d="M{LEFT} {y:.1}H{WIDTH}"/><text x="{:.0}" y="{:.1}" text-anchor="end">{}</text>"#,
                LEFT - 4.0,
                y + 3.5,
                text::short(highest * part)
            );
        }
        self.labels(&mut svg);
        // The first line is the one that matters, and lies on top.
        for line in self.lines.iter().rev() {
            let path = path_of(&line.values, highest, (LEFT, WIDTH), (TOP, bottom));
            let _ = write!(svg, r#"<path class="line {}" d="{path}"/>"#, line.name);
        }
        svg.push_str("</svg>");
        svg
    }

    fn labels(&self, svg: &mut String) {
        let (Some(first), Some(last)) = (self.times.first(), self.times.last()) else {
            return;
        };
        let is_long = last - first > 2 * 86_400;
        let label = |time: u64| {
            let when = text::when(time);
            let part = if is_long {
                when.get(5..10)
            } else {
                when.get(11..16)
            };
            part.unwrap_or_default().to_owned()
        };
        for (x, anchor, time) in [
            (LEFT, "start", *first),
            (
                f64::midpoint(LEFT, WIDTH),
                "middle",
                first + (last - first) / 2,
            ),
            (WIDTH, "end", *last),
        ] {
            let (y, label) = (HEIGHT - 4.0, label(time));
            let _ = write!(
                svg,
                r#"<text x="{x:.0}" y="{y:.0}" text-anchor="{anchor}">{label}</text>"#
            );
        }
    }

    /// The first line alone, as small as a word.
    pub(super) fn spark(&self) -> String {
        let Some(line) = self.lines.first() else {
            return String::new();
        };
        let highest = highest(std::slice::from_ref(line));
        let path = path_of(&line.values, highest, (0.0, 100.0), (1.0, 19.0));
        format!(
            r#"<svg class="spark" viewBox="0 0 100 20" aria-hidden="true"><path class="line {}" d="{path}"/></svg>"#,
            line.name
        )
    }
}

fn highest(lines: &[Line]) -> f64 {
    let values = lines.iter().flat_map(|line| line.values.iter().flatten());
    values.fold(0.0, |a: f64, b| a.max(*b))
}

/// A path through the values, with gaps where there are none.
fn path_of(values: &[Option<f64>], highest: f64, x: (f64, f64), y: (f64, f64)) -> String {
    let steps = float(values.len().saturating_sub(1).max(1) as u64);
    let mut path = String::new();
    let mut pen_is_down = false;
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            pen_is_down = false;
            continue;
        };
        let at = x.0 + float(index as u64) / steps * (x.1 - x.0);
        let share = if highest > 0.0 { value / highest } else { 0.0 };
        let height = y.1 - share.clamp(0.0, 1.0) * (y.1 - y.0);
        let _ = write!(
            path,
            "{}{at:.1} {height:.1}",
            if pen_is_down { 'L' } else { 'M' }
        );
        // A single point is a dot.
        if !pen_is_down && values.get(index + 1).is_none_or(Option::is_none) {
            path.push_str("h1");
        }
        pen_is_down = true;
    }
    path
}

/// The next number of the form 1, 2 or 5 times a power of ten: the end of the axis.
fn nice(highest: f64) -> f64 {
    if highest <= 0.0 || !highest.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(highest.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= highest);
    step.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::TrafficPoint;

    fn series() -> Series {
        let point = |dropped| Point {
            adds: dropped,
            removes: 0,
            traffic: Some(TrafficPoint {
                dropped_packets: dropped,
                ..TrafficPoint::default()
            }),
        };
        let mut points: Vec<Point> = [60, 120, 600].map(point).to_vec();
        points[1].traffic = None;
        Series {
            from: 1_795_272_600,
            step_secs: 60,
            points,
        }
    }

    #[test]
    fn rates_have_gaps_and_leave_out_a_step_that_has_just_begun() {
        let series = series();
        let early = traffic(&series, series.from + 121);
        assert_eq!(early.lines[0].values, [Some(1.0), None, None]);
        let late = traffic(&series, series.from + 150);
        assert_eq!(late.lines[0].values, [Some(1.0), None, Some(20.0)]);
        assert_eq!(late.times[2], series.from + 120);
        let json = serde_json::to_value(&late).unwrap();
        assert_eq!(json["lines"][0]["name"], "dropped");
        assert!(json["lines"][0]["values"][1].is_null());
    }

    #[test]
    fn a_chart_is_drawn_without_style_or_script() {
        let chart = rules(&series()).chart("rules", "Rules added", "/api".to_owned());
        assert!(chart.svg.starts_with("<svg") && chart.svg.ends_with("</svg>"));
        assert!(
            !chart.svg.contains("style") && !chart.svg.contains("NaN"),
            "{}",
            chart.svg
        );
        assert_eq!(chart.columns, ["added", "removed"]);
        assert_eq!(chart.rows.len(), 3);
        assert_eq!(chart.rows[0].1, ["600", "0"]);
    }

    #[test]
    fn nothing_to_draw_is_no_fault() {
        let empty = Series {
            from: 0,
            step_secs: 60,
            points: Vec::new(),
        };
        let plot = traffic(&empty, 0);
        assert!(plot.svg("x").contains("up to 1\""));
        assert!(plot.spark().contains("d=\"\""));
        assert!(rules(&empty).rows().is_empty());
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (highest, end) in [
            (0.0, 1.0),
            (0.3, 0.5),
            (7.0, 10.0),
            (10.0, 10.0),
            (11.0, 20.0),
            (f64::NAN, 1.0),
        ] {
            assert!((nice(highest) - end).abs() < 1e-9, "{highest}");
        }
    }
}
