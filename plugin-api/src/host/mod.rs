//! What a program needs that loads plugins and delivers through them.

pub mod dispatcher;
pub mod spool;
