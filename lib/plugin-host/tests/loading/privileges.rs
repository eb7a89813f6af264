//! An isolated plugin has none of its host's privileges.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use couic_plugin_host::{AnyNotifier, ChildCommand, IsolatedNotifier, Isolation, PluginFile};
use couic_testkit::copy_program;

use crate::{
    kit::{Ask as _, Mode, chameleon, folder, options, start},
    process::crash,
};

#[tokio::test]
async fn a_plugin_inherits_nothing_from_the_host() {
    let Some(path) = chameleon() else { return };
    // A descriptor that a careless parent would pass on.
    let careless = fs::File::open("/etc/passwd").unwrap();
    nix::fcntl::fcntl(
        &careless,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .unwrap();
    let notifier = start(Mode::Isolated, &path, "{}").await.unwrap();
    // The message is shorter than its limit of 1 KiB.
    let shown = squeeze(&notifier.reply("tell").await);
    assert!(
        shown.contains("env:MALLOC_ARENA_MAX=2,MIMALLOC_ARENA_EAGER_COMMIT=0, Uid"),
        "{shown}"
    );
    assert!(
        shown.contains("CapPrm: 0000000000000000 CapEff: 0000000000000000"),
        "{}",
        squeeze(&shown)
    );
    assert!(shown.contains("NoNewPrivs: 1"), "{shown}");
    assert!(
        !shown.contains("passwd") && shown.contains("fds:"),
        "{shown}"
    );
    if nix::unistd::geteuid().is_root() {
        assert!(shown.contains("Uid: 65534 65534 65534 65534"), "{shown}");
        assert!(shown.contains("Gid: 65534 65534 65534 65534"), "{shown}");
    }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_child_without_a_parent_ends() {
    let program = env!("CARGO_BIN_EXE_couic-plugin");
    let mut command = Command::new(program);
    command
        .arg("plugin-host")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // Its privileges were not dropped: it refuses.
    assert!(
        said.contains("refuses to run a plugin with privileges"),
        "{said}"
    );
}

/// Does what a service manager does for a daemon that needs a capability and is not root: changes the user of this
/// thread, and with it of its children, and keeps the capability in every set.
fn become_a_service(uid: libc::uid_t, capability: u32) -> std::io::Result<()> {
    let done = |result: libc::c_long| match result {
        0.. => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    let header: [u32; 2] = [0x2008_0522, 0];
    let bit = 1u32 << capability;
    let sets: [u32; 6] = [bit, bit, bit, 0, 0, 0];
    // SAFETY: raw calls change this thread alone, unlike libc's; the arrays have the layout of capset(2) and are lent
    // for the call.
    unsafe {
        done(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0).into())?;
        done(libc::syscall(
            libc::SYS_setgroups,
            0,
            std::ptr::null::<u32>(),
        ))?;
        done(libc::syscall(libc::SYS_setresgid, uid, uid, uid))?;
        done(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
        done(libc::syscall(
            libc::SYS_capset,
            header.as_ptr(),
            sets.as_ptr(),
        ))?;
        let raise = libc::PR_CAP_AMBIENT_RAISE;
        done(libc::prctl(libc::PR_CAP_AMBIENT, raise, capability, 0, 0).into())
    }
}

/// Under `config/systemd/couic.service`, which makes the daemon user couic with ambient capabilities.
#[test]
fn under_a_user_with_capabilities_it_has_none_and_is_restarted() {
    const SERVICE: libc::uid_t = 65_533;
    const CAP_NET_ADMIN: u32 = 12;
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let Some(path) = chameleon() else { return };
    // In a folder that this user has access to.
    let open = folder();
    let program = open.path().join("couic-plugin");
    copy_program(Path::new(env!("CARGO_BIN_EXE_couic-plugin")), &program);
    let plugin = open.path().join("plugin.so");
    fs::copy(&*path, &plugin).unwrap();
    let service = std::thread::spawn(move || {
        if let Err(error) = become_a_service(SERVICE, CAP_NET_ADMIN) {
            println!("skipped: this process may not change its user or capabilities: {error}");
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let file = PluginFile::check(&plugin, None).unwrap();
            let isolation = Isolation::new(ChildCommand::new(program));
            let started = IsolatedNotifier::start(file, "test", "{}", &options(), &isolation).await;
            let notifier = AnyNotifier::Isolated(started.unwrap());
            let shown = async || squeeze(&notifier.reply("tell").await);
            let none = "CapInh: 0000000000000000 CapPrm: 0000000000000000 CapEff: 0000000000000000";
            let user = "Uid: 65533 65533 65533 65533";
            let first = shown().await;
            assert!(first.contains(user) && first.contains(none), "{first}");
            crash(&notifier, "segv", "was killed by SIGSEGV").await;
            let second = shown().await;
            assert!(second.contains(user) && second.contains(none), "{second}");
        });
    });
    service.join().unwrap();
}
