//! The look of the screen: colours or none, Unicode or ASCII, figures as text. Text from elsewhere passes [`clean`], so
//! that no tag or reason controls the terminal or reorders a line.

use std::borrow::Cow;

use couic_common::grouped;
use ratatui::{
    style::{Color, Modifier, Style},
    symbols::{bar, border},
};

use crate::render;

/// What the terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Whether colours are used.
    pub(super) colour: bool,
    /// Whether lines and bars are drawn with characters beyond ASCII.
    pub(super) unicode: bool,
}

/// The meaning of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
    Dim,
    Accent,
}

const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

const ASCII_BARS: bar::Set<'static> = bar::Set {
    full: "#",
    seven_eighths: "#",
    three_quarters: "*",
    five_eighths: "+",
    half: "=",
    three_eighths: "-",
    one_quarter: ":",
    one_eighth: ".",
    empty: " ",
};

impl Look {
    /// By the variables of the environment: no colours with `NO_COLOR` and on a VT100 to VT220, ASCII unless the locale is
    /// UTF-8, and on the console of Linux, whose fonts lack rounded corners and most bars.
    pub(super) fn of(var: impl Fn(&str) -> Option<String>) -> Self {
        let term = var("TERM").unwrap_or_default();
        Self {
            colour: var("NO_COLOR").is_none_or(|value| value.is_empty())
                && !term.starts_with("vt1")
                && !term.starts_with("vt2"),
            unicode: term != "linux" && render::is_utf8(var),
        }
    }

    pub(super) fn style(self, tone: Tone) -> Style {
        let style = Style::new();
        if !self.colour {
            return match tone {
                Tone::Bad => style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
                Tone::Warn | Tone::Accent => style.add_modifier(Modifier::BOLD),
                _ => style,
            };
        }
        match tone {
            Tone::Plain => style,
            Tone::Good => style.fg(Color::Green),
            Tone::Warn => style.fg(Color::Yellow),
            Tone::Bad => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Dim => style.fg(Color::DarkGray),
            Tone::Accent => style.fg(Color::Cyan).add_modifier(Modifier::BOLD),
        }
    }

    /// A banner across the screen.
    pub(super) fn banner(self, tone: Tone) -> Style {
        let style = self.style(tone).add_modifier(Modifier::REVERSED);
        style.add_modifier(Modifier::BOLD)
    }

    pub(super) const fn border(self) -> border::Set<'static> {
        if self.unicode {
            border::ROUNDED
        } else {
            ASCII_BORDER
        }
    }

    pub(super) const fn bars(self) -> bar::Set<'static> {
        if self.unicode {
            bar::NINE_LEVELS
        } else {
            ASCII_BARS
        }
    }

    /// The text without what this terminal cannot show.
    pub(super) fn text(self, text: &str) -> String {
        let text = clean(text);
        if self.unicode || text.is_ascii() {
            return text.into_owned();
        }
        let shown = |c: char| if c.is_ascii() { c } else { '?' };
        text.chars().map(shown).collect()
    }
}

/// The most characters of one text on the screen.
const LONGEST: usize = 4_096;

/// One line without control characters, nor those that reorder or hide text; not longer than 4,096 characters.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST && !text.chars().any(is_odd) {
        return text.into();
    }
    let shown = |c: char| match c {
        '\n' | '\t' => ' ',
        c if is_odd(c) => '?',
        c => c,
    };
    text.chars()
        .take(LONGEST)
        .map(shown)
        .collect::<String>()
        .into()
}

fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A rate: `0`, `0.4`, `1,234`, `12.3k`, `4.56M`; `-` if it is not known.
pub(super) fn rate(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(v) if v <= 0.0 => "0".to_owned(),
        Some(v) if v < 9.95 => format!("{v:.1}"),
        Some(v) if v < 9_999.5 => grouped(v.round() as u64),
        Some(v) => scaled(v, ""),
    }
}

/// Bits per second: `9.31 Mbit/s`.
pub(super) fn bits(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(v) if v < 999.5 => format!("{v:.0} bit/s"),
        Some(v) => scaled(v, " ") + "bit/s",
    }
}

fn scaled(mut value: f64, space: &str) -> String {
    const UNITS: [&str; 5] = ["k", "M", "G", "T", "P"];
    let mut unit = 0;
    value /= 1_000.0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{space}{}", UNITS[unit])
}

/// The time of day, UTC.
pub(super) fn clock(unix: u64) -> String {
    let day = unix % 86_400;
    format!("{:02}:{:02}:{:02}", day / 3_600, day / 60 % 60, day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        for (value, text) in [
            (None, "-"),
            (Some(0.0), "0"),
            (Some(0.42), "0.4"),
            (Some(9.96), "10"),
            (Some(1_234.4), "1,234"),
            (Some(9_999.6), "10.0k"),
            (Some(4_560_000.0), "4.56M"),
            (Some(999_600.0), "1.00M"),
        ] {
            assert_eq!(rate(value), text, "{value:?}");
        }
        assert_eq!(bits(Some(512.0)), "512 bit/s");
        assert_eq!(bits(Some(9_310_000.0)), "9.31 Mbit/s");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(123), "123");
        assert_eq!(clock(86_400 + 3_661), "01:01:01");
    }

    #[test]
    fn hostile_text_is_one_harmless_line() {
        let shown = clean("a\u{1b}[2J\u{202e}b\nc\u{9b}\u{200b}");
        assert_eq!(shown, "a?[2J?b c??");
        assert_eq!(clean(&"x".repeat(1 << 20)).len(), LONGEST);
        let ascii = Look {
            colour: false,
            unicode: false,
        };
        assert_eq!(ascii.text("é │"), "? ?");
    }

    #[test]
    fn colours_and_characters_follow_the_environment() {
        let of = |set: &[(&str, &str)]| {
            let found = |name: &str| set.iter().find(|(n, _)| *n == name);
            Look::of(|name| found(name).map(|(_, value)| (*value).to_owned()))
        };
        let look = of(&[("LANG", "de_DE.UTF-8")]);
        assert!(look.unicode && look.colour);
        let look = of(&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C"), ("NO_COLOR", "1")]);
        assert!(!look.unicode && !look.colour);
        assert!(of(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]).unicode);
        assert!(of(&[("NO_COLOR", "")]).colour && !of(&[]).unicode);
        let look = of(&[("LANG", "C.UTF-8"), ("TERM", "linux")]);
        assert!(look.colour && !look.unicode);
        assert!(!of(&[("TERM", "vt220")]).colour);
    }
}
