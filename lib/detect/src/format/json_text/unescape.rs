//! Escapes in strings of JSON.

use std::borrow::Cow;

use memchr::memchr;

use super::super::escape::hex;

/// Undoes escapes. `\x22`, which is not JSON, is what nginx writes without `escape=json`.
pub(in super::super) fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let used = match &rest[at + 1..] {
            [b'u', digits @ ..] => unicode(digits, &mut out),
            [b'x', digits @ ..] => hex(digits).map(|byte| {
                out.push(byte);
                3
            }),
            [letter, ..] => simple(*letter).map(|byte| {
                out.push(byte);
                1
            }),
            [] => None,
        };
        if used.is_none() {
            out.push(b'\\');
        }
        rest = &rest[at + 1 + used.unwrap_or(0)..];
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

const fn simple(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' | b'/' => letter,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        _ => return None,
    })
}

/// Decodes what follows `\u`, and gives the length of the sequence with the `u`. Half a surrogate pair is U+FFFD.
fn unicode(digits: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let unit = |text: &[u8]| {
        let (high, low) = (hex(text)?, hex(text.get(2..)?)?);
        Some(u32::from(high) << 8 | u32::from(low))
    };
    let first = unit(digits)?;
    let second = digits
        .get(4..)
        .and_then(|rest| rest.strip_prefix(b"\\u"))
        .and_then(unit);
    let (code, used) = match (first, second) {
        (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) => {
            (0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), 11)
        }
        _ => (first, 5),
    };
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    Some(used)
}
