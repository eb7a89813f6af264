//! A continuous stream of frames while the filter is changed: counts dropped frames that pass, and allowed ones that are
//! lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    Frame, HOST_IFACE, Lab, OUTSIDE_IFACE, Wire, frame::find_label, packet_socket::PacketSocket,
    until,
};

/// Frames of each kind in a burst, the last of which must have arrived before the next one is sent.
const BURST: usize = 16;
/// The deadline for awaited bursts.
const PATIENCE: Duration = Duration::from_secs(120);

/// The counts of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Sent from dropped sources.
    pub dropped_sent: u64,
    /// Of those, how many passed.
    pub dropped_arrived: u64,
    /// Sent from allowed sources.
    pub allowed_sent: u64,
    /// Of those, how many did not arrive.
    pub allowed_lost: u64,
}

#[derive(Debug, Default)]
struct Counts {
    stop: AtomicBool,
    bursts: AtomicU64,
    dropped_sent: AtomicU64,
    dropped_arrived: AtomicU64,
    allowed_lost: AtomicU64,
}

/// Running senders and receivers, on threads of their own.
///
/// The first pair of interfaces carries bursts of frames from dropped and allowed sources: none of the former may pass,
/// none of the latter may be lost. The second one carries frames from a dropped source at full speed: if the filter is
/// missing at any time, one passes.
#[derive(Debug)]
pub struct Stream {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

/// The work of a thread of a stream.
type Work = Box<dyn FnOnce(&Counts) + Send>;

impl Stream {
    /// Starts. `second` are the names of a pair created by [`Lab::join`].
    #[must_use]
    pub fn start(lab: &Lab, second: (&str, &str), dropped: &Frame, allowed: &Frame) -> Self {
        Self::between(lab, (HOST_IFACE, OUTSIDE_IFACE), second, dropped, allowed)
    }

    /// The same with another first pair.
    #[must_use]
    pub fn between(
        lab: &Lab,
        first: (&str, &str),
        second: (&str, &str),
        dropped: &Frame,
        allowed: &Frame,
    ) -> Self {
        let counts = Arc::new(Counts::default());
        let wire = Wire::new(&lab.host, first.0, &lab.outside, first.1);
        let sender = PacketSocket::sender(&lab.outside, second.1);
        let receiver = PacketSocket::receiver(&lab.host, second.0);
        let frame = dropped.bytes(1, 1);
        let burst = [vec![dropped.clone(); BURST], vec![allowed.clone(); BURST]].concat();
        let works: [Work; 3] = [
            Box::new(move |counts| bursts(counts, wire, &burst)),
            Box::new(move |counts| flood(counts, &sender, &frame)),
            Box::new(move |counts| watch(counts, &receiver)),
        ];
        let threads = works.map(|work| {
            let counts = Arc::clone(&counts);
            thread::spawn(move || work(&counts))
        });
        Self {
            counts,
            threads: threads.into(),
        }
    }

    /// Waits until `more` bursts have been sent and counted.
    pub fn bursts(&self, more: u64) {
        let sent = || self.counts.bursts.load(Ordering::Acquire);
        let goal = sent() + more;
        until("the bursts are through", PATIENCE, || {
            (sent() >= goal).then_some(())
        });
    }

    /// Stops, and returns the counts.
    ///
    /// # Panics
    /// If one of the threads panicked.
    #[must_use]
    pub fn end(self) -> Tally {
        self.counts.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("senders and receivers");
        }
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let each = read(&self.counts.bursts) * u64::try_from(BURST).expect("small");
        Tally {
            dropped_sent: read(&self.counts.dropped_sent) + each,
            dropped_arrived: read(&self.counts.dropped_arrived),
            allowed_sent: each,
            allowed_lost: read(&self.counts.allowed_lost),
        }
    }
}

fn bursts(counts: &Counts, mut wire: Wire, burst: &[Frame]) {
    while !counts.stop.load(Ordering::Relaxed) {
        let arrived = wire.arrivals(burst);
        let (dropped, allowed) = arrived.split_at(BURST);
        let through: u32 = dropped.iter().sum();
        let lost = allowed.iter().filter(|n| **n == 0).count();
        counts
            .dropped_arrived
            .fetch_add(through.into(), Ordering::Relaxed);
        let lost = u64::try_from(lost).expect("small");
        counts.allowed_lost.fetch_add(lost, Ordering::Relaxed);
        counts.bursts.fetch_add(1, Ordering::Release);
    }
}

fn flood(counts: &Counts, sender: &PacketSocket, frame: &[u8]) {
    while !counts.stop.load(Ordering::Relaxed) {
        if sender.try_send(frame) {
            counts.dropped_sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn watch(counts: &Counts, receiver: &PacketSocket) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match receiver.receive(&mut buffer) {
            Some(frame) if find_label(frame).is_some() => {
                counts.dropped_arrived.fetch_add(1, Ordering::Relaxed);
            }
            Some(_) => {}
            // Timeout: all sent frames have been filtered.
            None if counts.stop.load(Ordering::Relaxed) => return,
            None => {}
        }
    }
}
