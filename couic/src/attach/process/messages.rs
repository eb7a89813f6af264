//! Log lines and reports for the serving process.

use std::io;

use super::AttacherProcess;
use crate::attach::{
    attachments::{Event, How},
    pins::link_name,
    wire::{Level, Message},
};
use couic_firewall::dataplane::Hook;

impl AttacherProcess {
    /// Logs events, and stores or drops their links.
    pub(super) fn log_events(&mut self, events: &[Event]) -> io::Result<()> {
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
                        How::Reattached => (
                            Level::Error,
                            " again: our program had been detached from outside",
                        ),
                    };
                    let shown = mode.as_str();
                    self.note(level, format!("filtering on {name} in mode {shown}{what}"))?;
                    // At the start, store_links does that.
                    if self.attached && *how != How::Adopted {
                        self.store_link(link_name(*index, (*mode).into()))?;
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
                    self.drop_link(self.persistence.place, link_name(*index, *hook))?;
                }
                Event::Failed { name, problem } => {
                    self.note(Level::Error, format!("NOT filtering on {name}: {problem}"))?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn note(&self, level: Level, text: String) -> io::Result<()> {
        self.line.send(&Message::Note { level, text }, None)
    }

    pub(super) fn report(&self) -> io::Result<()> {
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
                format!("cannot read the kernel's list of interfaces: {error}"),
            ),
        }
    }
}
