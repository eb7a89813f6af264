//! Storing the attacher's links, so that the filter survives this process.

use std::{io, os::fd::AsFd};

use super::AttacherProcess;
use crate::attach::{
    persistence::unsaved,
    pins::{Pins, Place, link_name},
    wire::{Level, Message},
};

impl AttacherProcess {
    /// Stores the links of a start in the configured place, and drops stored links that are no longer used.
    pub(super) fn store_links(
        &mut self,
        before: Vec<(Place, String)>,
        adopted: &[String],
    ) -> io::Result<()> {
        let current = self.link_names();
        for name in &current {
            let here = (self.persistence.place, name.clone());
            // The link stored under this name may have been replaced.
            if !adopted.contains(name) || !before.contains(&here) {
                self.store_link(name.clone())?;
            }
        }
        for (from, name) in before {
            let is_used = from == self.persistence.place && current.contains(&name);
            if !is_used {
                self.drop_link(from, name)?;
            }
        }
        if self.persistence.place != Place::Pins {
            self.persistence.remove_dir();
        }
        Ok(())
    }

    /// Creates the pin directory again if it was removed from outside. False if that fails.
    pub(super) fn ensure_pin_dir(&mut self) -> io::Result<bool> {
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
            .send(&Message::Difference { repaired: false }, None)?;
        self.note(Level::Error, text)?;
        Ok(false)
    }

    /// Pins links again whose pins were removed from outside.
    pub(super) fn restore_pins(&mut self) -> io::Result<()> {
        let (Place::Pins, Some(pins)) = (self.persistence.place, &self.persistence.pins) else {
            return Ok(());
        };
        let mut missing = self.link_names();
        missing.retain(|name| !pins.has(name));
        for name in missing {
            self.store_link(name)?;
            let repaired = self.unsaved.is_none();
            self.line.send(&Message::Difference { repaired }, None)?;
            let text = "the pin that keeps the filter was removed from outside, and the link was pinned again";
            if repaired {
                self.note(Level::Error, text.to_owned())?;
            }
        }
        Ok(())
    }

    /// The names under which the current links are stored.
    pub(super) fn link_names(&self) -> Vec<String> {
        let links = self.attachments.links();
        links
            .map(|(index, hook, _)| link_name(index, hook))
            .collect()
    }

    /// Stores the link of this name, so that it survives this process.
    pub(super) fn store_link(&mut self, name: String) -> io::Result<()> {
        let mut links = self.attachments.links();
        let Some((_, _, link)) = links.find(|(index, hook, _)| link_name(*index, *hook) == name)
        else {
            return Ok(());
        };
        match (self.persistence.place, &self.persistence.pins) {
            (Place::Store, _) => {
                let remove = Message::Remove { name: name.clone() };
                self.line.send(&remove, None)?;
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

    pub(super) fn drop_link(&self, from: Place, name: String) -> io::Result<()> {
        match (from, &self.persistence.pins) {
            (Place::Store, _) => self.line.send(&Message::Remove { name }, None),
            (Place::Pins, Some(pins)) => {
                // On error, the pin of a detached link stays, which has no effect.
                let _ = pins.unpin(&name);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
