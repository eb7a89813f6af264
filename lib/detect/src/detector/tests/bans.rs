//! When a source is banned, for how long, and when again.

use super::*;

#[test]
fn a_ban_says_what_happened() {
    let mut d = detector(&config(vec![scan()]));
    let web = d.source("web").unwrap();
    assert_eq!(d.source("other"), None);
    let client = Some(Client::Known(addr("::ffff:192.0.2.7")));
    let event = request(404, "/x");
    let line = b"192.0.2.7 \x1b \"GET /x\" 404";
    let mut told = Vec::new();
    for _ in 0..3 {
        assert!(told.is_empty());
        told = d.observe(web, &event, client, line, NOW);
    }
    let expected = Ban {
        cidr: "192.0.2.7/32".parse().unwrap(),
        jail: "scan".into(),
        tag: "mon-scan".into(),
        length: Duration::from_secs(600),
        level: 1,
        count: 3,
        rate: "3 per 1m".into(),
        sample: r#"192.0.2.7 \x1b "GET /x" 404"#.into(),
        neighbours: 0,
    };
    assert_eq!(told, [Decision::Ban(expected)]);
    assert_eq!((d.counters().bans, d.jails()[0].hits), (1, 3));
}

#[test]
fn addresses_of_a_64_are_one_source() {
    let mut d = detector(&config(vec![scan()]));
    d.status("2001:db8::1", 404, NOW);
    d.status("2001:db8::2", 404, NOW);
    assert_eq!(
        ban(&d.status("2001:db8::ffff:1", 404, NOW)).0,
        "2001:db8::/64"
    );
    let mut whole = DetectConfig {
        v6_prefix: 128,
        ..config(vec![scan()])
    };
    let mut d = detector(&whole);
    assert_eq!(ban(&d.scans("2001:db8::1", NOW)).0, "2001:db8::1/128");
    whole.v6_prefix = 56;
    let mut d = detector(&whole);
    assert_eq!(
        ban(&d.scans("2001:db8:0:1ff::1", NOW)).0,
        "2001:db8:0:100::/56"
    );
}

#[test]
fn a_ban_that_runs_is_not_told_again_until_most_of_it_is_over() {
    let mut d = detector(&config(vec![scan()]));
    assert_eq!(
        ban(&d.scans("192.0.2.7", NOW)),
        ("192.0.2.7/32".into(), 10, 1)
    );
    for _ in 0..1_000 {
        assert_eq!(d.scans("192.0.2.7", NOW + 9_999), []);
    }
    assert_eq!(
        ban(&d.scans("192.0.2.7", NOW + 6 * MINUTE)).2,
        1,
        "a renewal"
    );
    assert_eq!(d.scans("192.0.2.7", NOW + 6 * MINUTE + 9_999), []);
    let counters = d.counters();
    assert_eq!(
        (counters.bans, counters.renewals, counters.running),
        (2, 1, 1_001)
    );
}

#[test]
fn a_ban_that_somebody_lifted_is_told_again_with_the_same_end() {
    let mut d = detector(&config(vec![scan(), login()]));
    d.scans("192.0.2.7", NOW);
    let told = |decisions: &[Decision]| match decisions {
        [Decision::Ban(ban)] => (ban.length.as_secs(), ban.level, ban.tag.to_string()),
        other => panic!("{other:?}"),
    };
    let again = d.scans("192.0.2.7", NOW + 60_400);
    assert_eq!(told(&again), (540, 1, "mon-scan".into()));
    for after in [60_400, 70_000, 70_399] {
        assert_eq!(d.scans("192.0.2.7", NOW + after), [], "{after}");
    }
    assert_eq!(told(&d.scans("192.0.2.7", NOW + 70_400)).0, 530);
    let renewal = d.scans("192.0.2.7", NOW + 6 * MINUTE);
    assert_eq!(told(&renewal), (600, 1, "mon-scan".into()), "as before");
    let counters = d.counters();
    assert_eq!(
        (counters.bans, counters.renewals, counters.again),
        (2, 1, 2)
    );
    assert_eq!(d.ladder()[0].level, 1);
}

#[test]
fn who_comes_back_is_banned_longer_until_the_past_is_forgotten() {
    let config = config(vec![scan()]);
    let mut d = detector(&config);
    let mut now = NOW;
    for (minutes, level) in [(10, 1), (40, 2), (160, 3)] {
        assert_eq!(
            ban(&d.scans("192.0.2.7", now)),
            ("192.0.2.7/32".into(), minutes, level)
        );
        now += (minutes as i64 + 1) * MINUTE;
    }
    let rows = d.ladder();
    assert_eq!((rows.len(), rows[0].level), (1, 3));
    let mut restarted = detector(&config);
    restarted.restore_ladder(rows, now);
    assert_eq!(ban(&restarted.scans("192.0.2.7", now)).2, 4);
    let month = 31 * 24 * 60 * MINUTE;
    assert_eq!(ban(&d.scans("192.0.2.7", now + month)).2, 1);
}

#[test]
fn a_ban_that_runs_at_a_restart_goes_on_and_is_renewed_late_as_before() {
    let config = config(vec![scan()]);
    let mut d = detector(&config);
    assert_eq!(ban(&d.scans("192.0.2.7", NOW)).1, 10);
    let mut restarted = detector(&config);
    restarted.restore_ladder(d.ladder(), NOW + 2 * MINUTE);
    let again = restarted.scans("192.0.2.7", NOW + 3 * MINUTE);
    assert_eq!(ban(&again), ("192.0.2.7/32".into(), 7, 1), "the same end");
    let renewal = restarted.scans("192.0.2.7", NOW + 7 * MINUTE);
    assert_eq!(ban(&renewal), ("192.0.2.7/32".into(), 10, 1));
    let relapse = restarted.scans("192.0.2.7", NOW + 18 * MINUTE);
    assert_eq!(ban(&relapse), ("192.0.2.7/32".into(), 40, 2));
}

#[test]
fn another_jail_tells_longer_bans_only() {
    let mut d = detector(&config(vec![scan(), login()]));
    assert_eq!(ban(&d.scans("192.0.2.7", NOW)).1, 10);
    assert_eq!(
        ban(&d.fails("192.0.2.7", NOW)),
        ("192.0.2.7/32".into(), 240, 2)
    );
    assert_eq!(
        d.scans("192.0.2.7", NOW),
        [],
        "scan is covered by the longer ban"
    );
    assert_eq!(d.fails("192.0.2.7", NOW), []);
    let mut d = detector(&config(vec![scan(), login()]));
    assert_eq!(ban(&d.fails("192.0.2.8", NOW)).1, 60);
    assert_eq!(
        d.scans("192.0.2.8", NOW),
        [],
        "40 minutes are within the hour"
    );
    assert_eq!(d.scans("192.0.2.8", NOW), []);
    assert_eq!(d.ladder()[0].level, 2, "but it counts, once");
    assert_eq!(ban(&d.scans("192.0.2.8", NOW + 61 * MINUTE)).2, 3);
}

#[test]
fn a_shadow_ban_is_told_once_and_changes_nothing() {
    let shadow = JailConfig {
        shadow: true,
        ..login()
    };
    let mut d = detector(&config(vec![scan(), shadow]));
    let decisions = d.fails("192.0.2.7", NOW);
    assert!(matches!(&decisions[..], [Decision::Shadow(ban)] if &*ban.jail == "login"));
    assert_eq!(d.fails("192.0.2.7", NOW), []);
    assert_eq!(d.ladder(), []);
    assert_eq!(ban(&d.scans("192.0.2.7", NOW)).2, 1);
    let jails = d.jails();
    assert_eq!(
        (jails[1].shadow_bans, jails[1].bans, d.counters().shadow),
        (1, 0, 1)
    );
}

#[test]
fn a_lifted_ban_is_forgotten() {
    let mut d = detector(&config(vec![scan()]));
    d.scans("192.0.2.7", NOW);
    d.status("192.0.2.7", 404, NOW);
    d.forget(addr("192.0.2.7"));
    assert_eq!(d.status("192.0.2.7", 404, NOW), []);
    assert_eq!(d.status("192.0.2.7", 404, NOW), []);
    assert_eq!(
        ban(&d.status("192.0.2.7", 404, NOW)),
        ("192.0.2.7/32".into(), 10, 1)
    );
}

#[test]
fn a_clock_that_is_set_back_neither_bans_nor_unbans() {
    let mut d = detector(&config(vec![scan()]));
    d.scans("192.0.2.7", NOW);
    let back = NOW - 60 * MINUTE;
    assert_eq!(d.scans("192.0.2.7", back), [], "the ban still runs");
    for n in 0..100 {
        let told = d.status("192.0.2.8", 404, back + n * 21_000);
        assert_eq!(told, [], "a slow source, {n}");
    }
    assert_eq!(
        ban(&d.scans("192.0.2.7", back + 30 * MINUTE)).2,
        2,
        "its time has passed"
    );
}

#[test]
fn only_other_paths_count_where_that_is_wanted() {
    let distinct = JailConfig {
        distinct: Some(Distinct::Path),
        ..scan()
    };
    let mut d = detector(&config(vec![distinct]));
    for _ in 0..100 {
        assert_eq!(d.event("192.0.2.7", &request(404, "/missing.png"), NOW), []);
    }
    let paths = ["/a", "/b", "/c", "/d", "/e", "/f"];
    let told: Vec<Decision> = paths
        .iter()
        .flat_map(|path| d.event("192.0.2.7", &request(404, path), NOW))
        .collect();
    assert_eq!(ban(&told).2, 1);
}

#[test]
fn lines_without_a_format_are_of_the_address_that_a_regex_captures() {
    let mut d = detector(&config(vec![plain(), scan()]));
    let line = "bad login of eve from 198.51.100.1 from 192.0.2.7";
    let told: Vec<Decision> = (0..3).flat_map(|_| d.message(line, NOW)).collect();
    assert_eq!(ban(&told).0, "192.0.2.7/32");
    assert_eq!(d.message("bad login of eve from nowhere", NOW), []);
    assert_eq!(d.message("fine from 192.0.2.8", NOW), []);
    assert_eq!(d.message("bad login of eve from 999.0.2.7", NOW), []);
    assert_eq!(d.counters().no_address, 1);
    assert_eq!(d.top(5).len(), 1);
}

#[test]
fn a_reload_keeps_the_counts_of_jails_that_are_as_they_were() {
    let jails = |path: &str| {
        let changed = JailConfig {
            path: vec![path.into()],
            ..login()
        };
        config(vec![changed, scan()])
    };
    let mut old = detector(&jails("/login"));
    old.scans("192.0.2.9", NOW);
    for status in [404, 404, 401] {
        assert_eq!(old.status("192.0.2.7", status, NOW), []);
    }
    let reload = |old: &mut Detector, config: &DetectConfig| {
        let mut new = detector(config);
        new.adopt(old);
        new.restore_ladder(old.ladder(), NOW);
        new
    };
    let mut new = reload(&mut old, &jails("/log*"));
    assert_eq!(new.status("192.0.2.7", 401, NOW), [], "of another rule");
    assert_eq!(new.scans("192.0.2.9", NOW), [], "its ban runs");
    assert_eq!((new.counters().lines, new.counters().bans), (10, 1));
    assert_eq!(new.top(1)[0].lines, 6);
    let mut back = reload(&mut new, &jails("/log*"));
    assert_eq!(ban(&back.status("192.0.2.7", 404, NOW)).2, 1);
    assert_eq!(back.jails()[1].hits, 9);
}

#[test]
fn threads_may_share_a_detector() {
    fn sent<T: Send>(_: &T) {}
    sent(&detector(&config(vec![scan()])));
}

#[test]
fn a_line_that_stands_for_several_counts_as_several() {
    let mut d = detector(&config(vec![scan()]));
    let web = d.source("web").unwrap();
    let client = Some(Client::Known(addr("192.0.2.7")));
    let repeated = |repeated| Event {
        repeated,
        ..request(404, "/x")
    };
    assert!(d.observe(web, &repeated(1), client, b"", NOW).is_empty());
    let told = d.observe(web, &repeated(50), client, b"", NOW);
    assert_eq!(ban(&told).0, "192.0.2.7/32");
    assert_eq!((d.counters().bans, d.jails()[0].hits), (1, 53));
}
