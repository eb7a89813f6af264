//! Readers against the changes that a firewall makes.

use std::time::Instant;

use couic_common::{Metadata, Policy, RuleChange};
use couic_firewall::{
    dataplane::{Limits, MemoryPlane},
    rules::{Actor, ClaimRequest, ClaimScope, Job, ManualClock},
};
use tokio::time::timeout;

use super::*;

/// Generous, for busy machines.
const LONG: Duration = Duration::from_secs(60);

struct Rules {
    firewall: Firewall,
    events: Arc<Events>,
    counts: Arc<StreamCounts>,
}

fn rules() -> Rules {
    let plane = MemoryPlane::default();
    let firewall = Firewall::new(
        Box::new(plane.clone()),
        Arc::new(plane),
        Limits::default(),
        Arc::new(ManualClock::new(1_800_000_000)),
    );
    let counts = Arc::<StreamCounts>::default();
    let events = Events::start(&firewall, Arc::clone(&counts)).unwrap();
    Rules {
        firewall,
        events,
        counts,
    }
}

impl Rules {
    /// Adds rules by number, and waits until the ring has taken note of them.
    fn add(&self, numbers: std::ops::Range<u32>, tag: &str, words: Option<&Arc<Metadata>>) {
        let jobs = numbers.map(|n| {
            let [_, b, c, d] = n.to_be_bytes();
            let request = ClaimRequest {
                cidr: format!("10.{b}.{c}.{d}/32").parse().unwrap(),
                tag: couic_common::Tag::parse(tag).unwrap(),
                expiration: 0,
            };
            Job::Add(request, words.cloned())
        });
        let before = self.events.ring.newest();
        let jobs: Vec<Job> = jobs.collect();
        let count = jobs.len() as u64;
        let actor = Actor::Client("web".parse().unwrap());
        let done = self.firewall.apply(Policy::Drop, jobs, &actor);
        assert!(done.iter().all(Result::is_ok));
        self.caught_up(before + count);
    }

    /// Waits until the ring has taken note of this change.
    fn caught_up(&self, seq: u64) {
        let begun = Instant::now();
        while self.events.ring.newest() < seq {
            assert!(begun.elapsed() < LONG);
            thread::yield_now();
        }
    }

    fn place(&self, name: &str, group: Group) -> Result<Place, NoPlace> {
        self.events.place(&name.parse().unwrap(), group)
    }

    fn reader(&self, start: Start, tag: Option<&str>, follow: bool) -> Reader {
        let wanted = Wanted {
            policy: None,
            tag: tag.map(|tag| tag.parse().unwrap()),
            follow,
        };
        let place = self.place("web", Group::ClientRw).unwrap();
        Reader::new(place, start, wanted, || true)
    }

    /// What a reader gets that ends at the end.
    async fn read(&self, start: Start, tag: Option<&str>) -> Vec<Got> {
        let mut reader = self.reader(start, tag, false);
        let mut text = String::new();
        while let Some(piece) = timeout(LONG, reader.next()).await.unwrap() {
            assert!(piece.len() < 128 * 1024);
            text += std::str::from_utf8(&piece).unwrap();
        }
        got(&text)
    }
}

#[derive(Debug, PartialEq)]
enum Got {
    At(u64),
    Change(u64, String),
    Gap(u64, Option<u64>),
}

fn got(text: &str) -> Vec<Got> {
    let parse = |event: &str| {
        let field = |name| event.lines().find_map(|line| line.strip_prefix(name));
        let id: EventId = field("id: ").unwrap().parse().unwrap();
        match (field("event: "), field("data: ")) {
            (None, None) => Got::At(id.seq),
            (None, Some(data)) => {
                let change: RuleChange = serde_json::from_str(data).unwrap();
                Got::Change(id.seq, change.cidr.to_string())
            }
            (Some("gap"), Some(data)) => {
                let gap: couic_common::EventGap = serde_json::from_str(data).unwrap();
                Got::Gap(id.seq, gap.missed)
            }
            other => panic!("{other:?}"),
        }
    };
    text.split_terminator("\n\n").map(parse).collect()
}

fn change(seq: u64, cidr: &str) -> Got {
    Got::Change(seq, cidr.to_owned())
}

#[tokio::test]
async fn a_reader_gets_what_it_is_about_in_order_and_goes_on_where_it_was() {
    let rules = rules();
    rules.add(0..2, "ssh", None);
    rules.add(2..4, "web", None);
    let all = rules.read(Start::Oldest, None).await;
    let expected = [
        Got::At(0),
        change(1, "10.0.0.0/32"),
        change(2, "10.0.0.1/32"),
        change(3, "10.0.0.2/32"),
        change(4, "10.0.0.3/32"),
    ];
    assert_eq!(all, expected);
    let of_web = rules.read(Start::Oldest, Some("w*")).await;
    assert_eq!(of_web[1..], expected[3..]);
    let rest = rules.read(Start::After(rules.events.id(3)), None).await;
    assert_eq!(rest, [Got::At(3), change(4, "10.0.0.3/32")]);
    assert_eq!(
        rules.read(Start::After(rules.events.id(4)), None).await,
        [Got::At(4)]
    );
}

#[tokio::test]
async fn a_rule_does_not_leave_the_stream_of_a_tag_unseen() {
    let rules = rules();
    rules.add(0..1, "ssh", None);
    // A second claim of the same client: its tag is shown from now on.
    rules.add(0..1, "web", None);
    let cidr = "10.0.0.0/32".parse().unwrap();
    let actor = Actor::Client("web".parse().unwrap());
    let release = |tag: &str| {
        let scope = ClaimScope {
            tag: Some(couic_common::Tag::parse(tag).unwrap()),
            ..ClaimScope::OWN
        };
        let jobs = vec![Job::Remove(cidr, scope, None)];
        let done = rules.firewall.apply(Policy::Drop, jobs, &actor);
        assert!(done.iter().all(Result::is_ok));
    };
    release("web");
    rules.caught_up(3);
    release("ssh");
    rules.caught_up(4);
    // Added as ssh; shown as web; released, and shown as ssh again; removed as ssh.
    let all = [1, 2, 3, 4].map(|seq| change(seq, "10.0.0.0/32"));
    assert_eq!(rules.read(Start::Oldest, Some("ssh")).await[1..], all);
    assert_eq!(rules.read(Start::Oldest, Some("web")).await[1..], all[1..3]);
}

#[tokio::test]
async fn ids_of_another_start_are_a_gap_and_then_all_there_is() {
    let rules = rules();
    rules.add(0..1, "", None);
    let other = EventId {
        boot: rules.events.boot ^ 1,
        seq: 1,
    };
    for id in [other, rules.events.id(2), rules.events.id(u64::MAX)] {
        let got = rules.read(Start::After(id), None).await;
        assert_eq!(got, [Got::Gap(0, None), change(1, "10.0.0.0/32")]);
    }
}

/// However many changes there are, and however slow a reader.
#[tokio::test]
async fn an_overtaken_reader_is_told_how_much_it_missed() {
    let rules = rules();
    let mut slow = rules.reader(Start::Now, None, true);
    let count = 3 * MAX_EVENTS as u64;
    for n in 0..12 {
        let part = u32::try_from(count / 12).unwrap();
        rules.add(n * part..(n + 1) * part, "flood", None);
    }
    let (events, bytes) = rules.events.ring.held();
    assert!(
        events <= MAX_EVENTS && bytes <= 16 << 20,
        "{events} {bytes}"
    );
    let mut text = Vec::new();
    while !text.ends_with(b"\n\n")
        || !got(std::str::from_utf8(&text).unwrap()).contains(&last(count))
    {
        text.extend(timeout(LONG, slow.next()).await.unwrap().unwrap());
    }
    let got = got(std::str::from_utf8(&text).unwrap());
    let missed = count - events as u64;
    assert_eq!(got[..2], [Got::At(0), Got::Gap(missed, Some(missed))]);
    assert_eq!(got.len(), 2 + events);
    // One that is about nothing of it hears of the gap all the same.
    let none = rules
        .read(Start::After(rules.events.id(0)), Some("x"))
        .await;
    assert_eq!(none, [Got::At(0), Got::Gap(missed, Some(missed))]);
}

fn last(seq: u64) -> Got {
    let [_, b, c, d] = u32::try_from(seq - 1).unwrap().to_be_bytes();
    Got::Change(seq, format!("10.{b}.{c}.{d}/32"))
}

#[tokio::test]
async fn what_clients_write_is_bounded_by_its_bytes() {
    let rules = rules();
    for n in 0..40 {
        let words = Metadata {
            kind: "x".to_owned(),
            detail: "y".repeat(1 << 20),
            extra: None,
        };
        rules.add(n..n + 1, "", Some(&Arc::new(words)));
    }
    let (events, bytes) = rules.events.ring.held();
    assert!(
        (1..=16).contains(&events) && bytes <= 16 << 20,
        "{events} {bytes}"
    );
    // Even a change that does not fit by itself is told of.
    let mut reader = rules.reader(Start::Now, None, true);
    let words = Metadata {
        kind: "x".to_owned(),
        detail: "y".repeat(17 << 20),
        extra: None,
    };
    rules.add(40..41, "", Some(&Arc::new(words)));
    let mut text = timeout(LONG, reader.next()).await.unwrap().unwrap();
    text.extend(timeout(LONG, reader.next()).await.unwrap().unwrap());
    assert_eq!(
        got(std::str::from_utf8(&text).unwrap()),
        [Got::At(40), Got::Gap(41, Some(1))]
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_shows_that_it_lives() {
    let rules = rules();
    let mut reader = rules.reader(Start::Now, None, true);
    let begun = tokio::time::Instant::now();
    for at in [0, 15, 30] {
        assert_eq!(
            reader.next().await.unwrap(),
            text::position(rules.events.id(0))
        );
        assert_eq!(begun.elapsed().as_secs(), at);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_token_and_at_the_shutdown() {
    let rules = rules();
    let place = rules.place("web", Group::ClientRw).unwrap();
    let wanted = || Wanted {
        policy: None,
        tag: None,
        follow: true,
    };
    let end = tokio::time::Instant::now() + Duration::from_secs(5);
    let admitted = move || tokio::time::Instant::now() < end;
    let mut reader = Reader::new(place, Start::Now, wanted(), admitted);
    assert!(reader.next().await.is_some());
    assert!(reader.next().await.is_none());
    assert!(end.elapsed() <= Duration::from_secs(1));
    let mut reader = rules.reader(Start::Now, None, true);
    assert!(reader.next().await.is_some());
    rules.events.end();
    assert!(reader.next().await.is_none());
}

#[test]
fn places_are_few_and_come_back() {
    let rules = rules();
    let mut places = Vec::new();
    let clients = (MAX_STREAMS - RESERVE) / PER_CLIENT;
    for n in 0..clients * PER_CLIENT {
        let name = format!("c{}", n / PER_CLIENT);
        places.push(rules.place(&name, Group::ClientRo).unwrap());
    }
    let name = "c0".parse().unwrap();
    assert_eq!(
        rules.place("c0", Group::Admin).unwrap_err(),
        NoPlace::OfClient(name)
    );
    assert!(rules.place("d", Group::ClientRw).is_err());
    for n in 0..RESERVE {
        places.push(rules.place(&format!("a{n}"), Group::Admin).unwrap());
    }
    assert_eq!(
        rules.place("b", Group::Admin).unwrap_err(),
        NoPlace::OfAll(MAX_STREAMS)
    );
    let shown = |rules: &Rules| couic_httpd::prometheus(&rules.counts.families());
    assert!(shown(&rules).contains("\ncouic_event_streams 128\n"));
    assert!(shown(&rules).contains("\ncouic_event_streams_refused_total 3\n"));
    drop(places);
    assert!(rules.events.readers.lock().is_empty());
    assert!(shown(&rules).contains("\ncouic_event_streams 0\n"));
    assert!(rules.place("d", Group::ClientRw).is_ok());
}
