//! The attacher's process: one thread that waits for requests, for netlink notifications of interfaces, and for the
//! periodic check. TCX links, of which netlink does not notify, are checked each second.
//!
//! It exits when the serving process does, however that ends; stored links stay attached. While it waits, the kernel ends
//! it with the serving process even if it is stopped (SIGSTOP); a change of attachments is not cut short by that.

mod links;
mod messages;

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use couic_privsep::{Channel, Role};

use super::{
    attachments::{Attachments, Event, How},
    kernel::Linux,
    pattern::Pattern,
    persistence::{Persistence, StoredLink},
    pins::{BPF_FS, Place, link_name},
    wire::{Level, Message, Request, Sequence, Start},
};
use couic_firewall::dataplane::{Hook, link, program_names};
use couic_netlink::Changes;
use couic_privsep::{confine_attacher, end_with_parent};

/// Between two checks of TCX links.
const TCX_PERIOD: Duration = Duration::from_secs(1);

/// The attacher as a child process.
pub const ROLE: Role = Role {
    name: "attacher",
    run,
};

fn run(line: OwnedFd) -> io::Result<()> {
    let line = Channel::new(line);
    match line.receive()? {
        None => Ok(()),
        Some((Request::Start(start), _)) => {
            let answer = line.try_clone()?;
            match AttacherProcess::set_up(line, &start) {
                Ok(attacher) => attacher.run(),
                Err(error) => answer.send(&Message::Refused(error.to_string()), None),
            }
        }
        Some(_) => Err(io::Error::other("the first request was not Start")),
    }
}

struct AttacherProcess {
    line: Channel,
    attachments: Attachments<Linux>,
    persistence: Persistence,
    /// Until the program is attached.
    stored: Vec<StoredLink>,
    sequence: Sequence,
    /// Held until the process ends.
    lock: Option<OwnedFd>,
    changes: Changes,
    period: Duration,
    attached: bool,
    /// Why the filter does not survive the daemon.
    unsaved: Option<String>,
}

impl AttacherProcess {
    fn set_up(line: Channel, start: &Start) -> io::Result<Self> {
        let (persistence, unsaved) = Persistence::open(start);
        let stored = persistence.links()?;
        let changes = Changes::subscribe()?;
        let names = program_names();
        // The whole bpffs: the directory may have to be created again.
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
            sequence: Sequence::default(),
            lock: None,
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

    /// Waits for a request, a change of interfaces, or the deadline. Returns whether each of the first two is there.
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
        end_with_parent(true)?;
        // SAFETY: pointer and length describe the live array.
        let done = unsafe { libc::poll(fds.as_mut_ptr(), 2, timeout) };
        let outcome = if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        };
        end_with_parent(false)?;
        if let Err(error) = outcome {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
            return Ok([false; 2]);
        }
        Ok(fds.map(|fd| fd.revents != 0))
    }

    fn handle(&mut self, request: Request, fd: Option<OwnedFd>) -> io::Result<()> {
        if !self.sequence.admit(&request, fd.is_some()) {
            let text = format!("unexpected request in this state: {request:?}");
            return Err(io::Error::other(text));
        }
        match (request, fd) {
            (Request::StoredLink { name }, Some(link)) => {
                let from = Place::Store;
                self.stored.push(StoredLink { from, name, link });
            }
            (Request::Lock, Some(lock)) => self.lock = Some(lock),
            (Request::Program { role, id }, Some(program)) => {
                if link::program_id(program.as_fd())? != id {
                    let text = format!("the descriptor is not the program {id}");
                    return Err(io::Error::other(text));
                }
                self.attachments.add_program(role, program, id);
            }
            (Request::Attach, _) => self.attach_all()?,
            (Request::Probe, _) => self.line.send(&Message::Alive, None)?,
            (Request::Check, _) if self.attached => self.check()?,
            (Request::Detach, _) => {
                let events = self.attachments.detach_all();
                self.log_events(&events)?;
                self.attached = false;
                self.line.send(&Message::Detached, None)?;
            }
            // Verified; and a check after an attachment that was refused.
            _ => {}
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
                    } => Some(link_name(*index, (*mode).into())),
                    _ => None,
                };
                let adopted: Vec<String> = events.iter().filter_map(adopted).collect();
                self.store_links(names, &adopted)?;
                self.report()?;
                self.line.send(&Message::Attached, None)
            }
            Err(error) => {
                // A failed change of mode may have replaced a link: store the new one.
                for name in self.link_names() {
                    self.store_link(name)?;
                }
                self.line.send(&Message::Refused(error.to_string()), None)
            }
        }
    }

    fn check(&mut self) -> io::Result<()> {
        let has_dir = self.ensure_pin_dir()?;
        match self.attachments.check() {
            Ok(events) => {
                for event in &events {
                    let repaired = match event {
                        Event::Filtering { how: How::New, .. } | Event::Detached { .. } => continue,
                        Event::Filtering { .. } => true,
                        Event::Failed { .. } => false,
                    };
                    self.line.send(&Message::Difference { repaired }, None)?;
                }
                self.log_events(&events)?;
                if has_dir {
                    self.restore_pins()?;
                }
            }
            Err(error) => self.note(
                Level::Error,
                format!("cannot check whether all interfaces are filtered: {error}"),
            )?,
        }
        self.report()
    }
}
