//! The pager for long output on a terminal: `$PAGER`, else less, as git and systemctl do.

use std::{
    env,
    process::{Child, ChildStdin, Command, Stdio},
};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A running pager. Dropping it waits for its end; its input must be closed by then.
pub(crate) struct Pager {
    child: Child,
    /// While it lives, Ctrl-C is for the pager only.
    _interrupt: Option<Signal>,
}

impl Pager {
    /// Starts it, within the runtime. None if none is wanted or it does not start.
    pub(crate) fn start() -> Option<(Self, ChildStdin)> {
        let mut command = command(env::var("PAGER").ok().as_deref())?;
        command.stdin(Stdio::piped());
        if env::var_os("LESS").is_none() {
            // Ends at once if all fits on the screen, keeps colours, does not clear the screen.
            command.env("LESS", "FRX");
        }
        let mut child = command.spawn().ok()?;
        let input = child.stdin.take()?;
        let interrupt = signal(SignalKind::interrupt()).ok();
        let pager = Self {
            child,
            _interrupt: interrupt,
        };
        Some((pager, input))
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        // A pager that cannot be waited for has ended.
        let _ = self.child.wait();
    }
}

/// The pager that `$PAGER` names; empty and `cat` mean none.
fn command(pager: Option<&str>) -> Option<Command> {
    match pager.map(str::trim) {
        Some("" | "cat") => None,
        Some(line) => {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", line]);
            Some(shell)
        }
        None => Some(Command::new("less")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_it_or_none() {
        assert!(command(Some("")).is_none() && command(Some(" cat ")).is_none());
        assert_eq!(command(None).unwrap().get_program(), "less");
        let shell = command(Some("more -d")).unwrap();
        assert!(shell.get_args().any(|arg| arg == "more -d"));
    }
}
