//! What servers send in place of a list of [`GOOD`] hosts.

use std::io::Write;

use couic_testkit::Reply;

use super::{list, ok};

/// Hosts of the list that was good.
pub(crate) const GOOD: u32 = 300;

/// A reply, and a word of what is told of it.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) reply: Reply,
    pub(crate) expected: &'static str,
}

pub(crate) fn all() -> Vec<Case> {
    let groups = [
        told("fewer than min_entries", without_networks()),
        told("web page", web_pages()),
        told("charset", other_charsets()),
        told(
            "cannot be read",
            vec![("garbage", ok(list(GOOD).replace(".1.0.", ".x.0.")))],
        ),
        told(
            "longer than 64 KiB",
            vec![("one line", ok(list(GOOD).replace('\n', " ").repeat(40)))],
        ),
        told("1/4 of the Internet", vec![("much of it", ok(much()))]),
        told("held back", other_lists()),
        told("larger than max_bytes", endless()),
        told(
            "gzip",
            vec![("half a gzip", bytes(halved(gzip(list(GOOD).as_bytes()))))],
        ),
        told(
            "packed in a way",
            vec![(
                "an unasked encoding",
                ok(list(GOOD)).with("content-encoding", "br"),
            )],
        ),
        told("responded with", statuses()),
        told(
            "redirects more than 5 times",
            vec![("a loop", redirect("/list"))],
        ),
        told("error", broken()),
    ];
    groups.concat()
}

fn told(expected: &'static str, cases: Vec<(&'static str, Reply)>) -> Vec<Case> {
    let case = |(what, reply)| Case {
        what,
        reply,
        expected,
    };
    cases.into_iter().map(case).collect()
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(plain).unwrap();
    packer.finish().unwrap()
}

pub(crate) fn redirect(to: &str) -> Reply {
    Reply::status(302).with("location", to)
}

fn bytes(body: Vec<u8>) -> Reply {
    Reply::Answer {
        status: 200,
        headers: Vec::new(),
        body,
    }
}

fn halved(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() / 2);
    bytes
}

fn without_networks() -> Vec<(&'static str, Reply)> {
    vec![
        ("empty", ok("")),
        ("blank lines", ok("\n".repeat(1000))),
        ("a million comments", ok("# nothing\n".repeat(1_000_000))),
        ("duplicates of a line", ok("9.1.0.0\n".repeat(1000))),
        ("all of the Internet", ok("0.0.0.0/0\n::/0\n")),
        ("halves of the Internet", ok("0.0.0.0/1\n128.0.0.0/1\n")),
        (
            "a last line that was cut from /24 to /2",
            ok("9.1.0.0/24\n9.1.1.0/2"),
        ),
        (
            "bogons",
            ok("10.0.0.0/8\n192.168.0.0/16\n127.0.0.1\nfe80::/10\n"),
        ),
        ("its own network", ok("9.9.9.0/24\n")),
    ]
}

fn web_pages() -> Vec<(&'static str, Reply)> {
    let late = format!("# list\n<html>\n{}", list(GOOD));
    vec![
        (
            "HTML with 200",
            ok("<!DOCTYPE html><html>Please log in</html>"),
        ),
        ("HTML behind a comment", ok(late)),
    ]
}

fn other_charsets() -> Vec<(&'static str, Reply)> {
    let utf16 = list(GOOD)
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    vec![
        ("binary", bytes([0xff, 0, 0x7f, 0].repeat(1000))),
        ("UTF-16", bytes(utf16)),
    ]
}

/// A network of a quarter of each /8.
fn much() -> String {
    let quarters = |n| {
        [0, 64, 128, 192]
            .map(|q| format!("{n}.{q}.0.0/10\n"))
            .concat()
    };
    (11..90).map(quarters).collect()
}

fn other_lists() -> Vec<(&'static str, Reply)> {
    let good = list(GOOD);
    let half: String = good
        .split_inclusive('\n')
        .take(GOOD as usize / 2 - 2)
        .collect();
    let other: String = (0..GOOD)
        .map(|n| format!("12.{}.{}.1\n", n / 200, n % 200))
        .collect();
    let cut = good[..good.len() - 4].to_owned();
    let third = good.len() / 3;
    let short = format!("HTTP/1.1 200 OK\r\ncontent-length: {third}\r\n\r\n{good}");
    vec![
        ("half a list", ok(half)),
        ("another list", ok(other)),
        (
            "twice as long",
            ok(format!("{good}{}", good.replace("9.1.", "9.7."))),
        ),
        ("its last line is cut", ok(cut)),
        (
            "a length that is too short, which looks whole",
            Reply::Raw(short.into_bytes()),
        ),
    ]
}

fn endless() -> Vec<(&'static str, Reply)> {
    let bomb = gzip(&vec![b'\n'; 40 << 20]);
    vec![
        ("a body of a gigabyte, one line", Reply::Gigabyte(200)),
        ("a gzip bomb in gzip", bytes(gzip(&bomb))),
        ("a gzip bomb", bytes(bomb).with("content-encoding", "gzip")),
    ]
}

fn statuses() -> Vec<(&'static str, Reply)> {
    vec![
        ("a redirect to a file", redirect("file:///etc/passwd")),
        ("a 500", Reply::status(500)),
        (
            "a 404 with a list",
            Reply::text(404, "text/plain", list(GOOD)),
        ),
        ("a 206", Reply::text(206, "text/plain", list(GOOD))),
        ("a 204", Reply::status(204)),
        (
            "a 304 without a condition",
            Reply::Raw(b"HTTP/1.1 304 x\r\n\r\n".to_vec()),
        ),
    ]
}

fn broken() -> Vec<(&'static str, Reply)> {
    let good = list(GOOD);
    let raw = |head: &str, body: &str| {
        Reply::Raw(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").into_bytes())
    };
    vec![
        (
            "truncated",
            raw("content-length: 9000", &good[..good.len() / 3]),
        ),
        (
            "truncated in a chunk",
            raw("transfer-encoding: chunked", "fff\r\n9.9.9.1\n"),
        ),
        ("a redirect to nowhere", redirect("http://127.0.0.1:1/list")),
        ("a reset", Reply::Reset),
        ("no answer", Reply::Close),
        ("no HTTP", Reply::Raw(b"220 mail ESMTP\r\n".to_vec())),
    ]
}
