//! HAProxy's `option httplog`, with or without the header of syslog.
//!
//! `10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0
//! {1wt.eu} {} "GET /index.html HTTP/1.1"`. Clients write cookies, captured headers and the request, all behind the
//! address. HAProxy writes their quotes and braces as `#22`.

use std::borrow::Cow;

use super::{
    Reader, Unparsed,
    address::{before_port, is_unix},
    escape::Escape,
    request::set_line,
    scan::{cut, status},
};
use crate::Event;

/// Reads the message of a line. A line about a connection without request (TLS that failed, `option tcplog`) gives the
/// peer and its text as message.
pub(super) fn read<'a>(line: &'a [u8], reader: &Reader) -> Result<Event<'a>, Unparsed> {
    // What HAProxy tells of itself ("Proxy web started.") has no time behind its first word.
    let (peer, rest) = cut(line, b' ').ok_or(Unparsed::Irrelevant)?;
    let (time, rest) = rest
        .strip_prefix(b"[")
        .and_then(|rest| cut(rest, b']'))
        .ok_or(Unparsed::Irrelevant)?;
    let rest = rest.strip_prefix(b" ").ok_or(Unparsed::Malformed)?;
    let peer = match before_port(peer) {
        Some(peer) => reader.peer(peer)?,
        None if is_unix(peer) => reader.peer(peer)?,
        None => return Err(Unparsed::NoAddress),
    };
    let mut event = Event {
        peer,
        time_ms: reader.clock.haproxy(time),
        ..Event::default()
    };
    if request(&mut event, rest).is_none() {
        event.message = Cow::Borrowed(rest);
    }
    Ok(event)
}

/// Sets status and request. None if the line is not of httplog; then nothing is set.
fn request<'a>(event: &mut Event<'a>, rest: &'a [u8]) -> Option<()> {
    // frontend backend/server timers status size
    let mut words = rest.splitn(6, |byte| *byte == b' ');
    let (_, server, timers, code) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let is_http =
        server.contains(&b'/') && timers.iter().filter(|byte| **byte == b'/').count() == 4;
    let rest = words.nth(1).filter(|_| is_http)?;
    // HAProxy cuts long lines, then the last quote is missing.
    let (_, request) = cut(rest, b'"')?;
    let request = cut(request, b'"').map_or(request, |(request, _)| request);
    event.status = status(code);
    set_line(event, request, Escape::Hash);
    Some(())
}

#[cfg(test)]
mod tests {
    use crate::{Format, Unparsed};

    const MESSAGE: &str = r#"192.0.2.7:33317 [01/Dec/2026:06:25:01.655] http-in~ static/srv1 10/0/30/69/+109 404 2750 - - ---- 1/1/1/1/0 0/0 {h.example|curl} {} "GET /a#22b?c HTTP/1.1""#;

    #[test]
    fn httplog_is_read_behind_any_header() {
        let mut format = Format::named("haproxy").unwrap();
        for header in [
            "",
            "Dec  1 06:25:01 lb1 haproxy[4711]: ",
            "Dec  1 06:25:01 haproxy[4711]: ",
            "<134>Dec  1 06:25:01 haproxy[4711]: ",
            "2026-12-01T06:25:01.700001+00:00 lb1 haproxy[4711]: ",
            "<134>1 2026-12-01T06:25:01.7Z lb1 haproxy 4711 - - ",
        ] {
            let line = format!("{header}{MESSAGE}");
            let event = format.parse(line.as_bytes()).unwrap();
            assert_eq!(event.peer, "192.0.2.7".parse().ok(), "{header}");
            assert_eq!(event.time_ms, Some(1_796_106_301_655));
            assert_eq!((event.status, event.method), (404, &b"GET"[..]));
            assert_eq!((&*event.path, &*event.query), (&b"/a\"b"[..], &b"c"[..]));
        }
    }

    #[test]
    fn requests_that_are_cut_bad_or_followed_by_tls_fields_are_read() {
        let mut format = Format::named("haproxy").unwrap();
        let (head, _) = MESSAGE.split_once(" \"GET").unwrap();
        for (tail, path, method) in [
            (r#" "<BADREQ>""#, "", ""),
            (r#" "GET /long"#, "/long", "GET"),
            (r#" "GET /a HTTP/1.1" 0/0/0/0/0 "sni"/TLSv1.3"#, "/a", "GET"),
        ] {
            let line = format!("{head}{tail}");
            let event = format.parse(line.as_bytes()).unwrap();
            assert_eq!(
                (&*event.path, event.method),
                (path.as_bytes(), method.as_bytes())
            );
        }
    }

    #[test]
    fn other_lines_of_haproxy_are_told_apart() {
        let mut format = Format::named("haproxy").unwrap();
        let event = format
            .parse(b"[2001:db8::1]:5 [x] ft")
            .map(|event| event.peer);
        assert_eq!(event, Ok("2001:db8::1".parse().ok()));
        let line = b"2001:db8::1:5555 [01/Dec/2026:06:25:01.655] in/1: SSL handshake failure";
        let event = format.parse(line).unwrap();
        assert_eq!(event.peer, "2001:db8::1".parse().ok());
        assert_eq!(
            (&*event.message, event.status),
            (&b"in/1: SSL handshake failure"[..], 0)
        );
        for (line, why) in [
            ("Proxy web started.", Unparsed::Irrelevant),
            ("", Unparsed::Irrelevant),
            (
                "192.0.2.7 [01/Dec/2026:06:25:01.655] a b",
                Unparsed::NoAddress,
            ),
            ("unix:1 [01/Dec/2026:06:25:01.655] a b", Unparsed::NoAddress),
            (
                "192.0.2.7:1 [01/Dec/2026:06:25:01.655]",
                Unparsed::Malformed,
            ),
        ] {
            assert_eq!(format.parse(line.as_bytes()), Err(why), "{line}");
        }
    }
}
