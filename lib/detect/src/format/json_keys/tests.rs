use std::net::IpAddr;

use crate::{Field, Format, FormatError, Unparsed};

const CADDY: &str = r#"{"level":"info","ts":1796106301.5241024,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"192.0.2.7","remote_port":"41342","client_ip":"6.6.6.6","proto":"HTTP/2.0","method":"GET","host":"h.example:8443","uri":"/a//b?c=\"","headers":{"User-Agent":["curl/7.82.0"],"X-Forwarded-For":["6.6.6.6","192.0.2.1"],"Accept":["*/*"]},"tls":{"resumed":false,"version":772}},"bytes_read":0,"user_id":"bob","duration":0.000929675,"size":10900,"status":404,"resp_headers":{"Server":["Caddy"],"User-Agent":["x"]}}"#;
const TRAEFIK: &str = r#"{"ClientAddr":"192.0.2.7:5555","ClientHost":"6.6.6.6","ClientPort":"5555","ClientUsername":"-","DownstreamStatus":404,"RequestAddr":"h.example:80","RequestHost":"h.example","RequestMethod":"GET","RequestPath":"/a?b","StartUTC":"2026-12-01T06:25:01.000000001Z","level":"info","msg":"","request_User-Agent":"curl","request_X-Forwarded-For":"6.6.6.6","time":"2026-12-01T06:25:02Z"}"#;
const NGINX: &str = r#"{"time_local":"01/Dec/2026:06:25:01 +0000","remote_addr":"2001:db8::7","remote_user":"-","request":"GET /a?b=\u0022 HTTP/1.1","status": "404","http_user_agent":"\"x\"","http_x_forwarded_for":"","host":"h.example","args":"b"}"#;

fn peer() -> Option<IpAddr> {
    "192.0.2.7".parse().ok()
}

#[test]
fn caddy_is_read_and_only_its_access_log() {
    let mut format = Format::named("caddy-json").unwrap();
    let event = format.parse(CADDY.as_bytes()).unwrap();
    assert_eq!(
        (event.peer, event.time_ms),
        (peer(), Some(1_796_106_301_524))
    );
    assert_eq!(
        (event.method, &*event.path, &*event.query),
        (&b"GET"[..], &b"/a/b"[..], &b"c=\""[..])
    );
    assert_eq!(
        (event.status, &*event.host, &*event.user),
        (404, &b"h.example"[..], &b"bob"[..])
    );
    assert_eq!(
        (&*event.agent, &*event.forwarded),
        (&b"curl/7.82.0"[..], &b"6.6.6.6, 192.0.2.1"[..])
    );
    let old = CADDY.replace(
        r#""remote_ip":"192.0.2.7","remote_port":"41342","#,
        r#""remote_addr":"[2001:db8::7]:41342","#,
    );
    assert_eq!(
        format.parse(old.as_bytes()).unwrap().peer,
        "2001:db8::7".parse().ok()
    );
    for line in [
        CADDY.replace("http.log.access", "http.log.error"),
        r#"{"level":"info","msg":"serving"}"#.to_owned(),
    ] {
        assert_eq!(format.parse(line.as_bytes()), Err(Unparsed::Irrelevant));
    }
}

#[test]
fn the_peer_of_traefik_is_never_its_client_host() {
    let mut format = Format::named("traefik-json").unwrap();
    let event = format.parse(TRAEFIK.as_bytes()).unwrap();
    assert_eq!(
        (event.peer, event.time_ms, event.status),
        (peer(), Some(1_796_106_301_000), 404)
    );
    assert_eq!(
        (&*event.path, &*event.query, &*event.host),
        (&b"/a"[..], &b"b"[..], &b"h.example"[..])
    );
    assert_eq!(
        (&*event.user, &*event.forwarded, &*event.agent),
        (&b""[..], &b"6.6.6.6"[..], &b"curl"[..])
    );
    let own_log = r#"{"level":"info","msg":"Starting provider","ClientHost":"6.6.6.6"}"#;
    assert_eq!(format.parse(own_log.as_bytes()), Err(Unparsed::Irrelevant));
}

#[test]
fn nginx_is_read_by_the_names_of_its_variables() {
    let mut format = Format::named("nginx-json").unwrap();
    let event = format.parse(NGINX.as_bytes()).unwrap();
    assert_eq!(
        (event.peer, event.status),
        ("2001:db8::7".parse().ok(), 404)
    );
    assert_eq!(event.time_ms, Some(1_796_106_301_000));
    assert_eq!(
        (event.method, &*event.path, &*event.query),
        (&b"GET"[..], &b"/a"[..], &b"b=\""[..])
    );
    assert_eq!(
        (&*event.agent, &*event.user, &*event.forwarded),
        (&b"\"x\""[..], &b""[..], &b""[..])
    );
    let line = NGINX.replace(
        r#""request":"GET /a?b=\u0022 HTTP/1.1""#,
        r#""request_method":"PUT","uri":"/x""#,
    );
    let event = format.parse(line.as_bytes()).unwrap();
    assert_eq!(
        (event.method, &*event.path, &*event.query),
        (&b"PUT"[..], &b"/x"[..], &b"b"[..])
    );
}

#[test]
fn keys_of_ones_own_are_read() {
    let keys = [
        (Field::Peer, "source.ip"),
        (Field::Time, "@timestamp"),
        (Field::Status, r"http\.status"),
        (Field::Path, "url.path"),
        (Field::Query, "url.query"),
    ];
    let mut format = Format::json(&keys).unwrap();
    let line = br#"{"@timestamp":1796106301000,"source":{"ip":"::ffff:192.0.2.7"},"http.status":"403","url":{"path":"/a","query":"b"}}"#;
    let event = format.parse(line).unwrap();
    assert_eq!(
        (event.peer, event.time_ms, event.status),
        (peer(), Some(1_796_106_301_000), 403)
    );
    assert_eq!((&*event.path, &*event.query), (&b"/a"[..], &b"b"[..]));
    let mut message = Format::json(&[(Field::Message, "msg")]).unwrap();
    assert_eq!(
        &*message.parse(br#"{"msg":"a b"}"#).unwrap().message,
        b"a b"
    );
    assert_eq!(message.parse(b"{}"), Err(Unparsed::Irrelevant));
}

#[test]
fn keys_that_make_no_sense_are_refused() {
    let refuse = |keys: &[(Field, &str)]| Format::json(keys).map(|_| ()).unwrap_err();
    assert!(matches!(refuse(&[]), FormatError::NoAddress(_)));
    assert!(matches!(
        refuse(&[(Field::Path, "a")]),
        FormatError::NoAddress(_)
    ));
    for key in ["", ".", "a.", "a.b", "a"] {
        let error = refuse(&[(Field::Peer, "a"), (Field::Path, key)]);
        assert!(
            matches!(&error, FormatError::Key(name, _) if name == key),
            "{error}"
        );
    }
    let many: Vec<_> = (0..40).map(|n| format!("k{n}")).collect();
    let many: Vec<_> = many.iter().map(|key| (Field::Peer, key.as_str())).collect();
    assert!(matches!(refuse(&many), FormatError::TooMany(23)));
}

#[test]
fn an_address_that_is_none_is_said_so() {
    let mut format = Format::named("nginx-json").unwrap();
    for (text, why) in [
        (r#""unix:""#, Unparsed::NoAddress),
        (r#""h.example""#, Unparsed::NoAddress),
        (r#""""#, Unparsed::NoAddress),
        (r#"["192.0.2.7"]"#, Unparsed::NoAddress),
        (r#"{"a":"192.0.2.7"}"#, Unparsed::Irrelevant),
        ("null", Unparsed::Irrelevant),
    ] {
        let line = format!(r#"{{"remote_addr":{text},"status":404}}"#);
        assert_eq!(format.parse(line.as_bytes()), Err(why), "{line}");
    }
    let line = NGINX.replace(r#""args":"b""#, r#""remote_addr":"6.6.6.6""#);
    assert_eq!(format.parse(line.as_bytes()), Err(Unparsed::Ambiguous));
}

#[test]
fn the_head_of_a_line_gives_the_values_that_are_whole() {
    let mut format = Format::named("caddy-json").unwrap();
    let mut read = |upto: &str| {
        let end = CADDY.find(upto).unwrap() + upto.len();
        format
            .parse_head(&CADDY.as_bytes()[..end])
            .map(|event| (event.peer, event.path.len(), event.status))
    };
    assert_eq!(read("192.0.2.7"), Err(Unparsed::Irrelevant));
    assert_eq!(read("GET"), Ok((peer(), 0, 0)));
    assert_eq!(read("/a//b?"), Ok((peer(), 0, 0)));
    assert_eq!(read("curl"), Ok((peer(), 4, 0)));
    assert_eq!(read("404,"), Ok((peer(), 4, 404)));
}

#[test]
fn fragments_and_white_space_do_not_hide_a_path() {
    let keys = [
        (Field::Peer, "a"),
        (Field::Path, "u"),
        (Field::Request, "r"),
    ];
    let mut format = Format::json(&keys).unwrap();
    for field in [
        r#""u":"/login#/../x""#,
        r#""u":"a-b+c://x/login""#,
        r#""r":"GET  /login#x  HTTP/1.1 ""#,
        r#""r":"GET\t/login\tHTTP/1.1""#,
        r#""r":"GET /login""#,
    ] {
        let line = format!(r#"{{"a":"192.0.2.7",{field}}}"#);
        let event = format.parse(line.as_bytes()).unwrap();
        assert_eq!(&*event.path, b"/login", "{line}");
    }
}
