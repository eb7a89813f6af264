//! The confinement of each process of the daemon once it is set up.

pub(crate) mod attacher;
pub(crate) mod program;
pub(crate) mod serving;
