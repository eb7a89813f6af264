//! The plan of a start: which stored links are adopted, changed or dropped, and where new ones are needed.

use std::collections::BTreeMap;

use couic_common::XdpMode;

use super::{Attachments, Event, Interface};
use crate::attach::{
    kernel::Kernel,
    pattern::{Pattern, Wanted, select, unmatched},
};
use couic_firewall::dataplane::{AttachError, Hook};
use couic_netlink::LinkLayer;

/// The changes of a start.
pub(super) struct Plan<'a, L> {
    pub(super) new: Vec<Wanted<'a>>,
    pub(super) adopt: Vec<(&'a Interface, XdpMode, L)>,
    pub(super) change: Vec<(&'a Interface, XdpMode, L)>,
    /// Stored links that are no longer wanted.
    pub(super) drop: Vec<Unwanted<L>>,
}

/// A link to detach.
pub(super) struct Unwanted<L> {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) hook: Hook,
    pub(super) link: L,
    pub(super) why: &'static str,
}

/// Stored links and their modes, by interface.
type LiveLinks<L> = BTreeMap<u32, Vec<(XdpMode, L)>>;

/// The name of the interface that the kernel finds by an alternative name (`ip link property add altname`).
fn real_name(name: &str, interfaces: &[Interface]) -> Option<String> {
    let index = nix::net::if_::if_nametoindex(name).ok()?;
    let found = interfaces.iter().find(|found| found.index == index)?;
    (found.name != name).then(|| found.name.clone())
}

impl<K: Kernel> Attachments<K> {
    pub(super) fn plan<'a>(
        &mut self,
        interfaces: &'a [Interface],
        stored: Vec<K::Link>,
        events: &mut Vec<Event>,
    ) -> Result<Plan<'a, K::Link>, AttachError> {
        if let Some(missing) = unmatched(&self.patterns, interfaces).find(|p| p.is_name()) {
            let name = missing.text().to_owned();
            let real = real_name(&name, interfaces);
            return Err(AttachError::NoInterface { name, real });
        }
        let mut live = self.live_links(interfaces, stored);
        let mut plan = Plan {
            new: Vec::new(),
            adopt: Vec::new(),
            change: Vec::new(),
            drop: Vec::new(),
        };
        for wanted in wanted(&self.patterns, interfaces) {
            let Interface { index, name, .. } = wanted.interface;
            match self.usable_modes(wanted.interface) {
                Ok(modes) => {
                    let links = live.remove(index).unwrap_or_default();
                    plan.assign(wanted, modes, links);
                }
                Err(error) if wanted.named => return Err(error),
                Err(error) => events.push(self.failed(*index, name, error.to_string())),
            }
        }
        for (index, links) in live {
            let found = interfaces.iter().find(|i| i.index == index);
            let name = found.map_or_else(String::new, |i| i.name.clone());
            let why = match self.problems.contains_key(&index) {
                true => "it cannot be filtered any more",
                false => "it is not in ifaces",
            };
            plan.drop_all(index, &name, links, why);
        }
        Ok(plan)
    }

    /// The links that are attached to an interface of this network namespace.
    fn live_links(&mut self, interfaces: &[Interface], stored: Vec<K::Link>) -> LiveLinks<K::Link> {
        let mut live = LiveLinks::new();
        for link in stored {
            let Ok(info) = self.kernel.info(&link) else {
                continue;
            };
            self.before.insert(info.program);
            let interface = interfaces.iter().find(|i| i.index == info.index);
            if let Some((mode, _)) = interface.and_then(|i| self.mode_of(&link, i)) {
                live.entry(info.index).or_default().push((mode, link));
            }
        }
        live
    }
}

impl<'a, L> Plan<'a, L> {
    /// Assigns the stored links of an interface. The link with the most preferred mode is adopted, even if a better
    /// mode may have become possible: for XDP, trying it would detach the filter for a moment.
    fn assign(&mut self, wanted: Wanted<'a>, modes: &[XdpMode], mut links: Vec<(XdpMode, L)>) {
        let Interface { index, name, .. } = wanted.interface;
        let rank = |(mode, _): &(XdpMode, L)| modes.iter().position(|wanted| wanted == mode);
        links.sort_by_key(|link| rank(link).unwrap_or(usize::MAX));
        let of_xdp = |mode: &XdpMode| Hook::from(*mode) == Hook::Xdp;
        // XDP and TCX coexist, so the new link is attached before the old one is detached. Two of XDP do not.
        let conflicting = links.iter().position(|(mode, _)| of_xdp(mode));
        let conflicting = conflicting.filter(|_| modes.iter().any(of_xdp));
        if links.first().is_some_and(|link| rank(link).is_some()) {
            let (mode, link) = links.remove(0);
            self.adopt.push((wanted.interface, mode, link));
        } else if let Some(at) = conflicting {
            let (mode, link) = links.remove(at);
            self.change.push((wanted.interface, mode, link));
        } else {
            self.new.push(wanted);
        }
        self.drop_all(*index, name, links, "it is filtered in another mode now");
    }

    fn drop_all(&mut self, index: u32, name: &str, links: Vec<(XdpMode, L)>, why: &'static str) {
        self.drop
            .extend(links.into_iter().map(|(mode, link)| Unwanted {
                index,
                name: name.to_owned(),
                hook: mode.into(),
                link,
                why,
            }));
    }
}

/// The interfaces that `ifaces` selects, without those that only match a pattern and have no IP packets.
pub(super) fn wanted<'a>(patterns: &[Pattern], interfaces: &'a [Interface]) -> Vec<Wanted<'a>> {
    let mut wanted = select(patterns, interfaces);
    wanted.retain(|w| w.named || !matches!(w.interface.layer, LinkLayer::Other(_)));
    wanted
}
