//! Lists from the net and from files: fetched on a schedule, guarded, written as sets of the daemon.
