//! The prefixes of each address family, always with masked host bits.

/// An IPv4 prefix. `addr` is in host order, and its bits beyond `len` are zero. The default is 0.0.0.0/0, which sorts
/// first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V4Net {
    pub(super) addr: u32,
    pub(super) len: u8,
}

/// An IPv6 prefix. Its bits beyond `len` are zero.
///
/// The address is stored in two halves, in host order: a `u128` would be aligned to 16 bytes and make a [`Cidr`] 48
/// bytes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V6Net {
    high: u64,
    low: u64,
    pub(super) len: u8,
}

impl V4Net {
    /// Masks the host bits. None if `len` is over 32.
    #[must_use]
    pub fn new(addr: u32, len: u8) -> Option<Self> {
        (len <= 32).then(|| Self {
            addr: addr & mask4(len),
            len,
        })
    }

    /// The network address in host order.
    #[must_use]
    pub const fn addr(self) -> u32 {
        self.addr
    }

    /// The prefix length, 0 to 32.
    #[must_use]
    pub const fn len(self) -> u8 {
        self.len
    }

    /// Whether the prefix is /0, which covers every address.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Whether `addr` (host order) lies in the prefix.
    #[must_use]
    pub fn contains(self, addr: u32) -> bool {
        addr & mask4(self.len) == self.addr
    }
}

impl V6Net {
    /// Masks the host bits. None if `len` is over 128.
    #[must_use]
    pub fn new(addr: u128, len: u8) -> Option<Self> {
        (len <= 128).then(|| Self::masked(addr, len))
    }

    /// `len` is at most 128.
    pub(super) fn masked(addr: u128, len: u8) -> Self {
        let addr = addr & mask6(len);
        #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
        let (high, low) = ((addr >> 64) as u64, addr as u64);
        Self { high, low, len }
    }

    /// The network address in host order.
    #[must_use]
    pub const fn addr(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// The prefix length, 0 to 128.
    #[must_use]
    pub const fn len(self) -> u8 {
        self.len
    }

    /// Whether the prefix is /0, which covers every address.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Whether `addr` (host order) lies in the prefix.
    #[must_use]
    pub fn contains(self, addr: u128) -> bool {
        addr & mask6(self.len) == self.addr()
    }
}

pub(super) fn mask4(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
}

fn mask6(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}
