//! The progress of what takes long: on stderr, on a terminal only.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work of more steps than this shows its progress.
const LONG: usize = 10_000;

/// A line on a terminal that is replaced as the work goes on, and gone at its end.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Whether there is a terminal to show it on.
    pub(super) fn is_shown() -> bool {
        io::stderr().is_terminal()
    }

    /// A bar with the time that is left, for so many networks. None of it for a few.
    pub(super) fn of(total: usize) -> Self {
        let bar = bar(total > LONG, Some(total as u64));
        let form = "[{bar:20}] {human_pos} of {human_len} networks, {percent} %, {eta} left";
        Self::started(bar, form)
    }

    /// A spinner with the time that has passed, for work of unknown length.
    pub(super) fn waiting(what: &'static str) -> Self {
        // Not set_message, which would draw it at once, in the default form.
        let bar = bar(true, None).with_message(what);
        Self::started(bar, "{spinner} {msg}, {elapsed}")
    }

    fn started(bar: ProgressBar, form: &str) -> Self {
        // A form that is not valid leaves the default.
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style.progress_chars("#> ").tick_chars("|/-\\ "));
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(bar)
    }

    pub(super) fn show(&self, done: usize) {
        self.0.set_position(done as u64);
    }

    /// Replaces the text of a spinner.
    pub(super) fn say(&self, what: String) {
        self.0.set_message(what);
    }
}

fn bar(is_long: bool, total: Option<u64>) -> ProgressBar {
    let target = if is_long && Progress::is_shown() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    ProgressBar::with_draw_target(total, target)
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
