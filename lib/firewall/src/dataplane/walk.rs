//! Gives every program of every object to the verifier, also those that this kernel would not run: the cost of a change
//! shows on one machine, and in the tests of other kernels.

use aya::programs::{Program, ProgramError};

use super::{
    Limits, LoadError, open,
    program::{OBJECT, ORDERED},
};

/// The verifier's result for one program.
#[derive(Debug)]
pub struct Walk {
    /// Its name, as `bpftool prog` has it.
    pub program: String,
    /// Whether it is the one for CPUs that reorder loads.
    pub ordered: bool,
    /// With code that counts each rule's packets.
    pub rule_counters: bool,
    /// The instructions that were walked, if the kernel reports them (Linux 5.16), or why it refuses.
    pub outcome: Result<Option<u32>, ProgramError>,
}

/// Loads all programs, and keeps none.
///
/// # Errors
/// [`LoadError`], if there are not even tables.
pub fn walk() -> Result<Vec<Walk>, LoadError> {
    let limits = Limits {
        drop_entries: 2000,
        ignore_entries: 2000,
    };
    let mut walks = Vec::new();
    for (object, ordered) in [(OBJECT, false), (ORDERED, true)] {
        for rule_counters in [false, true] {
            // The programs refer to the tables, which go with these two.
            let (mut ebpf, _plane, _counters) = open(object, limits, rule_counters)?;
            walks.extend(ebpf.programs_mut().map(|(name, program)| Walk {
                program: name.to_owned(),
                ordered,
                rule_counters,
                outcome: verify(program),
            }));
        }
    }
    Ok(walks)
}

fn verify(program: &mut Program) -> Result<Option<u32>, ProgramError> {
    match program {
        Program::Xdp(xdp) => xdp.load()?,
        Program::SchedClassifier(classifier) => classifier.load()?,
        _ => return Err(ProgramError::UnexpectedProgramType),
    }
    Ok(program.info()?.verified_instruction_count())
}
