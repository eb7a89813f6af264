//! Whatever a server does after one good answer: the set stays as it is, byte for byte, and the status tells why.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use couic_feeds::{FeedState, Refreshed, Settings, Timing, preview};
use couic_testkit::{StandIn, script};

use super::{
    mutilated::{Case, GOOD, redirect},
    *,
};

const CA: &[u8] = include_bytes!("../../../../client/tests/api/fixtures/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../../../client/tests/api/fixtures/server.pem");
const KEY: &[u8] = include_bytes!("../../../../client/tests/api/fixtures/server.key");

#[tokio::test(flavor = "multi_thread")]
async fn no_mutilated_list_changes_what_is_in_force() {
    for Case {
        what,
        reply,
        expected,
    } in mutilated::all()
    {
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
async fn drip(timing: Timing) -> String {
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
        timing,
        ..settings(dir.path())
    };
    let error = preview(&config("x", &format!("http://{address}/")), &settings)
        .await
        .unwrap_err();
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_drip_ends_at_its_time_or_for_its_rate() {
    let second = Duration::from_secs(1);
    let whole = Timing {
        total: second,
        ..Timing::default()
    };
    let error = drip(whole).await;
    assert!(error.contains("it is too slow"), "{error}");
    let rate = Timing {
        grace: second,
        ..Timing::default()
    };
    let error = drip(rate).await;
    assert!(error.contains("bytes in 1 s"), "{error}");
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
