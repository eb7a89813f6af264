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
        assert!(event.forwarded.is_empty() && event.message.is_empty() && event.login.is_none());
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
fn the_line_before_changes_nothing() {
    let zone = LINE.replace("+0000", "+0100");
    let lines = [
        LINE.into(),
        LINE.replace("bob", "-"),
        LINE.replace("- bob", "x -"),
        LINE.replace("bob", "-").replace(":01 ", ":02 "),
        LINE.replace("bob", "-").replace(":01 ", ":0x "),
        LINE.replace("bob", "-").replace("] ", "]  "),
        zone.replace("bob", "-"),
        LINE.replace("1234", "-"),
        LINE.replace("1234", "123456789"),
        LINE.replace("1234", "12x"),
        LINE.replace("https://e.example/", "https://\\\"\\\\"),
    ];
    let mut used = Format::named("combined").unwrap();
    for before in &lines {
        for line in &lines {
            assert_eq!(
                used.parse(before.as_bytes()).err().is_some(),
                is_wrong(before)
            );
            let mut fresh = Format::named("combined").unwrap();
            let expected = fresh.parse(line.as_bytes());
            assert_eq!(expected.is_err(), is_wrong(line), "{line}");
            assert_eq!(used.parse(line.as_bytes()), expected, "{line}");
        }
    }
}

fn is_wrong(line: &str) -> bool {
    line.contains("12x") || line.contains("]  ")
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

#[test]
fn usual_fields_and_others_are_told_apart_as_before() {
    let mut format = Format::named("combined").unwrap();
    for (answer, status) in [
        ("401 12", Ok(401)),
        ("401 -", Ok(401)),
        ("000 12", Ok(0)),
        ("- 1", Ok(0)),
        ("- 12", Ok(0)),
        ("12 1", Err(Unparsed::Malformed)),
        ("4 4 1", Err(Unparsed::Malformed)),
        ("099 1", Err(Unparsed::Malformed)),
        ("4010 1", Err(Unparsed::Malformed)),
        ("401 ", Err(Unparsed::Malformed)),
        ("401", Err(Unparsed::Malformed)),
        ("401  1", Err(Unparsed::Malformed)),
        ("401 1 1", Err(Unparsed::Malformed)),
        ("401 1\\x", Err(Unparsed::Malformed)),
    ] {
        let line = LINE.replace("401 1234", answer);
        let event = format.parse(line.as_bytes());
        assert_eq!(event.map(|event| event.status), status, "{answer}");
    }
}

#[test]
fn lines_of_ipv4_are_read_as_those_of_other_addresses() {
    let (mut format, mut other) = (
        Format::named("combined").unwrap(),
        Format::named("combined").unwrap(),
    );
    for (from, to) in [
        (" - bob ", " - - "),
        (" - bob ", " - - - "),
        (" - bob ", " - \"b\" "),
        (" - bob ", " - "),
        (" - bob ", " ident bob marley "),
        ("+0000] ", "+0000]"),
        (" [01/Dec", " x[01/Dec"),
        ("2026", "20\\26"),
        ("192.0.2.7", "192.0.2.7 "),
    ] {
        let line = LINE.replace(from, to);
        let mapped = line.replace("192.0.2.7", "::ffff:192.0.2.7");
        let expected = other.parse(mapped.as_bytes());
        assert_eq!(format.parse(line.as_bytes()), expected, "{line}");
    }
}
