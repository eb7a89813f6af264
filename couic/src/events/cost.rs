//! What the ring and a reader of it cost whoever changes rules.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use couic_common::Policy;
use couic_firewall::{
    dataplane::{Limits, MemoryPlane},
    rules::{Actor, ClaimRequest, Job, ManualClock},
};

use super::*;
use crate::metrics::cpu_seconds;

const RULES: u32 = 1 << 20;

#[derive(Clone, Copy, Debug)]
enum Who {
    /// The log alone, as it always is.
    Log,
    /// And the ring, which nobody reads.
    Ring,
    /// And a reader.
    Reader,
}

/// Adds a million rules. Returns the seconds that took, and those of the processor in all threads.
fn adds(who: Who) -> (f64, f64) {
    let plane = MemoryPlane::default();
    let clock = Arc::new(ManualClock::new(1));
    let counters = Arc::new(plane.clone());
    let firewall = Firewall::new(Box::new(plane), counters, Limits::default(), clock);
    firewall.set_admins(|_| true);
    let log = firewall.subscribe(1 << 18);
    let done = AtomicBool::new(false);
    let events = match who {
        Who::Log => None,
        _ => Some(Events::start(&firewall, Arc::default()).unwrap()),
    };
    let actor = Actor::Client("web".parse().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                let received = log.recv_timeout(Duration::from_millis(100));
                std::hint::black_box(received.events.iter().count());
                thread::sleep(ROUND);
            }
        });
        if let (Who::Reader, Some(events)) = (who, &events) {
            scope.spawn(|| read(events));
        }
        let (begun, cpu) = (std::time::Instant::now(), cpu_seconds().unwrap());
        for first in (0..RULES).step_by(1024) {
            let jobs = (first..first + 1024).map(|n| {
                let request = ClaimRequest {
                    cidr: couic_common::Cidr::host(std::net::Ipv4Addr::from_bits(n << 8).into()),
                    tag: couic_common::Tag::parse("flood").unwrap(),
                    expiration: 0,
                };
                Job::Add(request, None)
            });
            firewall.apply(Policy::Drop, jobs.collect(), &actor);
        }
        let took = begun.elapsed().as_secs_f64();
        done.store(true, Relaxed);
        if let Some(events) = &events {
            events.end();
        }
        (took, cpu_seconds().unwrap() - cpu)
    })
}

fn read(events: &Arc<Events>) {
    let wanted = Wanted {
        policy: None,
        tag: None,
        follow: true,
    };
    let place = events.place(&"web".parse().unwrap(), Group::Admin).unwrap();
    let mut reader = Reader::new(place, Start::Now, wanted, || true);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut bytes = 0;
        while let Some(piece) = reader.next().await {
            bytes += piece.len();
        }
        std::hint::black_box(bytes)
    });
}

/// `cargo test -p couic --lib events::cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn a_million_adds_with_and_without_readers() {
    for _ in 0..5 {
        for who in [Who::Log, Who::Ring, Who::Reader] {
            let (took, cpu) = adds(who);
            println!("{who:?}: {took:.2} s, {cpu:.2} s of the processor");
        }
    }
}
