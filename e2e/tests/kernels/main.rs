//! Tests for every supported kernel, with few starts of the daemon: each verifies the program, which takes up to half a
//! minute on an emulated processor.
//!
//! `make test` runs this on the kernel of the machine, `make test-kernels` on Debian's, each in an emulated machine.
//! There `COUIC_PATIENCE` makes deadlines longer.
#![expect(clippy::expect_used, clippy::panic, reason = "a failure ends the test")]

mod filter;
mod links;
mod stay;
mod verifier;

/// The version of the running kernel.
fn release() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the release");
    let mut numbers = text.split(['.', '-']).map_while(|part| part.parse().ok());
    let mut next = || numbers.next().expect("a release as MAJOR.MINOR");
    (next(), next())
}
