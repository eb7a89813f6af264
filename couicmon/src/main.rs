//! `couicmon`: from log lines to bans.

mod import;

fn main() {}
