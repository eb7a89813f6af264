//! x
#![expect(dead_code)]
mod codec;
mod figures;
mod ingest;
mod state;
