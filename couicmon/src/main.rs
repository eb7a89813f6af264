//! `couicmon`: from log lines to bans.

fn main() {}
