//! What clients sent, out of what writers of logs made of it.

use std::borrow::Cow;

use memchr::memchr;

/// How a writer escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// nginx (`\x22`) and Apache (`\"`, `\n`, `\x1b`).
    Backslash,
    /// HAProxy: `#22`.
    Hash,
    /// The text is unescaped already.
    None,
}

impl Escape {
    /// The text as the client sent it. What is no escape sequence stays as it is.
    pub(super) fn undo(self, text: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Backslash => replace(text, b'\\', backslash),
            Self::Hash => replace(text, b'#', |rest| Some((hex(rest)?, 2))),
            Self::None => Cow::Borrowed(text),
        }
    }
}

/// Replaces sequences that begin with `byte`: `decode` gets what follows it, and gives the byte meant and how much of the
/// rest belongs to the sequence.
fn replace(text: &[u8], byte: u8, decode: impl Fn(&[u8]) -> Option<(u8, usize)>) -> Cow<'_, [u8]> {
    let Some(first) = memchr(byte, text) else {
        return Cow::Borrowed(text);
    };
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    while let [head, tail @ ..] = rest {
        rest = tail;
        match decode(tail).filter(|_| *head == byte) {
            Some((decoded, used)) => {
                out.push(decoded);
                rest = &tail[used..];
            }
            None => out.push(*head),
        }
    }
    Cow::Owned(out)
}

fn backslash(rest: &[u8]) -> Option<(u8, usize)> {
    Some(match rest {
        [b'x', digits @ ..] => return Some((hex(digits)?, 3)),
        [same @ (b'"' | b'\\'), ..] => (*same, 1),
        [b'n', ..] => (b'\n', 1),
        [b'r', ..] => (b'\r', 1),
        [b't', ..] => (b'\t', 1),
        [b'b', ..] => (8, 1),
        [b'v', ..] => (11, 1),
        [b'f', ..] => (12, 1),
        _ => return None,
    })
}

/// The byte of two hexadecimal digits.
pub(crate) fn hex(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

/// Percent-decodes a path once, and resolves `//`, `.` and `..` as a server does. What does not begin with a slash (`*`,
/// the target of CONNECT) is only decoded.
pub(super) fn path(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let mut before = 0;
    let plain = text.iter().all(|&byte| {
        let special = byte == b'%' || (before == b'/' && (byte == b'/' || byte == b'.'));
        before = byte;
        !special
    });
    if plain {
        return text;
    }
    let decoded = replace(&text, b'%', |rest| Some((hex(rest)?, 2)));
    if !decoded.starts_with(b"/") {
        return Cow::Owned(decoded.into_owned());
    }
    let mut out = Vec::with_capacity(decoded.len());
    let mut ends_in_slash = true;
    for segment in decoded[1..].split(|byte| *byte == b'/') {
        ends_in_slash = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => out.truncate(memchr::memrchr(b'/', &out).unwrap_or(0)),
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    if ends_in_slash {
        out.push(b'/');
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(text: &str) -> String {
        String::from_utf8(path(Cow::Borrowed(text.as_bytes())).into_owned()).unwrap()
    }

    #[test]
    fn escapes_of_each_writer_are_undone() {
        let undo = |escape: Escape, text: &'static str| escape.undo(text.as_bytes()).into_owned();
        assert_eq!(
            undo(Escape::Backslash, r#"a\x22b\"c\\d\x1bé"#),
            "a\"b\"c\\d\x1bé".as_bytes()
        );
        assert_eq!(
            undo(Escape::Backslash, r"\n\r\t\b\v\f"),
            b"\n\r\t\x08\x0b\x0c"
        );
        assert_eq!(undo(Escape::Backslash, r"\xzz\q\x2"), br"\xzz\q\x2");
        assert_eq!(undo(Escape::Backslash, r"end\"), br"end\");
        assert_eq!(undo(Escape::Hash, "/a#22b#7C#zz#2"), b"/a\"b|#zz#2");
        assert_eq!(undo(Escape::None, r"\x22#22"), br"\x22#22");
    }

    #[test]
    fn paths_are_decoded_once_and_resolved() {
        for (text, expected) in [
            ("/", "/"),
            ("/index.html", "/index.html"),
            ("/%77p-login.php", "/wp-login.php"),
            ("//wp-login.php", "/wp-login.php"),
            ("/a//b/./c/../d", "/a/b/d"),
            ("/a/%2e%2E/b", "/b"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a//", "/a/"),
            ("/%252e", "/%2e"),
            ("/%zz%", "/%zz%"),
            ("/.git/config", "/.git/config"),
            ("/...", "/..."),
            ("*", "*"),
            ("example.org:443", "example.org:443"),
            ("", ""),
        ] {
            assert_eq!(normal(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_path_has_no_dots_and_stays_as_it_is(text in "/[a./]{0,16}") {
            let once = normal(&text);
            prop_assert!(once.starts_with('/'));
            let segments: Vec<_> = once[1..].split('/').collect();
            let (last, inner) = segments.split_last().unwrap();
            prop_assert!(inner.iter().chain([last]).all(|s| *s != "." && *s != ".."));
            prop_assert!(inner.iter().all(|s| !s.is_empty()));
            prop_assert_eq!(normal(&once), once);
        }

        #[test]
        fn what_nginx_escapes_is_undone(text in prop::collection::vec(any::<u8>(), 0..60)) {
            let written: Vec<u8> = text.iter().flat_map(|&b| match b {
                b'"' | b'\\' | 0..0x20 | 0x7f.. => format!("\\x{b:02X}").into_bytes(),
                _ => vec![b],
            }).collect();
            prop_assert_eq!(Escape::Backslash.undo(&written), text);
        }
    }
}
