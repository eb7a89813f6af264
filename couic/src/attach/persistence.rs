//! Storing links for the next daemon: pins are read at the start, restored when they are missing, and removed when
//! links are stored elsewhere.

use std::{fs::File, io, os::fd::OwnedFd, path::PathBuf};

use super::{
    pins::{Pins, Place, is_empty, make_dirs, remove_dirs},
    wire::Start,
};

/// The place where links are stored.
#[derive(Debug)]
pub(super) struct Persistence {
    pub(super) place: Place,
    /// The pin directory: maintained, or to be removed if links are stored elsewhere.
    pub(super) pins: Option<Pins>,
    pub(super) dir: PathBuf,
    owner: (u32, u32),
}

/// A link of the previous daemon.
pub(super) struct StoredLink {
    pub(super) from: Place,
    pub(super) name: String,
    pub(super) link: OwnedFd,
}

impl Persistence {
    /// Call it before the process is confined, since the directories may be root's. If links cannot be pinned, they are
    /// not stored, and the text says why.
    pub(super) fn open(start: &Start) -> (Self, Option<String>) {
        let mut persistence = Self {
            place: start.place,
            pins: None,
            dir: start.pins.clone(),
            owner: start.owner,
        };
        if start.place != Place::Pins {
            // The previous daemon may have left it empty, without the right to remove it.
            if is_empty(&start.pins) {
                remove_dirs(&start.pins);
            }
            let found = Pins::find(&start.pins).ok().flatten();
            persistence.pins = found.and_then(|pins| pins.enter_dir().ok());
            return (persistence, None);
        }
        match Pins::enter(&start.pins, start.owner) {
            Ok(pins) => {
                persistence.pins = Some(pins);
                (persistence, None)
            }
            Err(error) => {
                persistence.place = Place::Nowhere;
                let dir = start.pins.display();
                (persistence, Some(unsaved(&format!("{dir}: {error}"))))
            }
        }
    }

    /// Creates the directory again after it was removed from outside.
    ///
    /// # Errors
    /// Such as `PermissionDenied` if only root may write to its parent.
    pub(super) fn restore_dir(&self) -> io::Result<()> {
        let Some(pins) = &self.pins else {
            return Ok(());
        };
        make_dirs(&self.dir, self.owner)?;
        pins.move_to(&File::open(&self.dir)?.into())
    }

    /// Removes the directories if they are empty. On error, the next start or `couic detach` does it.
    pub(super) fn remove_dir(&self) {
        remove_dirs(&self.dir);
    }

    /// The pinned links.
    pub(super) fn links(&self) -> io::Result<Vec<StoredLink>> {
        let Some(pins) = &self.pins else {
            return Ok(Vec::new());
        };
        let all = pins.links().map_err(|error| {
            let dir = self.dir.display();
            let text = format!("cannot adopt the filter that is pinned in {dir}: {error}");
            io::Error::new(error.kind(), text)
        });
        let all = all?.into_iter().map(|(name, link)| StoredLink {
            from: Place::Pins,
            name,
            link,
        });
        Ok(all.collect())
    }
}

pub(super) fn unsaved(why: &str) -> String {
    format!("the filter ends with the daemon, since it cannot be pinned in a bpf filesystem: {why}")
}
