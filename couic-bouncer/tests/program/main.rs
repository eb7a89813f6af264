//! The program itself: what it brings to the daemon, its commands, signals and privileges, and that neither a kill nor a stop
//! releases anything. Started as root, it becomes nobody.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod rig;

use std::net::TcpListener;

use couic_testkit::{LONG, until};
use nix::sys::signal::Signal;
use openmetrics_parser::prometheus::parse_prometheus;

use self::rig::{Rig, lapi};

#[test]
fn decisions_and_lists_arrive_and_a_stop_or_a_kill_releases_nothing() {
    let (rig, crowdsec) = (Rig::new(), lapi(&["203.0.113.9"]));
    rig.list("bad", 20);
    rig.configure(&format!("{}{}", rig.crowdsec(&crowdsec), rig.feed("bad")));
    let mut program = rig.start();
    rig.await_rule("203.0.113.9/32");
    rig.await_set("feed-bad", 20);
    for thread in couic_privsep::threads_of(program.pid().as_raw().unsigned_abs()).unwrap() {
        assert!(thread.is_powerless() && thread.no_new_privs, "{thread:?}");
        assert!(thread.uids.iter().all(|uid| *uid != 0), "{thread:?}");
    }
    program.end(Signal::SIGKILL);
    let mut program = rig.start();
    let is_ok = || (rig.api().get("/health")["status"] == "ok").then_some(());
    until("health is ok", LONG, is_ok);
    assert_eq!(program.end(Signal::SIGTERM), 0);
    assert!(program.output().contains("stopped"), "{}", program.output());
    let world = rig.world.lock();
    assert_eq!(world.removals, [""; 0]);
    assert!(world.sets.contains_key("feed-bad"));
}

#[test]
fn a_list_that_shrinks_is_held_back_until_it_is_accepted() {
    let rig = Rig::new();
    rig.list("bad", 20);
    rig.configure(&rig.feed("bad"));
    let mut program = rig.start();
    rig.await_set("feed-bad", 20);
    rig.list("bad", 3);
    let (fine, told) = rig.run(&["feeds", "refresh", "bad"]);
    assert!(
        fine && told.contains("held back") && told.contains("the last good list stays in force"),
        "{told}"
    );
    let (fine, told) = rig.run(&["feeds", "preview", "bad"]);
    assert!(!fine && told.contains("would be HELD BACK"), "{told}");
    let (fine, told) = rig.run(&["feeds", "list"]);
    assert!(fine && told.contains("held back"), "{told}");
    let (fine, told) = rig.run(&["status"]);
    assert!(
        fine && told.starts_with("degraded") && told.contains("accept bad"),
        "{told}"
    );
    rig.await_set("feed-bad", 20);
    let (fine, told) = rig.run(&["feeds", "accept", "bad", "0000"]);
    assert!(!fine && told.contains("another list"), "{told}");
    let (fine, told) = rig.run(&["feeds", "accept", "bad"]);
    assert!(fine && told.contains("in force, 3 networks"), "{told}");
    rig.await_set("feed-bad", 3);
    let (fine, told) = rig.run(&["feeds", "accept", "none"]);
    assert!(!fine && told.starts_with("there is no feed none"), "{told}");
    assert_eq!(program.end(Signal::SIGTERM), 0);
}

#[test]
fn a_reload_adds_a_feed_and_an_invalid_one_changes_nothing() {
    let rig = Rig::new();
    rig.list("bad", 20);
    rig.list("worse", 5);
    rig.configure(&rig.feed("bad"));
    let mut program = rig.start();
    rig.await_set("feed-bad", 20);
    rig.configure(&rig.feed("bad").replace("1m", "1x"));
    program.signal(Signal::SIGHUP);
    let told = program.until_printed("NOT reloaded").unwrap();
    assert!(told.contains("feeds.bad.every"), "{told}");
    let (_, told) = rig.run(&["status"]);
    let warned = told.contains("warning: the configuration is not usable");
    assert!(
        warned && told.contains("the last reload was refused"),
        "{told}"
    );
    rig.configure(&format!("{}{}", rig.feed("bad"), rig.feed("worse")));
    program.signal(Signal::SIGHUP);
    program.until_printed("configuration reloaded").unwrap();
    rig.await_set("feed-worse", 5);
    let (_, told) = rig.run(&["status"]);
    assert!(told.starts_with("ok"), "{told}");
    // A directory that was given up at the start.
    rig.configure("[feeds.x]\nfile = \"/root/lists/x\"\n");
    program.signal(Signal::SIGHUP);
    if program.output().contains("Landlock version") {
        program.until_printed("it needs a restart").unwrap();
        assert!(rig.world.lock().sets.contains_key("feed-worse"));
    }
    assert_eq!(program.end(Signal::SIGTERM), 0);
}

#[test]
fn no_feeds_are_no_failure_at_the_start_nor_after_a_reload() {
    let (rig, crowdsec) = (Rig::new(), lapi(&["203.0.113.9"]));
    rig.list("bad", 20);
    let with_feed = format!("{}{}", rig.crowdsec(&crowdsec), rig.feed("bad"));
    rig.configure(&rig.crowdsec(&crowdsec));
    let mut program = rig.start();
    rig.await_rule("203.0.113.9/32");
    let is_ok = || (rig.api().get("/health")["status"] == "ok").then_some(());
    until("health is ok", LONG, is_ok);
    assert_eq!(program.end(Signal::SIGTERM), 0);
    rig.configure(&with_feed);
    let mut program = rig.start();
    rig.await_set("feed-bad", 20);
    rig.configure(&rig.crowdsec(&crowdsec));
    program.signal(Signal::SIGHUP);
    let is_gone = || rig.world.lock().sets.is_empty().then_some(());
    until("the set is removed", LONG, is_gone);
    let is_settled = || {
        let status = rig.api().get("/v1/status");
        let no_feeds = status["feeds"].as_array().is_some_and(Vec::is_empty);
        no_feeds.then_some(status)
    };
    let (status, _) = until("the feed is forgotten", LONG, is_settled);
    assert_eq!(status["status"], "ok", "{status}");
    assert_eq!(program.end(Signal::SIGTERM), 0);
}

/// The server that it may ask sends it to one on another port.
#[test]
fn it_connects_to_the_ports_of_its_configuration_only() {
    let rig = Rig::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let to = format!("http://{}/list", other.local_addr().unwrap());
    let server = couic_testkit::StandIn::tcp(move |_| {
        couic_testkit::Reply::text(302, "text/plain", "").with("location", to.clone())
    });
    let url = server.url("/list");
    rig.configure(&format!(
        "[feeds.far]\nurl = \"{url}\"\nallow_http = true\nshadow = false\n"
    ));
    let mut program = rig.start();
    let tried = || {
        let status = rig.api().get("/v1/status");
        (status["feeds"][0]["state"] == "failing").then_some(())
    };
    until("the feed fails", LONG, tried);
    match program.output().contains("cannot bound TCP") || program.output().contains("Landlock no")
    {
        true => println!("skipped: this kernel has no Landlock for TCP"),
        false => assert!(other.accept().is_err(), "{}", program.output()),
    }
    assert_eq!(program.end(Signal::SIGTERM), 0);
}

#[test]
fn metrics_are_valid_and_the_rest_is_for_the_control_socket() {
    let (rig, crowdsec) = (Rig::new(), lapi(&["203.0.113.9"]));
    rig.list("bad", 20);
    rig.configure(&format!("{}{}", rig.crowdsec(&crowdsec), rig.feed("bad")));
    let mut program = rig.start();
    rig.await_set("feed-bad", 20);
    rig.await_rule("203.0.113.9/32");
    let page = rig.api().request("GET", "/metrics", None).expect(200).body;
    parse_prometheus(&page).unwrap();
    let named = include_str!("../../../docs/metrics.md");
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(
            named.contains(&format!("`{name}`")),
            "{name} is not in docs/metrics.md"
        );
    }
    for line in [
        "couic_bouncer_feed_networks{feed=\"bad\"} 20",
        "couic_bouncer_feed_state{feed=\"bad\",state=\"ok\"} 1",
        "couic_bouncer_crowdsec_connected 1",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    let _ = rig.api().request("POST", "/v1/none", None).expect(404);
    let _ = rig.api().request("DELETE", "/metrics", None).expect(405);
    assert_eq!(program.end(Signal::SIGTERM), 0);
}

#[test]
fn a_check_and_a_preview_need_no_daemon() {
    let rig = Rig::new();
    rig.list("bad", 20);
    rig.configure(&rig.feed("bad"));
    let (fine, told) = rig.run(&["--check-config"]);
    assert!(
        fine && told.contains("feed bad") && !told.contains("note:"),
        "{told}"
    );
    std::fs::write(rig.path("etc/token"), "").unwrap();
    let (fine, told) = rig.run(&["--check-config"]);
    assert!(fine && told.contains("etc/token is empty"), "{told}");
    let (fine, told) = rig.run(&["feeds", "preview"]);
    assert!(
        fine && told.contains("20 entries, 20 networks in drop"),
        "{told}"
    );
    let (fine, told) = rig.run(&["feeds", "preview", "bda"]);
    assert!(!fine && told.contains("neither a feed"), "{told}");
    let (fine, told) = rig.run(&["status"]);
    assert!(
        !fine && told.contains("is couic-bouncer running?"),
        "{told}"
    );
    rig.configure("[feeds.x]\nurl = 5\n");
    let code = rig
        .command(&["--check-config"])
        .output()
        .unwrap()
        .status
        .code();
    assert_eq!(code, Some(64));
}
