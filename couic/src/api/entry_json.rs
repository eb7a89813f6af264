//! Writes entries as JSON by hand: lists hold hundreds of thousands of them, and every add answers one.
//!
//! The same bytes as serde's, several times as fast: but for reasons, nothing in an entry needs escaping, which a property
//! test verifies.

use std::io::Write as _;

use couic_common::{Cidr, Entry};

/// The longest entry without reason and owners: the keys, four numbers of 20 digits, a CIDR of 43 bytes, a tag of 64.
pub(super) const ENTRY_MAX: usize = 288;

/// Appends an entry.
pub(super) fn write(out: &mut Vec<u8>, entry: &Entry) {
    let Entry {
        creation,
        cidr,
        tag,
        expiration,
        hits,
        last_seen,
        reason,
        owners,
    } = entry;
    out.extend_from_slice(b"{\"creation\":");
    number(out, *creation);
    out.extend_from_slice(b",\"cidr\":\"");
    write_cidr(out, *cidr);
    match tag {
        Some(tag) => {
            out.extend_from_slice(b"\",\"tag\":\"");
            out.extend_from_slice(tag.as_str().as_bytes());
            out.extend_from_slice(b"\",\"expiration\":");
        }
        None => out.extend_from_slice(b"\",\"tag\":null,\"expiration\":"),
    }
    number(out, *expiration);
    for (key, figure) in [(&b",\"hits\":"[..], hits), (b",\"last_seen\":", last_seen)] {
        if let Some(figure) = figure {
            out.extend_from_slice(key);
            number(out, *figure);
        }
    }
    if let Some(reason) = reason {
        out.extend_from_slice(b",\"reason\":");
        // A text, and writing to memory cannot fail.
        drop(serde_json::to_writer(&mut *out, reason));
    }
    if !owners.is_empty() {
        out.extend_from_slice(b",\"owners\":");
        // Owners are strings and numbers, and writing to memory cannot fail.
        drop(serde_json::to_writer(&mut *out, owners));
    }
    out.push(b'}');
}

fn write_cidr(out: &mut Vec<u8>, cidr: Cidr) {
    match cidr {
        Cidr::V4(net) => {
            for (i, octet) in net.addr().to_be_bytes().into_iter().enumerate() {
                if i > 0 {
                    out.push(b'.');
                }
                number(out, u64::from(octet));
            }
            out.push(b'/');
            number(out, u64::from(net.len()));
        }
        // Writing to memory cannot fail.
        Cidr::V6(_) => drop(write!(out, "{cidr}")),
    }
}

fn number(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        // A remainder of 10 fits a byte.
        digits[start] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use couic_common::{OwnerKind, RuleOwner, Tag};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn same_bytes_as_serde(
            creation: u64,
            expiration: u64,
            addr: IpAddr,
            len in 0u8..=128,
            tag in proptest::option::of("[A-Za-z0-9_-]{1,64}"),
            of_set: bool,
            usage: Option<(u64, u64)>,
            owner: Option<(Option<String>, u64)>,
            reason in proptest::option::of("\\PC{0,90}[\"\\\\]?"),
        ) {
            let len = if addr.is_ipv4() { len.min(32) } else { len };
            let tag = match tag {
                Some(name) if of_set => name[..name.len().min(48)].parse().ok().map(|n| Tag::of_set(&n)),
                Some(tag) => Tag::parse(&tag).ok().flatten(),
                None => None,
            };
            let entry = Entry { creation, cidr: Cidr::new(addr, len).unwrap(), tag, expiration, hits: usage.map(|u| u.0), last_seen: usage.map(|u| u.1), reason: reason.as_deref().and_then(couic_common::Reason::of), owners: owner.map(|(name, expiration)| RuleOwner { kind: OwnerKind::Peer, name, tag: None, expiration, reason: reason.as_deref().and_then(couic_common::Reason::of) }).into_iter().collect() };
            let mut written = Vec::new();
            write(&mut written, &entry);
            prop_assert_eq!(&written, &serde_json::to_vec(&entry).unwrap());
            prop_assert!(written.len() <= ENTRY_MAX || !entry.owners.is_empty() || entry.reason.is_some());
        }
    }
}
