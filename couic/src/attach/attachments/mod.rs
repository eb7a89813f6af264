//! The program on its interfaces: attached, checked, repaired, detached. Every decision about attachments is made here.
//!
//! What holds:
//! - [`Attachments::attach_all`] changes nothing on error, with one exception: an interface that cannot change from one
//!   mode of XDP to another runs the new program in the old mode.
//! - A stored link gets the new program in one atomic step; no packet passes in between. A change between XDP and TCX,
//!   which can coexist, has no gap either: the old link is detached after the new one is attached.
//! - Foreign programs, and those of another Couic, are never replaced.
//! - The program is chosen by the link layer of the interface, so that it never misreads packets; without a suitable
//!   program, nothing is attached.
//! - After [`Attachments::check`], every interface in `ifaces` runs our program, or [`Attachments::report`] says why
//!   not.

mod event;
mod plan;
mod repair;
mod report;
mod usable;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::OwnedFd,
};

use couic_common::XdpMode;

use self::plan::Unwanted;
pub(crate) use self::{
    event::{Event, How},
    report::{InterfaceState, gone},
};
use super::{
    Interface,
    kernel::{Kernel, Linux},
    modes::role,
    pattern::Pattern,
};
use couic_firewall::dataplane::{AttachError, Hook, OperationMode, Role};

/// Our program on an interface.
#[derive(Debug)]
struct Attachment<L> {
    name: String,
    hook: Hook,
    link: L,
}

/// The attachments of this daemon.
#[derive(Debug)]
pub(crate) struct Attachments<K: Kernel> {
    kernel: K,
    patterns: Vec<Pattern>,
    mode: OperationMode,
    attached: BTreeMap<u32, Attachment<K::Link>>,
    /// The programs of stored links, from the previous daemon: not foreign ones.
    before: BTreeSet<u32>,
    /// Why an interface is not filtered.
    problems: BTreeMap<u32, String>,
}

impl Attachments<Linux> {
    /// Adds the program for `role`. Nothing can be attached before.
    pub(crate) fn add_program(&mut self, role: Role, program: OwnedFd, id: u32) {
        self.kernel.add_program(role, program, id);
    }
}

impl<K: Kernel> Attachments<K> {
    pub(crate) fn new(kernel: K, patterns: Vec<Pattern>, mode: OperationMode) -> Self {
        Self {
            kernel,
            patterns,
            mode,
            attached: BTreeMap::new(),
            before: BTreeSet::new(),
            problems: BTreeMap::new(),
        }
    }

    /// Attaches our program to all interfaces in `ifaces`, reusing stored links.
    ///
    /// # Errors
    /// [`AttachError`] if an interface that is named cannot be filtered; the old program is still attached then.
    pub(crate) fn attach_all(&mut self, stored: Vec<K::Link>) -> Result<Vec<Event>, AttachError> {
        let interfaces = self.kernel.interfaces().map_err(AttachError::List)?;
        let mut events = Vec::new();
        let plan = self.plan(&interfaces, stored, &mut events)?;
        let mut fresh = Vec::new();
        for wanted in plan.new {
            let Interface { index, name, .. } = wanted.interface;
            match self.attach(wanted.interface) {
                Ok((link, mode)) => fresh.push((*index, name.clone(), mode, link)),
                // Returning drops, and so detaches, the links created so far.
                Err(error) if wanted.named => return Err(error),
                Err(error) => events.push(self.failed(*index, name, error.to_string())),
            }
        }
        for (interface, mode, link) in plan.change {
            self.change_mode(interface, mode, &link, &mut events)?;
        }
        self.adopt_all(plan.adopt, &mut events)?;
        for (index, name, mode, link) in fresh {
            events.push(self.insert(index, &name, link, mode, How::New));
        }
        for unwanted in plan.drop {
            events.push(self.detach_unwanted(unwanted));
        }
        Ok(events)
    }

    fn attach(&self, interface: &Interface) -> Result<(K::Link, XdpMode), AttachError> {
        let Interface { index, name, .. } = interface;
        let modes = self.usable_modes(interface)?;
        let mut refused = io::Error::from(io::ErrorKind::Unsupported);
        for mode in modes {
            // A foreign program has the XDP hook. One of ours there may have been detached since the list was read; where
            // it was not, the kernel refuses a second one.
            if Hook::from(*mode) == Hook::Xdp && self.foreign_xdp(interface).is_some() {
                continue;
            }
            match self
                .kernel
                .attach(*index, *mode, role(*mode, interface.layer))
            {
                Ok(link) => return Ok((link, *mode)),
                Err(error) => refused = error,
            }
        }
        // A foreign program may have been attached meanwhile.
        let now = self.kernel.interfaces().unwrap_or_default();
        let here = now.iter().find(|i| i.index == *index);
        match here.and_then(|here| self.foreign_xdp(here)) {
            Some(on) if !modes.contains(&XdpMode::Tcx) => Err(self.foreign(name, on)),
            _ => Err(self.refused(name, refused)),
        }
    }

    /// Changes to another mode of XDP. The kernel cannot do that atomically: packets pass for a moment.
    fn change_mode(
        &mut self,
        interface: &Interface,
        old: XdpMode,
        link: &K::Link,
        events: &mut Vec<Event>,
    ) -> Result<(), AttachError> {
        let Interface {
            index, name, layer, ..
        } = interface;
        let program = role(old, *layer);
        // Update the link first, so that the new rules are in force whatever happens then.
        self.kernel
            .swap(link, program)
            .and_then(|()| self.kernel.detach(link))
            .map_err(|source| self.refused(name, source))?;
        let attached = self.attach(interface);
        if let Ok((link, mode)) = attached {
            events.push(self.insert(*index, name, link, mode, How::New));
            return Ok(());
        }
        if let Ok(link) = self.kernel.attach(*index, old, program) {
            self.insert(*index, name, link, old, How::New);
        }
        attached.map(drop)
    }

    /// Updates stored links to our program. If the first update fails, the start fails, since nothing has changed yet;
    /// if a later one does, the old program goes on there, and health reports it.
    fn adopt_all(
        &mut self,
        links: Vec<(&Interface, XdpMode, K::Link)>,
        events: &mut Vec<Event>,
    ) -> Result<(), AttachError> {
        let mut changed = false;
        for (interface, mode, link) in links {
            let Interface {
                index, name, layer, ..
            } = interface;
            match self.kernel.swap(&link, role(mode, *layer)) {
                Ok(()) => events.push(self.insert(*index, name, link, mode, How::Adopted)),
                Err(source) if !changed => return Err(self.refused(name, source)),
                Err(source) => {
                    let problem = self.refused(name, source).to_string();
                    self.insert(*index, name, link, mode, How::Adopted);
                    events.push(self.failed(*index, name, problem));
                }
            }
            changed = true;
        }
        Ok(())
    }

    fn insert(&mut self, index: u32, name: &str, link: K::Link, mode: XdpMode, how: How) -> Event {
        let name = name.to_owned();
        self.problems.remove(&index);
        let attachment = Attachment {
            name: name.clone(),
            hook: mode.into(),
            link,
        };
        self.attached.insert(index, attachment);
        Event::Filtering {
            index,
            name,
            mode,
            how,
        }
    }

    fn detach_unwanted(&self, unwanted: Unwanted<K::Link>) -> Event {
        let Unwanted {
            index,
            name,
            hook,
            link,
            why,
        } = unwanted;
        // Fails if the link is already detached.
        let _ = self.kernel.detach(&link);
        Event::Detached {
            index,
            name,
            hook,
            why,
        }
    }

    /// Records why an interface is not filtered.
    fn failed(&mut self, index: u32, name: &str, problem: String) -> Event {
        self.problems.insert(index, problem.clone());
        Event::Failed {
            name: name.to_owned(),
            problem,
        }
    }

    /// The links, with the indices of their interfaces and their hooks.
    pub(crate) fn links(&self) -> impl Iterator<Item = (u32, Hook, &K::Link)> {
        let all = self.attached.iter();
        all.map(|(index, attachment)| (*index, attachment.hook, &attachment.link))
    }

    /// Detaches our program from every interface: packets pass unfiltered from then on.
    pub(crate) fn detach_all(&mut self) -> Vec<Event> {
        let all = std::mem::take(&mut self.attached);
        all.into_iter()
            .map(|(index, attachment)| attachment.unwanted(index, "Couic stops"))
            .map(|unwanted| self.detach_unwanted(unwanted))
            .collect()
    }
}

impl<L> Attachment<L> {
    fn unwanted(self, index: u32, why: &'static str) -> Unwanted<L> {
        let Self { name, hook, link } = self;
        Unwanted {
            index,
            name,
            hook,
            link,
            why,
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
