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

fn fields(method: &str, path: &str, query: &str, host: &str) -> (String, String, String, String) {
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
    for junk in [
        "GET",
        "GET HTTP/1.1",
        "GET x",
        "HELP me",
        "SSH-2.0-Go",
        "OPTIONS sip:x SIP/2.0",
        "(x) / HTTP/1.1",
        "/ HTTP/1.1",
    ] {
        assert_eq!(read(junk), fields("", junk, "", ""));
    }
    for nothing in ["", "-", "<BADREQ>"] {
        assert_eq!(read(nothing), fields("", "", "", ""), "{nothing}");
    }
}

#[test]
fn whatever_servers_answer_as_login_is_login() {
    for (method, line) in [
        ("GET", "GET /login#x HTTP/1.1"),
        ("GET", "GET /login#/../../zzz HTTP/1.1"),
        ("GET", "GET /login#x?y HTTP/1.1"),
        ("GET", "GET /login# HTTP/1.1"),
        ("GET", "GET /login"),
        ("GET", "GET /login "),
        ("GET", "GET  /login  HTTP/1.1"),
        ("POST", "POST /login HTTP/1.1 "),
        ("GET", " GET /login HTTP/1.1"),
        ("GET", r"GET\x09/login\tHTTP/1.1\x0D"),
        ("GET", "GET\t/login\tHTTP/1.1"),
        ("get", "get /login http/1.1"),
        ("X0!", "X0! /login HTTP/1.1"),
        ("GET", "GET //login HTTP/1.1"),
        ("GET", "GET /%2flogin HTTP/1.1"),
        ("GET", "GET http:///login HTTP/1.1"),
        ("GET", "GET h:////login"),
    ] {
        assert_eq!(read(line), fields(method, "/login", "", ""), "{line}");
    }
    let long = "A".repeat(99);
    let read_long = read(&format!("{long} /login HTTP/1.1"));
    assert_eq!(read_long, fields(&long, "/login", "", ""));
    for line in ["GET h://x/login HTTP/1.1", "GET a-b+c.1://x/login#y"] {
        assert_eq!(read(line), fields("GET", "/login", "", "x"), "{line}");
    }
    let query = read("GET /login?a b#c");
    assert_eq!(query, fields("GET", "/login", "a b", ""));
}

#[test]
fn what_servers_take_for_other_paths_stays_another_path() {
    for (target, path) in [
        ("/login;x=/..", "/"),
        ("/login;x", "/login;x"),
        ("/login%23x", "/login#x"),
        ("/login%3fx", "/login?x"),
        (r"/login\\x", r"/login\x"),
        (r"\\login", r"\login"),
        ("1h://x/login", "1h://x/login"),
    ] {
        let line = format!("GET {target} HTTP/1.1");
        assert_eq!(read(&line), fields("GET", path, "", ""), "{line}");
    }
    let root = |line| read(line).1;
    assert_eq!(root("GET h://x HTTP/1.1"), "/");
    assert_eq!(root("GET h://x?y HTTP/1.1"), "/");
    assert_eq!(root("GET h://x#y HTTP/1.1"), "/");
}
