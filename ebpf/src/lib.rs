//! What the XDP program and the daemon share: the layout of the tables in mapped memory ([`layout`]), the hash that
//! chooses places in them ([`hash`]) and the lookup itself ([`lookup`]), generic over where the tables are.
//!
//! The lookup is compiled twice from one source: for BPF, where the tables are maps, and for user space, where they
//! are the same memory mapped, or plain heap memory in tests. So tests of it say something about the kernel's copy.
//!
//! All numbers are in host byte order; addresses are numbers with the first byte of the address on top.
#![no_std]

pub mod hash;
pub mod layout;
pub mod lookup;
mod lookup4;
mod lookup6;
pub mod rule;

pub use lookup::Tables;
