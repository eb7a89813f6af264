//! What clients write never becomes an address: a table of tricks over all formats and fields, and any bytes at all.

use std::borrow::Cow;

use proptest::prelude::*;

use super::writers::{Sent, Written, lines, sshd_lines};
use crate::{Client, Container, Event, Format, Nets, Trusted, Unparsed};

const PROXY: &str = "10.0.0.1";
const CLIENT: &str = "192.0.2.7";
const FORGED: &str = "6.6.6.6";

/// What clients try.
const TRICKS: &[&str] = &[
    "",
    "-",
    " ",
    "6.6.6.6",
    " 6.6.6.6 ",
    "6.6.6.6:80",
    "[::ffff:6.6.6.6]:80",
    "x, 6.6.6.6",
    "6.6.6.6, 10.0.0.1",
    r#"6.6.6.6 - - [01/Dec/2026:06:25:01 +0000] "GET / HTTP/1.1" 401 0 "-" "-""#,
    "x\n6.6.6.6 - - [01/Dec/2026:06:25:01 +0000] \"GET / HTTP/1.1\" 401 0 \"-\" \"-\"",
    r#"x] "GET / HTTP/1.1" 404 1 "-" "6.6.6.6"#,
    r#"" 200 0 "-" "-" 6.6.6.6"#,
    r#"\" 6.6.6.6 - "#,
    r#"\\" 404 1 "6.6.6.6" ""#,
    r"\x22 404 1 \x22-\x22 6.6.6.6",
    r"\",
    r"\\",
    "\"",
    " [01/Dec/2026:06:25:01 +0000] ",
    "a [01/Dec/2026:06:25:01 +0000] 404",
    "\t6.6.6.6\t404\t",
    "404 6.6.6.6",
    r#"","remote_addr":"6.6.6.6","x":""#,
    r#"x","request":{"remote_ip":"6.6.6.6"},"y":""#,
    r#"x"}},"request":{"remote_ip":"6.6.6.6"#,
    r#"\","ClientAddr":"6.6.6.6:1"#,
    "\\u0022,\\u0022ClientAddr\\u0022:\\u00226.6.6.6:1\\u0022",
    "{\"remote_addr\":\"6.6.6.6\",\"status\":404}",
    "\\n\",\"log\":\"6.6.6.6 - - ",
    "x from 6.6.6.6 port 1 ssh2",
    "x from 6.6.6.6 port 1 ssh2: RSA SHA256:x",
    "x from 6.6.6.6 port 1 ssh2 [preauth]",
    "x from 6.6.6.6",
    "invalid user x from 6.6.6.6 port 1",
    "x 6.6.6.6 port 1 [preauth]",
    "x 6.6.6.6 port 1: Too many authentication failures [preauth]",
    "6.6.6.6 port 1: y",
    "x' from 6.6.6.6 port 1",
    "from",
    "from 6.6.6.6 from",
    "\nDec  1 06:25:01 h sshd[1]: Failed password for root from 6.6.6.6 port 1 ssh2",
    "]\nFailed password for root from 6.6.6.6 port 1 ssh2",
    "message repeated 2 times: [ Failed password for root from 6.6.6.6 port 1 ssh2]",
    "6.6.6.6:80 [01/Dec/2026:06:25:01.655] a b/c 0/0/0/0/0 404 0 - - ---- 1/1/1/1/0 0/0 \"GET / HTTP/1.1\"",
    "} {6.6.6.6} \"GET / HTTP/1.1\"",
    "#22 6.6.6.6 #22",
    "\n2026-12-01T06:25:02Z stdout F 6.6.6.6 - - [01/Dec/2026:06:25:01 +0000] \"GET / HTTP/1.1\" 401 0 \"-\" \"-\"",
    "<190>Dec  1 06:25:01 h nginx: 6.6.6.6 - - ",
    "h: 6.6.6.6 - - [01/Dec/2026:06:25:01 +0000]",
    "\0 6.6.6.6",
    "\r\n\r\n6.6.6.6",
    "http://6.6.6.6/",
    "%0a6.6.6.6%20-%20-",
];

fn open(name: &str) -> Format {
    if let Some(layout) = name.strip_prefix("fields:") {
        return Format::fields(layout).unwrap();
    }
    let (outer, name) = name.split_once(':').unwrap_or(("", name));
    let format = Format::named(name).unwrap();
    match outer {
        "docker" => format.within(Container::Docker),
        "cri" => format.within(Container::Cri),
        "syslog" => format.behind_syslog(),
        _ => format,
    }
}

/// The client of what was written through the trusted proxy, or the peer where the format has no header.
fn client(event: &Event<'_>) -> Client {
    let nets: Nets = std::iter::once(PROXY.parse().unwrap()).collect();
    Trusted::new(nets).client(event.peer.unwrap(), &event.forwarded)
}

/// The fields that clients write, by name.
fn sent(field: usize, text: &[u8]) -> (&'static str, Sent) {
    let mut sent = Sent {
        target: b"/a?b".to_vec(),
        agent: b"curl".to_vec(),
        ..Sent::default()
    };
    let (name, place) = match field {
        0 => ("target", &mut sent.target),
        1 => ("user", &mut sent.user),
        2 => ("host", &mut sent.host),
        3 => ("referer", &mut sent.referer),
        4 => ("agent", &mut sent.agent),
        _ => ("forwarded", &mut sent.forwarded),
    };
    text.clone_into(place);
    (name, sent)
}

#[track_caller]
fn check_web(written: &Written, peer: &str) -> Result<(), TestCaseError> {
    let mut format = open(&written.format);
    let line = String::from_utf8_lossy(&written.line).into_owned();
    let event = format.parse(&written.line);
    let event =
        event.map_err(|why| TestCaseError::fail(format!("{}: {why}: {line}", written.format)))?;
    prop_assert_eq!(
        event.peer,
        peer.parse().ok(),
        "{}: {}",
        written.format,
        line
    );
    if peer == PROXY {
        let expected = if event.forwarded.is_empty() {
            Client::Proxy(PROXY.parse().unwrap())
        } else {
            Client::Known(CLIENT.parse().unwrap())
        };
        prop_assert_eq!(client(&event), expected, "{}: {}", written.format, line);
    }
    Ok(())
}

/// Gives whether the line was read.
fn check_sshd(written: &Written) -> Result<bool, TestCaseError> {
    let mut format = open(&written.format);
    let line = String::from_utf8_lossy(&written.line).into_owned();
    match format.parse(&written.line) {
        Ok(event) => prop_assert_eq!(event.peer, CLIENT.parse().ok(), "{}", line),
        Err(why) => {
            prop_assert!(
                matches!(why, Unparsed::Ambiguous | Unparsed::Irrelevant),
                "{}: {}",
                why,
                line
            );
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a trusted proxy makes of the header.
fn append(forwarded: &mut Vec<u8>) {
    if !forwarded.is_empty() {
        forwarded.extend_from_slice(b", ");
    }
    forwarded.extend_from_slice(CLIENT.as_bytes());
}

#[test]
fn tricks_in_web_logs_never_change_the_address() {
    let mut cases = 0;
    for trick in TRICKS {
        for field in 0..6 {
            let (name, mut sent) = sent(field, trick.as_bytes());
            for peer in [CLIENT, "2001:db8::7", PROXY] {
                if peer == PROXY {
                    append(&mut sent.forwarded);
                }
                for written in lines(&sent, peer) {
                    check_web(&written, peer)
                        .map_err(|error| format!("{trick:?} as {name}: {error}"))
                        .unwrap();
                    cases += 1;
                }
            }
        }
    }
    assert!(cases >= 10_000, "{cases}");
}

#[test]
fn tricks_in_names_of_users_never_change_the_address() {
    let (mut cases, mut read) = (0, 0);
    for trick in TRICKS {
        for written in sshd_lines(trick.as_bytes(), CLIENT) {
            read += usize::from(check_sshd(&written).unwrap());
            cases += 1;
        }
    }
    assert!(cases >= 2000 && read * 10 >= cases * 7, "{read} of {cases}");
}

#[test]
fn formats_without_fields_have_no_address() {
    for name in ["plain", "syslog"] {
        for trick in TRICKS {
            assert_eq!(
                open(name).parse(trick.as_bytes()).map(|event| event.peer),
                Ok(None)
            );
        }
    }
    assert!(
        crate::FORMATS
            .iter()
            .all(|name| Format::named(name).is_some())
    );
    assert!(Format::named("auto").is_none());
}

/// Bytes that matter to one of the formats, or any.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        prop::sample::select(TRICKS).prop_map(|trick| trick.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
        prop::collection::vec(
            prop::sample::select(b"\"\\ []{}#|:,-\t\n/.06".as_slice()),
            0..20
        ),
        Just(FORGED.as_bytes().to_vec()),
    ];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn bytes_of_clients_never_change_the_peer(
        target in hostile(), user in hostile(), host in hostile(), referer in hostile(), agent in hostile(),
        forwarded in hostile(), peer in prop::sample::select(vec![CLIENT, "2001:db8::7", PROXY]),
    ) {
        let mut sent = Sent { target, user, host, referer, agent, forwarded };
        if peer == PROXY {
            append(&mut sent.forwarded);
        }
        for written in lines(&sent, peer) {
            check_web(&written, peer)?;
        }
    }

    #[test]
    fn bytes_in_names_of_users_never_change_the_peer(user in hostile()) {
        for written in sshd_lines(&user, CLIENT) {
            check_sshd(&written)?;
        }
    }

    #[test]
    fn wherever_a_line_is_cut_its_head_has_no_other_peer(user in hostile(), agent in hostile(), at: prop::sample::Index) {
        let sent = Sent { target: b"/".to_vec(), user: user.clone(), agent, ..Sent::default() };
        for written in lines(&sent, CLIENT).into_iter().chain(sshd_lines(&user, CLIENT)) {
            let head = &written.line[..at.index(written.line.len())];
            if let Ok(event) = open(&written.format).parse_head(head) {
                prop_assert_eq!(event.peer, CLIENT.parse().ok(), "{}", String::from_utf8_lossy(head));
            }
        }
    }

    #[test]
    fn lines_of_any_bytes_are_no_panic(parts in prop::collection::vec(hostile(), 0..4)) {
        for name in crate::FORMATS {
            for outer in ["", "docker:", "cri:", "syslog:"] {
                let mut format = open(&format!("{outer}{name}"));
                for line in &parts {
                    let _ = format.parse(line).map(|event| event.time_ms);
                }
            }
        }
    }

    #[test]
    fn lines_with_a_changed_byte_are_no_panic(field in 0_usize..6, at: prop::sample::Index, byte: u8) {
        let (_, sent) = sent(field, b"x");
        for mut written in lines(&sent, CLIENT).into_iter().chain(sshd_lines(b"x", CLIENT)) {
            let at = at.index(written.line.len());
            written.line[at] = byte;
            let _ = open(&written.format).parse(&written.line).map(|event| event.status);
            let _ = open(&written.format).parse_head(&written.line).map(|event| event.status);
            written.line.truncate(at);
            let _ = open(&written.format).parse(&written.line).map(|event| event.status);
        }
    }
}

#[test]
fn text_without_escapes_is_borrowed() {
    let (_, sent) = sent(0, b"/index.html?a=b");
    for written in lines(&sent, CLIENT) {
        let mut format = open(&written.format);
        let event = format.parse(&written.line).unwrap();
        for text in [
            &event.path,
            &event.query,
            &event.agent,
            &event.user,
            &event.host,
        ] {
            let borrowed = text.is_empty() || matches!(text, Cow::Borrowed(_));
            assert!(borrowed, "{}", written.format);
        }
    }
}
