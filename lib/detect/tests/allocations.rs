//! A line without a decision allocates nothing.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use couic_detect::{
    Client, DetectConfig, Detector, Distinct, Event, JailConfig, LoginConfig, WidenConfig,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: all calls are those of the system's allocator; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn jail(name: &str) -> JailConfig {
    JailConfig {
        name: name.into(),
        sources: vec!["web".into()],
        rate: "30 per 100s".into(),
        ..JailConfig::default()
    }
}

#[test]
fn a_line_without_a_decision_allocates_nothing() {
    let scan = JailConfig {
        contains: vec![".env".into(), "union select".into()],
        regex: vec![r"\.(php|env)".into()],
        agent: vec!["curl".into()],
        host: vec!["example.org".into()],
        path: vec!["/a*".into(), "*.env".into()],
        distinct: Some(Distinct::Path),
        ..jail("scan")
    };
    let plain = JailConfig {
        sources: vec!["plain".into()],
        regex: vec!["^bad .* from <HOST>$".into()],
        ..jail("plain")
    };
    let login = LoginConfig {
        sources: vec!["web".into()],
        path: vec!["/login".into()],
        ..LoginConfig::default()
    };
    let config = DetectConfig {
        jails: vec![jail("flood"), scan, plain],
        widen: Some(WidenConfig::default()),
        logins: vec![login],
        ..DetectConfig::default()
    };
    let rules = config.check(&["web".into(), "plain".into()]).unwrap();
    let mut detector = Detector::new(rules, 1);
    let (web, plain) = (
        detector.source("web").unwrap(),
        detector.source("plain").unwrap(),
    );
    let request = Event {
        method: b"GET",
        path: b"/a/.env".into(),
        query: b"q=union+select".into(),
        host: b"EXAMPLE.org".into(),
        agent: b"curl/8".into(),
        status: 404,
        ..Event::default()
    };
    let message = Event {
        message: b"bad login from 192.0.2.7".into(),
        ..Event::default()
    };
    let mut run = |from: u32, now: i64| {
        let client = Client::Known(std::net::Ipv4Addr::from_bits(from).into());
        let web = detector.observe(web, &request, Some(client), b"line", now);
        let plain = detector.observe(plain, &message, None, b"line", now);
        assert!(web.is_empty() && plain.is_empty());
    };
    // Automata are built as they are used.
    (0..100).for_each(|n| run(n, i64::from(n) * 4_000));
    let before = ALLOCATIONS.get();
    (0..10_000).for_each(|n| run(n * 7, 400_000 + i64::from(n) * 4_000));
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
