//! Lists of networks as text: set files, imports, and what feeds publish.
//!
//! One entry a line, `#` and `;` begin comments, blank lines are skipped. A byte order mark at the beginning and `\r\n` do
//! no harm: files come from other systems. An entry is what [`Cidr::parse_each`] takes.

use crate::{Cidr, CidrError};

/// The entries of a list as they are written, each with its line, counted from 1.
pub fn list_entries(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let lines = (1..).zip(without_mark(bytes).split(|b| *b == b'\n'));
    lines.filter_map(|(line, raw)| Some((line, list_entry(raw)?)))
}

/// The entry on one line of a list; none if it is blank, or a comment.
#[must_use]
pub fn list_entry(line: &[u8]) -> Option<&[u8]> {
    let code = line.split(|b| matches!(b, b'#' | b';')).next()?;
    let code = code.trim_ascii();
    (!code.is_empty()).then_some(code)
}

/// The text of a list, or its first line, without the byte order mark that it may begin with.
#[must_use]
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Hands out the networks of one entry.
///
/// # Errors
/// [`CidrError`]; then none was handed out.
pub fn list_networks(entry: &[u8], each: impl FnMut(Cidr)) -> Result<(), CidrError> {
    let text = std::str::from_utf8(entry).map_err(|_| CidrError::Address)?;
    Cidr::parse_each(text, each)
}

/// The entry as a message may quote it: only if it looks like a mistyped address. A list may be the wrong file, with
/// secrets in it, and the message goes to whoever may load lists.
#[must_use]
pub fn quotable(entry: &[u8]) -> Option<&str> {
    /// Two IPv4 addresses with a dash, or an IPv6 address with its prefix.
    const LONGEST: usize = 49;
    let text = std::str::from_utf8(entry).ok()?;
    let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/' | '[' | ']');
    let is_like = |end: &str| end.contains(['.', ':']) && end.chars().all(is_part);
    // A UUID has hexadecimal digits and dashes, but neither dots nor colons.
    let mut ends = text.splitn(2, '-').map(str::trim);
    (text.len() <= LONGEST && ends.all(is_like)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<Result<String, CidrError>> {
        let mut all = Vec::new();
        for (_, entry) in list_entries(text) {
            let result = list_networks(entry, |cidr| all.push(Ok(cidr.to_string())));
            all.extend(result.err().map(Err));
        }
        all
    }

    #[test]
    fn comments_blanks_line_ends_and_a_byte_order_mark() {
        let text = b"\xef\xbb\xbf# a list\r\n; another\r\n\r\n10.0.0.1/8 # office\n  2001:db8::1;SBL1\n\t192.0.2.7\n1.2.3.4/32";
        let shown: Vec<String> = read(text).into_iter().map(Result::unwrap).collect();
        assert_eq!(
            shown,
            [
                "10.0.0.0/8",
                "2001:db8::1/128",
                "192.0.2.7/32",
                "1.2.3.4/32"
            ]
        );
        let lines: Vec<u64> = list_entries(text).map(|(line, _)| line).collect();
        assert_eq!(lines, [4, 5, 6, 7]);
        assert!(read(b"").is_empty() && read(b"#\n;;\n \r\n").is_empty());
    }

    #[test]
    fn an_entry_that_is_no_text_is_no_address() {
        assert_eq!(read(b"\xff\x00/8\n"), [Err(CidrError::Address)]);
    }

    #[test]
    fn only_what_looks_like_an_address_is_quoted() {
        for good in [
            "10.0.0.0/33",
            "198.51.100.040",
            "[2001:db8::1]",
            "192.0.2.4:443",
            "192.0.2.9-192.0.2.1",
            "1.2.3.4/255.0.255.0",
        ] {
            assert_eq!(quotable(good.as_bytes()), Some(good), "{good}");
        }
        for secret in [
            "root:x:0:0:root:/root:/bin/bash",
            "bbfa1388-3218-463c-9722-6805507c14bb",
            "token = \"bbfa1388-3218-463c-9722-6805507c14bb\"",
            "deadbeefdeadbeef",
            "example.org",
            "fe80::1%eth0",
            "1.2.3.4 secret",
            "a:b:c:d:e:f:0:1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:0:1:2:3",
        ] {
            assert_eq!(quotable(secret.as_bytes()), None, "{secret}");
        }
        assert_eq!(quotable(b"\xff"), None);
    }
}
