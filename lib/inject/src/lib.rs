//! Sends rules to the daemon.
