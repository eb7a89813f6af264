//! Accounts of logs of the past, and explanations.

use super::*;
use crate::Answer;

#[test]
fn the_account_says_what_bans_would_have_done() {
    let shadow = JailConfig {
        shadow: true,
        ..login()
    };
    let mut d = detector(&config(vec![scan(), shadow]));
    assert!(d.account().is_empty());
    d.keep_account();
    d.status("192.0.2.7", 200, NOW);
    let accepted = Event {
        login: Some(Login::Accepted),
        ..Event::default()
    };
    d.event("192.0.2.8", &accepted, NOW);
    d.scans("192.0.2.7", NOW + MINUTE);
    d.scans("192.0.2.8", NOW + 2 * MINUTE);
    d.status("192.0.2.7", 302, NOW + 3 * MINUTE);
    assert_eq!(
        d.scans("192.0.2.7", NOW + 4 * MINUTE),
        [],
        "would not have come"
    );
    d.fails("192.0.2.9", NOW + 4 * MINUTE);
    d.status("192.0.2.9", 200, NOW + 4 * MINUTE);
    d.status("192.0.2.7", 200, NOW + 12 * MINUTE);
    let [scan, login] = &d.account()[..] else {
        panic!()
    };
    assert_eq!(
        (scan.hits, scan.bans, scan.first_ban_ms),
        (6, 2, Some(NOW + MINUTE))
    );
    assert_eq!(scan.stopped, 4);
    assert!((scan.share - 4.0 / 16.0).abs() < 1e-9, "{}", scan.share);
    let hurt = &scan.collateral;
    assert_eq!(
        (hurt.good_sources, hurt.good_requests, hurt.good_stopped),
        (1, 3, 1)
    );
    assert_eq!((hurt.logged_in, hurt.forgotten), (1, 0));
    assert_eq!(hurt.examples, [addr("192.0.2.8"), addr("192.0.2.7")]);
    assert!(login.shadow && !scan.shadow);
    assert_eq!(
        (login.bans, login.stopped, login.collateral.good_sources),
        (1, 1, 1)
    );
}

#[test]
fn verified_crawlers_and_held_bans_are_accounted() {
    let mut config = config(vec![scan()]);
    config.guard.bans_per_minute = 1;
    let mut d = detector(&config);
    d.keep_account();
    let event = Event {
        agent: b"bingbot"[..].into(),
        ..request(404, "/")
    };
    for _ in 0..3 {
        for decision in d.event("192.0.2.7", &event, NOW) {
            let Decision::Ask(ask) = decision else {
                panic!()
            };
            assert_eq!(d.answer(ask, Answer::Real, NOW), []);
        }
    }
    d.scans("192.0.2.8", NOW);
    d.scans("192.0.2.9", NOW);
    let account = &d.account()[0];
    assert_eq!((account.asked, account.collateral.bots), (1, 1));
    assert_eq!((account.bans, account.held), (1, 1));
}

#[test]
fn lines_of_a_log_may_be_in_disorder() {
    let mut d = detector(&config(vec![scan()]));
    d.keep_account();
    let mut told = Vec::new();
    for n in 0..50 {
        let jitter = if n % 2 == 0 { 0 } else { 15_000 };
        told.extend(d.status("192.0.2.7", 404, NOW + n * 60_000 - jitter));
    }
    assert_eq!(told, [], "one a minute");
    assert_eq!(ban(&d.scans("192.0.2.7", NOW + 50 * MINUTE)).2, 1);
}

#[test]
fn a_line_is_explained() {
    let mut config = config(vec![scan(), login(), plain()]);
    config.ignore = nets(&["198.51.100.7/32"]);
    let d = detector(&config);
    let web = d.source("web").unwrap();
    let known = |text: &str| Some(Client::Known(addr(text)));
    let verdicts = d.explain(web, &request(404, "/x"), known("192.0.2.7"));
    assert_eq!(verdicts.len(), 2);
    assert!(verdicts[0].hit && !verdicts[1].hit);
    assert_eq!(verdicts[0].why, "a hit; 3 per 1m bans for 10m at first");
    assert_eq!(verdicts[1].why, "status 404 is not of 401");
    let why = |event: &Event<'_>, client| d.explain(web, event, client)[1].why.clone();
    let wrong = request(401, "/x");
    assert_eq!(
        why(&wrong, known("192.0.2.7")),
        "path \"/x\" is none of /login"
    );
    let fine = request(401, "/login");
    assert!(why(&fine, known("198.51.100.7")).contains("is ignored"));
    assert!(why(&fine, Some(Client::Proxy(addr("10.0.0.1")))).contains("10.0.0.1"));
    assert!(why(&fine, None).contains("no address"));
    let plain = d.source("plain").unwrap();
    let event = Event {
        message: b"bad login of x from 192.0.2.9"[..].into(),
        ..Event::default()
    };
    let verdict = d.explain(plain, &event, None).remove(0);
    assert_eq!((verdict.hit, verdict.addr), (true, Some(addr("192.0.2.9"))));
    assert_eq!(d.counters().lines, 0);
}
