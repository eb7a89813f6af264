//! The periodic check: attachments that differ from the configuration are repaired.

use std::io;

use couic_common::XdpMode;

use super::{Attachments, Event, How, Interface, plan::wanted};
use crate::attach::{kernel::Kernel, modes::role, pattern::Wanted};
use couic_firewall::dataplane::{AttachError, Hook};
use couic_netlink::LinkLayer;

impl<K: Kernel> Attachments<K> {
    /// Checks all interfaces and repairs their attachments.
    ///
    /// # Errors
    /// If the kernel's list of interfaces cannot be read. Nothing has changed then.
    pub(crate) fn check(&mut self) -> io::Result<Vec<Event>> {
        let interfaces = self.kernel.interfaces()?;
        let wanted = wanted(&self.patterns, &interfaces);
        let mut events = Vec::new();
        self.drop_unwanted(&interfaces, &wanted, &mut events);
        for Wanted { interface, .. } in wanted {
            self.repair(interface, &mut events);
        }
        Ok(events)
    }

    /// Whether a TCX link was detached or lost its interface since the last check: netlink notifies of XDP changes, not
    /// of TCX.
    pub(crate) fn has_lost(&self) -> bool {
        self.links().any(|(index, hook, link)| {
            let info = self.kernel.info(link);
            hook == Hook::Tcx && info.is_ok_and(|info| info.index != index)
        })
    }

    /// Drops interfaces that are gone, were renamed out of `ifaces`, or changed to a type that cannot be filtered.
    fn drop_unwanted(&mut self, all: &[Interface], wanted: &[Wanted<'_>], events: &mut Vec<Event>) {
        let is_wanted = |index: &u32| wanted.iter().any(|w| w.interface.index == *index);
        self.problems.retain(|index, _| is_wanted(index));
        let gone = self.attached.extract_if(.., |index, _| !is_wanted(index));
        let gone: Vec<_> = gone.collect();
        for (index, attachment) in gone {
            let why = match all.iter().find(|i| i.index == index).map(|i| i.layer) {
                Some(LinkLayer::Other(_)) => {
                    "its packets have neither an Ethernet nor an IP header now"
                }
                Some(_) => "it was renamed, and its new name is not in ifaces",
                None => "the interface is gone",
            };
            events.push(self.detach_unwanted(attachment.unwanted(index, why)));
        }
    }

    fn repair(&mut self, interface: &Interface, events: &mut Vec<Event>) {
        let Interface { index, name, .. } = interface;
        if let Some(attachment) = self.attached.get_mut(index) {
            attachment.name.clone_from(name);
        }
        let repaired = match self.modes(interface) {
            Ok(modes) => self.repair_with(modes, interface, events),
            Err(error) => {
                self.release(interface, events);
                Err(error)
            }
        };
        match repaired {
            Ok(None) => {
                self.problems.remove(index);
            }
            Ok(Some(event)) => events.push(event),
            Err(problem) => {
                let problem = problem.to_string();
                let known = self.problems.get(index) == Some(&problem);
                let failed = self.failed(*index, name, problem);
                if !known {
                    events.push(failed);
                }
            }
        }
    }

    /// `None` if nothing was to be done.
    fn repair_with(
        &mut self,
        modes: &[XdpMode],
        interface: &Interface,
        events: &mut Vec<Event>,
    ) -> Result<Option<Event>, AttachError> {
        let Interface {
            index, name, layer, ..
        } = interface;
        let mut how = How::New;
        if let Some(attachment) = self.attached.get(index) {
            how = How::Reattached;
            match self.mode_of(&attachment.link, interface) {
                Some((mode, program)) if modes.contains(&mode) => {
                    let wanted = role(mode, *layer);
                    if self.kernel.program(wanted) == Some(program) {
                        return Ok(None);
                    }
                    let swapped = self.kernel.swap(&attachment.link, wanted);
                    swapped.map_err(|source| self.refused(name, source))?;
                    return Ok(Some(Event::Filtering {
                        index: *index,
                        name: name.clone(),
                        mode,
                        how: How::Adopted,
                    }));
                }
                // The link layer has changed since it was attached.
                Some(_) => {
                    how = How::New;
                    self.release(interface, events);
                }
                None => {}
            }
        }
        let (link, mode) = self.attach(interface)?;
        Ok(Some(self.insert(*index, name, link, mode, how)))
    }

    /// Detaches our program from an interface whose link layer it cannot parse any more.
    fn release(&mut self, interface: &Interface, events: &mut Vec<Event>) {
        if let Some(attachment) = self.attached.remove(&interface.index) {
            let why = "its packets begin with another header now";
            events.push(self.detach_unwanted(attachment.unwanted(interface.index, why)));
        }
    }
}
