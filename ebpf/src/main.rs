//! The XDP program: parses the source address of a frame, looks it up, counts, and returns the verdict.
//!
//! Read `filter` first, then `lookup.rs`, `lookup4.rs`, `lookup6.rs`; `layout.rs` describes the tables.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod filter;
#[cfg(target_arch = "bpf")]
mod frame;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod packet;

/// The program is built only by `cargo build --target bpfel-unknown-none`, which lib/firewall/build.rs runs.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
