//! The hash of the tables: multiply and shift with a random seed, so that added rules cannot be aimed at one line. Not
//! a cryptographic hash.

const M1: u64 = 0x9E37_79B9_7F4A_7C15;
const M2: u64 = 0xD6E8_FEB8_6659_FD93;

/// The position of a key in a bucket table.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// All bits of the hash.
    pub hash: u64,
}

impl Place {
    /// The `n`th line to probe; `mask` is the number of lines minus one.
    #[inline(always)]
    #[must_use]
    pub const fn line(self, n: u32, mask: u32) -> u32 {
        // With a power of two of lines, an odd step visits every line before repeating one.
        (self.hash as u32).wrapping_add(n.wrapping_mul(self.step())) & mask
    }

    /// The probe step.
    #[inline(always)]
    #[must_use]
    pub const fn step(self) -> u32 {
        (self.hash >> 30) as u32 | 1
    }

    /// The first slot to probe, 0 to 7.
    #[inline(always)]
    #[must_use]
    pub const fn slot(self) -> u32 {
        (self.hash >> 61) as u32
    }

    /// The two bits of an IPv6 prefix in its filter line.
    #[inline(always)]
    #[must_use]
    pub const fn marks(self) -> [u32; 2] {
        [(self.hash >> 46) as u32 & 511, (self.hash >> 55) as u32]
    }

    /// The bit of an IPv6 prefix of /32 to /47 in its cell.
    #[inline(always)]
    #[must_use]
    pub const fn cell_mark(self) -> u32 {
        (self.hash >> 59) as u32
    }

    /// The fingerprint, in the 31 - `index_bits` bits available in a lane. Never 0.
    #[inline(always)]
    #[must_use]
    pub const fn fingerprint(self, index_bits: u32) -> u32 {
        let bits = (self.hash >> 33) as u32 >> (index_bits & 31);
        if bits == 0 { 1 } else { bits }
    }
}

/// The seed of [`scatter4`], derived from the seed of all tables. The multipliers are odd.
#[inline(always)]
#[must_use]
pub const fn host_seed(seed: &[u64; 3]) -> [u32; 3] {
    [
        seed[0] as u32,
        seed[1] as u32 | 1,
        (seed[1] >> 32) as u32 | 1,
    ]
}

/// The position of an IPv4 host in the table of hosts: a permutation of all addresses, so that position and slot
/// content together identify the address.
#[inline(always)]
#[must_use]
pub const fn scatter4(seed: &[u32; 3], address: u32) -> u32 {
    let x = (address ^ seed[0]).wrapping_mul(seed[1]);
    let x = (x ^ (x >> 15)).wrapping_mul(seed[2]);
    x ^ (x >> 16)
}

/// The filter line, and two bits in it, of the top 48 bits of an IPv6 address.
#[inline(always)]
#[must_use]
pub const fn near6(seed: &[u64; 3], hi: u64) -> (u32, [u32; 2]) {
    let x = ((hi >> 16) ^ seed[1]).wrapping_mul(seed[2] | 1);
    let x = (x ^ (x >> 32)).wrapping_mul(M1);
    (
        (x >> 32) as u32,
        [(x >> 9) as u32 & 511, (x >> 18) as u32 & 511],
    )
}

/// The position of a key of `key4`.
#[inline(always)]
#[must_use]
pub const fn place4(seed: &[u64; 3], key: u64) -> Place {
    let x = (key ^ seed[0]).wrapping_mul(seed[1] | 1);
    let x = (x ^ (x >> 32)).wrapping_mul(M1);
    Place {
        hash: x ^ (x >> 32),
    }
}

/// The position of an IPv6 prefix; `len_policy` is twice its length plus its policy.
#[inline(always)]
#[must_use]
pub const fn place6(seed: &[u64; 3], hi: u64, lo: u64, len_policy: u64) -> Place {
    let x = (hi ^ seed[0]).wrapping_mul(seed[1] | 1);
    let x = (x ^ (x >> 32) ^ lo).wrapping_mul(seed[2] | 1);
    let x = (x ^ (x >> 32) ^ len_policy).wrapping_mul(M1);
    let x = (x ^ (x >> 29)).wrapping_mul(M2);
    Place {
        hash: x ^ (x >> 32),
    }
}

/// The cell of the top 32 bits of an IPv6 address.
#[inline(always)]
#[must_use]
pub const fn cell6(seed: &[u64; 3], hi: u64) -> u32 {
    let x = ((hi >> 32) ^ seed[2]).wrapping_mul(seed[0] | 1);
    let x = (x ^ (x >> 32)).wrapping_mul(M2);
    (x >> 48) as u32
}
