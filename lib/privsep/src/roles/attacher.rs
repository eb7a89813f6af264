//! The process that keeps the filter attached: the one that goes on having capabilities, and so the one that can do
//! the least with anything else.
//!
//! It runs as the configured user with what [`FILTERING`] names, opens no file for writing but below
//! the folder of pins, starts nothing, speaks to nobody but the kernel's rtnetlink and its parent, over descriptors that
//! it has from the start. Of bpf(2) it may do what concerns links and what is attached: it can load no program, and
//! make or change no table.

use std::{io, os::fd::AsFd, path::Path, process};

use crate::{
    Caps, FILTERING, PrivilegeError, Sets, ThreadStep,
    files::{Domain, Files},
    groups::{ATTACHER, CREDENTIALS, EXEC, KERNEL_ADMIN, SIGNALS},
    hide_memory,
    seccomp::{self, Arg, Calls},
};
use libc::c_long;
use nix::unistd::geteuid;

/// What the attacher may ask of bpf(2), by the kernel's numbers (`enum bpf_cmd` of linux/bpf.h).
const BPF: &[(&str, u32)] = &[
    ("BPF_OBJ_PIN", 6),
    ("BPF_OBJ_GET", 7),
    ("BPF_PROG_GET_NEXT_ID", 11),
    ("BPF_PROG_GET_FD_BY_ID", 13),
    ("BPF_OBJ_GET_INFO_BY_FD", 15),
    ("BPF_PROG_QUERY", 16),
    ("BPF_LINK_CREATE", 28),
    ("BPF_LINK_UPDATE", 29),
    ("BPF_LINK_GET_FD_BY_ID", 30),
    ("BPF_LINK_GET_NEXT_ID", 31),
    ("BPF_LINK_DETACH", 34),
];

/// Confines this process for good: the user `uid` and group `gid`, the capabilities that filtering takes,
/// no other; no program, no file for writing outside of `pins`, no socket but rtnetlink's. To be called when the process
/// has its descriptors, its directory of pins is made and entered, and the names of foreign programs that it may have to
/// tell are asked for: `CAP_SYS_ADMIN`, which that takes, is gone afterwards.
///
/// # Errors
/// [`PrivilegeError`] where it keeps more than it should. What an old kernel does not have is in the answer instead, as
/// warnings for the log.
pub fn confine_attacher(
    uid: u32,
    gid: u32,
    pins: Option<&Path>,
) -> Result<Vec<String>, PrivilegeError> {
    // Before the change of user: the way to the pins is root's alone on most machines.
    let domain = files(pins).domain();
    if geteuid().is_root() {
        crate::lower(uid, gid, FILTERING).map_err(|source| PrivilegeError::Switch {
            user: uid.to_string(),
            group: gid.to_string(),
            source,
        })?;
    }
    let having = crate::sets().map_err(PrivilegeError::doing("tell its capabilities"))?;
    let step = ThreadStep::sets(Sets::to_use(FILTERING.within(having.permitted)))
        .bounding(Caps::NONE)
        .no_new_privs();
    step.on_every_thread()
        .map_err(PrivilegeError::doing("give up capabilities"))?;
    hide_memory().map_err(PrivilegeError::doing("hide the memory"))?;
    let mut missing = Vec::new();
    let mut note = |what: &str, outcome: io::Result<bool>| match outcome {
        Ok(true) => {}
        Ok(false) => missing.push(format!(
            "the attacher runs without {what}: this kernel has none"
        )),
        Err(e) => missing.push(format!("the attacher runs without {what}: {e}")),
    };
    note("Landlock", enter(step, domain));
    note("seccomp", install().map(|()| true));
    Ok(missing)
}

fn files(pins: Option<&Path>) -> Files {
    let files = Files::default().read("/proc").read("/sys");
    match pins {
        Some(pins) => files.write(pins),
        None => files,
    }
}

fn enter(step: ThreadStep, domain: io::Result<Option<Domain>>) -> io::Result<bool> {
    let Some(domain) = domain? else {
        return Ok(false);
    };
    step.domain(domain.as_fd()).on_every_thread()?;
    Ok(true)
}

fn install() -> io::Result<()> {
    // With what installs the second filter, which refuses it.
    let allowed = Calls::default().all(ATTACHER).all(&[libc::SYS_seccomp]);
    let allowed = seccomp::allow_only(&allowed)?;
    let refused = seccomp::refuse(&refused())?;
    allowed.install(false)?;
    refused.install(true)
}

fn refused() -> Calls {
    let none_of = |values: &[u32]| -> Vec<Arg> {
        values.iter().map(|value| Arg::is_not(0, *value)).collect()
    };
    let bpf: Vec<u32> = BPF.iter().map(|(_, number)| *number).collect();
    let (netlink, route) = (
        libc::AF_NETLINK.cast_unsigned(),
        libc::NETLINK_ROUTE.cast_unsigned(),
    );
    let elsewhere: Vec<c_long> = KERNEL_ADMIN
        .iter()
        .copied()
        .filter(|call| *call != libc::SYS_bpf)
        .collect();
    Calls::default()
        .all(&elsewhere)
        .all(EXEC)
        .all(SIGNALS)
        .all(CREDENTIALS)
        .all(&[libc::SYS_seccomp])
        .when(libc::SYS_bpf, &none_of(&bpf))
        // if_nametoindex(3) asks through a socket of this family that is bound to nothing.
        .when(libc::SYS_socket, &none_of(&[netlink, libc::AF_UNIX.cast_unsigned()]))
        .when(libc::SYS_socket, &[Arg::is(0, netlink), Arg::is_not(2, route)])
        .when(libc::SYS_clone, &[Arg::lacks(0, libc::CLONE_THREAD.cast_unsigned())])
        .when(libc::SYS_tgkill, &[Arg::is_not(0, process::id())])
        .when(
            libc::SYS_prctl,
            &none_of(&[libc::PR_SET_NAME, libc::PR_SET_VMA].map(i32::cast_unsigned)),
        )
        .when(
            libc::SYS_mmap,
            &[Arg::has(2, (libc::PROT_WRITE | libc::PROT_EXEC).cast_unsigned())],
        )
        .when(libc::SYS_mprotect, &[Arg::has(2, libc::PROT_EXEC.cast_unsigned())])
}
