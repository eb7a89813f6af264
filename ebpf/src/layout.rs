//! Memory layout of the tables. Each is a `BPF_MAP_TYPE_ARRAY` with `BPF_F_MMAPABLE` (Linux 5.5): the daemon maps them
//! once and changes rules with plain atomic stores.
//!
//! One writer, any number of readers. Every word that affects a verdict is stored atomically (32 or 64 bits, aligned).

/// Maximum number of tags per policy.
pub const TAGS: u32 = 8192;
/// Bits of a tag slot.
pub const TAG_BITS: u32 = 13;
/// Mask of a tag slot.
pub const TAG_MASK: u32 = TAGS - 1;
/// Set in a 14-bit rule field, above its tag slot, if there is a rule.
pub const VALID: u32 = 1 << TAG_BITS;

/// Policy drop in keys.
pub const DROP: u32 = 0;
/// Policy ignore in keys.
pub const IGNORE: u32 = 1;

/// Base of verdict code and counter slot of drop rules; the tag slot is added.
pub const CODE_DROP: u32 = 0;
/// Base of verdict code and counter slot of ignore rules; the tag slot is added.
pub const CODE_IGNORE: u32 = TAGS;
/// Verdict code and counter slot of sources without a rule.
pub const CODE_PASS: u32 = 2 * TAGS;
/// Counter slot of frames too short for the headers that they announce.
pub const CODE_ABORTED: u32 = CODE_PASS + 1;
/// Counter slot of frames of the first kind in [`Skipped::ALL`]; the others follow.
pub const CODE_SKIPPED: u32 = CODE_PASS + 2;
/// Counter slots per CPU, rounded up so that no two CPUs write to the same page.
pub const CODES: u32 = CODE_PASS + 256;

/// Kinds of frames without source address inspection. They pass, except for [`Skipped::Vlan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Skipped {
    /// ARP (EtherType 0x0806).
    Arp,
    /// 802.3 with a length in place of an EtherType, such as STP.
    Llc,
    /// MPLS with more than four labels, or with a payload other than IP.
    Mpls,
    /// PPPoE discovery, and session frames other than IP.
    Pppoe,
    /// MACsec (EtherType 0x88e5): encrypted.
    Macsec,
    /// More VLAN tags than are parsed. Dropped.
    Vlan,
    /// Any other EtherType, or a packet other than IPv4 and IPv6 on a link without an Ethernet header.
    Other,
}

impl Skipped {
    /// All kinds, in the order of their counter slots.
    pub const ALL: [Self; 7] = [
        Self::Arp,
        Self::Llc,
        Self::Mpls,
        Self::Pppoe,
        Self::Macsec,
        Self::Vlan,
        Self::Other,
    ];

    /// The counter slot.
    #[inline(always)]
    #[must_use]
    pub const fn code(self) -> u32 {
        CODE_SKIPPED + self as u32
    }
}

/// Words of 64 bits in the IPv4 prefilter: one bit per /24.
pub const PREFILTER_WORDS: u32 = 1 << 18;
/// Words of 64 bits in front of that prefilter: one bit per /16.
pub const BUSY_WORDS: u32 = 1 << 10;
/// Records per 16-bit address head.
pub const TOPS: u32 = 1 << 16;
/// Nodes of the tree of prefixes up to /16, two policies each.
pub const SHORTS: u32 = 2 << 17;
/// Cells over a hash of the top 32 bits of an IPv6 address.
pub const CELLS: u32 = 1 << 16;
/// Slots in a line of any bucket table.
pub const LINE: usize = 8;
/// Minimum number of bits of a permuted IPv4 address that select a line of hosts: the other 18 are in the slot.
pub const HOST_BITS: u32 = 14;
/// Minimum number of lines of the table of IPv4 hosts.
pub const MIN_HOSTS: u32 = 1 << HOST_BITS;
/// 64-bit words in a line of the IPv6 filter.
pub const FILTER_WORDS: usize = 8;
/// Minimum number of lines of the IPv6 filter.
pub const MIN_FILTERS: u32 = 64;
/// Minimum IPv6 prefix length of rules in the filter.
pub const FILTERED: u64 = 48;
/// Maximum number of lines probed for an entry, including the first.
pub const LINES_TRIED: u32 = 16;
/// Minimum number of lines of a bucket table: more than [`LINES_TRIED`], so that no line is probed twice.
pub const MIN_LINES: u32 = 64;
/// IPv6 prefix lengths that go through cells: /32 to /128.
pub const MAX_STEPS: usize = 97;
/// Capacity for them: a power of two, so that a mask proves the bound to the verifier.
pub const STEPS: usize = 128;
/// Maximum number of rules in the IPv6 pool, which leaves 7 bits of fingerprint in a lane.
pub const MAX_POOL: u32 = 1 << 24;

/// Summary of the rules under the top 16 bits of an address, in one word: bits 0 to 15 the prefix lengths of drop rules
/// in use (bit `n` = /17+n; for IPv6 bit 15 = /32 and longer), bits 16 to 31 the same for ignore, bits 32 to 45 the
/// rule of the longest drop prefix up to /16 (tag slot and [`VALID`]), bits 46 to 59 the same for ignore.
///
/// IPv4 hosts in the table of hosts set no bit here.
pub type Top = u64;

/// A shorter summary for IPv4, with a version, so that one load suffices for most packets: bits 0 to 15 as in [`Top`],
/// then [`HEAD_HOSTS`] and [`HEAD_MORE`]; the upper half changes after every change of rules under these 16 bits. A
/// reader that finds a different word after its lookup repeats it.
pub type Head4 = u64;

/// Set if the table of hosts has hosts of policy drop here.
pub const HEAD_HOSTS: u64 = 1 << 16;
/// Set if there are ignore rules, or rules up to /16, so that [`Top`] is needed.
pub const HEAD_MORE: u64 = 1 << 17;
/// Bit offset of the version.
pub const HEAD_VERSION: u32 = 32;

/// Bit offset of the drop rule in [`Top`].
pub const TOP_DROP: u32 = 32;
/// Bit offset of the ignore rule in [`Top`].
pub const TOP_IGNORE: u32 = 46;

/// A cache line of the IPv4 bucket table.
///
/// A slot: bits 0 to 12 tag slot, 13 [`VALID`], 14 to 50 key (see [`key4`]). In slot 0, bits 52 to 63 count the entries
/// that overflowed from this line into later ones; if it is zero, a search ends here.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Line4 {
    /// The slots.
    pub slots: [u64; LINE],
}

/// Bit offset of the overflow count in slot 0.
pub const MORE_SHIFT: u32 = 52;

/// Eight IPv4 hosts of policy drop. An address is permuted ([`crate::hash::scatter4`]); its low bits select the line,
/// bits 14 to 31 are stored in the slot, above [`VALID`] and the tag slot. Hosts that do not fit into their line go to
/// the table of [`Line4`]s.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub struct Hosts4 {
    /// The slots.
    pub slots: [u32; LINE],
}

/// A line of the IPv6 filter, selected by a hash of the top 48 bits: a Bloom filter of the rules of /48 and longer,
/// with two bits for the 48 bits and two for each prefix. Excess bits are allowed and cost time only.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Filter6 {
    /// 512 bits.
    pub words: [u64; FILTER_WORDS],
}

/// Deadlines of the slots of a [`Line4`] or [`Hosts4`]: Unix seconds, 0 = never.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Deadlines4 {
    /// One per slot.
    pub at: [u32; LINE],
}

/// A line of the IPv6 bucket table: eight lanes of 32 bits. From the top: one bit (used in lane 0 only: entries
/// overflowed from this line into later ones), a fingerprint that is never 0, an index into the pool of entries. Empty
/// lanes are 0 except for that bit. [`Config::index_bits`] is the size of the index.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub struct Line6 {
    /// The lanes.
    pub lanes: [u32; LINE],
}

/// The top bit of lane 0.
pub const MORE6: u32 = 1 << 31;

/// An IPv6 rule of /17 or longer. A reader reads `meta` before and after the rest; a writer clears it first and
/// stores it last.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Entry6 {
    /// The upper half of the prefix.
    pub hi: u64,
    /// The lower half of the prefix.
    pub lo: u64,
    /// Bits 0 to 12 tag slot, 13 [`VALID`], 14 policy, 15 to 22 prefix length.
    pub meta: u32,
    /// Unix seconds, 0 = never; in a free entry, the next free one.
    pub deadline: u32,
}

/// The prefix lengths of /32 and longer in use under the /32s that share a cell. `mask`: low half drop, high half
/// ignore; [`Steps`] assigns lengths to bits. Excess bits are allowed and cost time only.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Cell {
    /// See above.
    pub mask: u64,
    /// Changes like the upper half of [`Head4`].
    pub version: u32,
    /// One bit for each rule from /32 to /47, by its hash: if it is clear, there is no rule with that prefix.
    pub marks: u32,
}

/// One IPv6 prefix length in use.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Step {
    /// Netmask, upper half.
    pub hi_mask: u64,
    /// Netmask, lower half.
    pub lo_mask: u64,
    /// The two bits of this length in [`Cell::mask`].
    pub bits: u64,
    /// The bits of a cell's mask that remain after this step.
    pub keep: u64,
    /// The length, times two.
    pub len2: u64,
}

/// The IPv6 prefix lengths of /32 and longer in use, longest first. There are two instances: one in use, one being
/// prepared.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Steps {
    /// Number of steps in use.
    pub count: u64,
    /// The steps.
    pub steps: [Step; STEPS],
}

/// Parameters of lookups. One record, rarely written.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Config {
    /// Random seed of the tables, so that rules sharing a line cannot be predicted.
    pub seed: [u64; 3],
    /// Lines of the IPv4 bucket table in use, minus 1.
    pub mask4: u32,
    /// Lines of the IPv6 bucket table in use, minus 1.
    pub mask6: u32,
    /// Lines of the table of IPv4 hosts in use, minus 1.
    pub hosts_mask: u32,
    /// The seed of [`crate::hash::scatter4`].
    pub host_seed: [u32; 3],
    /// Lines of the IPv6 filter in use, minus 1.
    pub filter_mask: u32,
    /// Bits of a pool index in a lane.
    pub index_bits: u32,
    /// The [`Steps`] in use, 0 or 1.
    pub steps: u32,
    /// The panic switch: if not 0, every frame passes. In the cache line that lookups read anyway; frames far from any
    /// rule never read it.
    pub open: u32,
    /// Offsets of the bucket table, the IPv6 pool, and the two trees in the records of [`RuleCount`].
    pub rule_bases: [u32; 4],
    /// Bits of [`Cell::mask`] that are, or may be, of lengths that are not in the filter.
    pub unfiltered: u64,
    /// Always 0, but unknown to the verifier.
    pub zero: u64,
}

/// Counters of one rule, if per-rule counters are enabled.
///
/// The record number of a rule is that of its slot: IPv4 hosts come first, then the bucket table, the IPv6 pool, and
/// the trees of IPv4 and IPv6 prefixes up to /16, at the offsets in [`Config::rule_bases`].
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct RuleCount {
    /// Frames.
    pub hits: u64,
    /// Time of the last frame, Unix seconds; 0 = none yet.
    pub seen: u64,
}

/// The heartbeat of the daemon. One record.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Beat {
    /// Jiffies at which a packet last found the heartbeat fresh. Written by the program, zeroed by the daemon.
    pub seen: u64,
    /// `CLOCK_MONOTONIC` of the last heartbeat, nanoseconds.
    pub mono: u64,
    /// Unix seconds of the last heartbeat.
    pub unix: u64,
}

/// Heartbeats older than this mean that no daemon runs: the program then checks deadlines itself.
pub const STALE_NS: u64 = 5_000_000_000;
/// Jiffies between two reads of the clock (0.26 s with HZ=1000, 2.6 s with HZ=100).
pub const SEEN_JIFFIES: u64 = 256;

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Count {
    /// Frames.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The key of an IPv4 rule of /17 or longer: from the low end, 32 bits of prefix, 4 of 32 minus length, 1 of policy.
#[inline(always)]
#[must_use]
pub const fn key4(prefix: u32, host_bits: u32, policy: u32) -> u64 {
    prefix as u64 | (host_bits as u64) << 32 | (policy as u64) << 36
}

/// The identity of a rule in [`Entry6::meta`], above its tag slot.
#[inline(always)]
#[must_use]
pub const fn ident6(len2: u64, policy: u32) -> u32 {
    ((len2 as u32 | policy) << 1) | 1
}
