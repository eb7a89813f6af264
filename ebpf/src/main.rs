//! The XDP program: reads the source address of a frame, asks the tables, counts, answers.
//!
//! Read `filter` first, then `lookup.rs`, `lookup4.rs`, `lookup6.rs`; `layout.rs` says what lies where.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod filter;
#[cfg(target_arch = "bpf")]
mod frame;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod packet;

/// Only `cargo build --target bpfel-unknown-none` makes the program; couic/build.rs does that.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
