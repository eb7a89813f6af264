//! What is reported, and that the firewall never waits for it.

use std::sync::mpsc;

use couic_common::{Cidr, Metadata, PeerAction, Policy as RulePolicy, Report, RuleKey, Tag};
use couic_delivery::Member;
use couic_plugin_api::{Kind, Notification, Notifier, NotifyError, Receipt, async_trait};

use super::*;
use couic_firewall::{
    dataplane::{Limits, MemoryPlane},
    rules::{Actor, ClaimRequest, ManualClock, Origin, SetCatalog},
};

/// Forwards notifications into a channel; never returns if `hangs`.
struct Channel {
    sent: parking_lot::Mutex<mpsc::Sender<Notification>>,
    hangs: bool,
}

#[async_trait]
impl Notifier for Channel {
    fn name(&self) -> &str {
        "channel"
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        self.sent.lock().send(notification.clone()).unwrap();
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Ok(Receipt::default())
    }
}

fn firewall() -> (Arc<Firewall>, Arc<ManualClock>) {
    let plane = MemoryPlane::default();
    let clock = Arc::new(ManualClock::new(1_000));
    let firewall = Firewall::new(
        Box::new(plane.clone()),
        Arc::new(plane),
        Limits::default(),
        Arc::clone(&clock) as _,
    );
    (Arc::new(firewall), clock)
}

fn subscribed(firewall: &Firewall, hangs: bool) -> (Reporting, mpsc::Receiver<Notification>) {
    let (sent, received) = mpsc::channel();
    let sent = parking_lot::Mutex::new(sent);
    let member = Member::new(Arc::new(Channel { sent, hangs }), Policy::default());
    let group = NotificationDispatcher::start("t", "here", None, vec![member]).unwrap();
    let reporting = Reporting::subscribe(firewall, Arc::new(group), "here").unwrap();
    (reporting, received)
}

fn origin(metadata: Option<Metadata>) -> Origin {
    Origin {
        actor: Actor::Client("ops".parse().unwrap()),
        metadata: metadata.map(Arc::new),
    }
}

fn rule(cidr: &str, expiration: u64) -> ClaimRequest {
    ClaimRequest {
        cidr: cidr.parse().unwrap(),
        tag: Tag::parse("ssh").unwrap(),
        expiration,
    }
}

fn reports(received: &mpsc::Receiver<Notification>) -> Vec<Report> {
    received
        .try_iter()
        .flat_map(|notification| match notification.kind {
            Kind::Reports(reports) => reports,
            other => panic!("unexpected: {other:?}"),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_reported_in_order_with_its_reason() {
    let (firewall, clock) = firewall();
    let (reporting, received) = subscribed(&firewall, false);
    let words: Metadata =
        serde_json::from_str(r#"{"kind":"f2b","detail":"sshd","extra":{"z":1,"a":[2]}}"#).unwrap();
    let drop = RulePolicy::Drop;
    firewall
        .add(
            drop,
            &rule("192.0.2.0/24", 1_005),
            &origin(Some(words.clone())),
        )
        .unwrap();
    let renewed = rule("192.0.2.0/24", 1_010);
    let actor = origin(None).actor;
    firewall.apply(
        drop,
        vec![couic_firewall::rules::Job::Add(renewed, None)],
        &actor,
    );
    clock.set(1_010);
    assert_eq!(firewall.expire_due(), 1);
    firewall
        .add(RulePolicy::Ignore, &rule("2001:db8::/32", 0), &origin(None))
        .unwrap();
    let ipv6: Cidr = "2001:db8::/32".parse().unwrap();
    firewall
        .remove(
            RuleKey::new(RulePolicy::Ignore, ipv6),
            &couic_firewall::rules::ClaimScope::OWN,
            &origin(None),
        )
        .unwrap();
    let left = reporting.stop(Duration::from_secs(60)).await;
    assert_eq!(left, []);

    let sent = reports(&received);
    let seen: Vec<_> = sent
        .iter()
        .map(|r| {
            let detail = r.metadata.as_ref().map(|m| m.detail.as_str());
            (
                r.action,
                r.policy.unwrap(),
                r.entry.expiration,
                detail,
                r.timestamp,
            )
        })
        .collect();
    let (add, remove, ignore) = (PeerAction::Add, PeerAction::Remove, RulePolicy::Ignore);
    let expected = [
        (add, drop, 1_005, Some("sshd"), 1_000),
        (add, drop, 1_010, None, 1_000),
        (remove, drop, 1_010, Some("expired"), 1_010),
        (add, ignore, 0, None, 1_010),
        (remove, ignore, 0, None, 1_010),
    ];
    assert_eq!(seen, expected);
    assert_eq!(sent[0].metadata.as_ref(), Some(&words), "untouched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_leaves_the_rule_in_force_is_no_removal() {
    use couic_firewall::rules::{ClaimScope, Job};

    let (firewall, _) = firewall();
    let (reporting, received) = subscribed(&firewall, false);
    let net: Cidr = "192.0.2.0/24".parse().unwrap();
    let apply = |client: &str, job: Job| {
        let actor = Actor::Client(client.parse().unwrap());
        let results = firewall.apply(RulePolicy::Drop, vec![job], &actor);
        assert!(results[0].is_ok(), "{results:?}");
    };
    let words = || {
        let unban = r#"{"kind":"f2b","detail":"unban"}"#;
        Some(Arc::new(serde_json::from_str::<Metadata>(unban).unwrap()))
    };
    apply("long", Job::Add(rule("192.0.2.0/24", 2_000), None));
    apply("f2b", Job::Add(rule("192.0.2.0/24", 0), None));
    apply("f2b", Job::Remove(net, ClaimScope::OWN, words()));
    apply("ops", Job::Remove(net, ClaimScope::ALL, words()));
    reporting.stop(Duration::from_secs(60)).await;
    let sent = reports(&received);
    let seen: Vec<_> = sent
        .iter()
        .map(|r| {
            let detail = r.metadata.as_ref().map(|m| m.detail.as_str());
            let owner = r.owner.as_ref().and_then(|owner| owner.name.as_deref());
            (r.action, r.entry.expiration, detail, owner)
        })
        .collect();
    let (add, remove) = (PeerAction::Add, PeerAction::Remove);
    let ended = "the claim of client f2b has ended, others hold the rule";
    let expected = [
        (add, 2_000, None, Some("long")),
        (add, 0, None, Some("f2b")),
        (add, 2_000, Some(ended), Some("f2b")),
        (remove, 2_000, Some("unban"), Some("long")),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_reload_reports_only_its_changes() {
    let (firewall, _) = firewall();
    let (reporting, received) = subscribed(&firewall, false);
    let dir = tempfile::tempdir().unwrap();
    let store = couic_firewall::rules::SetStore::open(dir.path()).unwrap();
    let name = "bots".parse().unwrap();
    let cidrs = ["192.0.2.1/32", "192.0.2.2/32"].map(|c| c.parse::<Cidr>().unwrap());
    store.create(RulePolicy::Drop, &name, &cidrs).unwrap();
    firewall
        .replace_sets(&store.load_strict().unwrap())
        .unwrap();
    store.replace(RulePolicy::Drop, &name, &cidrs[..1]).unwrap();
    firewall
        .replace_sets(&store.load_strict().unwrap())
        .unwrap();
    firewall.replace_sets(&SetCatalog::default()).unwrap();
    reporting.stop(Duration::from_secs(60)).await;
    let sent = reports(&received);
    let seen: Vec<_> = sent
        .iter()
        .map(|r| {
            (
                r.action,
                r.entry.cidr,
                r.metadata.as_ref().unwrap().detail.as_str(),
            )
        })
        .collect();
    let (add, remove) = (PeerAction::Add, PeerAction::Remove);
    let expected = [
        (add, cidrs[0], "set bots"),
        (add, cidrs[1], "set bots"),
        (remove, cidrs[1], "set bots"),
        (remove, cidrs[0], "set bots"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(sent[0].entry.tag.as_ref().unwrap().as_str(), "bots.couic");
}

fn adds(firewall: &Firewall, from: u32, count: u32) {
    let origin = origin(None);
    for n in from..from + count {
        let cidr = Cidr::host(std::net::Ipv4Addr::from_bits(n).into());
        let rule = ClaimRequest {
            cidr,
            tag: None,
            expiration: 0,
        };
        firewall.add(RulePolicy::Drop, &rule, &origin).unwrap();
    }
}

/// The firewall publishes into a queue that has no back-pressure. A firewall that waited for the endpoint would never
/// get through these adds.
#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_endpoint_does_not_block_the_firewall() {
    const ADDS: u32 = 20_000;
    let (firewall, _) = firewall();
    let (reporting, received) = subscribed(&firewall, true);
    adds(&firewall, 0, ADDS);
    couic_testkit::until("all are counted", couic_testkit::LONG, || {
        let counted = reporting.counted();
        (counted.reported() + counted.missed() >= u64::from(ADDS)).then_some(())
    });
    assert_eq!(reporting.counted().missed(), 0);
    assert!(
        received.try_iter().count() <= 1,
        "one attempt hangs, nothing overtakes it"
    );
    let left = reporting.stop(Duration::from_millis(10)).await;
    assert!(left[0].events > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_changes_at_once_are_all_reported_in_order() {
    const COUNT: u32 = 100_000;
    let (firewall, _) = firewall();
    let (reporting, received) = subscribed(&firewall, false);
    let hosts = (0..COUNT).map(|n| Cidr::host(std::net::Ipv4Addr::from_bits(n).into()));
    let jobs = hosts.clone().map(|cidr| {
        let rule = ClaimRequest {
            cidr,
            tag: None,
            expiration: 0,
        };
        couic_firewall::rules::Job::Add(rule, None)
    });
    firewall.apply(RulePolicy::Drop, jobs.collect(), &origin(None).actor);
    let counted = Arc::clone(reporting.counted());
    assert_eq!(reporting.stop(Duration::from_secs(60)).await, []);
    assert_eq!((counted.reported(), counted.missed()), (COUNT.into(), 0));
    let sent = reports(&received);
    assert!(sent.iter().map(|report| report.entry.cidr).eq(hosts));
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_events_are_counted_and_sent_as_a_notice() {
    let (firewall, _) = firewall();
    let (sent, received) = mpsc::channel();
    let sent = parking_lot::Mutex::new(sent);
    let member = Member::new(Arc::new(Channel { sent, hangs: false }), Policy::default());
    let group = NotificationDispatcher::start("t", "here", None, vec![member]).unwrap();
    let events = firewall.subscribe(2);
    adds(&firewall, 0, 5);
    let counted = Arc::<Counted>::default();
    let dispatcher = Arc::new(group);
    let collector = collect::Collector {
        events,
        dispatcher: Arc::clone(&dispatcher),
        counted: Arc::clone(&counted),
        stop: Arc::new(AtomicBool::new(true)),
        source: "here".to_owned(),
    };
    tokio::task::spawn_blocking(|| collector.run())
        .await
        .unwrap();
    dispatcher.drain(Duration::from_secs(60)).await;
    assert_eq!((counted.missed(), counted.reported()), (3, 2));
    let notice = received.try_iter().find_map(|n| match n.kind {
        Kind::Notice(notice) => Some(notice),
        _ => None,
    });
    let notice = notice.unwrap();
    assert!(
        notice
            .message
            .starts_with("3 rule changes are not reported"),
        "{}",
        notice.message
    );
}
