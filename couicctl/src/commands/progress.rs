//! The progress of a long import, on a terminal only.

use std::io::{self, IsTerminal, Write};

/// Imports of more networks than this show their progress.
const LONG: usize = 10_000;

/// A line on a terminal that is replaced as the import goes on, and gone at its end.
pub(super) struct Progress {
    total: usize,
    shown: bool,
}

impl Progress {
    pub(super) fn new(total: usize) -> Self {
        let shown = total > LONG && io::stderr().is_terminal();
        let progress = Self { total, shown };
        progress.show(0);
        progress
    }

    pub(super) fn show(&self, done: usize) {
        if self.shown {
            let percent = done * 100 / self.total.max(1);
            let bar = "#".repeat(percent / 5);
            let _ = write!(
                io::stderr(),
                "\r[{bar:<20}] {done} of {} networks, {percent} %",
                self.total
            );
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
