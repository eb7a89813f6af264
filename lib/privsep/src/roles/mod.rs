//! What each process of a daemon may do once it is set up.

pub(crate) mod attacher;
pub(crate) mod serving;
