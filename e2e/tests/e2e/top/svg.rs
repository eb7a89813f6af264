//! A captured terminal as a picture: text with the sequences of colours becomes SVG, cell by cell.

use std::fmt::Write;

const CELL: (f64, f64) = (8.4, 18.0);
const MARGIN: f64 = 14.0;
const BACK: &str = "#14171c";
const TEXT: &str = "#d5d9e0";
/// The sixteen colours of a terminal.
const COLOURS: [&str; 16] = [
    "#1d2026", "#e5575f", "#6cc475", "#e3b341", "#5b9ef0", "#b486e8", "#4fc3cf", "#c9ced6",
    "#6a7280", "#ff7b82", "#8fe098", "#f5cd68", "#86b9ff", "#cfaaff", "#7fe0ea", "#ffffff",
];

#[derive(Clone, Copy, Default, PartialEq)]
struct Pen {
    fore: Option<usize>,
    back: Option<usize>,
    bold: bool,
    reversed: bool,
}

impl Pen {
    fn take(&mut self, codes: &str) {
        let mut codes = codes
            .split([';', ':'])
            .map(|code| code.parse().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                // 38;5;N: of these, the first sixteen.
                38 | 48 => {
                    let colour = codes.nth(1).filter(|n| *n < COLOURS.len());
                    *(if code == 38 {
                        &mut self.fore
                    } else {
                        &mut self.back
                    }) = colour;
                }
                0 => *self = Self::default(),
                1 => self.bold = true,
                22 => self.bold = false,
                7 => self.reversed = true,
                27 => self.reversed = false,
                39 => self.fore = None,
                49 => self.back = None,
                30..=37 => self.fore = Some(code - 30),
                90..=97 => self.fore = Some(code - 82),
                40..=47 => self.back = Some(code - 40),
                100..=107 => self.back = Some(code - 92),
                _ => {}
            }
        }
    }

    /// The colours of the text and of the ground, if that has one.
    fn colours(self) -> (&'static str, Option<&'static str>) {
        let fore = self.fore.map_or(TEXT, |n| COLOURS[n]);
        let back = self.back.map(|n| COLOURS[n]);
        if self.reversed {
            return (back.unwrap_or(BACK), Some(fore));
        }
        (fore, back)
    }
}

/// The picture of a screen of this size.
pub(super) fn of(captured: &str, columns: usize, lines: usize) -> String {
    let (width, height) = (
        columns as f64 * CELL.0 + 2.0 * MARGIN,
        lines as f64 * CELL.1 + 2.0 * MARGIN,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"14\">\n\
         <title>couicctl top</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACK}\"/>\n"
    );
    let mut pen = Pen::default();
    for (row, line) in captured.lines().take(lines).enumerate() {
        let mut column = 0;
        for (nth, part) in line.split("\x1b[").enumerate() {
            let text = match part.split_once('m') {
                Some((codes, text)) if nth > 0 => {
                    pen.take(codes);
                    text
                }
                _ => part,
            };
            run(&mut svg, pen, text, column, row);
            column += text.chars().count();
        }
    }
    svg + "</svg>\n"
}

/// A run of cells in one style.
fn run(svg: &mut String, pen: Pen, text: &str, column: usize, row: usize) {
    let count = text.chars().count();
    if count == 0 {
        return;
    }
    let (fore, back) = pen.colours();
    let (x, y) = (
        MARGIN + column as f64 * CELL.0,
        MARGIN + row as f64 * CELL.1,
    );
    let width = count as f64 * CELL.0;
    if let Some(back) = back {
        let height = CELL.1;
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{back}\"/>"
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let weight = if pen.bold {
        " font-weight=\"bold\""
    } else {
        ""
    };
    let base = y + CELL.1 * 0.76;
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{base:.1}\" textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{fore}\"{weight} xml:space=\"preserve\">{escaped}</text>"
    );
}

#[test]
fn colours_become_attributes() {
    let svg = of("a\x1b[38;5;1mb<\x1b[0m \x1b[1;7mc\x1b[0m", 10, 1);
    assert!(
        svg.contains("fill=\"#e5575f\" xml:space=\"preserve\">b&lt;</text>"),
        "{svg}"
    );
    assert!(
        svg.contains("font-weight=\"bold\" xml:space=\"preserve\">c</text>"),
        "{svg}"
    );
    assert_eq!(svg.matches("<rect").count(), 2);
}
