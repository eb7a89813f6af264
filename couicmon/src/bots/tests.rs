use std::sync::mpsc::{Receiver, Sender, channel};

use couic_testkit::{LONG, until};

use super::*;

fn addr(n: u8) -> IpAddr {
    [192, 0, 2, n].into()
}

fn ends() -> Arc<[String]> {
    [".googlebot.com".to_owned(), ".google.com".to_owned()].into()
}

/// Names that are fixed; each look-up of a name waits for a permit if there are any.
struct Names {
    names: HashMap<IpAddr, Result<Option<&'static str>, NoAnswer>>,
    addresses: HashMap<&'static str, Vec<IpAddr>>,
    asked: Mutex<Vec<String>>,
    permits: Option<Mutex<Receiver<()>>>,
}

impl LookUp for Arc<Names> {
    fn name(&self, addr: IpAddr) -> Result<Option<String>, NoAnswer> {
        self.asked.lock().push(addr.to_string());
        if let Some(permits) = &self.permits {
            // An end of the channel lets everything pass.
            let _ = permits.lock().recv();
        }
        let name = self.names.get(&addr).copied().unwrap_or(Ok(None));
        name.map(|name| name.map(str::to_owned))
    }

    fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NoAnswer> {
        self.asked.lock().push(name.to_owned());
        Ok(self.addresses.get(name).cloned().unwrap_or_default())
    }
}

fn names() -> Names {
    let names = [
        (1, Ok(Some("crawl-1.googlebot.com"))),
        (2, Ok(Some("crawl-1.googlebot.com"))),
        (3, Ok(Some("googlebot.com.evil.example"))),
        (4, Ok(Some("evilgooglebot.com"))),
        (5, Ok(None)),
        (6, Err(NoAnswer)),
        (7, Ok(Some("CRAWL-7.GoogleBot.Com."))),
        (8, Ok(Some("x y.google.com"))),
        (9, Ok(Some("gone.google.com"))),
    ];
    Names {
        names: names.map(|(n, name)| (addr(n), name)).into(),
        addresses: HashMap::from([
            ("crawl-1.googlebot.com", vec![addr(99), addr(1)]),
            ("CRAWL-7.GoogleBot.Com", vec![addr(7)]),
        ]),
        asked: Mutex::default(),
        permits: None,
    }
}

fn gated() -> (Resolver, Arc<Names>, Sender<()>) {
    let (permit, permits) = channel();
    let names = Arc::new(Names {
        permits: Some(Mutex::new(permits)),
        ..names()
    });
    let resolver = Resolver::start_with(Arc::clone(&names)).unwrap();
    (resolver, names, permit)
}

fn answers(resolver: &Resolver, count: usize) -> Vec<(u64, Identity)> {
    let mut all = Vec::new();
    let now = Instant::now();
    // Before the deadline, however slow the machine.
    let early = now.checked_sub(LONG).unwrap_or(now);
    until("the answers", LONG, || {
        all.extend(resolver.answers_at(early));
        (all.len() >= count).then_some(())
    });
    all.sort_by_key(|(id, _)| *id);
    all
}

#[test]
fn only_a_name_that_is_confirmed_forward_is_real() {
    use Identity::{Fake, Real, Unknown};
    let names = Arc::new(names());
    let resolver = Resolver::start_with(Arc::clone(&names)).unwrap();
    for n in 1..=9 {
        resolver.ask(n.into(), addr(n), &ends());
    }
    let expected = [Real, Fake, Fake, Fake, Fake, Unknown, Real, Fake, Fake];
    let expected: Vec<_> = (1..).zip(expected).collect();
    assert_eq!(answers(&resolver, 9), expected);
    let asked = names.asked.lock();
    assert!(
        !asked
            .iter()
            .any(|name| name.contains("evil") || name.contains(' '))
    );
}

#[test]
fn answers_are_kept_for_a_day_but_for_failures() {
    let names = Arc::new(names());
    let resolver = Resolver::start_with(Arc::clone(&names)).unwrap();
    let asked = || names.asked.lock().len();
    for n in [1, 5, 6] {
        resolver.ask(n.into(), addr(n), &ends());
    }
    answers(&resolver, 3);
    assert_eq!(asked(), 4);
    resolver.ask(1, addr(1), &ends());
    resolver.ask(5, addr(5), &ends());
    let found: Vec<_> = resolver.answers().collect();
    assert_eq!(found, [(1, Identity::Real), (5, Identity::Fake)]);
    assert_eq!(asked(), 4);
    // Another claim of the same address, and a failure.
    resolver.ask(2, addr(1), &[".bing.com".to_owned()].into());
    resolver.ask(6, addr(6), &ends());
    let found = answers(&resolver, 2);
    assert_eq!(found, [(2, Identity::Fake), (6, Identity::Unknown)]);
    assert_eq!(asked(), 6);
    let tomorrow = Instant::now() + KEPT;
    resolver.ask_at(1, (addr(1), ends()), tomorrow);
    assert_eq!(answers(&resolver, 1), [(1, Identity::Real)]);
    assert_eq!(asked(), 8);
}

#[test]
fn without_an_answer_in_time_it_is_unknown_and_the_late_answer_is_kept() {
    let (resolver, names, permit) = gated();
    let start = Instant::now();
    for n in 1..=4 {
        resolver.ask_at(n, (addr(1), ends()), start);
    }
    resolver.ask_at(5, (addr(3), ends()), start);
    resolver.ask_at(6, (addr(5), ends()), start);
    until("both threads are busy", LONG, || {
        (names.asked.lock().len() == 2).then_some(())
    });
    let early = resolver.answers_at(start + DEADLINE - Duration::from_millis(1));
    assert_eq!(early.count(), 0);
    let mut late: Vec<_> = resolver.answers_at(start + DEADLINE).collect();
    late.sort_by_key(|(id, _)| *id);
    let unknown: Vec<_> = (1..=6).map(|id| (id, Identity::Unknown)).collect();
    assert_eq!(late, unknown);
    drop(permit);
    until("the late answers are kept", LONG, || {
        (resolver.shared.state.lock().cache.len() == 2).then_some(())
    });
    assert_eq!(resolver.answers().count(), 0, "each has its answer already");
    resolver.ask(7, addr(1), &ends());
    let found: Vec<_> = resolver.answers().collect();
    assert_eq!(found, [(7, Identity::Real)]);
    let asked = names.asked.lock();
    assert!(!asked.contains(&addr(5).to_string()), "it was too late");
}

#[test]
fn what_waits_is_bounded() {
    let (resolver, _, permit) = gated();
    let start = Instant::now();
    for id in 0..MOST_WAITING as u64 + 9 {
        let addr = std::net::Ipv4Addr::from_bits(id as u32).into();
        resolver.ask_at(id, (addr, ends()), start);
    }
    assert_eq!(answers(&resolver, 9).len(), 9);
    drop(permit);
    assert_eq!(answers(&resolver, MOST_WAITING).len(), MOST_WAITING);
    assert_eq!(resolver.shared.state.lock().questions, 0);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut state = State::default();
    let now = Instant::now();
    for n in 0..MOST_CACHED as u32 + 9 {
        let addr = std::net::Ipv4Addr::from_bits(n).into();
        state.answered((addr, ends()), Identity::Fake, now);
    }
    assert_eq!(
        (state.cache.len(), state.kept.len()),
        (MOST_CACHED, MOST_CACHED)
    );
    assert!(!state.cache.contains_key(&([0, 0, 0, 8].into(), ends())));
    state.forget(now + KEPT);
    assert!(state.cache.is_empty() && state.kept.is_empty());
}

#[test]
fn ends_are_whole_labels() {
    for (name, end, expected) in [
        ("a.google.com", ".google.com", true),
        ("google.com", ".google.com", true),
        ("a.google.com", "google.com", true),
        ("A.GOOGLE.com", "google.Com", true),
        ("agoogle.com", "google.com", false),
        ("com", "google.com", false),
        ("", ".google.com", false),
        ("a.", ".", false),
        ("é.google.com", ".google.com", true),
        ("aé", "xyz", false),
    ] {
        assert_eq!(ends_with(name, end), expected, "{name} {end}");
    }
}
