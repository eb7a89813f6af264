//! Request lines, targets and the fields that all web formats share.

use std::borrow::Cow;

use super::escape::{self, Escape};
use crate::Event;

/// Sets method, path, query and perhaps host from a request line: `GET /a?b HTTP/1.1`. What is no request line of HTTP
/// (TLS sent to a plain port, an empty line) becomes the path, undecoded, with an empty method.
pub(super) fn set_line<'a>(event: &mut Event<'a>, line: &'a [u8], escape: Escape) {
    let Some((method, target)) = split(line) else {
        if line != b"-" && line != b"<BADREQ>" {
            event.path = escape.undo(line);
        }
        return;
    };
    event.method = method;
    set_target(event, escape.undo(target));
}

/// Method and target of a request line. HTTP/0.9, which lacks the version, is no request line: nobody speaks it.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (method, rest) = super::scan::cut(line, b' ')?;
    if !is_method(method) {
        return None;
    }
    let (target, version) = super::scan::cut_last(rest, b' ')?;
    (version.starts_with(b"HTTP/") && !target.is_empty()).then_some((method, target))
}

/// Whether the text may be a method. Those that are not in upper case are junk in practice.
pub(super) fn is_method(text: &[u8]) -> bool {
    (1..=24).contains(&text.len())
        && text
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'))
}

/// Sets path and query from a target in any form: `/a?b`, `http://host/a?b` (which also names the host), `*`.
pub(super) fn set_target<'a>(event: &mut Event<'a>, target: Cow<'a, [u8]>) {
    match target {
        Cow::Borrowed(target) => {
            let (host, path, query) = parts(target);
            event.path = escape::path(Cow::Borrowed(path));
            event.query = Cow::Borrowed(query);
            if event.host.is_empty() {
                event.host = Cow::Borrowed(host);
            }
        }
        Cow::Owned(target) => {
            let (host, path, query) = parts(&target);
            event.path = Cow::Owned(escape::path(Cow::Borrowed(path)).into_owned());
            event.query = Cow::Owned(query.to_vec());
            if event.host.is_empty() && !host.is_empty() {
                event.host = Cow::Owned(host.to_vec());
            }
        }
    }
}

/// Host, path and query of a target.
fn parts(target: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (host, target) = match authority(target) {
        Some(rest) => {
            let end = rest.iter().position(|byte| b"/?".contains(byte));
            rest.split_at(end.unwrap_or(rest.len()))
        }
        None => (&b""[..], target),
    };
    let (path, query) = super::scan::cut(target, b'?').unwrap_or((target, b""));
    let path = if path.is_empty() && !host.is_empty() {
        b"/"
    } else {
        path
    };
    (host, path, query)
}

/// What follows `http://` or `https://`.
fn authority(target: &[u8]) -> Option<&[u8]> {
    if target.first().is_none_or(|byte| *byte == b'/') {
        return None;
    }
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (String, String, String, String) {
        let mut event = Event::default();
        set_line(&mut event, line.as_bytes(), Escape::Backslash);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            text(event.method),
            text(&event.path),
            text(&event.query),
            text(&event.host),
        )
    }

    fn fields(
        method: &str,
        path: &str,
        query: &str,
        host: &str,
    ) -> (String, String, String, String) {
        (method.into(), path.into(), query.into(), host.into())
    }

    #[test]
    fn request_lines_are_taken_apart() {
        assert_eq!(read("GET / HTTP/1.1"), fields("GET", "/", "", ""));
        assert_eq!(
            read("POST /a%20b/../c?d=%20&e=/../f HTTP/2.0"),
            fields("POST", "/c", "d=%20&e=/../f", "")
        );
        assert_eq!(
            read("GET /a b?c d HTTP/1.1"),
            fields("GET", "/a b", "c d", "")
        );
        assert_eq!(
            read(r"GET /\x22?\x22 HTTP/1.1"),
            fields("GET", "/\"", "\"", "")
        );
        assert_eq!(
            read("GET http://h.example:80/a//b?c HTTP/1.1"),
            fields("GET", "/a/b", "c", "h.example:80")
        );
        assert_eq!(read("GET HTTPS://h HTTP/1.1"), fields("GET", "/", "", "h"));
        assert_eq!(
            read("CONNECT h.example:443 HTTP/1.1"),
            fields("CONNECT", "h.example:443", "", "")
        );
        assert_eq!(read("OPTIONS * HTTP/1.1"), fields("OPTIONS", "*", "", ""));
        assert_eq!(read("GET /%3fa?b HTTP/1.1"), fields("GET", "/?a", "b", ""));
    }

    #[test]
    fn what_is_no_request_line_has_no_method() {
        assert_eq!(read(r"\x16\x03\x01"), fields("", "\x16\x03\x01", "", ""));
        assert_eq!(read("GET /"), fields("", "GET /", "", ""));
        assert_eq!(read("get / HTTP/1.1"), fields("", "get / HTTP/1.1", "", ""));
        for nothing in ["", "-", "<BADREQ>"] {
            assert_eq!(read(nothing), fields("", "", "", ""), "{nothing}");
        }
    }
}
