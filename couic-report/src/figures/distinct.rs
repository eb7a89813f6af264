//! Counts distinct CIDRs in bounded memory.
//!
//! Up to [`EXACT`] CIDRs are counted exactly. Beyond, all of them move into a HyperLogLog sketch of 16,384 registers of
//! one byte: 16 KiB, with a relative standard error of 1.04 / sqrt(16384) = 0.8 % (Flajolet et al., 2007), and the
//! count is marked as an estimate. The hash has a fixed seed, so that a replay of the journal gives the same figure.

use std::collections::HashSet;

use couic_common::Cidr;
use datasketches::hll::{HllSketch, HllType};

use crate::codec::{Malformed, Put, Take};

/// Most CIDRs counted exactly: some 8 MiB, at 33 bytes each in a table that doubles.
pub(crate) const EXACT: usize = 100_000;

/// log2 of the sketch's registers.
const LG_REGISTERS: u8 = 14;

/// A set of CIDRs of which only the size can be queried.
#[derive(Debug)]
pub(crate) enum Distinct {
    Exact(HashSet<Cidr>),
    Estimated(Box<HllSketch>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self::Exact(HashSet::new())
    }
}

impl Distinct {
    pub(crate) fn insert(&mut self, cidr: Cidr) {
        match self {
            Self::Estimated(sketch) => sketch.update(cidr),
            Self::Exact(seen) => {
                if seen.len() < EXACT || seen.contains(&cidr) {
                    seen.insert(cidr);
                } else {
                    self.estimate_from_now_on();
                    self.insert(cidr);
                }
            }
        }
    }

    fn estimate_from_now_on(&mut self) {
        let Self::Exact(seen) = self else { return };
        // The only error is a size out of range, which this constant is not; on error, the exact set would keep
        // growing.
        let Ok(mut sketch) = HllSketch::new(LG_REGISTERS, HllType::Hll8) else {
            return;
        };
        // Sorted, so that a replay gives an identical sketch.
        let mut sorted: Vec<Cidr> = seen.drain().collect();
        sorted.sort_unstable();
        for cidr in sorted {
            sketch.update(cidr);
        }
        *self = Self::Estimated(Box::new(sketch));
    }

    /// The count, and whether it is an estimate.
    pub(crate) fn count(&self) -> (u64, bool) {
        match self {
            Self::Exact(seen) => (seen.len() as u64, false),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count of reports, which `as` saturates"
            )]
            Self::Estimated(sketch) => (sketch.estimate().round() as u64, true),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Exact(seen) => {
                out.put_u8(0);
                out.put_u32(u32::try_from(seen.len()).unwrap_or(u32::MAX));
                // Sorted, so that equal states have equal snapshots.
                let mut sorted: Vec<Cidr> = seen.iter().copied().collect();
                sorted.sort_unstable();
                sorted.into_iter().for_each(|cidr| out.put_cidr(cidr));
            }
            Self::Estimated(sketch) => {
                out.put_u8(1);
                out.put_bytes(&sketch.serialize());
            }
        }
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, Malformed> {
        match from.u8()? {
            0 => {
                let len = from.u32()?;
                let seen: Result<_, _> = (0..len).map(|_| from.cidr()).collect();
                Ok(Self::Exact(seen?))
            }
            1 => {
                let sketch = HllSketch::deserialize(from.bytes()?).map_err(|_| Malformed)?;
                Ok(Self::Estimated(Box::new(sketch)))
            }
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn host(n: u32) -> Cidr {
        Cidr::host(Ipv4Addr::from_bits(n).into())
    }

    fn round_trip(distinct: &Distinct) -> Distinct {
        let mut bytes = Vec::new();
        distinct.encode(&mut bytes);
        let mut from = Take(&bytes);
        let read = Distinct::decode(&mut from).unwrap();
        assert!(from.is_empty());
        read
    }

    #[test]
    fn counts_are_exact_up_to_the_limit_and_close_beyond() {
        let mut distinct = Distinct::default();
        for n in 0..EXACT as u32 {
            distinct.insert(host(n));
            distinct.insert(host(n));
        }
        assert_eq!(distinct.count(), (EXACT as u64, false));
        assert_eq!(round_trip(&distinct).count(), (EXACT as u64, false));
        let all = 1_000_000_u32;
        for n in 0..all {
            distinct.insert(host(n));
        }
        let (count, estimated) = distinct.count();
        assert!(estimated);
        // Four standard errors; the hash is fixed, so the result is deterministic.
        let off = f64::from(all) * 0.0325;
        assert!((count as f64 - f64::from(all)).abs() < off, "{count}");
        assert_eq!(round_trip(&distinct).count(), (count, true));
    }

    #[test]
    fn truncated_and_corrupt_input_does_not_panic() {
        let mut distinct = Distinct::default();
        (0..EXACT as u32 + 1).for_each(|n| distinct.insert(host(n)));
        let mut bytes = Vec::new();
        distinct.encode(&mut bytes);
        for cut in 0..bytes.len() {
            assert!(Distinct::decode(&mut Take(&bytes[..cut])).is_err(), "{cut}");
        }
        for at in 0..60 {
            let mut bad = bytes.clone();
            bad[at] ^= 0xff;
            if let Ok(read) = Distinct::decode(&mut Take(&bad)) {
                assert_eq!(round_trip(&read).count(), read.count(), "{at}");
            }
        }
    }
}
