//! The abilities of the confined serving process and attacher. Each test runs in a process of its own, since
//! confinement is irreversible.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

#[path = "confined/account.rs"]
mod account;
#[path = "confined/attacher.rs"]
mod attacher;
#[path = "confined/serving.rs"]
mod serving;

use std::{env, fs, io, os::unix::fs::PermissionsExt, process::Command};

const ROLE: &str = "COUIC_CONFINED_TEST";

/// Runs `work`, the body of the test `name`, in another process of this program.
fn apart(name: &str, work: impl FnOnce()) {
    if env::var_os(ROLE).is_some() {
        return work();
    }
    // For its directories, which it cannot remove once it is confined; it changes its user.
    let scratch = tempfile::tempdir().unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("TMPDIR", scratch.path())
        .env(ROLE, "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(status.success(), "{status}\n{stdout}\n{errors}");
    let skipped = stdout.lines().filter(|line| line.contains("skipped:"));
    skipped.for_each(|line| println!("{line}"));
    assert!(stdout.contains("1 passed"), "{stdout}");
}

/// The errno of a system call; 0 on success.
fn errno(result: libc::c_long) -> i32 {
    if result >= 0 {
        return 0;
    }
    io::Error::last_os_error().raw_os_error().unwrap()
}

/// Asserts a refusal by seccomp or Landlock.
fn refused<T>(what: &str, outcome: io::Result<T>) {
    let number = outcome.err().and_then(|e| e.raw_os_error());
    let expected = [Some(libc::EPERM), Some(libc::EACCES)];
    assert!(expected.contains(&number), "{what}: {number:?}");
}

/// Asserts that system calls are refused before their arguments, all zero, are examined.
fn refused_calls(calls: &[(&str, libc::c_long)]) {
    for (name, call) in calls {
        // SAFETY: with zero arguments, none has an effect, even if permitted.
        let number = errno(unsafe { libc::syscall(*call, 0, 0, 0, 0, 0, 0) });
        assert_eq!(number, libc::EPERM, "{name}");
    }
}
