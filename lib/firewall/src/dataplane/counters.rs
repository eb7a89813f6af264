//! The packet counters, read from mapped memory without a system call.
//!
//! Each CPU has its own range of pages, one record per verdict code, which only that CPU writes: exact, and without
//! locks. A read concurrent with a packet may see its frame counted and its bytes not yet.

use couic_common::{ActionStats, Counter, NotInspected, Policy};
use couic_ebpf::layout::{
    CODE_ABORTED, CODE_DROP, CODE_IGNORE, CODE_PASS, CODES, Count, Skipped, TAGS,
};

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

    fn sum(&self, codes: impl IntoIterator<Item = u32>) -> Counter {
        let mut sum = Counter::default();
        for code in codes {
            let one = self.code(code);
            sum.rx_packets += one.rx_packets;
            sum.rx_bytes += one.rx_bytes;
        }
        sum
    }
}

impl Counters for MappedCounters {
    fn actions(&self) -> ActionStats {
        let passed = Skipped::ALL
            .into_iter()
            .filter(|kind| *kind != Skipped::Vlan);
        let ignored = CODE_IGNORE..CODE_IGNORE + TAGS;
        ActionStats {
            xdp_aborted: self.sum([CODE_ABORTED, Skipped::Vlan.code()]),
            xdp_drop: self.sum(CODE_DROP..CODE_DROP + TAGS),
            xdp_pass: self.sum(ignored.chain([CODE_PASS]).chain(passed.map(Skipped::code))),
            ..ActionStats::default()
        }
    }

    fn not_inspected(&self) -> NotInspected {
        let of = |kind: Skipped| self.code(kind.code());
        NotInspected {
            arp: of(Skipped::Arp),
            llc: of(Skipped::Llc),
            mpls: of(Skipped::Mpls),
            pppoe: of(Skipped::Pppoe),
            macsec: of(Skipped::Macsec),
            vlan: of(Skipped::Vlan),
            other: of(Skipped::Other),
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
