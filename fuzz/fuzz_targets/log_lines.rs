//! Lines of logs. Any bytes go through every format, wrapped or not: no panic, whatever they are. Then the same bytes are
//! what a client sends, in fields that the byte 0x1e parts, to servers whose log writers escape as they should: the
//! address that is read is the one that the server wrote.
#![no_main]

use std::{cell::RefCell, collections::HashMap};

use couic_detect::{Container, FORMATS, Format, Unparsed};
use libfuzzer_sys::fuzz_target;

use self::writers::{Sent, lines, sshd_lines};

#[path = "../../lib/detect/src/format/tests/writers.rs"]
mod writers;

const PEER: &str = "192.0.2.7";
const OUTER: [&str; 4] = ["", "docker:", "cri:", "syslog:"];

thread_local! {
    static OPENED: RefCell<HashMap<String, Format>> = RefCell::default();
}

fuzz_target!(|bytes: &[u8]| {
    any_bytes(bytes);
    let mut parts = bytes.split(|byte| *byte == 0x1e).map(<[u8]>::to_vec);
    let mut next = || parts.next().unwrap_or_default();
    let sent = Sent {
        target: next(),
        user: next(),
        host: next(),
        referer: next(),
        agent: next(),
        forwarded: next(),
    };
    for written in lines(&sent, PEER) {
        let mut format = open(&written.format);
        let peer = format.parse(&written.line).map(|event| event.peer);
        assert_eq!(peer, Ok(PEER.parse().ok()), "{}", shown(&written.line));
        let head = &written.line[..bytes.len() % written.line.len()];
        let peer = open(&written.format)
            .parse_head(head)
            .map(|event| event.peer);
        assert!(
            peer.is_err() || peer == Ok(PEER.parse().ok()),
            "{}",
            shown(head)
        );
    }
    for written in sshd_lines(&sent.user, PEER) {
        let mut format = open(&written.format);
        match format.parse(&written.line).map(|event| event.peer) {
            Ok(peer) => assert_eq!(peer, PEER.parse().ok(), "{}", shown(&written.line)),
            Err(why) => assert!(
                matches!(why, Unparsed::Ambiguous | Unparsed::Irrelevant),
                "{why}: {}",
                shown(&written.line)
            ),
        }
    }
});

/// As the lines of a stream, so that the parts of a container's line are joined.
fn any_bytes(bytes: &[u8]) {
    for name in FORMATS {
        for outer in OUTER {
            let mut format = open(&format!("{outer}{name}"));
            format.set_clock(1_796_106_301_000, 3600);
            for line in bytes.split(|byte| *byte == b'\n') {
                let _ = format.parse(line).map(|event| event.time_ms);
                let _ = format.parse_head(line).map(|event| event.time_ms);
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(mut format) = Format::fields(text)
    {
        let _ = format.parse(bytes);
    }
}

fn open(name: &str) -> Format {
    OPENED.with_borrow_mut(|opened| {
        if !opened.contains_key(name) {
            opened.insert(name.to_owned(), compile(name));
        }
        opened[name].clone()
    })
}

fn compile(name: &str) -> Format {
    if let Some(layout) = name.strip_prefix("fields:") {
        return Format::fields(layout).expect("a layout that compiles");
    }
    let (outer, name) = name.split_once(':').unwrap_or(("", name));
    let format = Format::named(name).expect("a format");
    match outer {
        "docker" => format.within(Container::Docker),
        "cri" => format.within(Container::Cri),
        "syslog" => format.behind_syslog(),
        _ => format,
    }
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}
