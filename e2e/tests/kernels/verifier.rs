//! The kernel's verifier accepts the programs, with a margin.

use couic_firewall::dataplane::{Walk, walk};

/// The kernel rejects a program at 1,000,000 instructions processed, dead ends included, and the number for a program
/// differs between kernels by a factor of three. The margin covers kernels that are not tested, and small changes of
/// the program. It also bounds the time of a start: 1,000 instructions take 10 to 50 ms.
const MOST: u32 = 200_000;

#[test]
fn every_program_is_verified_within_the_bound() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root (CAP_BPF, CAP_NET_ADMIN)");
        return;
    }
    let kernel = crate::release();
    let mut faults = Vec::new();
    for walk in walk().expect("the tables") {
        let variant = match (walk.ordered, walk.rule_counters) {
            (false, false) => "plain",
            (false, true) => "rules",
            (true, false) => "ordered",
            (true, true) => "ordered+rules",
        };
        let outcome = match &walk.outcome {
            Ok(Some(instructions)) => {
                if *instructions > MOST {
                    faults.push(format!("{} {variant}: {instructions}", walk.program));
                }
                instructions.to_string()
            }
            Ok(None) => "taken".to_owned(),
            Err(_) if kernel < needed(&walk) => "-".to_owned(),
            Err(error) => {
                faults.push(format!("{} {variant}: {error:?}", walk.program));
                "refused".to_owned()
            }
        };
        // scripts/kernels puts these lines into its table.
        println!("walked: {} {variant} {outcome}", walk.program);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The first kernel on which the program is used, and must be accepted.
fn needed(walk: &Walk) -> (u32, u32) {
    let program = match walk.program.as_str() {
        // Frames in several buffers.
        "couic" => (5, 18),
        // TCX.
        "couic_tcx" => (6, 6),
        _ => (5, 10),
    };
    // Atomic instructions that fetch.
    let atomics = match (walk.ordered, cfg!(target_arch = "aarch64")) {
        (true, true) => (5, 18),
        (true, false) => (5, 12),
        (false, _) => (0, 0),
    };
    program.max(atomics)
}
