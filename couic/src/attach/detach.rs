//! `couic detach`: detaches the filter of a configuration while no daemon runs.

use std::{io, os::fd::AsFd};

use super::{
    attacher::Setup,
    lock::{AttacherLock, LockError, WorkLock},
    pattern::{Pattern, Wanted, select},
    pins::{Pins, pin_dir, remove_dirs},
};
use couic_firewall::dataplane::{ENTRIES, link, program_names};
use couic_netlink as netlink;

/// Why the filter could not be detached.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// A daemon runs, and would attach it again.
    #[error(
        "couic{} runs with this working_dir: stop it first (systemctl stop couic, which detaches the filter as well; else kill it, then run couic detach)",
        pid.map(|p| format!(" (process {p})")).unwrap_or_default()
    )]
    Running {
        /// Its process, if it is known.
        pid: Option<u32>,
    },
    /// The locks could not be taken.
    #[error(transparent)]
    Lock(LockError),
    /// A pin cannot be read or removed.
    #[error("cannot detach the links pinned in {path}: {source}; run couic detach as root")]
    Pins {
        /// The pin directory.
        path: String,
        /// The error of the system call.
        source: io::Error,
    },
    /// The kernel's list of interfaces cannot be read.
    #[error("cannot read the kernel's list of interfaces: {0}")]
    List(io::Error),
}

/// The outcome of [`detach`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detached {
    /// Interfaces that are no longer filtered, without those that are gone meanwhile.
    pub detached: Vec<String>,
    /// Interfaces that still run a program of Couic, and its ID.
    pub remaining: Vec<(String, u32)>,
}

/// Detaches the filter of this configuration from all interfaces.
///
/// # Errors
/// [`DetachError`], with what to do.
pub fn detach(setup: &Setup) -> Result<Detached, DetachError> {
    let _locks = if setup.working_dir.exists() {
        let lock =
            WorkLock::acquire(&setup.working_dir, &setup.owner).map_err(|error| match error {
                LockError::Running { pid } => DetachError::Running { pid },
                other => DetachError::Lock(other),
            })?;
        let attacher = AttacherLock::acquire(&setup.working_dir, &setup.owner, &lock)
            .map_err(DetachError::Lock)?;
        Some((lock, attacher))
    } else {
        None
    };
    let interfaces = netlink::interfaces().map_err(DetachError::List)?;
    let dir = pin_dir(&setup.working_dir, setup.owner.uid);
    let failed = |source| DetachError::Pins {
        path: dir.display().to_string(),
        source,
    };
    let mut done = Detached::default();
    if let Some(pins) = Pins::find(&dir).map_err(failed)? {
        for (file, link) in pins.links().map_err(failed)? {
            let index = link::info(link.as_fd()).map_err(failed)?.index;
            if index != 0 {
                link::detach(link.as_fd()).map_err(failed)?;
                let found = interfaces.iter().find(|i| i.index == index);
                done.detached.extend(found.map(|i| i.name.clone()));
            }
            pins.unpin(&file).map_err(failed)?;
        }
    }
    remove_dirs(&dir);
    let patterns: Vec<Pattern> = setup.ifaces.iter().map(|text| Pattern::new(text)).collect();
    let interfaces = netlink::interfaces().map_err(DetachError::List)?;
    let names = program_names();
    let is_couic = |id: &u32| names.get(id).is_some_and(|n| ENTRIES.contains(&n.as_str()));
    for Wanted { interface, .. } in select(&patterns, &interfaces) {
        // Fails on kernels without TCX.
        let tcx = link::tcx_programs(interface.index).unwrap_or_default();
        let found = tcx.into_iter().chain(interface.xdp.map(|on| on.id));
        let remaining = found
            .filter(is_couic)
            .map(|id| (interface.name.clone(), id));
        done.remaining.extend(remaining);
    }
    Ok(done)
}
