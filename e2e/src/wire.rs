//! Frames through the filter, and what is left of them behind it.

use std::time::{Duration, Instant};

use couic_testkit::{Netns, patient};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity},
    unistd::Pid,
};

use crate::{
    Frame,
    frame::{find_label, sync_frame},
    packet_socket::PacketSocket,
};

/// Frames in flight at most: a veth ring holds 256 and loses what does not fit.
const BURST: usize = 64;
/// How long a frame that must arrive may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Sends frames from the outside and counts what gets through to the host.
///
/// Order holds on a veth pair while the sender stays on one CPU. So behind every burst goes a frame that no rule concerns, and when that one has
/// arrived, everything before it has arrived or never will: no waiting for nothing.
#[derive(Debug)]
pub struct Wire {
    sender: PacketSocket,
    receiver: PacketSocket,
    round: u32,
    syncs: u64,
}

impl Wire {
    pub(crate) fn new(
        host: &Netns,
        host_iface: &str,
        outside: &Netns,
        outside_iface: &str,
    ) -> Self {
        Self {
            sender: PacketSocket::sender(outside, outside_iface),
            receiver: PacketSocket::receiver(host, host_iface),
            round: 0,
            syncs: 0,
        }
    }

    /// Sends the frames in order and answers how often each arrived.
    ///
    /// # Panics
    /// Where the wire is cut: a frame that no rule concerns does not arrive within a minute, times `COUIC_PATIENCE`.
    pub fn arrivals(&mut self, frames: &[Frame]) -> Vec<u32> {
        let mut counts = vec![0; frames.len()];
        let _on_one_cpu = Pinned::here();
        for (nth, burst) in frames.chunks(BURST).enumerate() {
            self.round += 1;
            for (index, frame) in (0u32..).zip(burst) {
                self.sender.send(&frame.bytes(self.round, index));
            }
            self.sync();
            self.collect(&mut counts[nth * BURST..nth * BURST + burst.len()]);
        }
        assert_eq!(self.receiver.lost(), 0, "the receiving socket overflowed");
        counts
    }

    /// Whether a frame from this address gets through.
    pub fn passes(&mut self, frame: &Frame) -> bool {
        self.arrivals(std::slice::from_ref(frame)) == [1]
    }

    /// How many frames of [`crate::SYNC_FRAME_LEN`] bytes were sent besides those asked for; they count as passed.
    #[must_use]
    pub const fn syncs(&self) -> u64 {
        self.syncs
    }

    fn sync(&mut self) {
        self.sender.send(&sync_frame(self.round, u32::MAX));
        self.syncs += 1;
    }

    fn collect(&mut self, counts: &mut [u32]) {
        let (start, deadline) = (Instant::now(), patient(DEADLINE));
        let mut buffer = vec![0; 1 << 16];
        while start.elapsed() < deadline {
            let Some(frame) = self.receiver.receive(&mut buffer) else {
                // Attaching XDP resets the receiving queues, so even this frame can be lost.
                self.sync();
                continue;
            };
            match find_label(frame) {
                Some((round, u32::MAX)) if round == self.round => return,
                Some((round, index)) if round == self.round => {
                    counts[usize::try_from(index).expect("64 bit")] += 1;
                }
                _ => {}
            }
        }
        panic!("the wire is cut: a frame that no rule concerns did not arrive within {deadline:?}");
    }
}

/// Keeps the thread on the CPU where it is. Each CPU has a queue of its own for frames that wait for generic XDP.
struct Pinned(CpuSet);

impl Pinned {
    fn here() -> Self {
        let this_thread = Pid::from_raw(0);
        let before = sched_getaffinity(this_thread).expect("sched_getaffinity");
        let mut one = CpuSet::new();
        one.set(sched_getcpu().expect("sched_getcpu"))
            .expect("a CPU of the set");
        sched_setaffinity(this_thread, &one).expect("sched_setaffinity");
        Self(before)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // A thread that stays on its CPU for the rest of a test does no harm.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.0);
    }
}
