//! The filter on its interfaces: put up, looked after, taken down. Every decision about what is attached is made here.
//!
//! What holds:
//! - [`Attachments::raise`] changes nothing where it fails, but for one case: where an interface has to change from one mode of
//!   XDP to another and cannot, it has the new program in the old mode.
//! - A link that was kept gets the new program in one atomic step; no packet passes in between. Nor does one between XDP
//!   and TCX, which go together: the old link goes when the new one is there.
//! - What somebody else attached is never replaced. Nor is what another Couic attached.
//! - A program never sees packets that it reads wrongly: which one it is depends on what the interface carries, and where
//!   there is none for that, nothing is attached.
//! - After [`Attachments::check`], every interface that the configuration means runs our program, or [`Attachments::report`] says why
//!   not.

mod repair;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::OwnedFd,
};

use couic_common::XdpMode;

pub(crate) use self::report::{State, gone};
use super::{
    Interface,
    kernel::{Kernel, Linux},
    modes::{candidate_modes, role},
    pattern::{Pattern, Wanted, select, unmatched},
};
use couic_firewall::dataplane::{AttachError, ENTRIES, Hook, OperationMode, Role};
use couic_netlink::{LinkLayer, OnInterface};

/// Our program on an interface.
#[derive(Debug)]
struct Held<L> {
    name: String,
    hook: Hook,
    link: L,
}

/// The filter.
#[derive(Debug)]
pub(crate) struct Attachments<K: Kernel> {
    kernel: K,
    patterns: Vec<Pattern>,
    mode: OperationMode,
    held: BTreeMap<u32, Held<K::Link>>,
    /// The programs of a daemon before this one, as far as their links were kept: theirs are no others'.
    before: BTreeSet<u32>,
    /// Why an interface is not filtered.
    problems: BTreeMap<u32, String>,
}

/// What was done, to be logged and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A link is new, or has been found: it is to be kept.
    Filtering {
        /// The interface's.
        index: u32,
        /// The interface's.
        name: String,
        /// How.
        mode: XdpMode,
        /// Since when, and why now.
        how: How,
    },
    /// A link is no more.
    Left {
        /// The interface's.
        index: u32,
        /// The interface's.
        name: String,
        /// Where the link was.
        hook: Hook,
        /// Why.
        why: &'static str,
    },
    /// An interface is not filtered and should be.
    Failed {
        /// The interface's.
        name: String,
        /// Why.
        problem: String,
    },
}

/// How an interface came to be filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It was not before.
    New,
    /// A link that was kept got our program.
    Adopted,
    /// Somebody had detached it.
    PutBack,
}

/// What is to be done at the start.
struct Plan<'a, L> {
    new: Vec<Wanted<'a>>,
    adopt: Vec<(&'a Interface, XdpMode, L)>,
    change: Vec<(&'a Interface, XdpMode, L)>,
    /// Kept, but not wanted any more.
    drop: Vec<Unwanted<L>>,
}

/// A link that is to go.
struct Unwanted<L> {
    index: u32,
    name: String,
    hook: Hook,
    link: L,
    why: &'static str,
}

/// Links from before, and how they filter, by interface.
type Live<L> = BTreeMap<u32, Vec<(XdpMode, L)>>;

impl Attachments<Linux> {
    /// A program, without which nothing can be attached.
    pub(crate) fn give(&mut self, role: Role, program: OwnedFd, id: u32) {
        self.kernel.give(role, program, id);
    }
}

impl<K: Kernel> Attachments<K> {
    /// Nothing is attached yet.
    pub(crate) fn new(kernel: K, patterns: Vec<Pattern>, mode: OperationMode) -> Self {
        Self {
            kernel,
            patterns,
            mode,
            held: BTreeMap::new(),
            before: BTreeSet::new(),
            problems: BTreeMap::new(),
        }
    }

    /// Puts our program on everything that the configuration means: onto links that were kept from before, and onto
    /// new ones.
    ///
    /// # Errors
    /// [`AttachError`], where an interface that is named cannot be filtered; the old program is where it was then.
    pub(crate) fn attach_all(&mut self, kept: Vec<K::Link>) -> Result<Vec<Event>, AttachError> {
        let interfaces = self.kernel.interfaces().map_err(AttachError::List)?;
        let mut events = Vec::new();
        let plan = self.plan(&interfaces, kept, &mut events)?;
        let mut fresh = Vec::new();
        for wanted in plan.new {
            let Interface { index, name, .. } = wanted.interface;
            match self.attach(wanted.interface) {
                Ok((link, mode)) => fresh.push((*index, name.clone(), mode, link)),
                // The links made so far are dropped with this return.
                Err(error) if wanted.named => return Err(error),
                Err(error) => events.push(self.failed(*index, name, error.to_string())),
            }
        }
        for (interface, mode, link) in plan.change {
            self.change(interface, mode, &link, &mut events)?;
        }
        self.adopt_all(plan.adopt, &mut events)?;
        for (index, name, mode, link) in fresh {
            events.push(self.hold(index, &name, link, mode, How::New));
        }
        for unwanted in plan.drop {
            events.push(self.leave(unwanted));
        }
        Ok(events)
    }

    fn plan<'a>(
        &mut self,
        interfaces: &'a [Interface],
        kept: Vec<K::Link>,
        events: &mut Vec<Event>,
    ) -> Result<Plan<'a, K::Link>, AttachError> {
        if let Some(missing) = unmatched(&self.patterns, interfaces).find(|p| p.is_name()) {
            let name = missing.text().to_owned();
            return Err(AttachError::NoInterface { name });
        }
        let mut live = self.live(interfaces, kept);
        let mut plan = Plan {
            new: Vec::new(),
            adopt: Vec::new(),
            change: Vec::new(),
            drop: Vec::new(),
        };
        for wanted in wanted(&self.patterns, interfaces) {
            let Interface { index, name, .. } = wanted.interface;
            match self.free(wanted.interface) {
                Ok(ways) => {
                    let links = live.remove(index).unwrap_or_default();
                    plan.sort(wanted, ways, links);
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

    /// The links by which an interface of this network namespace is filtered.
    fn live(&mut self, interfaces: &[Interface], kept: Vec<K::Link>) -> Live<K::Link> {
        let mut live = Live::new();
        for link in kept {
            let Ok(info) = self.kernel.info(&link) else {
                continue;
            };
            self.before.insert(info.program);
            let interface = interfaces.iter().find(|i| i.index == info.index);
            if let Some((mode, _)) = interface.and_then(|i| self.by(&link, i)) {
                live.entry(info.index).or_default().push((mode, link));
            }
        }
        live
    }

    /// How a link filters an interface, and by which program; None where it does not, say since somebody detached it.
    fn by(&self, link: &K::Link, interface: &Interface) -> Option<(XdpMode, u32)> {
        let info = self.kernel.info(link).ok()?;
        if info.index != interface.index {
            return None;
        }
        let mode = match info.hook {
            Hook::Tcx => XdpMode::Tcx,
            Hook::Xdp => interface.xdp.filter(|on| on.id == info.program)?.mode,
        };
        Some((mode, info.program))
    }

    fn ways(&self, interface: &Interface) -> Result<&'static [XdpMode], AttachError> {
        candidate_modes(self.mode, interface, self.has_tcx())
    }

    fn has_tcx(&self) -> bool {
        self.kernel.program(Role::Tcx).is_some()
    }

    fn attach(&self, interface: &Interface) -> Result<(K::Link, XdpMode), AttachError> {
        let Interface { index, name, .. } = interface;
        let ways = self.free(interface)?;
        let mut refused = io::Error::from(io::ErrorKind::Unsupported);
        for mode in ways {
            // Where there is a program of XDP, there is place for one of TCX alone.
            if interface.xdp.is_some() && Hook::from(*mode) == Hook::Xdp {
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
        // It may have come between our look and our try.
        let now = self.kernel.interfaces().unwrap_or_default();
        match now.iter().find(|i| i.index == *index).and_then(|i| i.xdp) {
            Some(on) if !ways.contains(&XdpMode::Tcx) => Err(self.foreign(name, on)),
            _ => Err(self.refused(name, refused)),
        }
    }

    /// The ways that others leave. Another Couic leaves none: two would each drop and count what the other lets through.
    /// `auto` goes beside no program of XDP without a name: it may be our own, with rules of before.
    fn free(&self, interface: &Interface) -> Result<&'static [XdpMode], AttachError> {
        let Interface {
            index, name, xdp, ..
        } = interface;
        let ways = self.ways(interface)?;
        let here = self.kernel.tcx_programs(*index).into_iter();
        let here = here.chain(xdp.map(|on| on.id));
        for id in here.filter(|id| !self.is_ours(*id)) {
            let program = self.kernel.name_of(id);
            if program.is_some_and(|program| ENTRIES.contains(&program.as_str())) {
                let name = name.clone();
                return Err(AttachError::OtherCouic { name, id });
            }
        }
        match xdp.filter(|on| !self.is_ours(on.id)) {
            Some(on) if !ways.contains(&XdpMode::Tcx) => Err(self.foreign(name, on)),
            Some(OnInterface { id, .. })
                if self.mode == OperationMode::Auto && self.kernel.name_of(id).is_none() =>
            {
                let name = name.clone();
                Err(AttachError::Unnamed { name, id })
            }
            _ => Ok(ways),
        }
    }

    fn is_ours(&self, program: u32) -> bool {
        let roles = [Role::Ethernet, Role::Ip, Role::Tcx];
        let mut ours = roles
            .into_iter()
            .filter_map(|role| self.kernel.program(role));
        ours.any(|id| id == program) || self.before.contains(&program)
    }

    /// Gives an interface our program in another mode of XDP. There is no atomic way: for that moment packets pass.
    fn change(
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
        // A swap first: whatever happens then, the new rules are what is in force.
        self.kernel
            .swap(link, program)
            .and_then(|()| self.kernel.detach(link))
            .map_err(|source| self.refused(name, source))?;
        let bare = Interface {
            xdp: None,
            ..interface.clone()
        };
        let attached = self.attach(&bare);
        if let Ok((link, mode)) = attached {
            events.push(self.hold(*index, name, link, mode, How::New));
            return Ok(());
        }
        if let Ok(link) = self.kernel.attach(*index, old, program) {
            self.hold(*index, name, link, old, How::New);
        }
        attached.map(drop)
    }

    /// Puts our program behind links that were kept. The first that refuses ends the start, since nothing has changed
    /// yet; where a later one does, the old program goes on there, and health says so.
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
                Ok(()) => events.push(self.hold(*index, name, link, mode, How::Adopted)),
                Err(source) if !changed => return Err(self.refused(name, source)),
                Err(source) => {
                    let problem = self.refused(name, source).to_string();
                    self.hold(*index, name, link, mode, How::Adopted);
                    events.push(self.failed(*index, name, problem));
                }
            }
            changed = true;
        }
        Ok(())
    }

    fn hold(&mut self, index: u32, name: &str, link: K::Link, mode: XdpMode, how: How) -> Event {
        let name = name.to_owned();
        self.problems.remove(&index);
        let held = Held {
            name: name.clone(),
            hook: mode.into(),
            link,
        };
        self.held.insert(index, held);
        Event::Filtering {
            index,
            name,
            mode,
            how,
        }
    }

    /// Takes our program off an interface on which it is not wanted any more.
    fn leave(&self, unwanted: Unwanted<K::Link>) -> Event {
        let Unwanted {
            index,
            name,
            hook,
            link,
            why,
        } = unwanted;
        // Fails where there is nothing to take off any more.
        let _ = self.kernel.detach(&link);
        Event::Left {
            index,
            name,
            hook,
            why,
        }
    }

    /// Notes why an interface is not filtered.
    fn failed(&mut self, index: u32, name: &str, problem: String) -> Event {
        self.problems.insert(index, problem.clone());
        Event::Failed {
            name: name.to_owned(),
            problem,
        }
    }

    fn foreign(&self, name: &str, on: OnInterface) -> AttachError {
        AttachError::foreign(name, on.id, self.kernel.name_of(on.id), self.has_tcx())
    }

    fn refused(&self, name: &str, source: io::Error) -> AttachError {
        AttachError::Refused {
            name: name.to_owned(),
            mode: self.mode,
            source,
        }
    }

    /// The links that are held, with their interfaces' indices and where they are.
    pub(crate) fn links(&self) -> impl Iterator<Item = (u32, Hook, &K::Link)> {
        let held = self.held.iter();
        held.map(|(index, held)| (*index, held.hook, &held.link))
    }

    /// Takes our program off every interface: packets pass unfiltered from then on.
    pub(crate) fn detach_all(&mut self) -> Vec<Event> {
        let held = std::mem::take(&mut self.held);
        held.into_iter()
            .map(|(index, held)| self.leave(held.unwanted(index, "Couic stops")))
            .collect()
    }
}

impl<L> Held<L> {
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

impl<'a, L> Plan<'a, L> {
    /// What becomes of the links that an interface has from before. The first way for which there is one stays, also
    /// where there would be a better one by now: with XDP, only by opening the attachments for a moment could one see.
    fn sort(&mut self, wanted: Wanted<'a>, ways: &[XdpMode], mut links: Vec<(XdpMode, L)>) {
        let Interface { index, name, .. } = wanted.interface;
        let way = |(mode, _): &(XdpMode, L)| ways.iter().position(|way| way == mode);
        links.sort_by_key(|link| way(link).unwrap_or(usize::MAX));
        let of_xdp = |mode: &XdpMode| Hook::from(*mode) == Hook::Xdp;
        // What goes together is put up before the old one is taken off; two of XDP do not.
        let in_the_way = links.iter().position(|(mode, _)| of_xdp(mode));
        let in_the_way = in_the_way.filter(|_| ways.iter().any(of_xdp));
        if links.first().is_some_and(|link| way(link).is_some()) {
            let (mode, link) = links.remove(0);
            self.adopt.push((wanted.interface, mode, link));
        } else if let Some(at) = in_the_way {
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

/// The interfaces that the configuration means and that can be filtered, or are named.
fn wanted<'a>(patterns: &[Pattern], interfaces: &'a [Interface]) -> Vec<Wanted<'a>> {
    let mut wanted = select(patterns, interfaces);
    wanted.retain(|w| w.named || !matches!(w.interface.layer, LinkLayer::Other(_)));
    wanted
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
