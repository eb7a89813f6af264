//! What the rules in force mean for this host: needed addresses that they drop, and shares of the address space.

use couic_common::{Policy, Rail, Tag};

use super::Guard;
use crate::rules::{AddressShare, Firewall};

/// Shares above which health is degraded: half of all addresses dropped, a tenth protected.
const MOST: [(Policy, f64); 2] = [(Policy::Drop, 0.5), (Policy::Ignore, 0.1)];

/// How many needed addresses that are cut off are named, and entries of sets that are refused.
const NAMED: usize = 5;

impl Guard {
    /// The problems of the rules in force, for health.
    #[must_use]
    pub fn problems(&self, firewall: &Firewall) -> Vec<String> {
        let mut problems = self.refused_entries();
        problems.extend(self.cut_off(firewall));
        let shares = firewall.shares();
        problems.extend(shares.into_iter().filter_map(too_large));
        problems
    }

    fn refused_entries(&self) -> Vec<String> {
        let (refused, _) = self.set_report();
        let more = refused.len().saturating_sub(NAMED);
        let mut problems: Vec<_> = refused
            .iter()
            .take(NAMED)
            .map(|entry| {
                format!(
                    "sets/{}/{}: {} is not in force, refused by the guard rail {}: {}; take it out and reload, or see [guard] off",
                    entry.policy, entry.file, entry.cidr, entry.rail, entry.message
                )
            })
            .collect();
        if more > 0 {
            problems.push(format!("{more} more entries of set files are not in force"));
        }
        problems
    }

    /// Needed addresses that are dropped: by forced rules, by clients that no rail holds for, or because the host has the
    /// address since then.
    fn cut_off(&self, firewall: &Firewall) -> Vec<String> {
        let Ok(host) = self.addresses() else {
            return Vec::new();
        };
        let off = self.switches().off;
        let needed = host
            .iter()
            .filter(|need| need.rail != Rail::Special && !off.has(need.rail));
        let dropped = needed.filter_map(|need| {
            let (cidr, tag) = firewall.dropping(need.addr)?;
            let tag = tag
                .map(|tag: Tag| format!(" (tag {tag})"))
                .unwrap_or_default();
            Some(format!(
                "drop {cidr}{tag} cuts off {}, {}: couicctl ignore add {} protects it",
                need.addr, need.role, need.addr
            ))
        });
        dropped.take(NAMED).collect()
    }
}

fn too_large(share: AddressShare) -> Option<String> {
    let (_, most) = MOST
        .into_iter()
        .find(|(policy, _)| *policy == share.policy)?;
    if share.ratio() <= most {
        return None;
    }
    let (family, percent) = (share.family, share.millionths / 10_000);
    Some(match share.policy {
        Policy::Drop => format!("drop covers {percent} % of all {family} addresses"),
        Policy::Ignore => format!(
            "ignore covers {percent} % of all {family} addresses: these pass whatever drop says"
        ),
    })
}
