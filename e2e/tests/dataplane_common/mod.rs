//! Shared by the privileged tests of the data plane: frames, test runs, a random generator, veth pairs.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "a module of tests")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure ends the test")]
#![allow(
    clippy::allow_attributes,
    reason = "whether one is needed depends on the test binary"
)]

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd, RawFd},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use couic_firewall::dataplane::XdpProgram;

pub const XDP_ABORTED: u32 = 0;
pub const XDP_DROP: u32 = 1;
pub const XDP_PASS: u32 = 2;

/// Whether a privileged test can run; prints the reason if not.
pub fn may_run() -> bool {
    // SAFETY: takes no arguments.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        println!("skipped: needs root (CAP_BPF, CAP_NET_ADMIN)");
    }
    root
}

/// An Ethernet frame from `source` with VLAN tags (outermost first, as EtherTypes) and `payload` bytes above IP.
pub fn frame(source: IpAddr, tags: &[u16], payload: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend(7u16.to_be_bytes());
    }
    match source {
        IpAddr::V4(source) => {
            frame.extend(0x0800u16.to_be_bytes());
            frame.extend([0x45, 0]);
            frame.extend(u16::try_from(20 + payload).unwrap().to_be_bytes());
            frame.extend([0, 0, 0, 0, 64, 17, 0, 0]);
            frame.extend(source.octets());
            frame.extend([192, 0, 2, 1]);
        }
        IpAddr::V6(source) => {
            frame.extend(0x86ddu16.to_be_bytes());
            frame.extend([0x60, 0, 0, 0]);
            frame.extend(u16::try_from(payload).unwrap().to_be_bytes());
            frame.extend([17, 64]);
            frame.extend(source.octets());
            frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        }
    }
    frame.extend(std::iter::repeat_n(0xaa, payload));
    frame
}

/// Runs a program by BPF_PROG_TEST_RUN. The program must outlive it.
#[derive(Clone, Copy)]
pub struct TestRun(RawFd);

/// `union bpf_attr` for BPF_PROG_TEST_RUN.
#[repr(C)]
#[derive(Default)]
struct Attr {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}

impl TestRun {
    pub fn of(program: &mut XdpProgram) -> Self {
        Self(program.xdp().unwrap().fd().unwrap().as_fd().as_raw_fd())
    }

    /// The program's verdict for a frame.
    pub fn run(self, frame: &[u8]) -> u32 {
        self.try_run(frame, &[]).unwrap()
    }

    /// As [`TestRun::run`], with a `struct xdp_md` as context.
    pub fn try_run(self, frame: &[u8], context: &[u8]) -> io::Result<u32> {
        const BPF_PROG_TEST_RUN: i32 = 10;
        let mut attr = Attr {
            prog_fd: u32::try_from(self.0).unwrap(),
            data_size_in: u32::try_from(frame.len()).unwrap(),
            data_in: frame.as_ptr() as u64,
            repeat: 1,
            ctx_size_in: u32::try_from(context.len()).unwrap(),
            ctx_in: if context.is_empty() {
                0
            } else {
                context.as_ptr() as u64
            },
            ..Attr::default()
        };
        // SAFETY: the attribute points to live buffers with their sizes.
        let done = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_PROG_TEST_RUN,
                &raw mut attr,
                size_of::<Attr>(),
            )
        };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(attr.retval)
        }
    }
}

/// xorshift64*: small, and reproducible for a seed.
pub struct Random(u64);

impl Random {
    /// Seeded from the clock, or from COUIC_SEED; prints the seed.
    pub fn from_environment(test: &str) -> Self {
        let given = std::env::var("COUIC_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let clock = || {
            let now = couic_common::unix_time().as_nanos();
            u64::try_from(now & u128::from(u64::MAX)).unwrap()
        };
        let seed: u64 = given.unwrap_or_else(clock);
        println!("{test}: COUIC_SEED={seed}");
        Self(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A veth pair, deleted on drop.
pub struct Veth {
    pub name: String,
    pub peer: String,
}

static PAIRS: AtomicU32 = AtomicU32::new(0);

impl Veth {
    pub fn new() -> Self {
        let (pid, n) = (std::process::id(), PAIRS.fetch_add(1, Ordering::Relaxed));
        let pair = Self {
            name: format!("cq{pid}a{n}"),
            peer: format!("cq{pid}b{n}"),
        };
        ip(&[
            "link", "add", &pair.name, "type", "veth", "peer", "name", &pair.peer,
        ]);
        ip(&["link", "set", &pair.name, "up"]);
        ip(&["link", "set", &pair.peer, "up"]);
        pair
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["link", "del", &self.name])
            .output();
    }
}

/// Runs `ip`. Panics on error.
pub fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().unwrap();
    assert!(
        output.status.success(),
        "ip {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs a test in a thread with a network namespace of its own.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if !may_run() {
        return;
    }
    let thread = std::thread::spawn(|| {
        // SAFETY: changes the network namespace of this thread only.
        let left = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        assert_eq!(left, 0, "unshare: {}", io::Error::last_os_error());
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
