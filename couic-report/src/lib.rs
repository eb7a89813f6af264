//! x
#![expect(dead_code)]
mod codec;
pub mod config;
mod figures;
mod ingest;
mod state;
