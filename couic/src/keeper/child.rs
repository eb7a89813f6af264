//! The keeper's process: one thread that waits for orders, for the kernel to say that an interface came or went, and
//! for the minute to be over. Each second it asks whether its links of TCX, of which the kernel tells nothing, stand.
//!
//! It ends when the serving process does, however that ends; what it attached stays where it is kept.

use std::{
    env, io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    process::ExitCode,
    time::{Duration, Instant},
};

use nix::fcntl::{FcntlArg, fcntl};

use super::{
    keep::{BPF_FS, Pins, Place, slot},
    keeping::{Keeping, Kept, unkept},
    kernel::Linux,
    pattern::Pattern,
    wall::{Deed, How, Wall},
    wire::{Event, Level, Line, Order, Start},
};
use crate::privileges::confine_keeper;
use couic_firewall::dataplane::{Hook, program_names};
use couic_netlink::Changes;

/// Between two looks at what the kernel does not tell of.
const GLANCE: Duration = Duration::from_secs(1);

/// The hidden subcommand.
pub(super) const KEEPER: &str = "filter-keeper";

/// Where this process was started to be the keeper, is it, and tells with what to leave `main`. Call it first thing
/// there.
#[must_use]
pub fn run_if_child() -> Option<ExitCode> {
    let asked = env::args_os().nth(1).is_some_and(|arg| arg == KEEPER);
    use io::ErrorKind::{BrokenPipe, UnexpectedEof};
    asked.then(|| match live() {
        Ok(()) => ExitCode::SUCCESS,
        // The daemon has ended meanwhile.
        Err(error) if matches!(error.kind(), BrokenPipe | UnexpectedEof) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("couic keeper: {error}");
            ExitCode::FAILURE
        }
    })
}

fn live() -> io::Result<()> {
    // They go to the whole group when the daemon is stopped, and the daemon decides when that is over.
    couic_privsep::ignore_signals();
    // For who looks with ps. Without a name it works as well.
    let _ = nix::sys::prctl::set_name(c"couic-keeper");
    let line = fcntl(io::stdin(), FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: fcntl has just made it, and nobody else knows it.
    let line = Line::new(unsafe { OwnedFd::from_raw_fd(line) });
    let nothing = std::fs::File::open("/dev/null")?;
    nix::unistd::dup2_stdin(nothing)?;
    match line.receive()? {
        None => Ok(()),
        Some((Order::Start(start), _)) => {
            let answer = line.try_clone()?;
            match Keeper::begin(line, &start) {
                Ok(keeper) => keeper.live(),
                Err(error) => answer.send(&Event::Refused(error.to_string()), None),
            }
        }
        Some(_) => Err(io::Error::other("the first order was not to start")),
    }
}

struct Keeper {
    line: Line,
    wall: Wall<Linux>,
    keeping: Keeping,
    /// Until the wall is up.
    kept: Vec<Kept>,
    claims: Vec<OwnedFd>,
    changes: Changes,
    period: Duration,
    raised: bool,
    /// Why the filter does not stay.
    unkept: Option<String>,
}

impl Keeper {
    fn begin(line: Line, start: &Start) -> io::Result<Self> {
        let (mut keeping, unkept) = Keeping::begin(start);
        keeping.hire(&line);
        let kept = keeping.found()?;
        let changes = Changes::listen()?;
        let names = program_names();
        // All of it: the directory may have to be made anew.
        let pins = keeping.pins.as_ref().map(|_| BPF_FS.as_ref());
        let (uid, gid) = start.owner;
        let missing = confine_keeper(uid, gid, pins).map_err(io::Error::other)?;
        line.send(&Event::Ready, None)?;
        let level = Level::Warn;
        for text in missing {
            line.send(&Event::Note { level, text }, None)?;
        }
        if let Some(text) = unkept.clone() {
            let level = Level::Error;
            line.send(&Event::Note { level, text }, None)?;
        }
        let patterns = start.ifaces.iter().map(|text| Pattern::new(text)).collect();
        Ok(Self {
            line,
            wall: Wall::new(Linux::new(names), patterns, start.mode),
            keeping,
            kept,
            claims: Vec::new(),
            changes,
            period: Duration::from_millis(start.period.into()),
            raised: false,
            unkept,
        })
    }

    fn live(mut self) -> io::Result<()> {
        let mut due = Instant::now() + self.period;
        loop {
            let [order, change] = self.wait(self.next(due))?;
            if order {
                match self.line.receive()? {
                    None => return Ok(()),
                    Some((order, fd)) => self.obey(order, fd)?,
                }
                continue;
            }
            if change {
                self.changes.drain();
            }
            let is_due = Instant::now() >= due;
            if self.raised && (change || is_due || self.wall.has_lost()) {
                self.check()?;
            }
            if Instant::now() >= due {
                due = Instant::now() + self.period;
            }
        }
    }

    /// When to look at something, at the latest.
    fn next(&self, due: Instant) -> Instant {
        let by_tcx = self.wall.links().any(|(_, hook, _)| hook == Hook::Tcx);
        if by_tcx {
            due.min(Instant::now() + GLANCE)
        } else {
            due
        }
    }

    /// Until an order has come, an interface has changed, or the time is there.
    fn wait(&self, due: Instant) -> io::Result<[bool; 2]> {
        let left = due.saturating_duration_since(Instant::now()).as_millis() + 1;
        let entry = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let mut fds = [
            entry(self.line.raw()),
            entry(self.changes.as_fd().as_raw_fd()),
        ];
        let timeout = libc::c_int::try_from(left).unwrap_or(libc::c_int::MAX);
        // SAFETY: pointer and length describe the live array.
        let done = unsafe { libc::poll(fds.as_mut_ptr(), 2, timeout) };
        if done < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
            return Ok([false; 2]);
        }
        Ok(fds.map(|fd| fd.revents != 0))
    }

    fn obey(&mut self, order: Order, fd: Option<OwnedFd>) -> io::Result<()> {
        match (order, fd) {
            (Order::Kept { name }, Some(link)) => {
                let from = Place::Store;
                self.kept.push(Kept { from, name, link });
            }
            (Order::Claim, Some(claim)) => self.claims.push(claim),
            (Order::Program { role, id }, Some(program)) if !self.raised => {
                self.wall.give(role, program, id);
            }
            (Order::Raise, _) if !self.raised => self.raise()?,
            (Order::Check, _) if self.raised => self.check()?,
            (Order::Lower, _) => {
                let deeds = self.wall.lower();
                self.tell(&deeds)?;
                self.raised = false;
                self.line.send(&Event::Lowered, None)?;
            }
            (order, _) => {
                let text = format!("an order that makes no sense now: {order:?}");
                return Err(io::Error::other(text));
            }
        }
        Ok(())
    }

    fn raise(&mut self) -> io::Result<()> {
        let mut names = Vec::new();
        let mut links = Vec::new();
        for Kept { from, name, link } in std::mem::take(&mut self.kept) {
            names.push((from, name));
            links.push(link);
        }
        match self.wall.raise(links) {
            Ok(deeds) => {
                self.tell(&deeds)?;
                self.raised = true;
                let adopted = |deed: &Deed| match deed {
                    Deed::Filtering {
                        index,
                        mode,
                        how: How::Adopted,
                        ..
                    } => Some(slot(*index, (*mode).into())),
                    _ => None,
                };
                let adopted: Vec<String> = deeds.iter().filter_map(adopted).collect();
                self.settle(names, &adopted)?;
                self.report()?;
                self.line.send(&Event::Raised, None)
            }
            Err(error) => {
                // Where a mode could not be changed, the link that took the old one's place is to stay as that did.
                for name in self.held() {
                    self.keep(name)?;
                }
                self.line.send(&Event::Refused(error.to_string()), None)
            }
        }
    }

    /// Links from before are kept where they are to be from now on, and those that are of no use any more nowhere.
    fn settle(&mut self, before: Vec<(Place, String)>, adopted: &[String]) -> io::Result<()> {
        let held = self.held();
        for name in &held {
            let here = (self.keeping.place, name.clone());
            // Under the same name there may be a link that was replaced.
            if !adopted.contains(name) || !before.contains(&here) {
                self.keep(name.clone())?;
            }
        }
        for (from, name) in before {
            let of_use = from == self.keeping.place && held.contains(&name);
            if !of_use {
                self.forget(from, name)?;
            }
        }
        if self.keeping.place != Place::Pins {
            self.keeping.leave();
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        let has_dir = self.has_dir()?;
        match self.wall.check() {
            Ok(deeds) => {
                for deed in &deeds {
                    let healed = match deed {
                        Deed::Filtering { how: How::New, .. } | Deed::Left { .. } => continue,
                        Deed::Filtering { .. } => true,
                        Deed::Failed { .. } => false,
                    };
                    self.line.send(&Event::Difference { healed }, None)?;
                }
                self.tell(&deeds)?;
                if has_dir {
                    self.keep_what_is_not()?;
                }
            }
            Err(error) => self.note(
                Level::Error,
                format!("cannot look whether all interfaces are filtered: {error}"),
            )?,
        }
        self.report()
    }

    /// Somebody may have removed the directory of files that hold links. False where it cannot be had.
    fn has_dir(&mut self) -> io::Result<bool> {
        let is_used = self.keeping.place == Place::Pins;
        if !is_used || !self.keeping.pins.as_ref().is_some_and(Pins::is_gone) {
            return Ok(true);
        }
        let Err(error) = self.keeping.make_again() else {
            return Ok(true);
        };
        let dir = self.keeping.dir.display();
        let text = unkept(&format!(
            "somebody has removed {dir}, and it cannot be made again: {error}; restart couic, which opens the wall for a moment"
        ));
        self.unkept = Some(text.clone());
        self.line.send(&Event::Difference { healed: false }, None)?;
        self.note(Level::Error, text)?;
        Ok(false)
    }

    /// Somebody may have removed a file that holds a link.
    fn keep_what_is_not(&mut self) -> io::Result<()> {
        let (Place::Pins, Some(pins)) = (self.keeping.place, &self.keeping.pins) else {
            return Ok(());
        };
        let mut missing = self.held();
        missing.retain(|name| !pins.has(name));
        for name in missing {
            self.keep(name)?;
            let healed = self.unkept.is_none();
            self.line.send(&Event::Difference { healed }, None)?;
            let text = "the file that makes the filter stay was gone, and was made again";
            if healed {
                self.note(Level::Error, text.to_owned())?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, deeds: &[Deed]) -> io::Result<()> {
        for deed in deeds {
            match deed {
                Deed::Filtering {
                    index,
                    name,
                    mode,
                    how,
                } => {
                    let (level, what) = match how {
                        How::New => (Level::Info, ""),
                        How::Adopted => (Level::Info, ", without a gap"),
                        How::PutBack => (Level::Error, " again: somebody had detached our program"),
                    };
                    let shown = mode.as_str();
                    self.note(level, format!("filtering on {name} in mode {shown}{what}"))?;
                    // At the start, settling does that.
                    if self.raised && *how != How::Adopted {
                        self.keep(slot(*index, (*mode).into()))?;
                    }
                }
                Deed::Left {
                    index,
                    name,
                    hook,
                    why,
                } => {
                    let by = match hook {
                        Hook::Xdp => "XDP",
                        Hook::Tcx => "TCX",
                    };
                    let text = format!("no longer filtering on {name} by {by}: {why}");
                    self.note(Level::Info, text)?;
                    self.forget(self.keeping.place, slot(*index, *hook))?;
                }
                Deed::Failed { name, problem } => {
                    self.note(Level::Error, format!("NOT filtering on {name}: {problem}"))?;
                }
            }
        }
        Ok(())
    }

    fn note(&self, level: Level, text: String) -> io::Result<()> {
        self.line.send(&Event::Note { level, text }, None)
    }

    /// What the links are called that are to stay.
    fn held(&self) -> Vec<String> {
        let links = self.wall.links();
        links.map(|(index, hook, _)| slot(index, hook)).collect()
    }

    /// Makes the link of this name stay when this process ends.
    fn keep(&mut self, name: String) -> io::Result<()> {
        let mut links = self.wall.links();
        let Some((_, _, link)) = links.find(|(index, hook, _)| slot(*index, *hook) == name) else {
            return Ok(());
        };
        match (self.keeping.place, &self.keeping.pins) {
            (Place::Store, _) => {
                let forget = Event::Forget { name: name.clone() };
                self.line.send(&forget, None)?;
                self.line.send(&Event::Keep { name }, Some(link.as_fd()))
            }
            (Place::Pins, Some(pins)) => {
                let kept = pins.keep(&name, link);
                self.unkept = kept.err().map(|error| unkept(&error.to_string()));
                match self.unkept.clone() {
                    Some(text) => self.note(Level::Error, text),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn forget(&self, from: Place, name: String) -> io::Result<()> {
        match (from, &self.keeping.pins) {
            (Place::Store, _) => self.line.send(&Event::Forget { name }, None),
            (Place::Pins, Some(pins)) => {
                // What cannot be removed holds a link that is detached: it does nothing.
                let _ = pins.forget(&name);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn report(&self) -> io::Result<()> {
        match self.wall.report() {
            Ok((states, idle)) => {
                for state in states {
                    self.line.send(&Event::Interface(state), None)?;
                }
                for problem in idle {
                    self.line.send(&Event::Problem(problem), None)?;
                }
                if let Some(why) = &self.unkept {
                    self.line.send(&Event::Unkept(why.clone()), None)?;
                }
                self.line.send(&Event::Reported, None)
            }
            Err(error) => self.note(
                Level::Error,
                format!("the kernel does not say which interfaces there are: {error}"),
            ),
        }
    }
}
