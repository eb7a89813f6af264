//! The access logs of nginx and Apache in their oldest layouts.

use std::borrow::Cow;

use super::{
    Given, Reader, Unparsed,
    clock::CLF,
    escape::Escape,
    request::set_line,
    scan::{cut, cut_last, cut_quote, number, status, unless_dash},
};
use crate::Event;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// `ADDR - USER [TIME] "REQUEST" STATUS SIZE`
    Common,
    /// The same and ` "REFERER" "AGENT"`.
    Combined,
    /// The same behind `HOST:PORT `, which Apache takes from its configuration.
    VhostCombined,
}

impl Access {
    pub(super) fn read<'a>(
        self,
        line: &'a [u8],
        reader: &mut Reader,
        given: Given,
    ) -> Result<Event<'a>, Unparsed> {
        let mut event = Event::default();
        let mut line = line;
        if self == Self::VhostCombined {
            let (host, rest) = cut(line, b' ').ok_or(Unparsed::Malformed)?;
            event.host = Cow::Borrowed(without_port(host));
            line = rest;
        }
        let rest = front(&mut event, line, reader)
            .ok_or(Unparsed::Malformed)
            .flatten()?;
        let complete = back(&mut event, rest, self != Self::Common);
        if complete.is_none() && given == Given::Line {
            return Err(Unparsed::Malformed);
        }
        Ok(event)
    }
}

/// `ADDR - USER [TIME] "`. Gives what follows it; none if the layout is another one. The address is the first field, so
/// that no client's text stands before it.
fn front<'a>(
    event: &mut Event<'a>,
    line: &'a [u8],
    reader: &mut Reader,
) -> Option<Result<&'a [u8], Unparsed>> {
    let (peer, rest) = cut(line, b' ')?;
    let (head, rest) = cut_quote(rest)?;
    let (who, time) = head.split_at(head.len().checked_sub(CLF + 3)?);
    let time = time.strip_prefix(b"[")?.strip_suffix(b"] ")?;
    // Users may have spaces; the name in front of them is "-" unless Apache asks identd.
    let (_, user) = cut(who, b' ')?;
    event.time_ms = reader.clock.clf(time);
    event.user = Escape::Backslash.undo(unless_dash(user.strip_suffix(b" ")?));
    Some(reader.peer(peer).map(|peer| {
        event.peer = peer;
        rest
    }))
}

/// `REQUEST" STATUS SIZE`, with `more` also ` "REFERER" "AGENT"`. None at the first thing that is missing.
fn back<'a>(event: &mut Event<'a>, text: &'a [u8], more: bool) -> Option<()> {
    let Some((request, rest)) = cut_quote(text) else {
        set_line(event, text, Escape::Backslash);
        return None;
    };
    set_line(event, request, Escape::Backslash);
    let (code, rest) = cut(rest.strip_prefix(b" ")?, b' ')?;
    event.status = status(code);
    if event.status == 0 && code != b"-" && code != b"000" {
        return None;
    }
    if !more {
        return is_size(cut(rest, b' ').map_or(rest, |(size, _)| size));
    }
    let (size, rest) = cut(rest, b' ')?;
    is_size(size)?;
    let (_, rest) = cut_quote(rest.strip_prefix(b"\"")?)?;
    let (agent, _) = cut_quote(rest.strip_prefix(b" \"")?)?;
    event.agent = Escape::Backslash.undo(unless_dash(agent));
    Some(())
}

fn is_size(text: &[u8]) -> Option<()> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    (digits || text == b"-").then_some(())
}

/// The host of `host`, `host:80`, `[2001:db8::1]:80`.
pub(super) fn without_port(host: &[u8]) -> &[u8] {
    match cut_last(host, b':') {
        Some((name, port)) if number(port, 5).is_some() && !name.ends_with(b":") => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Format, Unparsed};

    const LINE: &str = r#"192.0.2.7 - bob [01/Dec/2026:06:25:01 +0000] "POST /a/../wp-login.php?x=1 HTTP/1.1" 401 1234 "https://e.example/\x22" "Mozilla/5.0 \"x\"""#;

    #[test]
    fn combined_is_read_field_by_field() {
        let mut format = Format::named("combined").unwrap();
        for end in ["", "\n", "\r\n", " \"further\" 0.003"] {
            let line = format!("{LINE}{end}");
            let event = format.parse(line.as_bytes()).unwrap();
            assert_eq!(event.peer, "192.0.2.7".parse().ok());
            assert_eq!(event.time_ms, Some(1_796_106_301_000));
            assert_eq!(
                (event.method, &*event.path, &*event.query),
                (&b"POST"[..], &b"/wp-login.php"[..], &b"x=1"[..])
            );
            assert_eq!((event.status, &*event.user), (401, &b"bob"[..]));
            assert_eq!(
                (&*event.agent, &*event.host),
                (&b"Mozilla/5.0 \"x\""[..], &b""[..])
            );
            assert!(
                event.forwarded.is_empty() && event.message.is_empty() && event.login.is_none()
            );
        }
    }

    #[test]
    fn common_and_vhost_combined_are_read() {
        let line = LINE.replace(" - bob ", " - a [b] c ");
        let line = line.split(" \"https").next().unwrap();
        let mut format = Format::named("common").unwrap();
        let event = format.parse(line.as_bytes()).unwrap();
        assert_eq!((&*event.user, event.status), (&b"a [b] c"[..], 401));
        let mut format = Format::named("vhost_combined").unwrap();
        for (host, expected) in [
            ("h.example:443", "h.example"),
            ("h.example", "h.example"),
            ("[::1]:80", "[::1]"),
        ] {
            let line = format!("{host} {LINE}");
            let event = format.parse(line.as_bytes()).unwrap();
            assert_eq!(&*event.host, expected.as_bytes());
            assert_eq!(event.peer, "192.0.2.7".parse().ok());
        }
    }

    #[test]
    fn other_lines_are_refused() {
        let mut format = Format::named("combined").unwrap();
        let mut parse = |line: &str| format.parse(line.as_bytes()).map(|_| ());
        assert_eq!(
            parse(&LINE.replace("192.0.2.7", "host.example")),
            Err(Unparsed::NoAddress)
        );
        assert_eq!(
            parse(&LINE.replace("192.0.2.7", "unix:")),
            Err(Unparsed::NoAddress)
        );
        for line in [
            "",
            " ",
            "\"",
            "192.0.2.7",
            "192.0.2.7 - - [",
            &LINE.replace("401", "40"),
            &LINE.replace("401", "x01"),
            &LINE.replace("\" 401", "\"401"),
            &LINE.replace("1234", "12 34"),
            &LINE.replace("] \"POST", "]\"POST"),
            &LINE[..LINE.len() - 1],
            &LINE.replace(" - bob", ""),
        ] {
            assert_eq!(parse(line), Err(Unparsed::Malformed), "{line}");
        }
        for cut in 0..LINE.len() {
            assert!(parse(&LINE[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_head_of_a_line_gives_what_is_complete() {
        let mut format = Format::named("combined").unwrap();
        let mut read = |upto: &str| {
            let end = LINE.find(upto).unwrap() + upto.len();
            format.parse_head(&LINE.as_bytes()[..end]).map(|event| {
                (
                    event.peer.is_some(),
                    event.method.to_vec(),
                    event.status,
                    event.agent.is_empty(),
                )
            })
        };
        assert_eq!(read("+0000] "), Err(Unparsed::Malformed));
        assert_eq!(read("POST /a/../wp"), Ok((true, b"POST".to_vec(), 0, true)));
        assert_eq!(read("HTTP/1.1\" 40"), Ok((true, b"POST".to_vec(), 0, true)));
        assert_eq!(read("401 "), Ok((true, b"POST".to_vec(), 401, true)));
        assert_eq!(read("Mozilla"), Ok((true, b"POST".to_vec(), 401, true)));
        assert_eq!(read("x\\\"\""), Ok((true, b"POST".to_vec(), 401, false)));
    }

    #[test]
    fn a_peer_on_a_unix_socket_is_taken_on_request() {
        let mut format = Format::named("combined").unwrap().accept_unix();
        let line = LINE.replace("192.0.2.7", "unix:");
        assert_eq!(
            format.parse(line.as_bytes()).unwrap().peer,
            "0.0.0.0".parse().ok()
        );
    }
}
