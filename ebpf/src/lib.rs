//! The part shared by the XDP program and the daemon: the layout of the tables in mapped memory ([`layout`]), their
//! hash ([`hash`]) and the lookup itself ([`lookup`]), generic over the location of the tables.
//!
//! The lookup is compiled twice from one source: for BPF, where the tables are maps, and for user space, where they are
//! the same memory mapped, or heap memory in tests. Tests in user space thus cover the code that runs in the kernel.
//!
//! All numbers are in host byte order; addresses are numbers with the first byte of the address in the most significant
//! bits.
#![no_std]

pub mod hash;
pub mod layout;
pub mod lookup;
mod lookup4;
mod lookup6;
pub mod rule;

pub use lookup::Tables;
