//! How everything is, for those who ask.

use std::{collections::BTreeMap, io};

use couic_common::XdpMode;
use serde::{Deserialize, Serialize};

use super::{Attachments, Interface, LinkLayer, Wanted, role, select};
use crate::attach::{kernel::Kernel, modes::note};

/// An interface as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// 0 where there is none.
    pub(crate) index: u32,
    /// As in the kernel, or in the configuration where there is none.
    pub(crate) name: String,
    /// How it is filtered.
    pub(crate) mode: Option<XdpMode>,
    /// Why it is not.
    pub(crate) problem: Option<String>,
    /// Why it is in this mode, and what that costs.
    pub(crate) note: Option<String>,
}

impl<K: Kernel> Attachments<K> {
    /// Every interface that the configuration means, and every name of it that means none, in its request; and patterns
    /// that mean none, and interfaces that match one and are left alone.
    ///
    /// # Errors
    /// Where the kernel does not say which interfaces there are.
    pub(crate) fn report(&self) -> io::Result<(Vec<State>, Vec<String>)> {
        let interfaces = self.kernel.interfaces()?;
        let (mut states, mut idle): (Vec<State>, Vec<String>) = (Vec::new(), Vec::new());
        let mut alone = BTreeMap::new();
        let named =
            |interface: &Interface| self.patterns.iter().any(|p| p.text() == interface.name);
        for pattern in &self.patterns {
            let text = pattern.text();
            let wanted = select(std::slice::from_ref(pattern), &interfaces);
            if wanted.is_empty() && pattern.is_name() {
                states.push(State {
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
                        alone
                            .entry(interface.index)
                            .or_insert_with(|| left_alone(interface, text));
                    }
                    _ if states.iter().all(|s| s.index != interface.index) => {
                        states.push(self.state(interface));
                    }
                    _ => {}
                }
            }
        }
        idle.extend(alone.into_values());
        Ok((states, idle))
    }

    fn state(&self, interface: &Interface) -> State {
        let Interface {
            index, name, layer, ..
        } = interface;
        let held = self.held.get(index);
        let found = held.and_then(|held| self.by(&held.link, interface));
        let is_current =
            |(mode, id): &(XdpMode, u32)| self.kernel.program(role(*mode, *layer)) == Some(*id);
        let mode = found.filter(is_current).map(|(mode, _)| mode);
        let problem = match (mode, self.problems.get(index)) {
            (Some(_), _) => None,
            (None, Some(problem)) => Some(problem.clone()),
            (None, None) => Some("it has just come, or lost our program".to_owned()),
        };
        State {
            index: *index,
            name: name.clone(),
            mode,
            problem,
            note: mode.and_then(|mode| note(self.mode, mode, *layer, self.beside(interface))),
        }
    }

    /// Another XDP program of an interface, as it is to be shown.
    fn beside(&self, interface: &Interface) -> Option<String> {
        let on = interface.xdp.filter(|on| !self.is_ours(on.id))?;
        let name = self.kernel.name_of(on.id);
        let name = name.unwrap_or_else(|| "?".to_owned());
        Some(format!("\"{name}\" (id {})", on.id))
    }
}

/// The problem of an interface that is not there.
pub(crate) fn gone(name: &str) -> String {
    format!("interface {name} is gone: it is filtered again as soon as it is back")
}

/// The problem of an interface that a pattern means and no program can judge.
fn left_alone(interface: &Interface, pattern: &str) -> String {
    let Interface { name, layer, .. } = interface;
    format!(
        "interface {name} matches {pattern} in ifaces and is NOT filtered: what it carries is {layer}, in which Couic does not find source addresses; write patterns that do not match it, and filter the interface below or above it, where packets have an Ethernet header or begin with the IP header"
    )
}
