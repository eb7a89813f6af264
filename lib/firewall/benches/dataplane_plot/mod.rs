//! Draws the measurements of the data plane's bench: cost over number of rules, both axes logarithmic.

use std::fmt::Write;

/// One measurement.
pub struct Point {
    pub v6: bool,
    /// Whether it belongs into the plot.
    pub hosts: bool,
    pub rules: usize,
    pub kind: &'static str,
    pub ours: f64,
    pub lpm: f64,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 40.0;

/// Two panels, IPv4 and IPv6, with four lines each.
pub fn svg(points: &[Point]) -> String {
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1020\" height=\"450\" font-family=\"sans-serif\" font-size=\"12\"><rect width=\"1020\" height=\"450\" fill=\"white\"/>\n",
    );
    for (v6, shift, title) in [
        (false, 0.0, "IPv4, host rules"),
        (true, 500.0, "IPv6, /32 to /128"),
    ] {
        let _ = writeln!(svg, "<g transform=\"translate({shift} 0)\">");
        frame(&mut svg, title);
        for (kind, dash) in [("innocent", ""), ("dropped", "6 4")] {
            let here = || {
                points
                    .iter()
                    .filter(move |p| p.v6 == v6 && p.hosts && p.kind == kind)
            };
            line(&mut svg, "#c0392b", dash, here().map(|p| (p.rules, p.lpm)));
            line(&mut svg, "#1f618d", dash, here().map(|p| (p.rules, p.ours)));
        }
        svg.push_str("</g>\n");
    }
    let legend = [
        ("#c0392b", "", "two LPM tries, innocent"),
        ("#c0392b", "6 4", "two LPM tries, dropped"),
        ("#1f618d", "", "Couic, innocent"),
        ("#1f618d", "6 4", "Couic, dropped"),
    ];
    for (n, (colour, dash, text)) in legend.into_iter().enumerate() {
        let x = 60 + 230 * n;
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" x2=\"{}\" y1=\"432\" y2=\"432\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/><text x=\"{}\" y=\"436\">{text}</text>",
            x + 30,
            x + 36
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// 1,000 to 1,000,000 rules.
fn x(rules: usize) -> f64 {
    LEFT + ((rules.max(1000) as f64).log10() - 3.0) / 3.0 * WIDTH
}

/// 1 to 3,000 ns.
fn y(cost: f64) -> f64 {
    TOP + HEIGHT * (1.0 - cost.max(1.0).log10() / 3000f64.log10())
}

fn frame(svg: &mut String, title: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"24\" font-size=\"14\">{title}: ns a packet above parsing, over rules</text>"
    );
    for cost in [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0] {
        let at = y(cost);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{cost}</text>",
            LEFT + WIDTH,
            LEFT - 6.0,
            at + 4.0
        );
    }
    for (rules, text) in [
        (1_000, "1,000"),
        (10_000, "10,000"),
        (100_000, "100,000"),
        (1_000_000, "1,000,000"),
    ] {
        let at = x(rules);
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
            TOP + HEIGHT,
            TOP + HEIGHT + 18.0
        );
    }
}

fn line(svg: &mut String, colour: &str, dash: &str, points: impl Iterator<Item = (usize, f64)>) {
    let mut path = String::new();
    for (rules, cost) in points {
        let _ = write!(path, "{:.1},{:.1} ", x(rules), y(cost));
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
            x(rules),
            y(cost)
        );
    }
    let _ = writeln!(
        svg,
        "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>"
    );
}
