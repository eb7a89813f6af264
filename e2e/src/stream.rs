//! Frames that never stop, while something is done to the filter: what got through that must not, and what got lost.

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

/// How many frames of each kind make a burst, whose last must have arrived before the next one is sent.
const BURST: usize = 16;
/// How long bursts may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// What became of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Sent from dropped sources.
    pub dropped_sent: u64,
    /// Of those, how many got through.
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

/// Senders and receivers at work, on threads of their own.
///
/// Over the first pair of interfaces go bursts of frames from dropped and allowed sources, none of which may be lost or
/// get through. Over the second one go frames from a dropped source as fast as the machine can: whenever the filter is
/// not there, one is on its way.
#[derive(Debug)]
pub struct Stream {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

/// What a thread of a stream does until it is to end.
type Work = Box<dyn FnOnce(&Counts) + Send>;

impl Stream {
    /// Begins. `second` are the names of a pair made by [`Lab::join`].
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

    /// Waits until so many more bursts have been sent, and what they are made of has arrived or not.
    pub fn bursts(&self, more: u64) {
        let sent = || self.counts.bursts.load(Ordering::Acquire);
        let goal = sent() + more;
        until("the bursts are through", PATIENCE, || {
            (sent() >= goal).then_some(())
        });
    }

    /// Ends, and says what became of the frames.
    ///
    /// # Panics
    /// Where one of the threads did.
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
            // Nothing for a while: what was sent has been judged.
            None if counts.stop.load(Ordering::Relaxed) => return,
            None => {}
        }
    }
}
