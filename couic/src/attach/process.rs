//! The attacher's process: one thread that waits for orders, for the kernel to say that an interface came or went, and
//! for the minute to be over. Each second it asks whether its links of TCX, of which the kernel tells nothing, stand.
//!
//! It ends when the serving process does, however that ends; what it attached stays where it is stored.

use std::{
    env, io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    process::ExitCode,
    time::{Duration, Instant},
};

use nix::fcntl::{FcntlArg, fcntl};

use super::{
    attachments::{Attachments, Event, How},
    kernel::Linux,
    pattern::Pattern,
    persistence::{StoredLink, Persistence, unsaved},
    pins::{BPF_FS, Pins, Place, slot},
    wire::{Level, Line, Message, Request, Start},
};
use couic_firewall::dataplane::{Hook, program_names};
use couic_netlink::Changes;
use couic_privsep::confine_attacher;

/// Between two looks at what the kernel does not tell of.
const TCX_PERIOD: Duration = Duration::from_secs(1);

/// The hidden subcommand.
pub(super) const ROLE: &str = "attacher";

/// Where this process was started to be the attacher, is it, and tells with what to leave `main`. Call it first thing
/// there.
#[must_use]
pub fn run_if_child() -> Option<ExitCode> {
    let asked = env::args_os().nth(1).is_some_and(|arg| arg == ROLE);
    use io::ErrorKind::{BrokenPipe, UnexpectedEof};
    asked.then(|| match run_child() {
        Ok(()) => ExitCode::SUCCESS,
        // The daemon has ended meanwhile.
        Err(error) if matches!(error.kind(), BrokenPipe | UnexpectedEof) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("couic attacher: {error}");
            ExitCode::FAILURE
        }
    })
}

fn run_child() -> io::Result<()> {
    // They go to the whole group when the daemon is stopped, and the daemon decides when that is over.
    couic_privsep::ignore_signals();
    // For who looks with ps. Without a name it works as well.
    let _ = nix::sys::prctl::set_name(c"couic-attacher");
    let line = fcntl(io::stdin(), FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: fcntl has just made it, and nobody else knows it.
    let line = Line::new(unsafe { OwnedFd::from_raw_fd(line) });
    let nothing = std::fs::File::open("/dev/null")?;
    nix::unistd::dup2_stdin(nothing)?;
    match line.receive()? {
        None => Ok(()),
        Some((Request::Start(start), _)) => {
            let answer = line.try_clone()?;
            match AttacherProcess::set_up(line, &start) {
                Ok(attacher) => attacher.run(),
                Err(error) => answer.send(&Message::Refused(error.to_string()), None),
            }
        }
        Some(_) => Err(io::Error::other("the first request was not to start")),
    }
}

struct AttacherProcess {
    line: Line,
    attachments: Attachments<Linux>,
    persistence: Persistence,
    /// Until the wall is up.
    stored: Vec<StoredLink>,
    locks: Vec<OwnedFd>,
    changes: Changes,
    period: Duration,
    attached: bool,
    /// Why the filter does not stay.
    unsaved: Option<String>,
}

impl AttacherProcess {
    fn set_up(line: Line, start: &Start) -> io::Result<Self> {
        let (persistence, unsaved) = Persistence::open(start);
        let stored = persistence.links()?;
        let changes = Changes::listen()?;
        let names = program_names();
        // All of it: the directory may have to be made anew.
        let pins = persistence.pins.as_ref().map(|_| BPF_FS.as_ref());
        let (uid, gid) = start.owner;
        let missing = confine_attacher(uid, gid, pins).map_err(io::Error::other)?;
        line.send(&Message::Ready, None)?;
        let level = Level::Warn;
        for text in missing {
            line.send(&Message::Note { level, text }, None)?;
        }
        if let Some(text) = unsaved.clone() {
            let level = Level::Error;
            line.send(&Message::Note { level, text }, None)?;
        }
        let patterns = start.ifaces.iter().map(|text| Pattern::new(text)).collect();
        Ok(Self {
            line,
            attachments: Attachments::new(Linux::new(names), patterns, start.mode),
            persistence,
            stored,
            locks: Vec::new(),
            changes,
            period: Duration::from_millis(start.period.into()),
            attached: false,
            unsaved,
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut due = Instant::now() + self.period;
        loop {
            let [request, change] = self.wait(self.next_check(due))?;
            if request {
                match self.line.receive()? {
                    None => return Ok(()),
                    Some((request, fd)) => self.handle(request, fd)?,
                }
                continue;
            }
            if change {
                self.changes.drain();
            }
            let is_due = Instant::now() >= due;
            if self.attached && (change || is_due || self.attachments.has_lost()) {
                self.check()?;
            }
            if Instant::now() >= due {
                due = Instant::now() + self.period;
            }
        }
    }

    /// When to look at something, at the latest.
    fn next_check(&self, due: Instant) -> Instant {
        let by_tcx = self
            .attachments
            .links()
            .any(|(_, hook, _)| hook == Hook::Tcx);
        if by_tcx {
            due.min(Instant::now() + TCX_PERIOD)
        } else {
            due
        }
    }

    /// Until an request has come, an interface has changed, or the time is there.
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

    fn handle(&mut self, request: Request, fd: Option<OwnedFd>) -> io::Result<()> {
        match (request, fd) {
            (Request::StoredLink { name }, Some(link)) => {
                let from = Place::Store;
                self.stored.push(StoredLink { from, name, link });
            }
            (Request::Lock, Some(lock)) => self.locks.push(lock),
            (Request::Program { role, id }, Some(program)) if !self.attached => {
                self.attachments.add_program(role, program, id);
            }
            (Request::Attach, _) if !self.attached => self.attach_all()?,
            (Request::Probe, _) => self.line.send(&Message::Alive, None)?,
            (Request::Check, _) if self.attached => self.check()?,
            (Request::Detach, _) => {
                let events = self.attachments.detach_all();
                self.log_events(&events)?;
                self.attached = false;
                self.line.send(&Message::Detached, None)?;
            }
            (request, _) => {
                let text = format!("an request that makes no sense now: {request:?}");
                return Err(io::Error::other(text));
            }
        }
        Ok(())
    }

    fn attach_all(&mut self) -> io::Result<()> {
        let mut names = Vec::new();
        let mut links = Vec::new();
        for StoredLink { from, name, link } in std::mem::take(&mut self.stored) {
            names.push((from, name));
            links.push(link);
        }
        match self.attachments.attach_all(links) {
            Ok(events) => {
                self.log_events(&events)?;
                self.attached = true;
                let adopted = |event: &Event| match event {
                    Event::Filtering {
                        index,
                        mode,
                        how: How::Adopted,
                        ..
                    } => Some(slot(*index, (*mode).into())),
                    _ => None,
                };
                let adopted: Vec<String> = events.iter().filter_map(adopted).collect();
                self.store_links(names, &adopted)?;
                self.report()?;
                self.line.send(&Message::Attached, None)
            }
            Err(error) => {
                // Where a mode could not be changed, the link that took the old one's place is to stay as that did.
                for name in self.link_names() {
                    self.store_link(name)?;
                }
                self.line.send(&Message::Refused(error.to_string()), None)
            }
        }
    }

    /// Links from before are stored where they are to be from now on, and those that are of no use any more nowhere.
    fn store_links(&mut self, before: Vec<(Place, String)>, adopted: &[String]) -> io::Result<()> {
        let held = self.link_names();
        for name in &held {
            let here = (self.persistence.place, name.clone());
            // Under the same name there may be a link that was replaced.
            if !adopted.contains(name) || !before.contains(&here) {
                self.store_link(name.clone())?;
            }
        }
        for (from, name) in before {
            let of_use = from == self.persistence.place && held.contains(&name);
            if !of_use {
                self.drop_link(from, name)?;
            }
        }
        if self.persistence.place != Place::Pins {
            self.persistence.remove_dir();
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        let has_dir = self.ensure_pin_dir()?;
        match self.attachments.check() {
            Ok(events) => {
                for event in &events {
                    let healed = match event {
                        Event::Filtering { how: How::New, .. } | Event::Detached { .. } => continue,
                        Event::Filtering { .. } => true,
                        Event::Failed { .. } => false,
                    };
                    self.line.send(&Message::Difference { healed }, None)?;
                }
                self.log_events(&events)?;
                if has_dir {
                    self.restore_pins()?;
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
    fn ensure_pin_dir(&mut self) -> io::Result<bool> {
        let is_used = self.persistence.place == Place::Pins;
        if !is_used || !self.persistence.pins.as_ref().is_some_and(Pins::is_gone) {
            return Ok(true);
        }
        let Err(error) = self.persistence.restore_dir() else {
            return Ok(true);
        };
        let dir = self.persistence.dir.display();
        let text = unsaved(&format!(
            "{dir} was removed, and it cannot be created again: {error}; restart couic, which creates it: packets pass unfiltered for a moment meanwhile"
        ));
        self.unsaved = Some(text.clone());
        self.line
            .send(&Message::Difference { healed: false }, None)?;
        self.note(Level::Error, text)?;
        Ok(false)
    }

    /// Somebody may have removed a file that holds a link.
    fn restore_pins(&mut self) -> io::Result<()> {
        let (Place::Pins, Some(pins)) = (self.persistence.place, &self.persistence.pins) else {
            return Ok(());
        };
        let mut missing = self.link_names();
        missing.retain(|name| !pins.has(name));
        for name in missing {
            self.store_link(name)?;
            let healed = self.unsaved.is_none();
            self.line.send(&Message::Difference { healed }, None)?;
            let text = "the pin that makes the filter stay was gone, and was pinned again";
            if healed {
                self.note(Level::Error, text.to_owned())?;
            }
        }
        Ok(())
    }

    fn log_events(&mut self, events: &[Event]) -> io::Result<()> {
        for event in events {
            match event {
                Event::Filtering {
                    index,
                    name,
                    mode,
                    how,
                } => {
                    let (level, what) = match how {
                        How::New => (Level::Info, ""),
                        How::Adopted => (Level::Info, ", without a gap"),
                        How::Reattached => (Level::Error, " again: somebody had detached our program"),
                    };
                    let shown = mode.as_str();
                    self.note(level, format!("filtering on {name} in mode {shown}{what}"))?;
                    // At the start, settling does that.
                    if self.attached && *how != How::Adopted {
                        self.store_link(slot(*index, (*mode).into()))?;
                    }
                }
                Event::Detached {
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
                    self.drop_link(self.persistence.place, slot(*index, *hook))?;
                }
                Event::Failed { name, problem } => {
                    self.note(Level::Error, format!("NOT filtering on {name}: {problem}"))?;
                }
            }
        }
        Ok(())
    }

    fn note(&self, level: Level, text: String) -> io::Result<()> {
        self.line.send(&Message::Note { level, text }, None)
    }

    /// What the links are called that are to stay.
    fn link_names(&self) -> Vec<String> {
        let links = self.attachments.links();
        links.map(|(index, hook, _)| slot(index, hook)).collect()
    }

    /// Makes the link of this name stay when this process ends.
    fn store_link(&mut self, name: String) -> io::Result<()> {
        let mut links = self.attachments.links();
        let Some((_, _, link)) = links.find(|(index, hook, _)| slot(*index, *hook) == name) else {
            return Ok(());
        };
        match (self.persistence.place, &self.persistence.pins) {
            (Place::Store, _) => {
                let forget = Message::Remove { name: name.clone() };
                self.line.send(&forget, None)?;
                self.line.send(&Message::Store { name }, Some(link.as_fd()))
            }
            (Place::Pins, Some(pins)) => {
                let stored = pins.pin(&name, link);
                self.unsaved = stored.err().map(|error| unsaved(&error.to_string()));
                match self.unsaved.clone() {
                    Some(text) => self.note(Level::Error, text),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn drop_link(&self, from: Place, name: String) -> io::Result<()> {
        match (from, &self.persistence.pins) {
            (Place::Store, _) => self.line.send(&Message::Remove { name }, None),
            (Place::Pins, Some(pins)) => {
                // What cannot be removed holds a link that is detached: it does nothing.
                let _ = pins.unpin(&name);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn report(&self) -> io::Result<()> {
        match self.attachments.report() {
            Ok((states, idle)) => {
                for state in states {
                    self.line.send(&Message::Interface(state), None)?;
                }
                for problem in idle {
                    self.line.send(&Message::Problem(problem), None)?;
                }
                if let Some(why) = &self.unsaved {
                    self.line.send(&Message::Unsaved(why.clone()), None)?;
                }
                self.line.send(&Message::Reported, None)
            }
            Err(error) => self.note(
                Level::Error,
                format!("the kernel does not say which interfaces there are: {error}"),
            ),
        }
    }
}
