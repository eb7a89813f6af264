//! How many different sources there were lately.

/// Registers: 4 KiB, a standard error of 1.6 %.
const BITS: u32 = 12;
const REGISTERS: usize = 1 << BITS;

/// HyperLogLog (Flajolet et al. 2007) with linear counting while registers are free.
#[derive(Clone)]
pub(crate) struct Sketch(Box<[u8; REGISTERS]>);

impl Default for Sketch {
    fn default() -> Self {
        Self(Box::new([0; REGISTERS]))
    }
}

impl Sketch {
    #[inline]
    pub(crate) fn add(&mut self, hash: u64) {
        let register = (hash >> (64 - BITS)) as usize;
        let rank = (hash << BITS | 1 << (BITS - 1)).leading_zeros() as u8 + 1;
        if let Some(highest) = self.0.get_mut(register) {
            *highest = rank.max(*highest);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// The different hashes in both.
    pub(crate) fn count(&self, other: &Self) -> f64 {
        let m = REGISTERS as f64;
        let (mut sum, mut free) = (0.0, 0_u32);
        for (a, b) in self.0.iter().zip(other.0.iter()) {
            let rank = *a.max(b);
            // 2^-rank; ranks are below 64.
            sum += f64::from_bits((1_023 - u64::from(rank)) << 52);
            free += u32::from(rank == 0);
        }
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        if raw <= 2.5 * m && free > 0 {
            return m * (m / f64::from(free)).ln();
        }
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_close_over_all_sizes() {
        let mut random = fastrand::Rng::with_seed(11);
        for count in [0_u32, 1, 100, 1_000, 9_000, 15_000, 100_000, 1_000_000] {
            let (mut a, mut b) = (Sketch::default(), Sketch::default());
            for n in 0..count {
                let hash = random.u64(..);
                a.add(hash);
                a.add(hash);
                if n % 3 == 0 {
                    b.add(hash);
                }
            }
            let error = (a.count(&b) - f64::from(count)).abs() / f64::from(count.max(1));
            assert!(error < 0.07, "{count}: {}", a.count(&b));
        }
    }
}
