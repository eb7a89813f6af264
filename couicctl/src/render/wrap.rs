//! Breaks text into lines of a width.

/// The lines of `text`, each at most `width` characters: broken at spaces, and within words that are longer.
pub(super) fn wrap(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while width > 0 && rest.len() > width {
        // The first byte that does not fit.
        let Some((end, _)) = rest.char_indices().nth(width) else {
            break;
        };
        let fits = &rest[..end];
        let (line, next) = match fits.rfind(' ') {
            _ if rest[end..].starts_with(' ') => (fits, &rest[end..]),
            Some(space) if space > 0 => (&rest[..space], &rest[space..]),
            _ => (fits, &rest[end..]),
        };
        lines.push(line);
        rest = next.trim_start_matches(' ');
    }
    if lines.is_empty() || !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_spaces_and_within_long_words() {
        for (text, width, lines) in [
            ("", 4, &[""][..]),
            ("abcd", 4, &["abcd"]),
            ("ab cd", 4, &["ab", "cd"]),
            ("abcd ef", 4, &["abcd", "ef"]),
            ("abcdef", 4, &["abcd", "ef"]),
            ("éééé éé", 4, &["éééé", "éé"]),
            ("a b  c", 3, &["a b", "c"]),
            ("abcd ", 4, &["abcd"]),
        ] {
            assert_eq!(wrap(text, width), lines, "{text:?}");
        }
    }
}
