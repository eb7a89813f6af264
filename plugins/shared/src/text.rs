//! Sanitizes and truncates text chosen by attackers.

use unicode_segmentation::UnicodeSegmentation;

/// Marks truncated text.
pub const MARKER: &str = "…";

/// Removes characters that change how the surrounding text looks: control, bidi and invisible characters. Line breaks
/// become spaces. Joiners stay: scripts and emoji need them.
#[must_use]
pub fn clean(text: &str) -> String {
    let seen = text.chars().filter_map(|c| match c {
        '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
        c if is_hidden(c) => None,
        c => Some(c),
    });
    seen.collect()
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, Arabic letter mark, Mongolian vowel separator, zero width space.
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'
            // Marks, embeddings, overrides and isolates of direction.
            | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Invisible operators and deprecated format characters.
            | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            // Tags: invisible text.
            | '\u{e0000}'..='\u{e007f}')
}

/// The length in UTF-16 code units, the strictest count among the receivers.
#[must_use]
pub fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Escapes the text and truncates it between graphemes to at most `limit` [`units`], ending with [`MARKER`] if
/// truncated.
#[must_use]
pub fn fit(text: &str, limit: usize, escape: impl Fn(&str, &mut String)) -> String {
    let mut out = String::new();
    let mut used = 0;
    // Where to truncate if the text turns out too long.
    let mut cut = 0;
    for grapheme in text.graphemes(true) {
        let start = out.len();
        escape(grapheme, &mut out);
        used += units(&out[start..]);
        if used > limit {
            out.truncate(cut);
            if limit > 0 {
                out.push_str(MARKER);
            }
            return out;
        }
        if used < limit {
            cut = out.len();
        }
    }
    out
}

/// No escapes.
pub fn plain(text: &str, out: &mut String) {
    out.push_str(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hidden_characters_are_removed() {
        assert_eq!(
            clean("a\u{202e}b\u{2066}c\u{200f}d\u{feff}e\u{0}f\u{1b}[0m"),
            "abcdef[0m"
        );
        assert_eq!(
            clean("one\r\ntwo\u{2028}three\tfour"),
            "one  two three four"
        );
        let family = "👨\u{200d}👩\u{200d}👧 नमस्ते é";
        assert_eq!(clean(family), family);
    }

    #[test]
    fn text_is_truncated_between_graphemes() {
        assert_eq!(fit("héllo", 9, plain), "héllo");
        assert_eq!(fit("hello", 5, plain), "hello", "exactly the limit");
        assert_eq!(fit("hello!", 5, plain), "hell…");
        // One family is 8 UTF-16 units and one grapheme.
        let family = "👨\u{200d}👩\u{200d}👧";
        assert_eq!(fit(&family.repeat(2), 9, plain), format!("{family}…"));
        assert_eq!(fit(family, 7, plain), "…");
        assert_eq!(fit("e\u{301}e\u{301}", 3, plain), "e\u{301}…");
        assert_eq!(fit("a", 0, plain), "");
    }

    fn double(text: &str, out: &mut String) {
        for c in text.chars() {
            out.extend(['\\', c]);
        }
    }

    proptest! {
        #[test]
        fn truncated_text_never_exceeds_the_limit_or_splits_an_escape(text in "\\PC*", limit in 0_usize..50) {
            let plain_text = fit(&text, limit, plain);
            prop_assert!(units(&plain_text) <= limit);
            let escaped = fit(&text, limit, double);
            prop_assert!(units(&escaped) <= limit);
            let body = escaped.strip_suffix(MARKER).unwrap_or(&escaped);
            prop_assert_eq!(body.chars().count() % 2, 0);
            if units(&text) <= limit {
                prop_assert_eq!(plain_text, text);
            }
        }

        #[test]
        fn cleaned_text_has_no_hidden_characters(text: String) {
            let cleaned = clean(&text);
            prop_assert!(!cleaned.chars().any(is_hidden));
            prop_assert_eq!(clean(&cleaned), cleaned);
        }
    }
}
