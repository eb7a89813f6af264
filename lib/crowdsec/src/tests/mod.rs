//! The model against an oracle, and the consumer against stand-ins for the LAPI and the daemon.

mod consumer;
mod daemon;
mod doubts;
mod lapi;
mod oracle;
mod pulls;
