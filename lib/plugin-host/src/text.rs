//! Sanitizes text of plugins for logs and terminals.

/// Longest line that is kept.
const LONGEST: usize = 1024;

/// One line without control and bidirectional characters, cut to [`LONGEST`].
pub(crate) fn clean(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LONGEST));
    for character in text.trim().chars() {
        if line.len() >= LONGEST {
            line.push('…');
            break;
        }
        match character {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            '\u{2028}' | '\u{2029}' => line.push(' '),
            control if control.is_control() => line.push(' '),
            other => line.push(other),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(clean(" a\nb\x1b[31m\u{202e}c \n"), "a b [31mc");
        assert_eq!(clean(&"é".repeat(4000)).len(), LONGEST + '…'.len_utf8());
        assert_eq!(clean(""), "");
    }
}
