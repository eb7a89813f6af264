//! The CPU time of processes.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    sys::resource::{UsageWho, getrusage},
    unistd::{Pid, SysconfVar, sysconf},
};

/// User and system time of all children that ended.
fn of_children() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage");
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| {
            let micros = u32::try_from(time.tv_usec()).expect("below a million");
            f64::from(i32::try_from(time.tv_sec()).expect("a short run")) + f64::from(micros) / 1e6
        })
        .sum()
}

/// Runs a command to its end: its user and system time in seconds, and its standard output. No other child may end meanwhile.
///
/// # Panics
/// If its exit code is none of the expected ones: the message has its output.
pub(crate) fn cpu_seconds(command: &mut Command, expected: &[i32]) -> (f64, String) {
    let before = of_children();
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let code = output.status.code().unwrap_or(-1);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(expected.contains(&code), "{command:?}: {code}\n{said}");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    (of_children() - before, printed)
}

/// User and system time of a running process, in ticks of the kernel's clock: 10 ms.
pub(crate) fn used(pid: Pid) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    let fields = stat.rsplit(") ").next().expect("fields");
    // Fields 14 and 15 of proc_pid_stat(5), of which two precede.
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    let per_second = u64::try_from(per_second).expect("a positive number");
    Duration::from_millis(ticks * 1000 / per_second)
}

/// A line of `/proc/PID/status` in MiB: `VmRSS`, `VmHWM`.
pub(crate) fn memory(pid: Pid, key: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.trim_matches([':', '\t', ' ']).split(' ').next());
    let kib: u32 = kib.and_then(|kib| kib.parse().ok()).expect("a size");
    f64::from(kib) / 1024.0
}
