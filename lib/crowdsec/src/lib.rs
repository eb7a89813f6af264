//! Decisions of CrowdSec's local API (LAPI), brought into the rules of the daemon.
