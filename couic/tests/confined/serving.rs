//! The serving process.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream, ToSocketAddrs},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::Command,
    sync::mpsc,
    thread,
};

use couic::{
    config::{Config, Settings as _},
    daemon::files_of,
};
use couic_firewall::guard::HostSource as _;
use couic_privsep::{Hardening, drop_privileges, files::version, threads};
use nix::unistd::{Group, User, getegid, geteuid};
use tempfile::TempDir;

use crate::{apart, errno, refused, refused_calls};

/// A daemon's directories and configuration.
fn place() -> (TempDir, Config) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["lib", "log", "run", "plugins", "other"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("ca.pem"), "a certificate").unwrap();
    let user = User::from_uid(geteuid()).unwrap().unwrap().name;
    let group = Group::from_gid(getegid()).unwrap().unwrap().name;
    let text = format!(
        "ifaces = [\"lo\"]\nuser = {user:?}\ngroup = {group:?}\nworking_dir = \"{0}/lib\"\n\
         [logging]\ndir = \"{0}/log\"\n[server]\nsocket = \"{0}/run/couic.sock\"\n[plugins]\ndir = \"{0}/plugins\"\n\
         [peering]\nenabled = true\n[[peering.peers]]\nname = \"b\"\nhost = \"b.example\"\nport = 1\ntls = true\n\
         ca = \"{0}/ca.pem\"\ntoken = \"550e8400-e29b-41d4-a716-446655440000\"\n",
        dir.path().display()
    );
    let config = Config::parse(&text).unwrap();
    (dir, config)
}

/// Confines this process, and runs `work` also in a thread that existed before.
fn serve(config: &Config, work: fn(&Config)) -> Hardening {
    let (go, confined) = mpsc::channel::<()>();
    let copy = config.clone();
    let before = thread::spawn(move || {
        confined.recv().unwrap();
        work(&copy);
    });
    let hardening = drop_privileges(&files_of(config, &[])).unwrap();
    work(config);
    go.send(()).unwrap();
    before.join().unwrap();
    hardening
}

#[test]
fn no_thread_has_privileges_or_can_gain_any() {
    apart("serving::no_thread_has_privileges_or_can_gain_any", || {
        let (_dir, config) = place();
        let landlock = Some(version()).filter(|version| *version > 0);
        let hardening = serve(&config, |_| {
            refused_calls(&[
                ("bpf", libc::SYS_bpf),
                ("execve", libc::SYS_execve),
                ("execveat", libc::SYS_execveat),
                ("ptrace", libc::SYS_ptrace),
                ("process_vm_readv", libc::SYS_process_vm_readv),
                ("process_vm_writev", libc::SYS_process_vm_writev),
                ("pidfd_getfd", libc::SYS_pidfd_getfd),
                ("mount", libc::SYS_mount),
                ("unshare", libc::SYS_unshare),
                ("setns", libc::SYS_setns),
                ("kexec_load", libc::SYS_kexec_load),
                ("init_module", libc::SYS_init_module),
                ("keyctl", libc::SYS_keyctl),
                ("perf_event_open", libc::SYS_perf_event_open),
                ("userfaultfd", libc::SYS_userfaultfd),
                ("io_uring_setup", libc::SYS_io_uring_setup),
                ("setresuid", libc::SYS_setresuid),
                ("setgroups", libc::SYS_setgroups),
                ("capset", libc::SYS_capset),
                ("kill", libc::SYS_kill),
                ("clone without CLONE_THREAD", libc::SYS_clone),
                ("seccomp", libc::SYS_seccomp),
            ]);
            refused("a program", Command::new("/bin/true").status());
        });
        let all = threads().unwrap();
        assert!(all.len() > 1);
        for thread in &all {
            assert!(thread.is_powerless() && thread.no_new_privs, "{thread:?}");
            if geteuid().is_root() {
                assert!(thread.bounding.is_empty(), "{thread:?}");
            }
            assert_eq!(thread.seccomp == 2, hardening.seccomp, "{thread:?}");
        }
        assert!(hardening.seccomp);
        assert_eq!(hardening.landlock, landlock);
        // SAFETY: takes no pointer.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 0);
    });
}

#[test]
fn the_clock_is_read_and_not_set() {
    apart("serving::the_clock_is_read_and_not_set", || {
        let (_dir, config) = place();
        serve(&config, |_| {
            let adjust = |modes| {
                // SAFETY: a structure of integers, valid if zeroed.
                let mut timex: libc::timex = unsafe { std::mem::zeroed() };
                timex.modes = modes;
                // SAFETY: the structure is valid during the call.
                unsafe { libc::adjtimex(&raw mut timex) }
            };
            assert!(adjust(0) >= 0, "{}", std::io::Error::last_os_error());
            assert_eq!(adjust(libc::ADJ_TICK), -1);
            let error = std::io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        });
    });
}

#[test]
fn dangerous_arguments_of_permitted_system_calls_are_refused() {
    apart(
        "serving::dangerous_arguments_of_permitted_system_calls_are_refused",
        || {
            let (_dir, config) = place();
            serve(&config, |_| {
                let parent = nix::unistd::getppid().as_raw();
                let both = libc::PROT_WRITE | libc::PROT_EXEC;
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                // SAFETY: no passed pointer is dereferenced; mapped memory is not used.
                unsafe {
                    let calls = [
                        (
                            "a packet socket",
                            libc::syscall(libc::SYS_socket, libc::AF_PACKET, libc::SOCK_RAW, 0),
                        ),
                        (
                            "vsock",
                            libc::syscall(libc::SYS_socket, libc::AF_VSOCK, libc::SOCK_STREAM, 0),
                        ),
                        (
                            "netfilter",
                            libc::syscall(
                                libc::SYS_socket,
                                libc::AF_NETLINK,
                                libc::SOCK_RAW,
                                libc::NETLINK_NETFILTER,
                            ),
                        ),
                        (
                            "a core dump",
                            libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0),
                        ),
                        (
                            "limits of another process",
                            libc::syscall(libc::SYS_prlimit64, parent, 0, 0, 0),
                        ),
                        (
                            "a signal to another process",
                            libc::syscall(libc::SYS_tgkill, parent, parent, 0),
                        ),
                        (
                            "writable and executable memory",
                            libc::syscall(libc::SYS_mmap, 0, 4096, both, flags, -1, 0),
                        ),
                        (
                            "terminal input injection (TIOCSTI)",
                            libc::syscall(libc::SYS_ioctl, 0, 0x5412, 0),
                        ),
                    ];
                    for (what, result) in calls {
                        assert!(result < 0, "{what}");
                    }
                    let memory =
                        libc::syscall(libc::SYS_mmap, 0, 4096, libc::PROT_READ, flags, -1, 0);
                    let run = libc::syscall(libc::SYS_mprotect, memory, 4096, libc::PROT_EXEC);
                    assert_eq!(errno(run), libc::EPERM, "executable memory");
                }
            });
        },
    );
}

/// Not even to its attacher, which it had started.
#[test]
fn no_signal_is_sent_to_another_process() {
    apart("serving::no_signal_is_sent_to_another_process", || {
        let (_dir, config) = place();
        serve(&config, |_| {
            let parent = nix::unistd::getppid().as_raw();
            let own = nix::unistd::getpid().as_raw();
            // By fcntl(2), F_SETOWN and F_SETSIG (10), and ioctl(2), FIOSETOWN (0x8901), the kernel sends it.
            for (what, call, [one, two, three]) in [
                ("kill", libc::SYS_kill, [parent, 0, 0]),
                ("tgkill", libc::SYS_tgkill, [parent, parent, 0]),
                ("an owner", libc::SYS_fcntl, [0, libc::F_SETOWN, own]),
                ("its signal", libc::SYS_fcntl, [0, 10, libc::SIGKILL]),
                ("by ioctl", libc::SYS_ioctl, [0, 0x8901, 0]),
            ] {
                // SAFETY: no pointer is passed but a null one, and signal 0 has no effect.
                let result = unsafe { libc::syscall(call, one, two, three) };
                assert_eq!(errno(result), libc::EPERM, "{what}");
            }
        });
    });
}

#[test]
fn only_the_configured_files_are_accessible() {
    apart("serving::only_the_configured_files_are_accessible", || {
        let (dir, config) = place();
        fs::write(dir.path().join("other/secret"), "x").unwrap();
        fs::write(dir.path().join("plugins/a.so"), "x").unwrap();
        fs::write(dir.path().join("run/couic.sock"), "x").unwrap();
        let hardening = serve(&config, |config| {
            let (work, log) = (&config.working_dir, &config.logging.dir);
            let name = format!("{:?}", thread::current().id());
            for dir in [work, log] {
                couic_files::create_file(&dir.join(&name), 0o600, b"x").unwrap();
                fs::rename(dir.join(&name), dir.join("renamed")).unwrap();
                fs::OpenOptions::new()
                    .append(true)
                    .open(dir.join("renamed"))
                    .unwrap();
                fs::remove_file(dir.join("renamed")).unwrap();
            }
            let root = work.parent().unwrap();
            assert_eq!(fs::read(root.join("plugins/a.so")).unwrap(), b"x");
            assert!(fs::read(root.join("ca.pem")).is_ok(), "a peer's CA file");
            assert!(fs::read_to_string("/proc/self/stat").is_ok());
            assert!(fs::read_dir("/proc/self/fd").is_ok());
            assert!(fs::read_dir("/sys/class/net").is_ok());
        });
        if hardening.landlock.is_none() {
            println!("skipped: this kernel has no Landlock");
            return;
        }
        refused("another folder", fs::read(dir.path().join("other/secret")));
        refused(
            "a new file there",
            fs::write(dir.path().join("other/new"), ""),
        );
        refused("a plugin", fs::write(dir.path().join("plugins/a.so"), ""));
        refused("shadow", fs::read("/etc/shadow"));
        refused("a home", fs::read_dir("/root"));
        refused("a device", fs::read("/dev/zero"));
        refused(
            "a new file beside the socket",
            fs::write(dir.path().join("run/new"), ""),
        );
        fs::remove_file(dir.path().join("run/couic.sock")).unwrap();
    });
}

#[test]
fn everything_serving_needs_still_works() {
    apart("serving::everything_serving_needs_still_works", || {
        let (_dir, config) = place();
        serve(&config, |_| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let client = thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(b"hello").unwrap();
            });
            let mut text = String::new();
            listener
                .accept()
                .unwrap()
                .0
                .read_to_string(&mut text)
                .unwrap();
            client.join().unwrap();
            assert_eq!(text, "hello");
            let (mut here, there) = UnixStream::pair().unwrap();
            there.set_nonblocking(true).unwrap();
            here.write_all(b"x").unwrap();
            // Resolved by the C library, from /etc and its NSS modules.
            let found = ("localhost", 80).to_socket_addrs().unwrap();
            assert!(found.into_iter().all(|address| address.ip().is_loopback()));
            assert!(nix::ifaddrs::getifaddrs().unwrap().count() > 0, "netlink");
            let needed = couic_firewall::guard::Kernel.addresses().unwrap();
            assert!(needed.iter().any(|need| need.addr.is_loopback()));
        });
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        let waited = runtime.block_on(async {
            tokio::task::spawn_blocking(|| thread::sleep(std::time::Duration::from_millis(1))).await
        });
        assert!(waited.is_ok());
    });
}
