//! Tests against a stand-in for the daemon.
