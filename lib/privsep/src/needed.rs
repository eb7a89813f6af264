//! The capabilities that a start requires. Missing ones are named before the first privileged call, because the
//! kernel's own errors are EPERM or a verifier's complaint about pointers.

use std::{fs, io, os::unix::fs::MetadataExt};

use crate::{CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SETGID, CAP_SETUID, Caps};
use nix::unistd::geteuid;

use crate::PrivilegeError;
use couic_files::Account;

/// The inode of the initial user namespace (`PROC_USER_INIT_INO` of linux/proc_ns.h).
const INITIAL_USER_NAMESPACE: u64 = 0xefff_fffd;

/// A capability, its name without `CAP_`, its purpose.
type Needed = (Caps, &'static str, &'static str);

const TO_FILTER: [Needed; 3] = [
    (CAP_BPF, "BPF", "loads the XDP program and its tables"),
    (CAP_NET_ADMIN, "NET_ADMIN", "attaches it to interfaces"),
    (
        CAP_PERFMON,
        "PERFMON",
        "lets the verifier allow its arithmetic on pointers",
    ),
];

/// Required in addition if root drops to the configured user.
const TO_BECOME_USER: [Needed; 2] = [
    (CAP_SETGID, "SETGID", "becomes the configured group"),
    (CAP_SETUID, "SETUID", "becomes the configured user"),
];

/// Checks that this process has the capabilities that filtering as `owner` requires.
///
/// # Errors
/// [`PrivilegeError::Lacking`], which names the missing ones and how to grant them.
pub fn check_capabilities(owner: &Account) -> Result<(), PrivilegeError> {
    let having = crate::sets().map_err(PrivilegeError::doing("read its capabilities"))?;
    let changes_user = geteuid().is_root() && owner.uid != 0;
    match lacking(having.permitted, changes_user, is_initial(namespace())) {
        None => Ok(()),
        Some(text) => Err(PrivilegeError::Lacking(text)),
    }
}

fn namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/user")?.ino())
}

/// On error, the initial one is assumed.
fn is_initial(namespace: io::Result<u64>) -> bool {
    namespace.map_or(true, |inode| inode == INITIAL_USER_NAMESPACE)
}

fn lacking(having: Caps, changes_user: bool, initial_namespace: bool) -> Option<String> {
    if !initial_namespace {
        return Some(
            "couic runs in a user namespace, where no capability is enough to load an XDP program: start it outside of one (no rootless container, no remapped users)"
                .to_owned(),
        );
    }
    let all = TO_FILTER.iter();
    let all = all.chain(TO_BECOME_USER.iter().filter(|_| changes_user));
    let missing: Vec<&Needed> = all.filter(|(cap, ..)| !having.has(*cap)).collect();
    if missing.is_empty() {
        return None;
    }
    let join = |part: fn(&Needed) -> String, with: &str| {
        missing
            .iter()
            .map(|n| part(n))
            .collect::<Vec<_>>()
            .join(with)
    };
    let what = join(|(_, name, what)| format!("CAP_{name} ({what})"), ", ");
    let unit = join(|(_, name, _)| format!("CAP_{name}"), " ");
    let container = join(|(_, name, _)| format!("--cap-add {name}"), " ");
    let mut text = format!(
        "couic lacks {what}. In a systemd unit: add {unit} to CapabilityBoundingSet=, and to AmbientCapabilities= where User= is set; for a container: {container}"
    );
    if !changes_user {
        text += "; for a user's own start: setcap cap_bpf,cap_net_admin,cap_perfmon+ep on the file couic";
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use crate::FILTERING;

    use super::*;

    const TO_CHANGE: Caps = CAP_SETGID.and(CAP_SETUID);

    #[test]
    fn a_start_with_all_capabilities_is_accepted() {
        assert_eq!(lacking(FILTERING, false, true), None);
        assert_eq!(lacking(FILTERING.and(TO_CHANGE), true, true), None);
    }

    #[test]
    fn each_missing_capability_is_named_with_its_use_and_how_to_grant_it() {
        let told = lacking(CAP_NET_ADMIN, false, true).unwrap();
        assert_eq!(
            told,
            "couic lacks CAP_BPF (loads the XDP program and its tables), CAP_PERFMON (lets the verifier allow its arithmetic on pointers). In a systemd unit: add CAP_BPF CAP_PERFMON to CapabilityBoundingSet=, and to AmbientCapabilities= where User= is set; for a container: --cap-add BPF --cap-add PERFMON; for a user's own start: setcap cap_bpf,cap_net_admin,cap_perfmon+ep on the file couic"
        );
        for (cap, name, _) in TO_FILTER.iter().chain(&TO_BECOME_USER) {
            let others = Caps::from_bits(FILTERING.and(TO_CHANGE).bits() & !cap.bits());
            let told = lacking(others, true, true).unwrap();
            assert!(
                told.starts_with(&format!("couic lacks CAP_{name} (")),
                "{told}"
            );
            assert!(
                !told.contains(", CAP_") && !told.contains("setcap"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_user_namespace_is_named_whatever_its_capabilities() {
        let told = lacking(Caps::from_bits(u64::MAX), true, false).unwrap();
        assert!(told.contains("user namespace"), "{told}");
        assert!(is_initial(Ok(INITIAL_USER_NAMESPACE)) && !is_initial(Ok(4_026_532_000)));
        assert!(is_initial(Err(io::ErrorKind::NotFound.into())));
    }
}
