//! Senders and days without end.

use super::*;

fn limits(max_bytes: u64, days: u64) -> config::History {
    config::History {
        max_bytes,
        kept: Duration::from_secs(days * DAY),
    }
}

#[tokio::test]
async fn more_firewalls_than_there_may_be_are_counted_together() {
    let mut rig = Rig::new(config::History::default());
    let now = unix_seconds();
    for n in 0..300 {
        let rows = [Row::add(host(1))];
        let received = now - 2 * DAY - 300 + n;
        let sent = batch(&format!("fw{n:03}"), received, &rows);
        rig.journal().accept(sent).await.unwrap();
    }
    let history = rig.history();
    let firewalls = history.firewalls();
    assert_eq!(firewalls.len(), books::MAX_FIREWALLS + 1);
    assert_eq!(firewalls[0].name, books::OTHERS);
    assert_eq!(history.sizes().unlisted, 200);
    let adds: u64 = history
        .series(None, Range::Week)
        .points
        .iter()
        .map(|point| point.adds)
        .sum();
    assert_eq!(adds, 300, "nothing is lost in the totals");
    // One that has been silent for a day makes room.
    let new = batch("new", now, &[Row::add(host(1))]);
    rig.journal().accept(new).await.unwrap();
    let names: Vec<_> = history.firewalls().into_iter().map(|f| f.name).collect();
    assert!(names.contains(&"new".to_owned()) && !names.contains(&"fw000".to_owned()));
    rig.restart();
    assert_eq!(rig.history().firewalls(), history.firewalls());
}

#[tokio::test]
async fn tags_and_networks_without_end_are_bounded_and_the_frequent_ones_found() {
    let mut rig = Rig::new(config::History::default());
    let now = unix_seconds();
    for hour in 0..4 {
        let noise: Vec<_> = (0..20_000_u32)
            .map(|n| {
                let addr = std::net::Ipv4Addr::from_bits(0x0a00_0000 + hour * 20_000 + n);
                (format!("noise{hour}-{n}"), Cidr::host(addr.into()))
            })
            .collect();
        let rows: Vec<_> = noise
            .iter()
            .enumerate()
            .map(|(n, (tag, cidr))| match n % 10 {
                0 => Row {
                    tag: "attack",
                    ..Row::add(host(7))
                },
                _ => Row {
                    tag,
                    ..Row::add(*cidr)
                },
            })
            .collect();
        let received = now - u64::from(3 - hour) * 3_600;
        rig.journal()
            .accept(batch("fw1", received, &rows))
            .await
            .unwrap();
    }
    let check = |history: &History| {
        let tags = history.top_tags(None, Range::Day, 1);
        let sources = history.top_sources(None, Range::Day, 1);
        assert_eq!((&*tags[0].tag, sources[0].cidr), ("attack", host(7)));
        assert_eq!(sources[0].last_tag.as_deref(), Some("attack"));
        // Too low by at most 2 / 512 of all adds.
        for adds in [tags[0].adds, sources[0].adds] {
            assert!((8_000 - 80_000 * 2 / 512..=8_000).contains(&adds), "{adds}");
        }
        assert!(history.top_tags(None, Range::Day, 10_000).len() <= 512 + 4 * 64);
    };
    check(&rig.history());
    rig.restart();
    check(&rig.history());
}

#[tokio::test]
async fn old_changes_are_deleted_for_the_size_limit() {
    let mut rig = Rig::new(limits(64 << 10, 30));
    let now = unix_seconds();
    let reason = "x".repeat(200);
    for round in 0..12_u64 {
        let rows: Vec<_> = (0..100_u64)
            .map(|n| Row {
                at: now - 1_000 + round,
                reason: if n % 2 == 0 { &reason } else { "y" },
                ..Row::add(host(1))
            })
            .collect();
        rig.journal()
            .accept(batch("fw1", now, &rows))
            .await
            .unwrap();
        rig.restart();
    }
    let sizes = rig.history().sizes();
    assert!(sizes.bytes <= 64 << 10 && sizes.files >= 2, "{sizes:?}");
    let all = ChangeQuery {
        limit: MOST_CHANGES,
        ..ChangeQuery::default()
    };
    let page = rig.history().changes(all.clone()).await;
    assert_eq!(page.changes.len(), MOST_CHANGES);
    assert_eq!(page.changes[0].at, now - 1_000 + 11, "the newest are there");
    let first = ChangeQuery {
        until: Some(now - 1_000 + 2),
        ..all
    };
    assert_eq!(rig.history().changes(first).await.changes, []);
    let files = fs::read_dir(rig.dir.path().join("history")).unwrap();
    assert_eq!(files.count() as u64, sizes.files);
}

#[tokio::test]
async fn traffic_of_a_longer_time_is_spread_over_it_and_its_state_is_shown() {
    let rig = Rig::new(config::History::default());
    let now = unix_seconds() / 60 * 60;
    let long = dropped(now - 600, now, "ssh", 1_001);
    send(rig.journal(), "fw1", now, &long).await;
    // From an endless past, and from the future.
    send(rig.journal(), "fw2", now, &dropped(0, u64::MAX, "x", 7)).await;
    // Forgotten long ago.
    send(rig.journal(), "fw3", now, &dropped(0, 60, "x", 7)).await;
    let history = rig.history();
    let packets = |firewall: &str, range: Range| -> Vec<u64> {
        let points = history.series(Some(firewall), range).points;
        let traffic = points.into_iter().filter_map(|point| point.traffic);
        traffic.map(|traffic| traffic.dropped_packets).collect()
    };
    let minutes = packets("fw1", Range::Hour);
    assert_eq!(minutes.len(), 10);
    assert_eq!(minutes.iter().sum::<u64>(), 1_001);
    assert!(minutes.iter().all(|n| (100..=101).contains(n)));
    assert_eq!(packets("fw2", Range::Month).iter().sum::<u64>(), 7);
    assert_eq!(packets("fw3", Range::Month), Vec::<u64>::new());
    let firewalls = history.firewalls();
    assert_eq!(firewalls[0].dropped_packets_24h, Some(1_001));
    assert_eq!(firewalls[0].status.as_ref().unwrap().version, "2.0.0");
    let tags = history.top_tags(Some("fw1"), Range::Hour, 5);
    assert_eq!((&*tags[0].tag, tags[0].packets), ("ssh", 1_001));
    assert_eq!(tags[0].bytes, 60_060);
}

#[tokio::test]
async fn summaries_are_pending_until_they_are_handed_on() {
    let mut rig = Rig::new(config::History::default());
    let now = unix_seconds();
    let rows = vec![Row::add(host(1)); 4];
    rig.journal()
        .accept(batch("fw1", now, &rows))
        .await
        .unwrap();
    for n in 0..2 {
        let seal = Seal {
            until: now + n,
            next_from: now + n,
            next_id: Uuid::new_v4(),
        };
        rig.journal().seal(seal).await.unwrap();
    }
    let states = |rig: &Rig| -> Vec<_> {
        let all = rig.history().summaries(9).into_iter();
        all.map(|summary| (summary.total, summary.colour, summary.state))
            .collect()
    };
    let empty = (0, Severity::Green, SummaryState::BelowThreshold);
    assert_eq!(
        states(&rig),
        [empty, (4, Severity::Orange, SummaryState::Pending)]
    );
    let id = rig.history().summaries(9)[1].id;
    rig.journal().handed(id).await.unwrap();
    rig.kill();
    assert_eq!(
        states(&rig),
        [empty, (4, Severity::Orange, SummaryState::Sent)]
    );
}
