//! How tables are drawn: decided once, by what standard output is.

use std::{env, sync::OnceLock};

/// What surrounds the cells of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Box-drawing characters.
    Boxes,
    /// Two spaces between columns, for terminals without UTF-8.
    Spaces,
}

/// The style of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// None: rows for programs, cells separated by tabs, without a header.
    pub(crate) frame: Option<Frame>,
    /// Columns of the terminal, if it has a limit.
    pub(crate) width: Option<usize>,
}

static STYLE: OnceLock<Style> = OnceLock::new();

/// The style in use; boxes of any width before [`set_style`].
pub(crate) fn style() -> Style {
    *STYLE.get().unwrap_or(&Style {
        frame: Some(Frame::Boxes),
        width: None,
    })
}

/// Sets the style for this process.
pub(crate) fn set_style(style: Style) {
    // Set once, by `main`.
    let _ = STYLE.set(style);
}

impl Style {
    /// The style for standard output.
    pub(crate) fn of_stdout(is_terminal: bool) -> Self {
        let frame = match (is_terminal, is_utf8(|name| env::var(name).ok())) {
            (false, _) => {
                return Self {
                    frame: None,
                    width: None,
                };
            }
            (true, true) => Frame::Boxes,
            (true, false) => Frame::Spaces,
        };
        Self {
            frame: Some(frame),
            width: super::terminal::size().map(|(columns, _)| columns),
        }
    }
}

/// Whether the locale has UTF-8, as `setlocale` chooses it: without any of these variables it is that of POSIX.
pub(crate) fn is_utf8(var: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name| var(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

impl Frame {
    /// The width of a table with columns of these widths; those of width 0 are hidden.
    pub(super) fn total(self, widths: &[usize]) -> usize {
        let shown = widths.iter().filter(|width| **width > 0).count();
        let text: usize = widths.iter().sum();
        match self {
            Self::Boxes => text + 3 * shown + 1,
            Self::Spaces => text + 2 * shown.saturating_sub(1),
        }
    }

    pub(super) fn top(self, widths: &[usize], out: &mut String) {
        self.rule(widths, ["┌", "─", "┬", "┐"], out);
    }

    pub(super) fn middle(self, widths: &[usize], out: &mut String) {
        self.rule(widths, ["╞", "═", "╪", "╡"], out);
    }

    pub(super) fn bottom(self, widths: &[usize], out: &mut String) {
        self.rule(widths, ["└", "─", "┴", "┘"], out);
    }

    fn rule(self, widths: &[usize], [left, dash, cross, right]: [&str; 4], out: &mut String) {
        if self == Self::Spaces {
            return;
        }
        let shown = widths.iter().filter(|width| **width > 0);
        for (index, width) in shown.enumerate() {
            *out += if index == 0 { left } else { cross };
            for _ in 0..width + 2 {
                *out += dash;
            }
        }
        *out += right;
        out.push('\n');
    }

    /// One line of cells, each with its width, and whether it is aligned to the right.
    pub(super) fn line<'a>(
        self,
        cells: impl Iterator<Item = (&'a str, usize, bool)>,
        out: &mut String,
    ) {
        let (first, between, last) = match self {
            Self::Boxes => ("│ ", " ┆ ", " │"),
            Self::Spaces => ("", "  ", ""),
        };
        for (index, (cell, width, right)) in cells.enumerate() {
            *out += if index == 0 { first } else { between };
            let pad = width.saturating_sub(cell.chars().count());
            if right {
                out.extend(std::iter::repeat_n(' ', pad));
            }
            *out += cell;
            if !right {
                out.extend(std::iter::repeat_n(' ', pad));
            }
        }
        *out += last;
        if self == Self::Spaces {
            out.truncate(out.trim_end_matches(' ').len());
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_with_utf_8() {
        for (locale, expected) in [
            ("C.UTF-8", true),
            ("de_DE.utf8", true),
            ("C", false),
            ("POSIX", false),
            ("en_US.ISO-8859-1", false),
        ] {
            assert_eq!(is_utf8(|_| Some(locale.to_owned())), expected, "{locale}");
        }
    }
}
