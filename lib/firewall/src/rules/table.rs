//! The rules of one policy, in the order in which they are listed.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    ops::Bound::{Excluded, Unbounded},
};

use couic_common::{Cidr, V4Net, V6Net};

use super::packed::{Claims, PackedClaim};

/// Ordered maps by family. The claim that is shown stands in the map itself, further ones beside it: nearly all rules
/// have one, and a million of them should not pay for the rest.
#[derive(Debug)]
pub(super) struct RuleTable {
    v4: BTreeMap<V4Net, PackedClaim>,
    v6: BTreeMap<V6Net, PackedClaim>,
    further: BTreeMap<Cidr, Vec<PackedClaim>>,
    /// How many rules of each length there are, so that a look-up tries only those.
    v4_lengths: [usize; 33],
    v6_lengths: [usize; 129],
}

impl Default for RuleTable {
    fn default() -> Self {
        Self {
            v4: BTreeMap::new(),
            v6: BTreeMap::new(),
            further: BTreeMap::new(),
            v4_lengths: [0; 33],
            v6_lengths: [0; 129],
        }
    }
}

impl RuleTable {
    /// How many rules there are in the family of `cidr`.
    pub(super) fn count_like(&self, cidr: Cidr) -> usize {
        if cidr.is_ipv4() {
            self.v4.len()
        } else {
            self.v6.len()
        }
    }

    /// How many rules there are: IPv4, IPv6.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.v4.len(), self.v6.len())
    }

    /// The claim that is shown.
    pub(super) fn shown(&self, cidr: Cidr) -> Option<&PackedClaim> {
        match cidr {
            Cidr::V4(net) => self.v4.get(&net),
            Cidr::V6(net) => self.v6.get(&net),
        }
    }

    /// Every claim on a rule.
    pub(super) fn claims(&self, cidr: Cidr) -> Claims {
        let first = self.shown(cidr).copied();
        let rest = match first {
            Some(_) if !self.further.is_empty() => {
                self.further.get(&cidr).cloned().unwrap_or_default()
            }
            _ => Vec::new(),
        };
        Claims::from_parts(first, rest)
    }

    /// Puts these claims in place of the rule's; none at all removes the rule.
    pub(super) fn set(&mut self, cidr: Cidr, claims: Claims) {
        let (first, rest) = claims.into_parts();
        let before = match (cidr, first) {
            (Cidr::V4(net), Some(claim)) => self.v4.insert(net, claim),
            (Cidr::V6(net), Some(claim)) => self.v6.insert(net, claim),
            (Cidr::V4(net), None) => self.v4.remove(&net),
            (Cidr::V6(net), None) => self.v6.remove(&net),
        };
        let length = match cidr {
            Cidr::V4(net) => &mut self.v4_lengths[usize::from(net.len())],
            Cidr::V6(net) => &mut self.v6_lengths[usize::from(net.len())],
        };
        *length = *length + usize::from(first.is_some()) - usize::from(before.is_some());
        if !rest.is_empty() {
            self.further.insert(cidr, rest);
        } else if !self.further.is_empty() {
            self.further.remove(&cidr);
        }
    }

    /// The rules that cover an address, the longest prefix first.
    pub(super) fn covering(&self, ip: IpAddr) -> Vec<(Cidr, PackedClaim)> {
        let lengths: &[usize] = if ip.is_ipv4() {
            &self.v4_lengths
        } else {
            &self.v6_lengths
        };
        let present = lengths
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, count)| **count > 0);
        let tried = present.filter_map(|(len, _)| Cidr::new(ip, u8::try_from(len).ok()?).ok());
        tried
            .filter_map(|cidr| self.shown(cidr).map(|claim| (cidr, *claim)))
            .collect()
    }

    /// Every rule behind `after`, in order: IPv4 before IPv6, by address, then by length.
    pub(super) fn iter_after(
        &self,
        after: Option<Cidr>,
    ) -> impl Iterator<Item = (Cidr, &PackedClaim)> {
        let v4_from = match after {
            None => Some(Unbounded),
            Some(Cidr::V4(net)) => Some(Excluded(net)),
            Some(Cidr::V6(_)) => None,
        };
        let v6_from = match after {
            Some(Cidr::V6(net)) => Excluded(net),
            _ => Unbounded,
        };
        let v4 = v4_from
            .map(|from| self.v4.range((from, Unbounded)))
            .into_iter()
            .flatten();
        let v4 = v4.map(|(net, claim)| (Cidr::V4(*net), claim));
        v4.chain(
            self.v6
                .range((v6_from, Unbounded))
                .map(|(net, claim)| (Cidr::V6(*net), claim)),
        )
    }

    /// Every claim on the rule whose shown claim is at hand.
    pub(super) fn all_claims<'a>(
        &'a self,
        cidr: Cidr,
        shown: &'a PackedClaim,
    ) -> impl Iterator<Item = &'a PackedClaim> {
        let further = if self.further.is_empty() {
            None
        } else {
            self.further.get(&cidr)
        };
        std::iter::once(shown).chain(further.into_iter().flatten())
    }
}
