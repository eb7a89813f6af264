//! The figures that packets leave, read from mapped memory without a system call.
//!
//! Each CPU has a page range of its own, one record per verdict code, which only that CPU writes: exact, and nobody
//! waits. A read that meets a packet may see its frame counted and its bytes not yet.

use couic_common::{ActionStats, Counter, Policy};
use couic_ebpf::layout::{CODE_ABORTED, CODE_DROP, CODE_IGNORE, CODE_PASS, CODES, Count, TAGS};

use super::{
    Counters, TagSlot,
    region::{Region, read},
};

/// Counters over a mapped table.
#[derive(Debug)]
pub struct MappedCounters {
    counts: Region<Count>,
    cpus: usize,
}

impl MappedCounters {
    pub(super) fn new(counts: Region<Count>, cpus: usize) -> Self {
        Self { counts, cpus }
    }

    /// One code over all CPUs.
    fn code(&self, code: u32) -> Counter {
        let mut sum = Counter::default();
        for cpu in 0..self.cpus {
            let at = cpu * CODES as usize + code as usize;
            sum.rx_packets += read!(self.counts, at, packets);
            sum.rx_bytes += read!(self.counts, at, bytes);
        }
        sum
    }

    fn codes(&self, from: u32) -> Counter {
        let mut sum = Counter::default();
        for code in from..from + TAGS {
            let one = self.code(code);
            sum.rx_packets += one.rx_packets;
            sum.rx_bytes += one.rx_bytes;
        }
        sum
    }
}

impl Counters for MappedCounters {
    fn actions(&self) -> ActionStats {
        let (ignored, passed) = (self.codes(CODE_IGNORE), self.code(CODE_PASS));
        ActionStats {
            xdp_aborted: self.code(CODE_ABORTED),
            xdp_drop: self.codes(CODE_DROP),
            xdp_pass: Counter {
                rx_packets: ignored.rx_packets + passed.rx_packets,
                rx_bytes: ignored.rx_bytes + passed.rx_bytes,
            },
            ..ActionStats::default()
        }
    }

    fn tag(&self, policy: Policy, slot: TagSlot) -> Counter {
        let first = match policy {
            Policy::Drop => CODE_DROP,
            Policy::Ignore => CODE_IGNORE,
        };
        self.code(first + u32::try_from(slot.index()).unwrap_or(0))
    }
}
