//! `couic-bouncer`: the decisions of others, as rules of Couic.

fn main() {}
