//! What the serving process and the attacher can and cannot do once they are confined: each test tries it, in a process of
//! its own, since it cannot be undone.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that goes wrong"
)]

#[path = "confined/attacher.rs"]
mod attacher;
#[path = "confined/serving.rs"]
mod serving;

use std::{env, io, process::Command};

const ROLE: &str = "COUIC_CONFINED_TEST";

/// Runs `work`, the body of the test `name`, in another process of this program.
fn apart(name: &str, work: impl FnOnce()) {
    if env::var_os(ROLE).is_some() {
        return work();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ROLE, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(status.success(), "{status}\n{told}\n{errors}");
    let skipped = told.lines().filter(|line| line.contains("skipped:"));
    skipped.for_each(|line| println!("{line}"));
    assert!(told.contains("1 passed"), "{told}");
}

/// The error of a system call; 0 where there is none.
fn errno(result: libc::c_long) -> i32 {
    if result >= 0 {
        return 0;
    }
    io::Error::last_os_error().raw_os_error().unwrap()
}

/// That it was refused by a filter, or by Landlock.
fn refused<T>(what: &str, outcome: io::Result<T>) {
    let number = outcome.err().and_then(|e| e.raw_os_error());
    let expected = [Some(libc::EPERM), Some(libc::EACCES)];
    assert!(expected.contains(&number), "{what}: {number:?}");
}

/// System calls with arguments that mean nothing: none may get as far as to notice.
fn refused_calls(calls: &[(&str, libc::c_long)]) {
    for (name, call) in calls {
        // SAFETY: none of them does anything with nothing, should one be let through.
        let number = errno(unsafe { libc::syscall(*call, 0, 0, 0, 0, 0, 0) });
        assert_eq!(number, libc::EPERM, "{name}");
    }
}
