//! A list of everything that was reported, from which every answer is computed.

use std::collections::{BTreeMap, HashMap};

use super::*;

/// One report.
#[derive(Clone, Debug)]
struct Report {
    source: String,
    received: u64,
    at: u64,
    action: PeerAction,
    policy: Option<Policy>,
    cidr: Cidr,
    tag: String,
    expiration: u64,
    reason: String,
    owner: Option<String>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Firewall, seconds after the last step, rows: host, action and policy, tag, age, lifetime.
    Reports(u8, u64, Vec<(u8, u8, u8, u32, u32)>),
    /// Firewall, seconds, tag, packets.
    Traffic(u8, u64, u8, u32),
    Seal,
    Restart,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0..4_u8, 0..6_u8, 0..3_u8, 0..100_000_u32, 0..500_000_u32);
    let rows = proptest::collection::vec(row, 0..12);
    prop_oneof![
        6 => (0..3_u8, 0..9_000_u64, rows).prop_map(|(f, s, rows)| Step::Reports(f, s, rows)),
        3 => (0..3_u8, 0..9_000_u64, 0..3_u8, 1..1_000_u32)
            .prop_map(|(f, s, tag, packets)| Step::Traffic(f, s, tag, packets)),
        1 => Just(Step::Seal),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
    ]
}

#[derive(Default)]
struct Oracle {
    reports: Vec<Report>,
    traffic: Vec<(String, Traffic)>,
}

impl Report {
    fn row(&self) -> Row<'_> {
        Row {
            action: self.action,
            policy: self.policy,
            cidr: self.cidr,
            tag: &self.tag,
            at: self.at,
            expiration: self.expiration,
            reason: &self.reason,
            owner: self
                .owner
                .as_deref()
                .map(|name| (OwnerKind::Client, Some(name))),
        }
    }

    /// The time that figures are counted at.
    fn counted_at(&self) -> u64 {
        match self.at {
            0 => self.received,
            at => at.min(self.received),
        }
    }

    fn change(&self) -> Change {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Change {
            at: if self.at == 0 { self.received } else { self.at },
            firewall: self.source.clone(),
            action: self.action,
            policy: self.policy,
            cidr: self.cidr,
            tag: text(&self.tag),
            expiration: (self.expiration > 0).then_some(self.expiration),
            reason: text(&self.reason),
            owner: self.owner.clone().map(|name| ChangeOwner {
                kind: OwnerKind::Client,
                name: Some(name),
            }),
        }
    }
}

impl Oracle {
    fn of<'a>(&'a self, firewall: Option<&'a str>) -> impl Iterator<Item = &'a Report> {
        let all = self.reports.iter();
        all.filter(move |report| firewall.is_none_or(|name| name == report.source))
    }

    fn series(&self, firewall: Option<&str>, range: Range, now: u64) -> Series {
        let mut series = range.series(now);
        let (from, step) = (series.from, series.step_secs);
        let mut point = |at: u64, add: &dyn Fn(&mut Point)| {
            let index = at.checked_sub(from).map(|secs| secs / step);
            let found = index.and_then(|index| series.points.get_mut(index as usize));
            found.into_iter().for_each(add);
        };
        for report in self.of(firewall) {
            point(report.counted_at(), &|point| match report.action {
                PeerAction::Add => point.adds += 1,
                PeerAction::Remove => point.removes += 1,
            });
        }
        for (source, traffic) in &self.traffic {
            if firewall.is_none_or(|name| name == source) {
                point(traffic.until - 1, &|point| {
                    let sum = point.traffic.get_or_insert_default();
                    sum.dropped_packets += traffic.dropped.packets;
                    sum.dropped_bytes += traffic.dropped.bytes;
                });
            }
        }
        series
    }

    /// Adds and dropped packets by tag.
    fn tags(&self, firewall: Option<&str>, since: u64) -> BTreeMap<String, (u64, u64)> {
        let mut tags = BTreeMap::<String, (u64, u64)>::new();
        for report in self.of(firewall) {
            let counts = report.action == PeerAction::Add && !report.tag.is_empty();
            if counts && report.counted_at() >= since {
                tags.entry(report.tag.clone()).or_default().0 += 1;
            }
        }
        for (source, traffic) in &self.traffic {
            let counts = firewall.is_none_or(|name| name == source);
            if counts && traffic.until > since {
                let tag = &traffic.tags[0];
                tags.entry(tag.tag.clone()).or_default().1 += tag.count.packets;
            }
        }
        tags
    }

    fn changes(&self, query: &ChangeQuery) -> Vec<Change> {
        let all = self.reports.iter().rev().map(Report::change);
        let found = all.filter(|change| {
            query.address.is_none_or(|ip| change.cidr.contains(ip))
                && (query.firewall.as_ref()).is_none_or(|name| *name == change.firewall)
                && (query.tag.as_ref()).is_none_or(|tag| Some(tag) == change.tag.as_ref())
                && query.since.is_none_or(|since| change.at >= since)
                && query.until.is_none_or(|until| change.at < until)
        });
        found.take(query.limit).collect()
    }

    fn verdict(&self, ip: IpAddr, now: u64) -> Vec<Change> {
        let mut last = BTreeMap::new();
        for report in self.reports.iter().filter(|r| r.cidr.contains(ip)) {
            let key = (report.source.clone(), report.policy, report.cidr);
            last.insert(key, report);
        }
        let last = last.into_values();
        let added = last.filter(|report| report.action == PeerAction::Add);
        let in_force = added.filter(|r| r.expiration == 0 || r.expiration > now);
        in_force.map(Report::change).collect()
    }
}

async fn play(steps: &[Step]) -> (Rig, Oracle) {
    let mut rig = Rig::new(config::History::default());
    let mut oracle = Oracle::default();
    let mut now = unix_seconds() - 4 * DAY;
    for step in steps {
        match step {
            Step::Reports(source, secs, rows) => {
                now = (now + secs).min(unix_seconds());
                let source = format!("fw{source}");
                let reports: Vec<Report> =
                    rows.iter().map(|row| report(&source, now, *row)).collect();
                let rows: Vec<_> = reports.iter().map(Report::row).collect();
                rig.journal()
                    .accept(batch(&source, now, &rows))
                    .await
                    .unwrap();
                oracle.reports.extend(reports);
            }
            Step::Traffic(source, secs, tag, packets) => {
                now = (now + secs).min(unix_seconds());
                let traffic = dropped(now - 60, now, &format!("t{tag}"), u64::from(*packets));
                let source = format!("fw{source}");
                send(rig.journal(), &source, now, &traffic).await;
                oracle.traffic.push((source, traffic));
            }
            Step::Seal => {
                let seal = Seal {
                    until: now,
                    next_from: now,
                    next_id: Uuid::new_v4(),
                };
                rig.journal().seal(seal).await.unwrap();
            }
            Step::Restart => rig.restart(),
            Step::Kill => rig.kill(),
        }
    }
    (rig, oracle)
}

fn report(source: &str, now: u64, row: (u8, u8, u8, u32, u32)) -> Report {
    let (n, action, tag, age, lifetime) = row;
    let cidr = match n {
        0 => "192.0.2.0/24".parse().unwrap(),
        n => host(n),
    };
    Report {
        source: source.to_owned(),
        received: now,
        at: match age % 5 {
            0 => 0,
            // A clock that is ahead.
            1 => now + 100,
            2 => now - u64::from(age),
            _ => now - u64::from(age % 200),
        },
        action: if action == 0 {
            PeerAction::Remove
        } else {
            PeerAction::Add
        },
        policy: [None, Some(Policy::Drop), Some(Policy::Ignore)][usize::from(action % 3)],
        cidr,
        tag: ["", "t1", "t2"][usize::from(tag)].to_owned(),
        expiration: match lifetime % 3 {
            0 => 0,
            _ => now + u64::from(lifetime),
        },
        reason: ["", "sshd"][usize::from(tag % 2)].to_owned(),
        owner: (lifetime % 2 == 0).then(|| "f2b".to_owned()),
    }
}

fn check(rig: &Rig, oracle: &Oracle) {
    let history = rig.history();
    for firewall in [None, Some("fw0"), Some("fw1"), Some("none")] {
        for range in [Range::Hour, Range::Day, Range::Week, Range::Month] {
            let now = unix_seconds();
            let series = history.series(firewall, range);
            if unix_seconds() / 60 == now / 60 {
                assert_eq!(series, oracle.series(firewall, range, now), "{range:?}");
            }
        }
        let since = (unix_seconds() - 7 * DAY) / DAY * DAY;
        let tags = history.top_tags(firewall, Range::Week, 99);
        let found: BTreeMap<_, _> = tags
            .into_iter()
            .map(|tag| (tag.tag, (tag.adds, tag.packets)))
            .collect();
        assert_eq!(found, oracle.tags(firewall, since));
        check_sources(&history, oracle, firewall);
    }
    for query in queries() {
        let page = history.searcher.changes(&query);
        assert!(!page.truncated);
        assert_eq!(page.changes, oracle.changes(&query), "{query:?}");
    }
    let now = unix_seconds();
    for n in [1, 2, 200] {
        let IpAddr::V4(ip) = host(n).addr() else {
            panic!("no IPv4 address");
        };
        let found = history.searcher.known_verdict(ip.into(), now);
        assert!(found.iter().all(|rule| rule.complete));
        let found: Vec<_> = found.into_iter().map(|rule| rule.added).collect();
        assert_eq!(found, oracle.verdict(ip.into(), now));
    }
}

fn check_sources(history: &History, oracle: &Oracle, firewall: Option<&str>) {
    let mut expected = HashMap::<Cidr, u64>::new();
    for report in oracle.of(firewall) {
        if report.action == PeerAction::Add {
            *expected.entry(report.cidr).or_default() += 1;
        }
    }
    let sources = history.top_sources(firewall, Range::Month, 99);
    assert!(sources.is_sorted_by(|a, b| a.adds >= b.adds));
    let found: HashMap<_, _> = sources.into_iter().map(|s| (s.cidr, s.adds)).collect();
    assert_eq!(found, expected);
}

fn queries() -> Vec<ChangeQuery> {
    let all = ChangeQuery {
        limit: MOST_CHANGES,
        ..ChangeQuery::default()
    };
    let now = unix_seconds();
    vec![
        all.clone(),
        ChangeQuery {
            limit: 3,
            ..all.clone()
        },
        ChangeQuery {
            address: Some(host(1).addr()),
            ..all.clone()
        },
        ChangeQuery {
            firewall: Some("fw1".to_owned()),
            tag: Some("t1".to_owned()),
            limit: 5,
            ..all.clone()
        },
        ChangeQuery {
            since: Some(now - 3 * DAY),
            until: Some(now - DAY),
            ..all
        },
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_that_of_a_list_of_all_reports(
        steps in proptest::collection::vec(step(), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut rig, oracle) = runtime.block_on(play(&steps));
        check(&rig, &oracle);
        rig.kill();
        check(&rig, &oracle);
        rig.restart();
        check(&rig, &oracle);
    }
}
