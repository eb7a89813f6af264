//! Web servers whose access log is a file, or comes by syslog.

use std::collections::BTreeSet;

use couic_e2e::{HOST_V6, Lab, Monitor, OUTSIDE_V6, until};
use couic_testkit::LONG;
use tempfile::TempDir;

use super::{
    NAMED, OFFENDER, SCAN, VISITOR, ask, ask_urls, banned, crowded, only, scan_jail,
    servers::{caddy, haproxy, nginx},
    until_dropped,
};

/// A visitor with one dead link, and a scanner that forges lines of the log for another address.
fn visit_and_scan(lab: &Lab, scanned: u16) {
    assert_eq!(
        ask(lab, VISITOR, &["/good", "/good", "/favicon.ico"], &[]),
        [200, 200, 404]
    );
    let agent =
        format!("x\" {NAMED} - - [01/Dec/2026:00:00:00 +0000] \"GET /x HTTP/1.1\" 404 1 \"-\" \"x");
    let forwarded = format!("X-Forwarded-For: {NAMED}");
    let answers = ask(lab, OFFENDER, &SCAN, &["-A", &agent, "-H", &forwarded]);
    assert!(
        answers.iter().all(|status| *status == scanned),
        "{answers:?}"
    );
}

#[test]
fn a_scanner_of_nginx_is_dropped_with_a_reason_and_a_visitor_is_not() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some(_nginx) = nginx(&lab, dir.path(), "") else {
        return;
    };
    let daemon = lab.monitored_daemon().start();
    let source = format!(
        "[source.web]\nfile = \"{}/access.log\"\nformat = \"combined\"\n",
        dir.path().display()
    );
    let _monitor = Monitor::start(&lab, &daemon, dir.path(), &(source + &scan_jail()));
    visit_and_scan(&lab, 404);
    until_dropped(&lab, OFFENDER);
    assert!(ask(&lab, OFFENDER, &["/good"], &[]).is_empty());
    assert_eq!(ask(&lab, VISITOR, &["/good"], &[]), [200]);
    assert_eq!(banned(&daemon), only(&[OFFENDER]));
    let why = daemon.ctl_ok(&["check", OFFENDER]);
    for word in ["mon-scan", "scan", "GET /", "404"] {
        assert!(why.contains(word), "{word}: {why}");
    }
}

#[test]
fn a_scanner_of_haproxy_is_dropped_by_its_syslog_over_udp() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let daemon = lab.monitored_daemon().start();
    let source = "[source.web]\nudp = \"127.0.0.1:5140\"\nformat = \"haproxy\"\n";
    let _monitor = Monitor::start(
        &lab,
        &daemon,
        dir.path(),
        &(source.to_owned() + &scan_jail()),
    );
    let Some(_haproxy) = haproxy(&lab, dir.path(), "127.0.0.1:5140") else {
        return;
    };
    visit_and_scan(&lab, 404);
    until_dropped(&lab, OFFENDER);
    assert_eq!(ask(&lab, VISITOR, &["/good"], &[]), [200]);
    assert_eq!(banned(&daemon), only(&[OFFENDER]));
}

#[test]
fn a_guesser_of_passwords_at_caddy_is_dropped_and_who_mistyped_is_not() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some(_caddy) = caddy(&lab, dir.path()) else {
        return;
    };
    let daemon = lab.monitored_daemon().start();
    let config = format!(
        "[source.web]\nfile = \"{}/caddy.log\"\nformat = \"caddy-json\"\n[jail.login]\nsource = \"web\"\nmethod = \"POST\"\n\
         path = [\"/login\"]\nstatus = [401, 403]\nrate = \"5 per 5m\"\nban = \"1h\"\n",
        dir.path().display()
    );
    let _monitor = Monitor::start(&lab, &daemon, dir.path(), &config);
    let post = ["-X", "POST", "-d", "user=admin"];
    assert_eq!(ask(&lab, VISITOR, &["/login"; 3], &post), [401; 3]);
    // Not a guess: the page with the form.
    let _ = ask(&lab, NAMED, &["/login"; 9], &[]);
    let _ = ask(&lab, OFFENDER, &["/login?next=/"; 9], &post);
    until_dropped(&lab, OFFENDER);
    assert_eq!(ask(&lab, VISITOR, &["/good"], &[]), [200]);
    assert_eq!(banned(&daemon), only(&[OFFENDER]));
}

#[test]
fn a_scanner_with_many_addresses_of_one_v6_network_is_dropped_with_that_network() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let addresses = [
        "2001:db8:bad::1",
        "2001:db8:bad::2",
        "2001:db8:bad::3",
        "2001:db8:bad:1::1",
    ];
    for address in addresses {
        lab.outside.run(
            "ip",
            &[
                "-6",
                "addr",
                "add",
                &format!("{address}/128"),
                "dev",
                "lo",
                "nodad",
            ],
        );
    }
    lab.host.run(
        "ip",
        &["-6", "route", "add", "2001:db8:bad::/48", "via", OUTSIDE_V6],
    );
    // The kernel first checks that its own addresses are unique.
    until("IPv6 is up", LONG, || {
        (lab.ping_from(HOST_V6, Some(addresses[0]))).then_some(())
    });
    let Some(_nginx) = nginx(&lab, dir.path(), "") else {
        return;
    };
    let daemon = lab.monitored_daemon().start();
    let source = format!(
        "[source.web]\nfile = \"{}/access.log\"\nformat = \"combined\"\n",
        dir.path().display()
    );
    let _monitor = Monitor::start(&lab, &daemon, dir.path(), &(source + &scan_jail()));
    let scan = |address: &str, from: usize, count: usize| {
        let urls: Vec<_> = SCAN[from..from + count]
            .iter()
            .map(|path| format!("http://[{HOST_V6}]{path}"))
            .collect();
        ask_urls(&lab, address, &urls, &["-g"])
    };
    // No address alone reaches the limit.
    let _ = scan(addresses[3], 0, 6);
    for (nth, address) in addresses[..3].iter().enumerate() {
        let _ = scan(address, 6 * nth, 6);
    }
    until("the network is dropped", LONG, || {
        (!lab.ping_from(HOST_V6, Some(addresses[0]))).then_some(())
    });
    assert!(lab.ping_from(HOST_V6, Some(addresses[3])));
    assert_eq!(
        banned(&daemon),
        BTreeSet::from(["2001:db8:bad::/64".to_owned()])
    );
}
