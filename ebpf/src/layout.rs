//! The tables as they lie in memory. Each is a `BPF_MAP_TYPE_ARRAY` with `BPF_F_MMAPABLE` (Linux 5.5): the daemon
//! maps them once and changes rules with plain atomic stores.
//!
//! One writer, any number of readers. Every word that a reader judges by is stored whole (32 or 64 bits, aligned).

/// Tags a policy can have.
pub const TAGS: u32 = 8192;
/// Bits of a tag slot.
pub const TAG_BITS: u32 = 13;
/// Mask of a tag slot.
pub const TAG_MASK: u32 = TAGS - 1;
/// Set in a 14-bit rule field, above its tag slot, where there is a rule.
pub const VALID: u32 = 1 << TAG_BITS;

/// Policy drop in keys.
pub const DROP: u32 = 0;
/// Policy ignore in keys.
pub const IGNORE: u32 = 1;

/// Verdict code and counter slot of a drop rule: this plus the tag slot.
pub const CODE_DROP: u32 = 0;
/// Verdict code and counter slot of an ignore rule: this plus the tag slot.
pub const CODE_IGNORE: u32 = TAGS;
/// Verdict code and counter slot of what no rule covers.
pub const CODE_PASS: u32 = 2 * TAGS;
/// Counter slot of frames too short to hold the headers that they announce.
pub const CODE_ABORTED: u32 = CODE_PASS + 1;
/// Counter slot of frames of the first kind in [`Skipped::ALL`]; the others follow.
pub const CODE_SKIPPED: u32 = CODE_PASS + 2;
/// Counter slots a CPU has: rounded up so that no two CPUs write to one page.
pub const CODES: u32 = CODE_PASS + 256;

/// Frames in which no source address is looked for, by kind. They pass, but for [`Skipped::Vlan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Skipped {
    /// Address resolution (EtherType 0x0806).
    Arp,
    /// 802.3 with a length in place of an EtherType: spanning tree and the like.
    Llc,
    /// MPLS with more than four labels, or what lies behind them is not IP.
    Mpls,
    /// PPPoE discovery, and what is not IP in a session.
    Pppoe,
    /// MACsec (EtherType 0x88e5): encrypted.
    Macsec,
    /// More VLAN tags than are looked behind. Dropped.
    Vlan,
    /// Any other EtherType, or a packet that is neither IPv4 nor IPv6 on a link without Ethernet header.
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
/// Words of 64 bits before that prefilter: one bit per /16.
pub const BUSY_WORDS: u32 = 1 << 10;
/// Records per 16-bit address head.
pub const TOPS: u32 = 1 << 16;
/// Nodes of the tree of prefixes up to /16, two policies each.
pub const SHORTS: u32 = 2 << 17;
/// Cells over a hash of the top 32 bits of an IPv6 address.
pub const CELLS: u32 = 1 << 16;
/// Slots in a line of any bucket table.
pub const LINE: usize = 8;
/// Bits of a permuted IPv4 address that choose a line of hosts at least: the other 18 are in the slot.
pub const HOST_BITS: u32 = 14;
/// Fewest lines of the table of IPv4 hosts.
pub const MIN_HOSTS: u32 = 1 << HOST_BITS;
/// 64-bit words in a line of the IPv6 filter.
pub const FILTER_WORDS: usize = 8;
/// Fewest lines of the IPv6 filter.
pub const MIN_FILTERS: u32 = 64;
/// From this IPv6 prefix length on, rules are in the filter.
pub const FILTERED: u64 = 48;
/// Lines that an entry may lie in, first choice included.
pub const LINES_TRIED: u32 = 16;
/// Fewest lines a bucket table has: more than [`LINES_TRIED`], so that no line is tried twice.
pub const MIN_LINES: u32 = 64;
/// IPv6 prefix lengths that go through cells: /32 to /128.
pub const MAX_STEPS: usize = 97;
/// Room for them: a power of two, so that a mask shows the verifier that a number is below.
pub const STEPS: usize = 128;
/// Most rules that the IPv6 pool can hold, so that a lane still has 7 bits of fingerprint.
pub const MAX_POOL: u32 = 1 << 24;

/// What the 16 bits on top of an address say, in one word: bits 0 to 15 which lengths of drop rules exist below
/// (bit `n` = /17+n; for IPv6 bit 15 = /32 and longer), bits 16 to 31 the same for ignore, bits 32 to 45 the rule of
/// the longest drop prefix up to /16 (tag slot and [`VALID`]), bits 46 to 59 the same for ignore.
///
/// IPv4 hosts in the table of hosts have no bit here.
pub type Top = u64;

/// The same for IPv4, shorter, and with a version, so that one load tells most packets what they must know: bits 0 to
/// 15 as in [`Top`], then [`HEAD_HOSTS`] and [`HEAD_MORE`]; the upper half is stored anew after every change that
/// concerns packets from here. A reader that finds another word after its lookup looks again.
pub type Head4 = u64;

/// There are hosts of policy drop in the table of hosts.
pub const HEAD_HOSTS: u64 = 1 << 16;
/// There are ignore rules, or rules up to /16: ask [`Top`].
pub const HEAD_MORE: u64 = 1 << 17;
/// Where the version begins.
pub const HEAD_VERSION: u32 = 32;

/// Where the drop rule lies in [`Top::word`].
pub const TOP_DROP: u32 = 32;
/// Where the ignore rule lies in [`Top::word`].
pub const TOP_IGNORE: u32 = 46;

/// A cache line of the IPv4 bucket table.
///
/// A slot: bits 0 to 12 tag slot, 13 [`VALID`], 14 to 50 key (see [`key4`]). In slot 0, bits 52 to 63 count the
/// entries that found this line full and lie further on; while that is zero a search ends here.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Line4 {
    /// The slots.
    pub slots: [u64; LINE],
}

/// Where the count of entries further on begins in slot 0.
pub const MORE_SHIFT: u32 = 52;

/// Eight IPv4 hosts of policy drop. An address is permuted ([`crate::hash::scatter4`]); its low bits choose the line,
/// bits 14 to 31 stand in the slot as they are, over [`VALID`] and the tag slot. What finds its line full lies in the
/// table of [`Line4`]s.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub struct Hosts4 {
    /// The slots.
    pub slots: [u32; LINE],
}

/// A line of the IPv6 filter, by a hash of the top 48 bits: a Bloom filter of the rules of /48 and longer there, two
/// bits for the 48 bits and two for each prefix. A superset of the truth is allowed, it costs time only.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Filter6 {
    /// 512 bits.
    pub words: [u64; FILTER_WORDS],
}

/// Deadlines beside a [`Line4`] or [`Hosts4`]: Unix seconds, 0 = never.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Deadlines4 {
    /// One per slot.
    pub at: [u32; LINE],
}

/// A line of the IPv6 bucket table: eight lanes of 32 bits. From the top: one bit (used in lane 0 only: entries that
/// found this line full lie further on), a fingerprint that is never 0, an index into the pool of entries. Empty
/// lanes are 0 but for that bit. How many bits the index has is in [`Config::index_bits`].
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

/// Which lengths from /32 on may exist under the /32s that share a cell. `mask`: low half drop, high half ignore;
/// which length a bit stands for is in [`Steps`]. A superset of the truth is allowed, it costs time only.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Cell {
    /// See above.
    pub mask: u64,
    /// As the upper half of [`Head4`].
    pub version: u32,
    /// One bit for each rule from /32 to /47, by its hash: where it is clear, there is none with that prefix.
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
    /// The two bits of [`Cell::mask`] that this length sets.
    pub bits: u64,
    /// What is left to look for in a cell's mask after this step.
    pub keep: u64,
    /// The length, times two.
    pub len2: u64,
}

/// The IPv6 prefix lengths in use from /32 on, longest first. There are two of these: one in use, one to prepare.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Steps {
    /// How many are in use.
    pub count: u64,
    /// The steps.
    pub steps: [Step; STEPS],
}

/// What a lookup must know of the tables. One record, rarely written.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Config {
    /// Drawn when the tables are made: nobody outside can tell which rules share a line.
    pub seed: [u64; 3],
    /// Lines of the IPv4 bucket table in use, minus 1.
    pub mask4: u32,
    /// Lines of the IPv6 bucket table in use, minus 1.
    pub mask6: u32,
    /// Lines of the table of IPv4 hosts in use, minus 1.
    pub hosts_mask: u32,
    /// What [`crate::hash::scatter4`] goes by.
    pub host_seed: [u32; 3],
    /// Lines of the IPv6 filter in use, minus 1.
    pub filter_mask: u32,
    /// Bits of a pool index in a lane.
    pub index_bits: u32,
    /// Which of the two [`Steps`] holds.
    pub steps: u32,
    /// The panic switch: where it is not 0, every frame passes. On the line that lookups read anyway; who meets no rule
    /// never comes to ask.
    pub open: u32,
    /// Where in the records of [`RuleCount`] the bucket table, the IPv6 pool, and the two trees begin.
    pub rule_bases: [u32; 4],
    /// Bits of [`Cell::mask`] that stand, or may stand, for lengths that are not in the filter.
    pub unfiltered: u64,
    /// Always 0, which the verifier cannot know.
    pub zero: u64,
}

/// What one rule decided, where the daemon asked for that.
///
/// A rule's record has the number of its slot: those of IPv4 hosts come first, then those of the bucket table, the
/// IPv6 pool, and the trees of IPv4 and IPv6 prefixes up to /16, from where [`Config::rule_bases`] says.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct RuleCount {
    /// Frames.
    pub hits: u64,
    /// Unix seconds of the last one; 0 = none yet.
    pub seen: u64,
}

/// The daemon's sign of life. One record.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Beat {
    /// Jiffies at which a packet last found the heartbeat fresh. Written by packets, zeroed by the daemon.
    pub seen: u64,
    /// `CLOCK_MONOTONIC` of the last heartbeat, nanoseconds.
    pub mono: u64,
    /// Unix seconds of the last heartbeat.
    pub unix: u64,
}

/// Heartbeats older than this mean that no daemon runs: deadlines are then the program's business.
pub const STALE_NS: u64 = 5_000_000_000;
/// A packet asks the clock again after so many jiffies (0.26 s at 1,000 a second, 2.6 s at 100).
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

/// The key of an IPv4 rule from /17 on: 32 bits of prefix, 4 of 32 minus length, 1 of policy, from the bottom.
#[inline(always)]
#[must_use]
pub const fn key4(prefix: u32, host_bits: u32, policy: u32) -> u64 {
    prefix as u64 | (host_bits as u64) << 32 | (policy as u64) << 36
}

/// What identifies a rule in [`Entry6::meta`] above its tag slot.
#[inline(always)]
#[must_use]
pub const fn ident6(len2: u64, policy: u32) -> u32 {
    ((len2 as u32 | policy) << 1) | 1
}
