//! The filter on its interfaces: put up, looked after, taken down. Every decision about what is attached is made here.
//!
//! What holds:
//! - [`Wall::raise`] changes nothing where it fails, but for one case: where an interface has to change its mode and
//!   cannot, it has the new program in the old mode.
//! - A link that was kept gets the new program in one atomic step; no packet passes in between.
//! - What somebody else attached is never replaced. Nor is what another Couic attached.
//! - After [`Wall::check`], every interface that the configuration means runs our program, or [`Wall::report`] says why
//!   not.

use std::{collections::BTreeMap, io, os::fd::OwnedFd};

use couic_common::XdpMode;
use serde::{Deserialize, Serialize};

use super::{
    Interface,
    kernel::{Kernel, Linux},
    pattern::{Pattern, Wanted, select, unmatched},
};
use crate::dataplane::{AttachError, OnInterface, OperationMode};

/// Our program on an interface.
#[derive(Debug)]
struct Held<L> {
    name: String,
    link: L,
}

/// The filter.
#[derive(Debug)]
pub(crate) struct Wall<K: Kernel> {
    kernel: K,
    patterns: Vec<Pattern>,
    mode: OperationMode,
    held: BTreeMap<u32, Held<K::Link>>,
    /// Why an interface is not filtered.
    problems: BTreeMap<u32, String>,
}

/// What was done, to be logged and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
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
}

/// What is to be done at the start.
struct Plan<'a, L> {
    new: Vec<Wanted<'a>>,
    adopt: Vec<(&'a Interface, L)>,
    change: Vec<(&'a Interface, XdpMode, L)>,
    /// Kept, but not wanted any more.
    drop: Vec<(String, u32, L)>,
}

impl Wall<Linux> {
    /// The program, without which nothing can be attached.
    pub(crate) fn give(&mut self, program: OwnedFd, id: u32) {
        self.kernel.give(program, id);
    }
}

impl<K: Kernel> Wall<K> {
    /// Nothing is attached yet.
    pub(crate) fn new(kernel: K, patterns: Vec<Pattern>, mode: OperationMode) -> Self {
        Self {
            kernel,
            patterns,
            mode,
            held: BTreeMap::new(),
            problems: BTreeMap::new(),
        }
    }

    /// Puts our program on everything that the configuration means: onto links that were kept from before, and onto
    /// new ones.
    ///
    /// # Errors
    /// [`AttachError`], where an interface that is named cannot be filtered; the old program is where it was then.
    pub(crate) fn raise(&mut self, kept: Vec<K::Link>) -> Result<Vec<Deed>, AttachError> {
        let interfaces = self.kernel.interfaces().map_err(AttachError::List)?;
        let mut deeds = Vec::new();
        let plan = self.plan(&interfaces, kept, &mut deeds)?;
        let mut fresh = Vec::new();
        for wanted in plan.new {
            let Interface { index, name, .. } = wanted.interface;
            match self.attach(*index, name) {
                Ok((link, mode)) => fresh.push((*index, name.clone(), mode, link)),
                // The links made so far are dropped with this return.
                Err(error) if wanted.named => return Err(error),
                Err(error) => deeds.push(self.failed(*index, name, error.to_string())),
            }
        }
        for (interface, mode, link) in plan.change {
            self.change(interface, mode, &link, &mut deeds)?;
        }
        self.adopt_all(plan.adopt, &mut deeds)?;
        for (index, name, mode, link) in fresh {
            deeds.push(self.hold(index, &name, link, mode, How::New));
        }
        for (name, index, link) in plan.drop {
            let why = "it is not in ifaces";
            deeds.push(self.leave(index, name, &link, why));
        }
        Ok(deeds)
    }

    fn plan<'a>(
        &mut self,
        interfaces: &'a [Interface],
        kept: Vec<K::Link>,
        deeds: &mut Vec<Deed>,
    ) -> Result<Plan<'a, K::Link>, AttachError> {
        if let Some(missing) = unmatched(&self.patterns, interfaces).find(|p| p.is_name()) {
            let name = missing.text().to_owned();
            return Err(AttachError::NoInterface { name });
        }
        let mut ours = self.live(interfaces, kept);
        let mut plan = Plan {
            new: Vec::new(),
            adopt: Vec::new(),
            change: Vec::new(),
            drop: Vec::new(),
        };
        for wanted in select(&self.patterns, interfaces) {
            let Interface { index, name, .. } = wanted.interface;
            match (wanted.interface.xdp, ours.remove(index)) {
                (None, _) => plan.new.push(wanted),
                (Some(on), Some(link)) if self.mode.allows(on.mode) => {
                    plan.adopt.push((wanted.interface, link));
                }
                (Some(on), Some(link)) => plan.change.push((wanted.interface, on.mode, link)),
                (Some(on), None) if wanted.named => return Err(self.foreign(name, on)),
                (Some(on), None) => {
                    let problem = self.foreign(name, on).to_string();
                    deeds.push(self.failed(*index, name, problem));
                }
            }
        }
        for (index, link) in ours {
            let found = interfaces.iter().find(|i| i.index == index);
            let name = found.map_or_else(String::new, |i| i.name.clone());
            plan.drop.push((name, index, link));
        }
        Ok(plan)
    }

    /// The links whose program is what an interface of this network namespace runs.
    fn live(&self, interfaces: &[Interface], kept: Vec<K::Link>) -> BTreeMap<u32, K::Link> {
        let is_live = |link: &K::Link| {
            let info = self.kernel.info(link).ok()?;
            let found = interfaces.iter().find(|i| i.index == info.index)?;
            (found.xdp?.id == info.program).then_some(info.index)
        };
        kept.into_iter()
            .filter_map(|link| Some((is_live(&link)?, link)))
            .collect()
    }

    fn attach(&self, index: u32, name: &str) -> Result<(K::Link, XdpMode), AttachError> {
        let mut refused = io::Error::from(io::ErrorKind::Unsupported);
        for mode in self.mode.attempts() {
            match self.kernel.attach(index, *mode) {
                Ok(link) => return Ok((link, *mode)),
                Err(error) => refused = error,
            }
        }
        // It may have come between our look and our try.
        let now = self.kernel.interfaces().unwrap_or_default();
        match now.iter().find(|i| i.index == index).and_then(|i| i.xdp) {
            Some(on) => Err(self.foreign(name, on)),
            None => Err(AttachError::Refused {
                name: name.to_owned(),
                mode: self.mode,
                source: refused,
            }),
        }
    }

    /// Gives an interface our program in another mode. There is no atomic way: for that moment packets pass.
    fn change(
        &mut self,
        interface: &Interface,
        old: XdpMode,
        link: &K::Link,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), AttachError> {
        let Interface { index, name, .. } = interface;
        // A swap first: whatever happens then, the new rules are what is in force.
        self.kernel
            .swap(link)
            .and_then(|()| self.kernel.detach(link))
            .map_err(|source| self.refused(name, source))?;
        let attached = self.attach(*index, name);
        if let Ok((link, mode)) = attached {
            deeds.push(self.hold(*index, name, link, mode, How::New));
            return Ok(());
        }
        if let Ok(link) = self.kernel.attach(*index, old) {
            self.hold(*index, name, link, old, How::New);
        }
        attached.map(drop)
    }

    /// Puts our program behind links that were kept. The first that refuses ends the start, since nothing has changed
    /// yet; where a later one does, the old program goes on there, and health says so.
    fn adopt_all(
        &mut self,
        links: Vec<(&Interface, K::Link)>,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), AttachError> {
        let mut changed = false;
        for (interface, link) in links {
            let Interface { index, name, .. } = interface;
            let mode = interface.xdp.map_or(XdpMode::Generic, |on| on.mode);
            match self.kernel.swap(&link) {
                Ok(()) => deeds.push(self.hold(*index, name, link, mode, How::Adopted)),
                Err(source) if !changed => return Err(self.refused(name, source)),
                Err(source) => {
                    let problem = self.refused(name, source).to_string();
                    self.hold(*index, name, link, mode, How::Adopted);
                    deeds.push(self.failed(*index, name, problem));
                }
            }
            changed = true;
        }
        Ok(())
    }

    fn hold(&mut self, index: u32, name: &str, link: K::Link, mode: XdpMode, how: How) -> Deed {
        let name = name.to_owned();
        self.problems.remove(&index);
        let held = Held {
            name: name.clone(),
            link,
        };
        self.held.insert(index, held);
        Deed::Filtering {
            index,
            name,
            mode,
            how,
        }
    }

    /// Takes our program off an interface on which it is not wanted any more.
    fn leave(&self, index: u32, name: String, link: &K::Link, why: &'static str) -> Deed {
        // Fails where there is nothing to take off any more.
        let _ = self.kernel.detach(link);
        Deed::Left { index, name, why }
    }

    /// Notes why an interface is not filtered.
    fn failed(&mut self, index: u32, name: &str, problem: String) -> Deed {
        self.problems.insert(index, problem.clone());
        Deed::Failed {
            name: name.to_owned(),
            problem,
        }
    }

    fn foreign(&self, name: &str, on: OnInterface) -> AttachError {
        AttachError::foreign(name, on.id, self.kernel.name_of(on.id))
    }

    fn refused(&self, name: &str, source: io::Error) -> AttachError {
        AttachError::Refused {
            name: name.to_owned(),
            mode: self.mode,
            source,
        }
    }

    /// Looks at all interfaces and mends what is not as it should be.
    ///
    /// # Errors
    /// Where the kernel does not say which interfaces there are. Nothing has changed then.
    pub(crate) fn check(&mut self) -> io::Result<Vec<Deed>> {
        let interfaces = self.kernel.interfaces()?;
        let patterns = self.patterns.clone();
        let wanted = select(&patterns, &interfaces);
        let mut deeds = Vec::new();
        self.let_go(&interfaces, &wanted, &mut deeds);
        for Wanted { interface, .. } in wanted {
            let mended = self.mend(interface);
            deeds.extend(mended);
        }
        Ok(deeds)
    }

    /// Gives up interfaces that are gone, or called otherwise.
    fn let_go(&mut self, all: &[Interface], wanted: &[Wanted<'_>], deeds: &mut Vec<Deed>) {
        let is_wanted = |index: &u32| wanted.iter().any(|w| w.interface.index == *index);
        self.problems.retain(|index, _| is_wanted(index));
        let gone: Vec<u32> = self
            .held
            .keys()
            .filter(|i| !is_wanted(i))
            .copied()
            .collect();
        for index in gone {
            let Some(held) = self.held.remove(&index) else {
                continue;
            };
            let why = if all.iter().any(|i| i.index == index) {
                "it is called otherwise now, and that is not in ifaces"
            } else {
                "the interface is gone"
            };
            deeds.push(self.leave(index, held.name, &held.link, why));
        }
    }

    fn mend(&mut self, interface: &Interface) -> Option<Deed> {
        let Interface { index, name, .. } = interface;
        let ours = self.kernel.program();
        if let Some(held) = self.held.get_mut(index) {
            held.name.clone_from(name);
        }
        let problem = match (interface.xdp, self.held.get(index)) {
            (Some(on), Some(_)) if on.id == ours => {
                self.problems.remove(index);
                return None;
            }
            (None, held) => {
                let how = if held.is_some() {
                    How::PutBack
                } else {
                    How::New
                };
                match self.attach(*index, name) {
                    Ok((link, mode)) => return Some(self.hold(*index, name, link, mode, how)),
                    Err(error) => error,
                }
            }
            (Some(on), Some(held)) if self.is_of(&held.link, *index, on.id) => {
                match self.kernel.swap(&held.link) {
                    Ok(()) => {
                        self.problems.remove(index);
                        let name = name.clone();
                        return Some(Deed::Filtering {
                            index: *index,
                            name,
                            mode: on.mode,
                            how: How::Adopted,
                        });
                    }
                    Err(source) => self.refused(name, source),
                }
            }
            (Some(on), _) => self.foreign(name, on),
        };
        let problem = problem.to_string();
        let known = self.problems.get(index) == Some(&problem);
        let failed = self.failed(*index, name, problem);
        (!known).then_some(failed)
    }

    /// Whether what an interface runs came there by this link.
    fn is_of(&self, link: &K::Link, index: u32, program: u32) -> bool {
        let info = self.kernel.info(link);
        info.is_ok_and(|info| info.index == index && info.program == program)
    }

    /// Every interface that the configuration means, and every name of it that means none, in its order; and patterns
    /// that mean none.
    ///
    /// # Errors
    /// Where the kernel does not say which interfaces there are.
    pub(crate) fn report(&self) -> io::Result<(Vec<State>, Vec<String>)> {
        let interfaces = self.kernel.interfaces()?;
        let (mut states, mut idle): (Vec<State>, _) = (Vec::new(), Vec::new());
        for pattern in &self.patterns {
            let text = pattern.text();
            let wanted = select(std::slice::from_ref(pattern), &interfaces);
            if wanted.is_empty() && pattern.is_name() {
                states.push(State {
                    index: 0,
                    name: text.to_owned(),
                    mode: None,
                    problem: Some(gone(text)),
                });
            } else if wanted.is_empty() {
                idle.push(format!(
                    "no interface matches {text} in ifaces: it is filtered when one comes"
                ));
            }
            for Wanted { interface, .. } in wanted {
                if states.iter().all(|s| s.index != interface.index) {
                    states.push(self.state(interface));
                }
            }
        }
        Ok((states, idle))
    }

    fn state(&self, interface: &Interface) -> State {
        let ours = self.kernel.program();
        let on = interface.xdp.filter(|on| on.id == ours);
        let problem = match (on, self.problems.get(&interface.index)) {
            (Some(_), _) => None,
            (None, Some(problem)) => Some(problem.clone()),
            (None, None) => Some("it has just come, or lost our XDP program".to_owned()),
        };
        State {
            index: interface.index,
            name: interface.name.clone(),
            mode: on.map(|on| on.mode),
            problem,
        }
    }

    /// The links that are held, with their interfaces' indices.
    pub(crate) fn links(&self) -> impl Iterator<Item = (u32, &K::Link)> {
        self.held.iter().map(|(index, held)| (*index, &held.link))
    }

    /// Takes our program off every interface: packets pass unfiltered from then on.
    pub(crate) fn lower(&mut self) -> Vec<Deed> {
        let held = std::mem::take(&mut self.held);
        held.into_iter()
            .map(|(index, held)| self.leave(index, held.name, &held.link, "Couic stops"))
            .collect()
    }
}

/// The problem of an interface that is not there.
pub(crate) fn gone(name: &str) -> String {
    format!("interface {name} is gone: it is filtered again as soon as it is back")
}

/// The name of a mode.
pub(crate) const fn shown_as(mode: XdpMode) -> &'static str {
    match mode {
        XdpMode::Native => "native",
        XdpMode::Generic => "generic",
        XdpMode::Offloaded => "offloaded",
    }
}

#[cfg(test)]
#[path = "wall_tests.rs"]
mod tests;
