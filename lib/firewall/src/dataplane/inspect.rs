//! Reads the tables back, for comparing them with the rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use couic_common::{Cidr, Policy, RuleKey};
use couic_ebpf::{
    hash::scatter4,
    layout::{CODE_IGNORE, CODE_PASS, HOST_BITS, IGNORE, TAG_BITS, TOPS},
};

use super::{PlaneRule, TagSlot};

/// Tag slot and deadline, as tables hold them.
pub(super) fn rule((tag, deadline): (u32, u32)) -> PlaneRule {
    PlaneRule {
        slot: slot(tag),
        deadline: deadline.into(),
    }
}

fn slot(tag: u32) -> TagSlot {
    let slot = usize::try_from(tag).ok().and_then(TagSlot::new);
    slot.unwrap_or(TagSlot::UNTAGGED)
}

/// The meaning of a verdict's code.
pub(super) fn decided(code: u32) -> Option<(Policy, TagSlot)> {
    if code >= CODE_PASS {
        None
    } else if code >= CODE_IGNORE {
        Some((Policy::Ignore, slot(code - CODE_IGNORE)))
    } else {
        Some((Policy::Drop, slot(code)))
    }
}

fn policy(number: u64) -> Policy {
    if number == u64::from(IGNORE) {
        Policy::Ignore
    } else {
        Policy::Drop
    }
}

/// The rule at a place of a tree of short prefixes: twice its node, plus its policy.
pub(super) fn short(v6: bool, place: usize) -> Option<RuleKey> {
    let node = place / 2;
    let len = node.checked_ilog2()?;
    let head = u32::try_from((node << (16 - len)) & (TOPS as usize - 1)).ok()?;
    let address: IpAddr = if v6 {
        Ipv6Addr::from_bits(u128::from(head) << 112).into()
    } else {
        Ipv4Addr::from_bits(head << 16).into()
    };
    let cidr = Cidr::new(address, u8::try_from(len).ok()?).ok()?;
    Some(RuleKey::new(policy(place as u64 & 1), cidr))
}

/// The rule with a key of the IPv4 bucket table.
pub(super) fn long4(key: u64) -> Option<RuleKey> {
    let address = u32::try_from(key & u64::from(u32::MAX)).ok()?;
    let len = 32 - u8::try_from(key >> 32 & 15).ok()?;
    let cidr = Cidr::new(Ipv4Addr::from_bits(address).into(), len).ok()?;
    Some(RuleKey::new(policy(key >> 36 & 1), cidr))
}

/// The rule of an IPv6 prefix in two halves, and twice its length plus its policy.
pub(super) fn long6(hi: u64, lo: u64, len_policy: u64) -> Option<RuleKey> {
    let address = Ipv6Addr::from_bits(u128::from(hi) << 64 | u128::from(lo));
    let len = u8::try_from(len_policy / 2).ok()?;
    let cidr = Cidr::new(address.into(), len).ok()?;
    Some(RuleKey::new(policy(len_policy & 1), cidr))
}

/// The address that a slot in a line of the table of hosts stands for.
pub(super) fn host(seed: &[u32; 3], line: usize, value: u32) -> Option<u32> {
    let low = u32::try_from(line).ok()? & ((1 << HOST_BITS) - 1);
    let x = (value >> HOST_BITS << HOST_BITS) | low;
    let address = unscatter4(seed, x);
    (scatter4(seed, address) == x).then_some(address)
}

const _: () = assert!(
    HOST_BITS == TAG_BITS + 1,
    "a slot has the tag in place of the bits that choose its line"
);

/// The inverse of [`scatter4`].
fn unscatter4(seed: &[u32; 3], x: u32) -> u32 {
    let x = x ^ (x >> 16);
    let x = x.wrapping_mul(inverse(seed[2]));
    let x = x ^ (x >> 15) ^ (x >> 30);
    x.wrapping_mul(inverse(seed[1])) ^ seed[0]
}

/// Of an odd number, modulo 2^32, by Newton's method: each step doubles the bits that are right.
fn inverse(odd: u32) -> u32 {
    (0..5).fold(odd, |x, _| {
        x.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(x)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn hosts_are_found_again(a: u32, b: u32, c: u32, address: u32) {
            let seed = [a, b | 1, c | 1];
            prop_assert_eq!(unscatter4(&seed, scatter4(&seed, address)), address);
        }
    }
}
