//! The state of every interface, for health.

use std::{collections::BTreeMap, io};

use couic_common::XdpMode;
use serde::{Deserialize, Serialize};

use super::{Attachments, Interface};
use crate::attach::{
    kernel::Kernel,
    modes::{note, role},
    pattern::{Wanted, select},
};
use couic_netlink::LinkLayer;

/// The state of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InterfaceState {
    /// 0 if it does not exist.
    pub(crate) index: u32,
    /// The name in the kernel, or in the configuration if it does not exist.
    pub(crate) name: String,
    /// `None` if it is not filtered.
    pub(crate) mode: Option<XdpMode>,
    /// Why it is not filtered. Without a reason it has appeared or lost our program since the last check: another check
    /// is to be requested.
    pub(crate) problem: Option<String>,
    /// Why it is in this mode, and at what cost.
    pub(crate) note: Option<String>,
}

impl<K: Kernel> Attachments<K> {
    /// Every interface that `ifaces` selects and every name in it without an interface, in its order; and as problems,
    /// patterns without an interface and matching interfaces that cannot be filtered.
    ///
    /// # Errors
    /// If the kernel's list of interfaces cannot be read.
    pub(crate) fn report(&self) -> io::Result<(Vec<InterfaceState>, Vec<String>)> {
        let interfaces = self.kernel.interfaces()?;
        let (mut states, mut idle): (Vec<InterfaceState>, Vec<String>) = (Vec::new(), Vec::new());
        let mut skipped = BTreeMap::new();
        let named =
            |interface: &Interface| self.patterns.iter().any(|p| p.text() == interface.name);
        for pattern in &self.patterns {
            let text = pattern.text();
            let wanted = select(std::slice::from_ref(pattern), &interfaces);
            if wanted.is_empty() && pattern.is_name() {
                states.push(InterfaceState {
                    index: 0,
                    name: text.to_owned(),
                    mode: None,
                    problem: Some(gone(text)),
                    note: None,
                });
            } else if wanted.is_empty() {
                idle.push(format!(
                    "no interface matches {text} in ifaces: it is filtered when one comes"
                ));
            }
            for Wanted { interface, .. } in wanted {
                match interface.layer {
                    LinkLayer::Other(_) if !named(interface) => {
                        skipped
                            .entry(interface.index)
                            .or_insert_with(|| unsupported(interface, text));
                    }
                    _ if states.iter().all(|s| s.index != interface.index) => {
                        states.push(self.state(interface));
                    }
                    _ => {}
                }
            }
        }
        idle.extend(skipped.into_values());
        Ok((states, idle))
    }

    fn state(&self, interface: &Interface) -> InterfaceState {
        let Interface {
            index, name, layer, ..
        } = interface;
        let attachment = self.attached.get(index);
        let found = attachment.and_then(|on| self.mode_of(&on.link, interface));
        let is_current =
            |(mode, id): &(XdpMode, u32)| self.kernel.program(role(*mode, *layer)) == Some(*id);
        let mode = found.filter(is_current).map(|(mode, _)| mode);
        InterfaceState {
            index: *index,
            name: name.clone(),
            mode,
            problem: self.problems.get(index).filter(|_| mode.is_none()).cloned(),
            note: mode.and_then(|mode| note(self.mode, mode, *layer, self.beside(interface))),
        }
    }

    /// A foreign XDP program on the interface, for messages.
    fn beside(&self, interface: &Interface) -> Option<String> {
        let on = self.foreign_xdp(interface)?;
        let name = self.kernel.name_of(on.id);
        let name = name.unwrap_or_else(|| "?".to_owned());
        Some(format!("\"{name}\" (id {})", on.id))
    }
}

/// The problem of an interface that does not exist.
pub(crate) fn gone(name: &str) -> String {
    format!("interface {name} is gone: it is filtered again as soon as it is back")
}

/// The problem of an interface that matches a pattern and that no program can parse.
fn unsupported(interface: &Interface, pattern: &str) -> String {
    let Interface { name, layer, .. } = interface;
    format!(
        "interface {name} matches {pattern} in ifaces and is NOT filtered: what it carries is {layer}, in which Couic does not find source addresses; write patterns that do not match it, and filter the interface below or above it, where packets have an Ethernet header or begin with the IP header"
    )
}
