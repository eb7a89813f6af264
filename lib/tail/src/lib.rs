//! Sources of log lines.
