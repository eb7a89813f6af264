use crate::{Format, FormatError, Unparsed};

const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;
const LINE: &str = r#"192.0.2.7 - a [b] - c [01/Dec/2026:06:25:01 +0000] "POST /a//b?c=\x22 HTTP/1.1" 401 1234 "-" "x\x22""#;

#[test]
fn nginx_combined_reads_as_the_splitter_of_that_name_does() {
    let mut compiled = Format::fields(COMBINED).unwrap();
    let mut written = Format::named("combined").unwrap();
    for line in [
        LINE,
        &LINE.replace(" - a [b] - c ", " - - "),
        &LINE.replace("POST", "DELETE"),
    ] {
        let event = compiled.parse(line.as_bytes()).unwrap();
        assert_eq!(event, written.parse(line.as_bytes()).unwrap());
        assert_eq!(event.peer, "192.0.2.7".parse().ok());
    }
    for line in [
        "",
        "192.0.2.7",
        &LINE.replace("] \"", "]\""),
        &format!("{LINE} x"),
        &LINE[..LINE.len() - 1],
    ] {
        assert_eq!(
            compiled.parse(line.as_bytes()),
            Err(Unparsed::Malformed),
            "{line}"
        );
    }
    assert_eq!(
        compiled.parse(LINE.replace("192.0.2.7", "h").as_bytes()),
        Err(Unparsed::NoAddress)
    );
}

#[test]
fn other_layouts_are_read() {
    for (layout, line) in [
        ("$remote_addr $request", "192.0.2.7 GET /a?b HTTP/1.1"),
        (
            "$request $status $remote_addr",
            "GET /a?b HTTP/1.1 404 192.0.2.7",
        ),
        (
            r#"[$time_local] "$host" ${remote_addr} $status "$request_method" "$request_uri""#,
            r#"[01/Dec/2026:06:25:01 +0000] "h" 192.0.2.7 404 "GET" "/a?b""#,
        ),
        (
            r"$host\t$remote_addr\t$request_method\t$request_uri\t$status",
            "h\t192.0.2.7\tGET\t/a?b\t404",
        ),
        (
            r#"{"ip":"$remote_addr","r":"$request"}"#,
            r#"{"ip":"192.0.2.7","r":"GET /a?b HTTP/1.1"}"#,
        ),
        (
            r#"$http_x $time_local $proxy_protocol_addr "$request""#,
            r#"a 6.6.6.6 01/Dec/2026:06:25:01 +0000 192.0.2.7 "GET /a?b HTTP/1.1""#,
        ),
        (
            r#"$time_iso8601 $msec $remote_addr "$scheme://$host$request_uri" "$request_method" "$uri" "$args""#,
            r#"2026-12-01T06:25:01+00:00 1796106301.000 192.0.2.7 "https://h/x" "GET" "/a" "b""#,
        ),
        (
            r#"$server_name:$server_port $remote_addr - "$request" $upstream_response_time $upstream_addr"#,
            r#"h:443 192.0.2.7 - "GET /a?b HTTP/1.1" 0.1, 0.2 10.0.0.1:80, 10.0.0.2:80"#,
        ),
        (
            r#"$remote_addr é "$request" \\"#,
            r#"192.0.2.7 é "GET /a?b HTTP/1.1" \"#,
        ),
    ] {
        let mut format = Format::fields(layout)
            .map_err(|error| format!("{layout}: {error}"))
            .unwrap();
        let event = format
            .parse(line.as_bytes())
            .map_err(|error| format!("{layout}: {error}"))
            .unwrap();
        assert_eq!(event.peer, "192.0.2.7".parse().ok(), "{layout}");
        assert_eq!(
            (event.method, &*event.path, &*event.query),
            (&b"GET"[..], &b"/a"[..], &b"b"[..]),
            "{layout}"
        );
        if layout.contains("$time") {
            assert_eq!(event.time_ms, Some(1_796_106_301_000), "{layout}");
        }
    }
}

#[test]
fn the_header_of_proxies_is_read_where_it_cannot_be_mistaken() {
    for (layout, line) in [
        (
            r#"$remote_addr "$http_x_forwarded_for" $host"#,
            r#"192.0.2.7 "6.6.6.6, 192.0.2.1" h"#,
        ),
        (
            "$remote_addr $http_x_forwarded_for $status",
            "192.0.2.7 6.6.6.6, 192.0.2.1 404",
        ),
    ] {
        let mut format = Format::fields(layout).unwrap();
        let event = format.parse(line.as_bytes()).unwrap();
        assert_eq!(&*event.forwarded, b"6.6.6.6, 192.0.2.1", "{layout}");
    }
    let mut main = Format::named("nginx-main").unwrap();
    let line = format!(r#"{LINE} "-""#);
    assert!(main.parse(line.as_bytes()).unwrap().forwarded.is_empty());
}

#[test]
fn layouts_in_which_a_client_could_write_the_address_are_refused() {
    for (layout, address, text) in [
        ("$http_x $remote_addr $host", "$remote_addr", "$http_x"),
        (
            "$host $remote_addr - $remote_user [$time_local]",
            "$remote_addr",
            "$host",
        ),
        (
            "$remote_user$remote_addr",
            "$remote_user$remote_addr",
            "$remote_user$remote_addr",
        ),
        (
            "$remote_addr$host",
            "$remote_addr$host",
            "$remote_addr$host",
        ),
        (
            "$remote_addr $http_x_forwarded_for $host",
            "$http_x_forwarded_for",
            "$host",
        ),
        (
            "$remote_addr $status$http_x_forwarded_for",
            "$status$http_x_forwarded_for",
            "$status$http_x_forwarded_for",
        ),
        (
            "'$request' $remote_addr '$http_user_agent'",
            "$remote_addr",
            "$request",
        ),
    ] {
        let error = Format::fields(layout).map(|_| ()).unwrap_err();
        let expected = FormatError::Ambiguous {
            address: address.to_owned(),
            text: text.to_owned(),
        };
        assert_eq!(error, expected, "{layout}");
        assert!(error.to_string().contains("quotes"));
    }
}

#[test]
fn layouts_that_make_no_sense_are_refused() {
    let error = |layout: &str| Format::fields(layout).map(|_| ()).unwrap_err();
    for layout in ["", "x", "$status", "\"$request\""] {
        assert_eq!(
            error(layout),
            FormatError::NoAddress("$remote_addr"),
            "{layout}"
        );
    }
    for layout in ["$", "$ ", "$remote_addr ${status", "${}", "$-"] {
        assert!(
            matches!(error(layout), FormatError::Variable(_)),
            "{layout}"
        );
    }
    assert!(matches!(
        error(&"$remote_addr ".repeat(65)),
        FormatError::TooMany(_)
    ));
    assert!(matches!(error(&"\"".repeat(200)), FormatError::TooMany(_)));
}

#[test]
fn the_head_of_a_line_gives_the_segments_that_are_whole() {
    let mut format = Format::fields(COMBINED).unwrap();
    for (upto, expected) in [
        ("192.0.2.7 - ", Err(Unparsed::Malformed)),
        ("POST /a", Ok((0, 0))),
        ("HTTP/1.1\" 401", Ok((4, 0))),
        ("401 1234 \"", Ok((4, 401))),
        ("\"x", Ok((4, 401))),
    ] {
        let head = &LINE.as_bytes()[..LINE.find(upto).unwrap() + upto.len()];
        let read = format
            .parse_head(head)
            .map(|event| (event.path.len(), event.status));
        assert_eq!(read, expected, "{upto}");
    }
}
