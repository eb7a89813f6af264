//! The total cost of a dropped frame, by attach mode: native, generic, tcx.
//!
//! `cargo bench -p couic-e2e --bench hooks`. The generator is an XDP program run by `BPF_PROG_TEST_RUN` with live frames
//! (Linux 5.18), which redirects each into one end of a veth pair; the other end's NAPI runs the filter, on the same
//! CPU. The figures include the generator and the veth pair, the same in each mode; the cost of the filter alone is the
//! difference to "none", where the stack discards the frames.
#![expect(clippy::expect_used, reason = "a measurement that fails ends the run")]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::{Duration, Instant},
};

use couic_e2e::{HOST_IFACE, Lab, OUTSIDE_IFACE, until};
use nix::net::if_::if_nametoindex;

const FRAMES: u32 = 1 << 20;
const ROUNDS: usize = 7;
const BANNED: [u8; 4] = [198, 51, 100, 7];

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// Frames in flight: a veth ring holds 256.
const BATCH: u32 = 64;
const LIVE_FRAMES: u32 = 1 << 1;

fn main() {
    let Some(lab) = Lab::quiet() else { return };
    // With GRO, the filtered end has a NAPI context even without an XDP program.
    lab.host.run("ethtool", &["-K", HOST_IFACE, "gro", "on"]);
    let cpu = nix::sched::sched_getcpu().expect("sched_getcpu");
    let mut one = nix::sched::CpuSet::new();
    one.set(cpu).expect("a CPU of the set");
    let this_thread = nix::unistd::Pid::from_raw(0);
    nix::sched::sched_setaffinity(this_thread, &one).expect("sched_setaffinity");
    println!("| mode | ns a frame, best of {ROUNDS} | median |\n|---|---|---|");
    for mode in [None, Some("native"), Some("generic"), Some("tcx")] {
        let (best, median) = measure(&lab, mode);
        println!("| {} | {best:.0} | {median:.0} |", mode.unwrap_or("none"));
    }
}

/// Nanoseconds per frame: best and median.
fn measure(lab: &Lab, mode: Option<&str>) -> (f64, f64) {
    let daemon = mode.map(|mode| lab.daemon().mode(mode).start());
    if let Some(daemon) = &daemon {
        daemon
            .api()
            .add("drop", "198.51.100.0/24", Some("flood"), 0);
    }
    let generator = lab
        .outside
        .enter(|| generator(OUTSIDE_IFACE))
        .expect("load the generator");
    lab.outside
        .enter(|| run(&generator, 1 << 12))
        .expect("warm up");
    let round = |_| {
        lab.outside
            .enter(|| run(&generator, FRAMES))
            .expect("run the generator")
    };
    let mut rounds: Vec<f64> = (0..ROUNDS).map(round).collect();
    rounds.sort_by(f64::total_cmp);
    if let Some(daemon) = &daemon {
        let sent = u64::from(FRAMES) * ROUNDS as u64 + (1 << 12);
        until(
            "every frame is counted as dropped",
            Duration::from_secs(60),
            || {
                let dropped = daemon.api().tags("drop")["flood"].rx_packets;
                assert!(dropped <= sent, "{dropped} of {sent}");
                (dropped == sent).then_some(())
            },
        );
    }
    (rounds[0], rounds[ROUNDS / 2])
}

/// `return bpf_redirect(index, 0)`.
fn generator(iface: &str) -> io::Result<OwnedFd> {
    let index = if_nametoindex(iface)?;
    let code: [u64; 4] = [
        0x0000_0000_0000_01b7 | u64::from(index) << 32,
        0x0000_0000_0000_02b7,
        0x0000_0017_0000_0085,
        0x0000_0000_0000_0095,
    ];
    let mut attr = [0u64; 16];
    attr[0] = u64::from(BPF_PROG_TYPE_XDP) | (code.len() as u64) << 32;
    (attr[1], attr[2]) = (code.as_ptr() as u64, c"MIT".as_ptr() as u64);
    let made = bpf(BPF_PROG_LOAD, &mut attr)?;
    // SAFETY: the kernel has just returned this descriptor; this is its only owner.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// Runs `frames` frames. Returns nanoseconds per frame.
fn run(generator: &OwnedFd, frames: u32) -> io::Result<f64> {
    let frame = frame();
    // struct xdp_md: data, data_end, data_meta, three indices.
    let context = [
        0,
        u32::try_from(frame.len()).unwrap_or_default(),
        0,
        0,
        0,
        0,
    ];
    // prog_fd, retval; data_size_in, _out; data_in; data_out; repeat, duration; ctx_size_in, _out; ctx_in; ctx_out;
    // flags, cpu; batch_size.
    let mut attr = [0u64; 10];
    attr[0] = u64::from(generator.as_raw_fd().cast_unsigned());
    attr[1] = frame.len() as u64;
    attr[2] = frame.as_ptr() as u64;
    attr[4] = u64::from(frames);
    attr[5] = size_of_val(&context) as u64;
    attr[6] = context.as_ptr() as u64;
    (attr[8], attr[9]) = (u64::from(LIVE_FRAMES), u64::from(BATCH));
    let start = Instant::now();
    bpf(BPF_PROG_TEST_RUN, &mut attr)?;
    Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(frames))
}

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    let attributes: *mut T = attributes;
    // SAFETY: pointer and size describe one live T, laid out as the command's part of union bpf_attr; pointers in it
    // point to live buffers.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(done).map_err(io::Error::other)
}

/// UDP over IPv4 from a banned source, 60 bytes.
fn frame() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend(BANNED);
    frame.extend([203, 0, 113, 1]);
    frame.extend([0, 9, 0, 9, 0, 26, 0, 0]);
    frame.resize(60, 0);
    frame
}
