//! The kernel's verifier takes the program, and has room to spare.

use couic::dataplane::{Limits, walk_entries};

/// The kernel gives up at 1,000,000 instructions walked, dead ends included, and how many a program costs differs between
/// kernels by a factor of three. So none that is tried may come near: another one, or a small change of the
/// program, must not be the first to pass it. It bounds the time of a start as well: 1,000 take 10 to 50 ms.
const MOST: u32 = 200_000;

/// The entry that takes frames in several buffers.
const FRAGS: &str = "couic";

const LIMITS: Limits = Limits {
    drop_entries: 2000,
    ignore_entries: 2000,
};

#[test]
fn every_entry_is_taken_within_the_bound() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root (CAP_BPF, CAP_NET_ADMIN)");
        return;
    }
    // Counting what each rule decides is code of its own, which the verifier leaves out where it is switched off.
    let mut faults = Vec::new();
    for (rule_counters, with) in [(false, ""), (true, "+rules")] {
        for (entry, walked) in walk_entries(LIMITS, rule_counters).expect("the tables") {
            // scripts/kernels puts these lines into its table.
            let told = match walked {
                Ok(Some(instructions)) => {
                    if instructions > MOST {
                        faults.push(format!("{entry}{with}: {instructions} instructions walked"));
                    }
                    instructions.to_string()
                }
                // The kernel tells since 5.16.
                Ok(None) => "taken".to_owned(),
                Err(_) if entry == FRAGS && !kernel_has_frags() => "-".to_owned(),
                Err(error) => {
                    faults.push(format!("{entry}{with}: {error:?}"));
                    "refused".to_owned()
                }
            };
            println!("walked: {entry}{with} {told}");
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Frames in several buffers came with 5.18.
fn kernel_has_frags() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the release");
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    let version: (u32, u32) = (
        numbers.next().expect("a major version"),
        numbers.next().expect("a minor version"),
    );
    version >= (5, 18)
}
