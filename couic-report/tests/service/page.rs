//! The page over real connections: its bounds, and that the reports do not notice it.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use couic_testkit::{Collector, Connection};
use serde_json::json;

use crate::support::{collector, post, report};

const TOKEN: &str = "a-token-of-the-page-0123";

/// A collector with a page, and the page's address, which no other test uses.
fn with_page(last: u8) -> (Collector, SocketAddr) {
    let [.., a, b] = std::process::id().to_be_bytes();
    let ip = IpAddr::from([127, 240, a, b.max(1)]);
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let ip = IpAddr::from([127, 240u8.wrapping_add(last), a, b.max(1)]);
    drop(listener);
    let page =
        format!("[page]\nenabled = true\naddr = \"{ip}\"\nport = {port}\ntoken = \"{TOKEN}\"\n");
    (collector(900, &page), SocketAddr::new(ip, port))
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

fn form(path: &str, body: &str) -> String {
    let origin = "Origin: http://localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    couic_testkit::request("POST", path, origin, body).replace("Host: couic", "Host: localhost")
}

#[test]
fn a_login_over_a_connection_and_its_bounds() {
    let (home, address) = with_page(0);
    let mut service = home.serve();
    let mut browser = Connection::tcp(address).unwrap();
    assert_eq!(browser.ask(get("/", "")).status, 401);
    let answer = browser.ask(form("/login", &format!("token={TOKEN}")));
    assert_eq!(answer.status, 303);
    let cookie = answer
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let cookie = format!("Cookie: {cookie}\r\n");
    let answer = browser.ask(get("/", &cookie));
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-security-policy").is_some());
    // The reports are on the other port only, and the page on its own.
    assert_eq!(browser.ask(get("/v1/health", &cookie)).status, 404);
    assert_eq!(home.api().request("GET", "/login", None).status, 404);
    // The service may close before it has read everything, and the answer be lost with the connection.
    let refused = |request: String| {
        let answer = Connection::tcp(address).and_then(|mut connection| {
            let sent = connection.try_send(request);
            connection
                .try_answer()
                .or_else(|error| sent.and(Err(error)))
        });
        answer.map_or(400, |answer| answer.status)
    };
    let large = refused(form("/login", &"x".repeat(100_000)));
    assert!([400, 413].contains(&large), "{large}");
    let long = refused(get(&format!("/?{}", "x".repeat(60_000)), ""));
    assert!((400..500).contains(&long), "{long}");
    assert!(service.ended().is_none());
    let log = home.log();
    assert!(
        log.contains("page logged in from") && !log.contains(TOKEN),
        "{log}"
    );
}

#[test]
fn a_crowd_on_the_page_delays_no_report() {
    let (home, address) = with_page(1);
    let mut service = home.serve();
    let idle: Vec<TcpStream> = (0..256)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let busy: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(move || {
                let until = Instant::now() + Duration::from_secs(3);
                while Instant::now() < until {
                    let asked = Connection::tcp(address).and_then(|mut c| {
                        c.try_send(form("/login", "token=wrong-wrong-wrong-wrong"))?;
                        c.try_answer()
                    });
                    drop(asked);
                }
            })
        })
        .collect();
    let start = Instant::now();
    for n in 0..50 {
        assert_eq!(post(&home, &json!([report(n, "ssh")]), ""), Some(200));
    }
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    for one in busy {
        one.join().unwrap();
    }
    drop(idle);
    assert!(service.ended().is_none());
}
