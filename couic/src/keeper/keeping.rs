//! What links are kept by while no process of ours runs, as the keeper deals with it: files that are found, made again
//! where somebody removes them, and removed where they are of no use any more.

use std::{fs::File, io, os::fd::OwnedFd, path::PathBuf};

use nix::unistd::geteuid;

use super::{
    keep::{Pins, Place, make_dirs, remove_dirs},
    porter::Porter,
    wire::{Line, Start},
};

/// Where links are, between a daemon that ended and the next one.
#[derive(Debug)]
pub(super) struct Keeping {
    pub(super) place: Place,
    /// Files that hold links: kept up to date, or, where links are kept elsewhere, to be emptied.
    pub(super) pins: Option<Pins>,
    pub(super) dir: PathBuf,
    owner: (u32, u32),
    /// Who makes and removes the directory where this process may not.
    porter: Option<Porter>,
}

/// A link from before.
pub(super) struct Kept {
    pub(super) from: Place,
    pub(super) name: String,
    pub(super) link: OwnedFd,
}

impl Keeping {
    /// Fails where links cannot be kept as they are to be, and says why; they are kept nowhere then.
    pub(super) fn begin(start: &Start) -> (Self, Option<String>) {
        let mut keeping = Self {
            place: start.place,
            pins: None,
            dir: start.pins.clone(),
            owner: start.owner,
            porter: None,
        };
        if start.place != Place::Pins {
            let found = Pins::find(&start.pins).ok().flatten();
            keeping.pins = found.and_then(|pins| pins.move_there().ok());
            return (keeping, None);
        }
        match Pins::enter(&start.pins, start.owner) {
            Ok(pins) => {
                keeping.pins = Some(pins);
                (keeping, None)
            }
            Err(error) => {
                keeping.place = Place::Nowhere;
                let dir = start.pins.display();
                (keeping, Some(unkept(&format!("{dir}: {error}"))))
            }
        }
    }

    /// Starts the porter where one is needed: by a process that is root now, and will not be later.
    pub(super) fn hire(&mut self, line: &Line) {
        if self.pins.is_some() && geteuid().is_root() && self.owner.0 != 0 {
            // Without one, a directory that somebody removes is missed until the next start, and that is told then.
            self.porter = Porter::start(&self.dir, self.owner, line).ok();
        }
    }

    /// The directory anew, where somebody has removed it.
    pub(super) fn make_again(&mut self) -> io::Result<()> {
        let Some(pins) = &self.pins else {
            return Ok(());
        };
        if let Some(porter) = &self.porter {
            if let Ok(dir) = porter.make() {
                return pins.move_to(&dir);
            }
            // An answer that comes late must not be taken for the next one.
            self.porter = None;
        }
        make_dirs(&self.dir, self.owner)?;
        pins.move_to(&File::open(&self.dir)?.into())
    }

    /// Takes away the directories that no link is kept in any more.
    pub(super) fn leave(&mut self) {
        let removed = self.porter.take().map(|porter| porter.remove());
        if !matches!(removed, Some(Ok(()))) {
            remove_dirs(&self.dir);
        }
    }

    /// What files hold from before.
    pub(super) fn found(&self) -> io::Result<Vec<Kept>> {
        let Some(pins) = &self.pins else {
            return Ok(Vec::new());
        };
        let all = pins.all().map_err(|error| {
            let dir = self.dir.display();
            let text = format!("cannot take over the filter that {dir} holds: {error}");
            io::Error::new(error.kind(), text)
        });
        let all = all?.into_iter().map(|(name, link)| Kept {
            from: Place::Pins,
            name,
            link,
        });
        Ok(all.collect())
    }
}

pub(super) fn unkept(why: &str) -> String {
    format!("the filter ends with the daemon, since it cannot be kept in a bpf filesystem: {why}")
}
