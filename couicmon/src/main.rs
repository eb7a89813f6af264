//! `couicmon`: from log lines to bans.

#[expect(dead_code, reason = "the service that asks is not here yet")]
mod bots;

fn main() {}
