//! Starting the attacher's process.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::Child,
    time::Duration,
};

use super::Setup;
use crate::attach::{
    bpffs,
    lock::AttacherLock,
    pins::{Place, pin_dir},
    process::ROLE,
    wire::{Request, Start},
};
use couic_privsep::Channel;

/// Between two checks of all interfaces. Netlink notifies of new and removed ones at once.
const CHECK_PERIOD: Duration = Duration::from_secs(60);

/// Where links are stored; and if the filter should stay but cannot, why. Call it while the process may still mount a
/// bpf filesystem.
pub(super) fn choose_place(stay: bool, store: bool) -> (Place, Option<String>) {
    if !stay {
        return (Place::Nowhere, None);
    }
    if store {
        return (Place::Store, None);
    }
    match bpffs::provide() {
        Ok(()) => (Place::Pins, None),
        Err(why) => {
            let text = format!(
                "the filter ends with the daemon, since there is neither a descriptor store of systemd nor a bpf filesystem for its links: {why}; or set keep_filter = \"never\" in [state]"
            );
            (Place::Nowhere, Some(text))
        }
    }
}

pub(super) fn start_request(setup: &Setup, place: Place) -> Start {
    Start {
        ifaces: setup.ifaces.clone(),
        mode: setup.mode,
        place,
        pins: pin_dir(&setup.working_dir, setup.owner.uid),
        owner: (setup.owner.uid, setup.owner.gid),
        period: u32::try_from(CHECK_PERIOD.as_millis()).unwrap_or(u32::MAX),
    }
}

/// Sends everything that the attacher needs but the programs.
pub(super) fn send_setup(
    line: &Channel,
    start: Start,
    attacher_lock: &AttacherLock,
    stored: Vec<(String, OwnedFd)>,
) -> io::Result<()> {
    line.send(&Request::Start(start), None)?;
    if let Some(lock) = attacher_lock.descriptor() {
        line.send(&Request::Lock, Some(lock))?;
    }
    for (name, link) in stored {
        line.send(&Request::StoredLink { name }, Some(link.as_fd()))?;
    }
    Ok(())
}

/// Executes this program again, even if its file was replaced since the start.
pub(super) fn spawn() -> io::Result<(Channel, Child)> {
    ROLE.start(Path::new("/proc/self/exe"), &[])
}
