//! The attacher.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::Command,
};

use couic_privsep::{CAP_SYS_ADMIN, Caps, threads};
use couic_privsep::{FILTERING, confine_attacher};
use nix::unistd::{chdir, getegid, geteuid};

use crate::{apart, errno, refused, refused_calls};

fn bpf(command: u32) -> i32 {
    let attributes = [0_u8; 128];
    // SAFETY: the buffer outlives the call; with zero descriptors and paths nothing is created or changed.
    errno(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            attributes.len(),
        )
    })
}

#[test]
fn the_attacher_keeps_only_what_filtering_needs() {
    apart(
        "attacher::the_attacher_keeps_only_what_filtering_needs",
        || {
            let root = geteuid().is_root();
            let (uid, gid) = if root {
                (4242, 4343)
            } else {
                (geteuid().as_raw(), getegid().as_raw())
            };
            // Like /sys/fs/bpf: the parent of the pins is accessible to root only.
            let way = tempfile::tempdir().unwrap();
            fs::set_permissions(way.path(), fs::Permissions::from_mode(0o700)).unwrap();
            let pins = way.path().join("pins");
            fs::create_dir(&pins).unwrap();
            if root {
                std::os::unix::fs::chown(&pins, Some(uid), Some(gid)).unwrap();
            }
            let elsewhere = tempfile::tempdir().unwrap();
            fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o777)).unwrap();
            chdir(&pins).unwrap();
            let had = couic_privsep::sets().unwrap().permitted;
            let (line, _theirs) = UnixStream::pair().unwrap();

            let missing = confine_attacher(uid, gid, Some(pins.as_path())).unwrap();
            assert_eq!(missing, [""; 0], "supported by this kernel");
            let keep = FILTERING.within(had);
            assert_threads(root, uid, gid, keep);
            let own = couic_privsep::sets().unwrap();
            assert_eq!((own.effective, own.permitted), (keep, keep));

            // Commands on links reach the kernel's own checks; the others do not.
            for (name, command) in [("map", 0), ("update", 2), ("load", 5), ("iterator", 33)] {
                assert_eq!(bpf(command), libc::EPERM, "{name}");
            }
            for (name, command) in [("update a link", 29), ("look at one", 15)] {
                assert_ne!(bpf(command), libc::EPERM, "{name}");
            }
            refused_calls(&[
                ("execve", libc::SYS_execve),
                ("ptrace", libc::SYS_ptrace),
                ("mount", libc::SYS_mount),
                ("kill", libc::SYS_kill),
                ("clone without CLONE_THREAD", libc::SYS_clone),
                ("setresuid", libc::SYS_setresuid),
                ("capset", libc::SYS_capset),
            ]);
            // SAFETY: takes no pointer.
            let owner = unsafe { libc::fcntl(0, libc::F_SETOWN, libc::getppid()) };
            assert_eq!(errno(owner.into()), libc::EPERM, "an owner of a descriptor");
            refused("a program", Command::new("/bin/true").status());
            refused("TCP", TcpListener::bind("127.0.0.1:0"));
            refused("a file", fs::read("/etc/hosts"));
            refused(
                "a file elsewhere",
                fs::write(elsewhere.path().join("file"), ""),
            );
            fs::write("if2", "a pin").unwrap();
            fs::remove_file("if2").unwrap();
            assert!(nix::net::if_::if_nametoindex("lo").is_ok());
            drop(line);
        },
    );
}

fn assert_threads(root: bool, uid: u32, gid: u32, keep: Caps) {
    for thread in threads().unwrap() {
        let own = thread.tid == nix::unistd::gettid().as_raw();
        // Other threads of root lost their capabilities with setuid.
        let expected = if own || !root { keep } else { Caps::NONE };
        assert!(expected.has(thread.effective), "{thread:?}");
        assert!(!thread.permitted.has(CAP_SYS_ADMIN), "{thread:?}");
        assert!(thread.inheritable.is_empty() && thread.ambient.is_empty());
        assert_eq!(
            (&thread.uids[..], &thread.gids[..]),
            (&[uid; 4][..], &[gid; 4][..])
        );
        assert!(thread.no_new_privs && thread.seccomp == 2, "{thread:?}");
        assert!(thread.bounding.is_empty() || !root, "{thread:?}");
    }
}
