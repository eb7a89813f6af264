//! The look at everything: what is not as it should be is made so.

use std::io;

use super::{
    AttachError, Attachments, Event, How, Interface, LinkLayer, Wanted, XdpMode, role, wanted,
};
use crate::attach::kernel::Kernel;
use couic_firewall::dataplane::Hook;

impl<K: Kernel> Attachments<K> {
    /// Looks at all interfaces and mends what is not as it should be.
    ///
    /// # Errors
    /// Where the kernel does not say which interfaces there are. Nothing has changed then.
    pub(crate) fn check(&mut self) -> io::Result<Vec<Event>> {
        let interfaces = self.kernel.interfaces()?;
        let wanted = wanted(&self.patterns, &interfaces);
        let mut events = Vec::new();
        self.let_go(&interfaces, &wanted, &mut events);
        for Wanted { interface, .. } in wanted {
            self.mend(interface, &mut events);
        }
        Ok(events)
    }

    /// Whether a link of TCX lost its interface, or its place there, since the last check: netlink, which tells that of
    /// XDP, does not of TCX.
    pub(crate) fn has_lost(&self) -> bool {
        self.links().any(|(index, hook, link)| {
            let info = self.kernel.info(link);
            hook == Hook::Tcx && info.is_ok_and(|info| info.index != index)
        })
    }

    /// Gives up interfaces that are gone, called otherwise, or of a type that cannot be filtered.
    fn let_go(&mut self, all: &[Interface], wanted: &[Wanted<'_>], events: &mut Vec<Event>) {
        let is_wanted = |index: &u32| wanted.iter().any(|w| w.interface.index == *index);
        self.problems.retain(|index, _| is_wanted(index));
        let gone = self.held.extract_if(.., |index, _| !is_wanted(index));
        let gone: Vec<_> = gone.collect();
        for (index, held) in gone {
            let why = match all.iter().find(|i| i.index == index).map(|i| i.layer) {
                Some(LinkLayer::Other(_)) => {
                    "its packets have neither an Ethernet nor an IP header now"
                }
                Some(_) => "it is called otherwise now, and that is not in ifaces",
                None => "the interface is gone",
            };
            events.push(self.leave(held.unwanted(index, why)));
        }
    }

    fn mend(&mut self, interface: &Interface, events: &mut Vec<Event>) {
        let Interface { index, name, .. } = interface;
        if let Some(held) = self.held.get_mut(index) {
            held.name.clone_from(name);
        }
        let mended = match self.ways(interface) {
            Ok(ways) => self.mend_by(ways, interface, events),
            Err(error) => {
                self.release(interface, events);
                Err(error)
            }
        };
        match mended {
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

    /// None where nothing was to be done.
    fn mend_by(
        &mut self,
        ways: &[XdpMode],
        interface: &Interface,
        events: &mut Vec<Event>,
    ) -> Result<Option<Event>, AttachError> {
        let Interface {
            index, name, layer, ..
        } = interface;
        let (mut how, mut here) = (How::New, interface.clone());
        if let Some(held) = self.held.get(index) {
            how = How::PutBack;
            match self.by(&held.link, interface) {
                Some((mode, program)) if ways.contains(&mode) => {
                    let wanted = role(mode, *layer);
                    if self.kernel.program(wanted) == Some(program) {
                        return Ok(None);
                    }
                    let swapped = self.kernel.swap(&held.link, wanted);
                    swapped.map_err(|source| self.refused(name, source))?;
                    return Ok(Some(Event::Filtering {
                        index: *index,
                        name: name.clone(),
                        mode,
                        how: How::Adopted,
                    }));
                }
                // It carries something else than when that was attached.
                Some(_) => {
                    how = How::New;
                    self.release(interface, events);
                    here.xdp = here.xdp.filter(|on| !self.is_ours(on.id));
                }
                None => {}
            }
        }
        let (link, mode) = self.attach(&here)?;
        Ok(Some(self.hold(*index, name, link, mode, how)))
    }

    /// Takes our program off an interface that has changed so that it would read packets wrongly.
    fn release(&mut self, interface: &Interface, events: &mut Vec<Event>) {
        if let Some(held) = self.held.remove(&interface.index) {
            let why = "its packets begin with another header now";
            events.push(self.leave(held.unwanted(interface.index, why)));
        }
    }
}
