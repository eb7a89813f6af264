//! The part of a verifier log that is kept.

use std::{
    os::unix::fs::{MetadataExt, symlink},
    thread,
};

use couic_privsep::{CAP_BPF, CAP_NET_ADMIN, Sets};

use super::*;
use crate::dataplane::{Limits, LoadError, load_tables};
use couic_privsep::FILTERING;

const DUMP: &str = "0: (bf) r6 = r1\n; comment\n95: (0f) r1 += r2\nmath between map_value pointer and register with unbounded min value is not allowed\nverification time 214 usec\nstack depth 56+128\nprocessed 95 insns (limit 1000000) max_states_per_insn 0 total_states 5 peak_states 5 mark_read 3\n\n";

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

fn refusal() -> Refusal {
    Refusal::of("6.12.117-cloud-amd64", &invalid(), DUMP.to_owned())
}

#[test]
fn the_message_has_the_kernel_and_the_last_words_and_no_dump() {
    let refusal = refusal();
    assert_eq!(
        refusal.to_string(),
        "Linux 6.12.117-cloud-amd64 refused the XDP program: its verifier says: math between map_value pointer and register with unbounded min value is not allowed (Invalid argument (os error 22))"
    );
    assert!(!format!("{refusal:?}").contains("r6 = r1"));
    let large = "BPF program is too large. Processed 1000001 insn\nprocessed 1000001 insns";
    let told = Refusal::of("6.1.0", &invalid(), large.to_owned()).to_string();
    assert!(
        told.contains("too large. Processed 1000001 insn ("),
        "{told}"
    );
}

#[test]
fn a_silent_refusal_is_told_too() {
    let denied = io::Error::from_raw_os_error(libc::EPERM);
    let told = Refusal::of("6.1.0", &denied, String::new());
    assert!(told.to_string().contains("seccomp profile"), "{told}");
    assert!(told.save(Path::new("/no/such/dir")).is_none());
    let told = Refusal::of("6.1.0", &invalid(), "\n".to_owned()).to_string();
    assert_eq!(
        told,
        "Linux 6.1.0 refused the XDP program: Invalid argument (os error 22)"
    );
}

#[test]
fn a_line_for_a_terminal_is_short_and_has_no_control_characters() {
    let long = format!("a\u{1b}[31m{}", "é".repeat(1_000));
    let words = last_words(&long).unwrap();
    assert!(words.starts_with("a[31mé") && words.chars().count() == LINE);
}

#[test]
fn the_dump_is_in_a_file_of_the_owner_and_replaced_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    // Neither is followed: its target stays as it is.
    let victim = dir.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    symlink(&victim, &path).unwrap();
    symlink(&victim, path.with_extension("log.new")).unwrap();
    for _ in 0..2 {
        let told = refusal().save(dir.path()).unwrap();
        assert!(told.contains(path.to_str().unwrap()), "{told}");
        assert_eq!(fs::read_to_string(&path).unwrap(), DUMP);
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(found.is_file());
        assert_eq!(found.mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn its_end_is_kept_of_a_dump_that_is_too_long() {
    let dir = tempfile::tempdir().unwrap();
    let dump = format!("{}{DUMP}", "é".repeat(MOST));
    Refusal::of("6.1.0", &invalid(), dump).save(dir.path());
    let kept = fs::read_to_string(dir.path().join(FILE)).unwrap();
    assert!(kept.len() <= MOST && kept.ends_with(DUMP));
    assert_eq!(tail("éa", 2), "a");
}

#[test]
fn what_a_verifier_really_says_is_one_line_and_a_file() {
    let having = couic_privsep::sets().unwrap().permitted;
    if !having.has(FILTERING) {
        println!("skipped: loading a program takes capabilities that this process lacks");
        return;
    }
    // Without CAP_PERFMON, and CAP_SYS_ADMIN which stands in for it, the verifier refuses arithmetic on pointers.
    let load = || {
        couic_privsep::set_sets(Sets::to_use(CAP_BPF.and(CAP_NET_ADMIN))).unwrap();
        let limits = Limits {
            drop_entries: 100,
            ignore_entries: 100,
        };
        load_tables(limits, false).map(drop).unwrap_err()
    };
    let refusal = match thread::spawn(load).join().unwrap() {
        LoadError::Program(refusal) => refusal,
        LoadError::NotBuilt => {
            println!("skipped: this build has no XDP program (COUIC_SKIP_BPF=1)");
            return;
        }
        other => panic!("refused for another reason: {other}"),
    };
    let told = refusal.to_string();
    assert!(
        told.contains(" refused the XDP program: its verifier says: R"),
        "{told}"
    );
    assert!(!told.contains('\n') && told.len() < 400, "{told}");
    let dir = tempfile::tempdir().unwrap();
    refusal.save(dir.path()).unwrap();
    let dump = fs::read_to_string(dir.path().join(FILE)).unwrap();
    assert!(
        dump.lines().count() > 10 && dump.contains("\nprocessed "),
        "{dump}"
    );
}

#[test]
fn where_it_cannot_be_written_that_is_said() {
    let told = refusal().save(Path::new("/no/such/dir")).unwrap();
    assert!(
        told.contains("cannot be written to /no/such/dir/verifier.log"),
        "{told}"
    );
}
