//! Request lines, targets and the fields that all web formats share.

use std::borrow::Cow;

use super::escape::{self, Escape};
use crate::Event;

/// Sets method, path, query and perhaps host from a request line: `GET /a?b HTTP/1.1`. What is no request line of HTTP
/// (TLS sent to a plain port, an empty line) becomes the path, undecoded, with an empty method.
///
/// As lenient as the most lenient server, since a line that a server answers and we do not read hides from jails: any
/// white space, any token as method, no version (HTTP/0.9).
pub(super) fn set_line<'a>(event: &mut Event<'a>, line: &'a [u8], escape: Escape) {
    let Some((method, target)) = split(line, escape) else {
        if line != b"-" && line != b"<BADREQ>" {
            event.path = escape.undo(line);
        }
        return;
    };
    event.method = method;
    set_target(event, target);
}

/// Method and target of a request line.
fn split(line: &[u8], escape: Escape) -> Option<(&[u8], Cow<'_, [u8]>)> {
    let line = trim(line);
    let end = line.iter().position(|byte| !is_token(*byte))?;
    let (method, rest) = line.split_at(end);
    if method.is_empty() {
        return None;
    }
    // White space may be escaped.
    let target = match escape.undo(rest) {
        Cow::Borrowed(rest) => Cow::Borrowed(target(rest)?),
        Cow::Owned(rest) => Cow::Owned(target(&rest)?.to_vec()),
    };
    Some((method, target))
}

/// The target in ` TARGET HTTP/1.1`, or in ` TARGET` if that can be nothing else.
fn target(rest: &[u8]) -> Option<&[u8]> {
    let target = rest
        .first()
        .filter(|byte| is_space(**byte))
        .map(|_| trim(rest))?;
    let last = target.iter().rposition(|byte| is_space(*byte));
    let (head, version) = target.split_at(last.unwrap_or(0));
    let version = trim(version).get(..5).unwrap_or_default();
    if !head.is_empty() && version.eq_ignore_ascii_case(b"HTTP/") {
        return Some(trim(head));
    }
    (target.starts_with(b"/") || authority(target).is_some()).then_some(target)
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// Space, and from tab to carriage return.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

/// What RFC 9110 allows in a token.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~'
        )
}

/// Whether the text may be a method: any token, as Apache and nginx pass unknown ones on.
pub(super) fn is_method(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token(*byte))
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

/// Host, path and query of a target. Servers drop a fragment.
fn parts(target: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (target, _) = super::scan::cut(target, b'#').unwrap_or((target, b""));
    let (host, target) = match authority(target) {
        Some(rest) => {
            let end = rest.iter().position(|byte| b"/?".contains(byte));
            let (host, target) = rest.split_at(end.unwrap_or(rest.len()));
            let is_root = target.is_empty();
            (host, if is_root { b"/" } else { target })
        }
        None => (&b""[..], target),
    };
    match super::scan::cut(target, b'?') {
        Some((b"", query)) => (host, b"/", query),
        Some((path, query)) => (host, path, query),
        None => (host, target, b""),
    }
}

/// What follows `http://`, or another scheme as of RFC 3986: servers take any.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let in_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let end = target.iter().position(|byte| !in_scheme(byte))?;
    let (scheme, rest) = target.split_at(end);
    scheme.first().filter(|byte| byte.is_ascii_alphabetic())?;
    rest.strip_prefix(b"://")
}

#[cfg(test)]
mod tests;
