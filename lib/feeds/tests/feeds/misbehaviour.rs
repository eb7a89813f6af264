//! Whatever a server does after one good answer: the set stays as it is, byte for byte, and the status tells why.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use couic_feeds::{FeedState, Refreshed, Settings, Timing, preview};
use couic_testkit::{Reply, StandIn, script};

use super::*;

const CA: &[u8] = include_bytes!("../../../../client/tests/api/fixtures/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../../../client/tests/api/fixtures/server.pem");
const KEY: &[u8] = include_bytes!("../../../../client/tests/api/fixtures/server.key");

const GOOD: u32 = 300;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(plain).unwrap();
    packer.finish().unwrap()
}

fn bytes(body: Vec<u8>) -> Reply {
    Reply::Answer {
        status: 200,
        headers: Vec::new(),
        body,
    }
}

fn raw(head: &str, body: &str) -> Reply {
    Reply::Raw(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").into_bytes())
}

fn redirect(to: &str) -> Reply {
    Reply::status(302).with("location", to)
}

/// Each with a word of what is told.
fn mutilated() -> Vec<(&'static str, Reply, &'static str)> {
    let good = list(GOOD);
    let lines = |from: u32, to: u32| {
        good.split_inclusive('\n')
            .skip(from as usize)
            .take((to - from) as usize)
            .collect::<String>()
    };
    let bomb = gzip(&vec![b'\n'; 40 << 20]);
    let utf16 = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let third = &good[..good.len() / 3];
    let packed = gzip(good.as_bytes());
    let other: String = (0..GOOD)
        .map(|n| format!("12.{}.{}.1\n", n / 200, n % 200))
        .collect();
    vec![
        ("empty", ok(""), "fewer than min_entries"),
        (
            "blank lines",
            ok("\n".repeat(1000)),
            "fewer than min_entries",
        ),
        (
            "a million comments",
            ok("# nothing\n".repeat(1_000_000)),
            "fewer than min_entries",
        ),
        (
            "HTML with 200",
            ok("<!DOCTYPE html><html>Please log in</html>"),
            "web page",
        ),
        (
            "HTML behind a comment",
            ok(format!("# list\n<html>\n{good}")),
            "web page",
        ),
        ("binary", bytes([0xff, 0, 0x7f, 0].repeat(1000)), "binary"),
        ("wrong charset", bytes(utf16), "charset"),
        ("half a list", ok(lines(0, GOOD / 2 - 2)), "held back: 51 %"),
        ("another list", ok(other), "held back: 100 %"),
        (
            "twice as long",
            ok(format!("{good}{}", list(GOOD).replace("9.1.", "9.7."))),
            "held back: 100 %",
        ),
        (
            "the last line is cut",
            ok(good[..good.len() - 4].to_owned()),
            "held back: its last line does not end",
        ),
        ("truncated", raw("content-length: 5000", third), "error"),
        (
            "truncated in a chunk",
            raw("transfer-encoding: chunked", "fff\r\n9.9.9.1\n"),
            "error",
        ),
        (
            "shorter than it says, which looks whole",
            raw(&format!("content-length: {}", third.len()), &good),
            "held back",
        ),
        (
            "an endless body",
            Reply::Gigabyte(200),
            "larger than max_bytes",
        ),
        (
            "a gzip bomb",
            bytes(bomb.clone()).with("content-encoding", "gzip"),
            "larger than max_bytes",
        ),
        (
            "a gzip bomb in gzip",
            bytes(gzip(&bomb)),
            "larger than max_bytes",
        ),
        (
            "half a gzip",
            bytes(packed[..packed.len() / 2].to_vec()),
            "not whole gzip",
        ),
        (
            "an unasked encoding",
            bytes(good.clone().into_bytes()).with("content-encoding", "br"),
            "packed in a way",
        ),
        (
            "all of the Internet",
            ok("0.0.0.0/0\n::/0\n"),
            "fewer than min_entries",
        ),
        (
            "halves of the Internet",
            ok("0.0.0.0/1\n128.0.0.0/1\n"),
            "fewer than min_entries",
        ),
        (
            "bogons",
            ok("10.0.0.0/8\n192.168.0.0/16\n127.0.0.1\nfe80::/10\n"),
            "fewer than min_entries",
        ),
        (
            "much of it",
            ok((11..90)
                .map(|n| format!("{n}.0.0.0/10\n{n}.64.0.0/10\n{n}.128.0.0/10\n{n}.192.0.0/10\n"))
                .collect::<String>()),
            "1/4 of the Internet",
        ),
        (
            "garbage between",
            ok(good.replace(".1.0.", ".x.0.")),
            "cannot be read",
        ),
        (
            "one line",
            ok(good.replace('\n', " ").repeat(40)),
            "longer than 64 KiB",
        ),
        ("a 500", Reply::status(500), "500"),
        (
            "a 404 with a list",
            Reply::text(404, "text/plain", good.clone()),
            "404",
        ),
        ("a 206", Reply::text(206, "text/plain", good.clone()), "206"),
        ("a 204", Reply::status(204), "204"),
        (
            "a redirect loop",
            redirect("/list"),
            "redirects more than 5 times",
        ),
        (
            "a redirect to nowhere",
            redirect("http://127.0.0.1:1/list"),
            "refused",
        ),
        ("a reset", Reply::Reset, "error"),
        ("no answer", Reply::Close, "error"),
        (
            "no HTTP",
            Reply::Raw(b"220 mail ESMTP\r\n".to_vec()),
            "error",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mutilated_list_changes_what_is_in_force() {
    for (what, reply, expected) in mutilated() {
        let server = StandIn::tcp(script([ok(list(GOOD))], reply));
        let mut config = config("x", &server.url("/list?key=s3cret"));
        config.min_entries = Some(100);
        let mut setup = Setup::new(config.clone());
        assert_eq!(
            setup.feeds.refresh("x").await.unwrap(),
            Refreshed::Taken,
            "{what}"
        );
        assert_eq!(setup.daemon.set("x").unwrap(), in_force(GOOD), "{what}");
        let result = setup.feeds.refresh("x").await;
        let status = setup.status();
        assert_eq!(setup.daemon.set("x").unwrap(), in_force(GOOD), "{what}");
        assert!(
            !matches!(result, Ok(Refreshed::Taken | Refreshed::Unchanged)),
            "{what}: {result:?}"
        );
        let told = format!("{result:?} {}", status.problem.unwrap_or_default());
        assert!(told.contains(expected), "{what}: {told}");
        assert!(
            !told.contains("s3cret") && !told.contains("key="),
            "{what}: {told}"
        );
        assert!(
            matches!(status.state, FeedState::Failing | FeedState::HeldBack),
            "{what}"
        );
        // Nor does a restart.
        setup.again(&[config]);
        setup.daemon.sets.lock().unwrap().clear();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let running = tokio::spawn(Arc::clone(&setup.feeds).run(stopped));
        couic_testkit::until_ok(Duration::from_millis(5), async || {
            (setup.daemon.set("x") == Some(in_force(GOOD)))
                .then_some(())
                .ok_or(what)
        })
        .await;
        stop.send(true).unwrap();
        running.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_never_ends_stops_at_the_bound() {
    let server = StandIn::tcp(|_| Reply::Gigabyte(200));
    let mut config = config("x", &server.url("/"));
    config.max_bytes = Some(2 << 20);
    let setup = Setup::new(config);
    let error = setup.feeds.refresh("x").await.unwrap_err().to_string();
    assert_eq!(error, "it is larger than max_bytes = 2097152");
    assert!(server.sent() < 100_000_000, "{}", server.sent());
}

/// A byte a tenth of a second, forever: each is in time, the whole is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_drip_ends_at_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b"9").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        timing: Timing {
            total: Duration::from_secs(1),
            ..Timing::default()
        },
        ..settings(dir.path())
    };
    let error = preview(&config("x", &format!("http://{address}/")), &settings)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("it is too slow"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified_and_not_left_by_a_redirect() {
    let plain = StandIn::tcp(|_| ok(list(9)));
    let to = plain.url("/list");
    let secure = StandIn::tls(
        "127.0.0.1",
        (CERTIFICATE, KEY),
        move |request| match request.line() {
            "GET /list" => ok(list(9)),
            _ => redirect(&to),
        },
    );
    let port = secure.address.unwrap().port();
    let mut setup = Setup::new(config("none", "https://localhost/"));
    let ca = setup.dir.path().join("ca.pem");
    std::fs::write(&ca, CA).unwrap();
    let feed = |name: &str, path: &str, trusts| {
        let mut feed = config(name, &format!("https://localhost:{port}/{path}"));
        feed.allow_http = None;
        feed.ca_file = Some(ca.clone()).filter(|_| trusts);
        feed
    };
    let cases = [
        feed("good", "list", true),
        feed("unknown", "list", false),
        feed("down", "down", true),
    ];
    setup.again(&cases);
    assert_eq!(setup.feeds.refresh("good").await.unwrap(), Refreshed::Taken);
    for (name, expected) in [("unknown", "certificate"), ("down", "redirects to http://")] {
        let error = setup.feeds.refresh(name).await.unwrap_err().to_string();
        let has_store = !error.contains("trust");
        assert!(error.contains(expected) || !has_store, "{name}: {error}");
        assert_eq!(setup.daemon.set(name), None);
    }
    assert!(plain.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_the_operator_do_not_go_to_another_host() {
    let other = StandIn::tcp(|_| ok(list(9)));
    let to = other.url("/list");
    let server = StandIn::tcp(move |request| match request.line() {
        "GET /here" => redirect("/list"),
        "GET /away" => redirect(&to),
        _ => ok(list(9)),
    });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("headers");
    std::fs::write(&file, "X-Key: s3cret\n").unwrap();
    let feed = |path: &str| {
        let mut feed = config("x", &server.url(path));
        feed.header_file = Some(file.clone());
        feed
    };
    let found = preview(&feed("/here"), &settings(dir.path()))
        .await
        .unwrap();
    assert_eq!(found.networks, 9);
    assert_eq!(server.requests()[1].header("x-key"), Some("s3cret"));
    let error = preview(&feed("/away"), &settings(dir.path()))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("redirects to another host"),
        "{error}"
    );
    assert!(other.requests().is_empty());
}
