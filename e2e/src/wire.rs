//! Sends frames through the filter, and counts their arrival behind it.

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

/// Frames in flight at most: a veth ring holds 256 and drops the rest.
const BURST: usize = 64;
/// The deadline of an expected frame.
const DEADLINE: Duration = Duration::from_secs(60);

/// Sends frames from the outside and counts those that arrive on the host.
///
/// A veth pair keeps order while the sender stays on one CPU. So every burst ends with a frame to which no rule applies:
/// once it has arrived, no frame before it is still in flight, and no timeout is needed.
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

    /// Sends the frames in order and returns how often each arrived.
    ///
    /// # Panics
    /// If the wire is cut: a frame to which no rule applies does not arrive within a minute, times `COUIC_PATIENCE`.
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

    /// Whether this frame passes.
    pub fn passes(&mut self, frame: &Frame) -> bool {
        self.arrivals(std::slice::from_ref(frame)) == [1]
    }

    /// How many additional frames of [`crate::SYNC_FRAME_LEN`] bytes were sent; they count as passed.
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
        panic!(
            "the wire is cut: a frame to which no rule applies did not arrive within {deadline:?}"
        );
    }
}

/// Pins the thread to its CPU. Each CPU has its own queue of frames for generic XDP.
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
        // On error the thread stays pinned, which is harmless.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.0);
    }
}
