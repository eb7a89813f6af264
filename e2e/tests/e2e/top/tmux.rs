//! A terminal: a tmux server of its own, without the configuration of whoever runs the test.

use std::time::Duration;

use couic_e2e::{Lab, until};
use couic_testkit::Netns;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

/// A terminal on the host's side of a lab; ended on drop.
pub(super) struct Tmux {
    netns: Netns,
    home: TempDir,
}

impl Tmux {
    /// A shell in a terminal of this size. None, with the reason printed, without tmux.
    pub(super) fn start(lab: &Lab, columns: u16, lines: u16) -> Option<Self> {
        let found = std::process::Command::new("tmux").arg("-V").output();
        if !found.is_ok_and(|output| output.status.success()) {
            println!("skipped: there is no tmux");
            return None;
        }
        let home = tempfile::tempdir().expect("a directory");
        let tmux = Self {
            netns: lab.host.clone(),
            home,
        };
        let (columns, lines) = (columns.to_string(), lines.to_string());
        // Job control is for interactive shells.
        let size = ["-x", &columns, "-y", &lines, "env PS1='ready> ' sh -i"];
        tmux.run(&[&["new-session", "-d"][..], &size].concat());
        tmux.until("the shell", |text| text.contains("ready>"));
        Some(tmux)
    }

    fn run(&self, args: &[&str]) -> String {
        let socket = self.home.path().join("tmux");
        let output = self
            .netns
            .command("tmux")
            .args(["-u", "-f", "/dev/null", "-S"])
            .arg(socket)
            .args(args)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .env_remove("TMUX")
            .env_remove("SSH_CONNECTION")
            .env_remove("SSH_CLIENT")
            .output()
            .expect("start tmux");
        assert!(output.status.success(), "tmux {args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What is on the screen.
    pub(super) fn text(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// The same, with the sequences of colours.
    pub(super) fn picture(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"])
    }

    /// Presses keys by their names.
    pub(super) fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"][..], keys].concat());
    }

    /// Types a text.
    pub(super) fn typed(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
    }

    /// Types a line.
    pub(super) fn line(&self, text: &str) {
        self.typed(text);
        self.keys(&["Enter"]);
    }

    pub(super) fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.run(&["resize-window", "-x", &columns, "-y", &lines]);
    }

    /// Waits for a screen.
    #[track_caller]
    pub(super) fn until(&self, what: &str, seen: impl Fn(&str) -> bool) {
        let last = std::cell::RefCell::new(String::new());
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(what, SOON, || {
                let text = self.text();
                let found = seen(&text);
                last.replace(text);
                found.then_some(())
            });
        }));
        assert!(
            waited.is_ok(),
            "no screen with {what}; the last one:\n{}",
            last.borrow()
        );
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let socket = self.home.path().join("tmux");
        // Ends the programs in it, too.
        let _ = std::process::Command::new("tmux")
            .arg("-S")
            .arg(socket)
            .arg("kill-server")
            .output();
    }
}
