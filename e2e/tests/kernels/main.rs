//! What has to hold on every kernel that Couic promises, in few starts of the daemon: each one has the program verified,
//! which takes an emulated processor up to half a minute.
//!
//! `make test` runs this on the kernel of the machine, `make test-kernels` on Debian's, each in an emulated machine.
//! There `COUIC_PATIENCE` makes deadlines longer.

mod filter;
mod links;
mod stay;
mod verifier;
