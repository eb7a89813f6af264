//! What an isolated plugin does to itself, and what it is not given.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use couic_plugin_api::NotifyError;
use couic_plugin_host::{
    AnyNotifier, ChildCommand, IsolatedNotifier, Isolation, PluginFile, PluginState,
};

use crate::kit::{
    Ask as _, Mode, chameleon, compile_with, folder, hasty, isolation, options, plugins, start,
    start_with, until,
};

async fn isolated() -> Option<AnyNotifier> {
    Some(start(Mode::Isolated, &chameleon()?, "{}").await.unwrap())
}

/// Copies a program in another process. One that this process has open for writing may not be started
/// (`ETXTBSY`), and a child that another test forks meanwhile keeps it open for as long as it takes to `exec`.
fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "cp {from:?} {to:?}: {copied}");
}

/// Crashes it, and sees it come back.
async fn crash(notifier: &AnyNotifier, source: &str, how: &str) {
    match notifier.ask(source).await {
        Err(NotifyError::Crashed { message }) => {
            assert!(message.contains(how), "{source}: {message}");
        }
        other => panic!("{source}: {other:?}"),
    }
    let restarting = notifier.state();
    assert!(
        matches!(restarting, Some(PluginState::Restarting { .. })),
        "{restarting:?}"
    );
    let error = notifier.ask("ok").await.unwrap_err();
    assert!(
        matches!(error, NotifyError::Unavailable { .. }),
        "{error:?}"
    );
    until("it is started again", async || {
        notifier.ask("ok").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_crash_is_reported_and_the_plugin_started_again() {
    let Some(notifier) = isolated().await else {
        return;
    };
    crash(&notifier, "segv", "was killed by SIGSEGV").await;
    assert_eq!(notifier.stats().restarts, 1);
}

#[tokio::test]
async fn its_last_words_are_reported() {
    let Some(notifier) = isolated().await else {
        return;
    };
    // What it printed and that it died come through two pipes: the words may be too late for the error, but are kept.
    let error = notifier.ask("segv").await.unwrap_err();
    assert!(matches!(&error, NotifyError::Crashed { .. }), "{error:?}");
    let Some(PluginState::Restarting { reason }) = notifier.state() else {
        panic!()
    };
    assert!(reason.contains("SIGSEGV"), "{reason}");
}

#[tokio::test]
async fn exit_and_abort_end_the_process_only() {
    let (Some(one), Some(two)) = (isolated().await, isolated().await) else {
        return;
    };
    tokio::join!(
        crash(&one, "exit", "exited with status 0"),
        crash(&two, "abort", "was killed by SIGABRT"),
    );
}

#[tokio::test]
async fn an_exception_ends_the_process_only() {
    let dir = folder();
    let path = dir.path().join("throws.so");
    let source = plugins().join("throws.cc");
    let Some(()) = compile_with("g++", &source, &["-std=c++17"], &path) else {
        return;
    };
    let notifier = start(Mode::Isolated, &path, "{}").await.unwrap();
    match notifier.ask("x").await {
        Err(NotifyError::Crashed { message }) => assert!(message.contains("SIGABRT"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn memory_is_bounded() {
    let Some(path) = chameleon() else { return };
    let mut small = isolation();
    small.memory = 64 << 20;
    let file = PluginFile::check(&path, None).unwrap();
    let notifier = IsolatedNotifier::start(file, "eats", "{}", &options(), &small)
        .await
        .unwrap();
    let error = notifier.ask("eat").await.unwrap_err();
    assert!(
        matches!(&error, NotifyError::Crashed { message } if message.contains("SIGSEGV")),
        "{error:?}"
    );
}

#[tokio::test]
async fn who_does_not_come_back_is_killed_and_started_again() {
    let Some(path) = chameleon() else { return };
    for source in ["never", "block"] {
        let notifier = start_with(Mode::Isolated, &path, "{}", &hasty())
            .await
            .unwrap();
        let begin = Instant::now();
        let error = notifier.ask(source).await.unwrap_err();
        assert!(
            matches!(error, NotifyError::Timeout { .. }),
            "{source}: {error:?}"
        );
        until("it is killed", async || notifier.stats().restarts == 1).await;
        assert!(begin.elapsed() > Duration::from_secs(1), "it had its grace");
        assert_eq!(notifier.stats().stuck, 0);
        until("it is started again", async || {
            notifier.ask("ok").await.is_ok()
        })
        .await;
    }
}

#[tokio::test]
async fn a_plugin_has_nothing_of_ours() {
    let Some(path) = chameleon() else { return };
    // Something that would be inherited by a careless parent.
    let careless = fs::File::open("/etc/passwd").unwrap();
    nix::fcntl::fcntl(
        &careless,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .unwrap();
    let notifier = start(Mode::Isolated, &path, "{}").await.unwrap();
    // The message is cut at 1 KiB, which is more than there is to say.
    let told = squeeze(&notifier.told("tell").await);
    assert!(
        told.contains("env:MALLOC_ARENA_MAX=2,MIMALLOC_ARENA_EAGER_COMMIT=0, Uid"),
        "{told}"
    );
    assert!(
        told.contains("CapPrm: 0000000000000000 CapEff: 0000000000000000"),
        "{}",
        squeeze(&told)
    );
    assert!(told.contains("NoNewPrivs: 1"), "{told}");
    assert!(!told.contains("passwd") && told.contains("fds:"), "{told}");
    if nix::unistd::geteuid().is_root() {
        assert!(told.contains("Uid: 65534 65534 65534 65534"), "{told}");
        assert!(told.contains("Gid: 65534 65534 65534 65534"), "{told}");
    }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn dropping_and_closing_end_the_process() {
    let Some(path) = chameleon() else { return };
    let file = || PluginFile::check(&path, None).unwrap();
    let (options, isolation) = (options(), isolation());
    let start = || IsolatedNotifier::start(file(), "x", "{}", &options, &isolation);
    let alive = |pid: &str| Path::new("/proc").join(pid).exists();

    let closed = start().await.unwrap();
    let pid = closed.told("pid").await;
    assert!(alive(&pid));
    closed.close().await;
    assert!(!alive(&pid));

    let dropped = start().await.unwrap();
    let pid = dropped.told("pid").await;
    drop(dropped);
    until("it ends", async || !alive(&pid)).await;
}

#[tokio::test]
async fn what_it_forked_ends_with_it() {
    let Some(notifier) = isolated().await else {
        return;
    };
    notifier.ask("fork").await.unwrap();
    let pid = notifier.told("pid").await;
    let children = format!("/proc/{pid}/task/{pid}/children");
    // Forked by the thread of the instance: so look through all of them.
    let tasks = Path::new(&children).ancestors().nth(2).unwrap().to_owned();
    let forked: Vec<String> = fs::read_dir(tasks)
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.unwrap().path().join("children")).ok())
        .flat_map(|children| {
            children
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(forked.len(), 1);
    assert!(matches!(
        notifier.ask("segv").await,
        Err(NotifyError::Crashed { .. })
    ));
    let stat = format!("/proc/{}/stat", forked[0]);
    let gone = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    until("the forked process ends", async || gone()).await;
}

#[tokio::test]
async fn a_child_without_a_parent_ends() {
    use std::process::{Command, Stdio};
    let program = env!("CARGO_BIN_EXE_couic-plugin");
    let mut command = Command::new(program);
    command
        .arg("plugin-host")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // Nobody has taken its privileges: it refuses, whoever started it.
    assert!(
        said.contains("refuses to run a plugin with privileges"),
        "{said}"
    );
}

/// What a service manager makes of a daemon that needs a capability and is not root: the thread, and with it whatever it
/// starts, is another user, and has the capability in every set.
fn become_a_service(uid: libc::uid_t, capability: u32) -> std::io::Result<()> {
    let done = |result: libc::c_long| match result {
        0.. => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    let header: [u32; 2] = [0x2008_0522, 0];
    let bit = 1u32 << capability;
    let sets: [u32; 6] = [bit, bit, bit, 0, 0, 0];
    // SAFETY: raw calls change this thread alone, where libc's would change all; the arrays are laid out as capset(2)
    // says and lent for the call.
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
fn under_a_user_with_capabilities_it_is_that_user_without_them_and_is_started_again() {
    const SERVICE: libc::uid_t = 65_533;
    const CAP_NET_ADMIN: u32 = 12;
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let Some(path) = chameleon() else { return };
    // Where that user can get to, wherever this tree lies.
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
            let told = async || squeeze(&notifier.told("tell").await);
            let none = "CapInh: 0000000000000000 CapPrm: 0000000000000000 CapEff: 0000000000000000";
            let user = "Uid: 65533 65533 65533 65533";
            let first = told().await;
            assert!(first.contains(user) && first.contains(none), "{first}");
            crash(&notifier, "segv", "was killed by SIGSEGV").await;
            let second = told().await;
            assert!(second.contains(user) && second.contains(none), "{second}");
        });
    });
    service.join().unwrap();
}
