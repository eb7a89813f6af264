//! The few ways in which splitters walk over a line.

use memchr::{memchr, memchr2};

/// What stands before and after the first `byte`.
pub(super) fn cut(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    memchr(byte, text).map(|at| (&text[..at], &text[at + 1..]))
}

/// The same at the last `byte`.
pub(super) fn cut_last(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    memchr::memrchr(byte, text).map(|at| (&text[..at], &text[at + 1..]))
}

/// What stands before and after the first quote that no backslash escapes. Writers of logs escape quotes in what clients
/// send (`\x22` or `\"`), so this one is the writer's own.
#[inline]
pub(super) fn cut_quote(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = quote(text)?;
    let (before, after) = (&text[..at], &text[at + 1..]);
    // One behind a backslash may be escaped.
    if before.last() == Some(&b'\\') {
        let (before, after, _) = cut_escaped(text)?;
        return Some((before, after));
    }
    Some((before, after))
}

/// The first quote, mostly near: a search that is compiled into its caller is faster then than a wider one.
#[inline]
fn quote(text: &[u8]) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if let Some(quote) = memchr::arch::x86_64::sse2::memchr::One::new(b'"') {
        return quote.find(text);
    }
    memchr(b'"', text)
}

/// As [`cut_quote`], and whether a backslash stands before it.
#[inline]
pub(super) fn cut_escaped(text: &[u8]) -> Option<(&[u8], &[u8], bool)> {
    let at = memchr2(b'"', b'\\', text)?;
    if text[at] == b'"' {
        return Some((&text[..at], &text[at + 1..], false));
    }
    let at = behind_escapes(text, at)?;
    Some((&text[..at], &text[at + 1..], true))
}

/// The first quote that is not escaped, behind the backslash at `at`.
fn behind_escapes(text: &[u8], mut at: usize) -> Option<usize> {
    at += 2;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// What follows the 1 to 8 digits at the start of a text. Has no branch that depends on their number. None says nothing:
/// short texts are left to others.
#[inline]
pub(super) fn behind_digits(text: &[u8]) -> Option<&[u8]> {
    let count = others(*text.first_chunk()?).trailing_zeros() as usize / 8;
    text.get(count..).filter(|_| count > 0)
}

/// The highest bit of each of eight bytes that is no digit.
#[inline]
pub(super) const fn others(bytes: [u8; 8]) -> u64 {
    const EVERY: u64 = u64::from_le_bytes([1; 8]);
    // Bytes of digits become their values, others are 10 or more.
    let values = u64::from_le_bytes(bytes) ^ (EVERY * 0x30);
    (((values & (EVERY * 0x7f)) + EVERY * 0x76) | values) & (EVERY * 0x80)
}

/// A decimal number of 1 to `digits` digits, at most 9.
pub(super) fn number(text: &[u8], digits: usize) -> Option<u32> {
    if text.is_empty() || text.len() > digits.min(9) {
        return None;
    }
    text.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + u32::from(byte - b'0'))
    })
}

/// A status of three digits; 0 for anything else.
pub(super) fn status(text: &[u8]) -> u16 {
    match text {
        [b'1'..=b'9', _, _] => number(text, 3).and_then(|n| u16::try_from(n).ok()),
        _ => None,
    }
    .unwrap_or(0)
}

/// The text, or nothing where writers put a dash for nothing.
pub(super) fn unless_dash(text: &[u8]) -> &[u8] {
    if text == b"-" { b"" } else { text }
}

/// The line without its end.
pub(super) fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_behind_an_odd_number_of_backslashes_is_text() {
        let cut = |text: &'static str| cut_quote(text.as_bytes()).map(|(before, _)| before.len());
        assert_eq!(cut(r#"ab" "#), Some(2));
        assert_eq!(cut(r#"a\"b" "#), Some(4));
        assert_eq!(cut(r#"a\\" "#), Some(3));
        assert_eq!(cut(r#"a\x22b" "#), Some(6));
        for unclosed in [r#"a\""#, r"a\", "", "abc", r#"\\\""#] {
            assert_eq!(cut_quote(unclosed.as_bytes()), None, "{unclosed}");
        }
    }

    #[test]
    fn up_to_eight_digits_are_skipped() {
        for count in 0..=9_usize {
            for end in [" \"", "x", "/", ":", "\u{b0}"] {
                let text = format!("{}{end} and more", "1234567890".get(..count).unwrap());
                let rest = text.get(count..).map(str::as_bytes);
                let expected = rest.filter(|_| (1..=8).contains(&count));
                let found = behind_digits(text.as_bytes());
                assert_eq!(found.filter(|_| count != 9), expected, "{text}");
            }
        }
        assert_eq!(behind_digits(b"1234567"), None);
    }

    #[test]
    fn numbers_are_bounded() {
        assert_eq!(number(b"007", 3), Some(7));
        assert_eq!(number(b"999999999", 20), Some(999_999_999));
        for text in ["", "1234", "+1", "1 ", "x"] {
            assert_eq!(number(text.as_bytes(), 3), None, "{text}");
        }
        assert_eq!(
            (
                status(b"404"),
                status(b"-1"),
                status(b"099"),
                status(b"4040")
            ),
            (404, 0, 0, 0)
        );
    }
}
