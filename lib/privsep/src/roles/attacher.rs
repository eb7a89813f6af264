//! Confinement of the attacher: the only process that keeps capabilities, and so the one with the least access to
//! anything else.
//!
//! It runs as the configured user with [`FILTERING`], opens files for writing only below the pin directory, executes
//! nothing, and talks only to rtnetlink and, over descriptors that it has from the start, to its parent. Of bpf(2) it
//! may use the commands for links and attachments: it can neither load a program nor create or change a map.

use std::{io, os::fd::AsFd, path::Path, process};

use crate::{
    Caps, FILTERING, PrivilegeError, Sets, ThreadStep,
    files::{Domain, Files},
    groups::{ATTACHER, CREDENTIALS, EXEC, KERNEL_ADMIN, SIGNALS, refuse_owner_signals},
    hide_memory,
    seccomp::{self, Arg, Calls},
};
use libc::c_long;
use nix::unistd::geteuid;

/// The bpf(2) commands of the attacher, numbered as in `enum bpf_cmd` of linux/bpf.h.
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

/// Confines this process for good: user `uid` and group `gid`, the capabilities [`FILTERING`]; no execution, no file
/// for writing outside of `pins`, no socket but rtnetlink's. Call it after the process has its descriptors, has
/// created and entered its pin directory, and has read the names of foreign programs: those require `CAP_SYS_ADMIN`,
/// which is dropped.
///
/// # Errors
/// [`PrivilegeError`] if privileges remain. Protection that this kernel lacks is returned as warnings for the log
/// instead.
pub fn confine_attacher(
    uid: u32,
    gid: u32,
    pins: Option<&Path>,
) -> Result<Vec<String>, PrivilegeError> {
    // Before the change of user: on most machines only root can reach the pin directory.
    let domain = files(pins).domain();
    if geteuid().is_root() {
        crate::lower(uid, gid, FILTERING).map_err(|source| PrivilegeError::Switch {
            user: uid.to_string(),
            group: gid.to_string(),
            source,
        })?;
    }
    let having = crate::sets().map_err(PrivilegeError::doing("read its capabilities"))?;
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
    // seccomp(2) itself, to install the second filter, which refuses it.
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
    refuse_owner_signals(Calls::default())
        .all(&elsewhere)
        .all(EXEC)
        .all(SIGNALS)
        .all(CREDENTIALS)
        .all(&[libc::SYS_seccomp])
        .when(libc::SYS_bpf, &none_of(&bpf))
        // if_nametoindex(3) uses an unbound AF_UNIX socket.
        .when(libc::SYS_socket, &none_of(&[netlink, libc::AF_UNIX.cast_unsigned()]))
        .when(libc::SYS_socket, &[Arg::is(0, netlink), Arg::is_not(2, route)])
        .when(libc::SYS_clone, &[Arg::lacks(0, libc::CLONE_THREAD.cast_unsigned())])
        .when(libc::SYS_tgkill, &[Arg::is_not(0, process::id())])
        .when(
            libc::SYS_prctl,
            &none_of(
                &[libc::PR_SET_NAME, libc::PR_SET_VMA, libc::PR_SET_PDEATHSIG].map(i32::cast_unsigned),
            ),
        )
        .when(
            libc::SYS_mmap,
            &[Arg::has(2, (libc::PROT_WRITE | libc::PROT_EXEC).cast_unsigned())],
        )
        .when(libc::SYS_mprotect, &[Arg::has(2, libc::PROT_EXEC.cast_unsigned())])
}
