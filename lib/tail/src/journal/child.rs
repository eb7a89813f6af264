//! The child `journalctl`.

use std::{
    io::{self, Read},
    os::{fd::AsFd, unix::process::CommandExt},
    path::Path,
    process::{self, ChildStderr, ChildStdout, Command, Stdio},
    time::Duration,
};

use nix::sys::{prctl::set_pdeathsig, signal::Signal};

use crate::Stop;

/// Last bytes of what the child says that are kept.
const MAX_SAID: usize = 512;

/// Where reading begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// With what is written from now on.
    End,
    /// Behind the entry of this cursor.
    Cursor(String),
    /// With the entries since then, in Unix seconds.
    Since(u64),
}

/// A child that is killed when this is dropped, and when the thread that started it ends.
pub(super) struct Child {
    process: process::Child,
    stdout: ChildStdout,
    stderr: ChildStderr,
    stderr_ended: bool,
    said: Vec<u8>,
}

impl Child {
    pub(super) fn start(program: &Path, matches: &[String], from: &From) -> io::Result<Self> {
        let mut command = Command::new(program);
        // JSON takes three times the CPU time.
        command.args(["--follow", "--output=export", "--all", "--quiet"]);
        command.arg("--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,_PID");
        match from {
            From::End => command.arg("--lines=0"),
            From::Cursor(cursor) => {
                command.args(["--no-tail", &format!("--after-cursor={cursor}")])
            }
            From::Since(seconds) => command.args(["--no-tail", &format!("--since=@{seconds}")]),
        };
        command.arg("--").args(matches);
        command
            .env("LC_ALL", "C")
            .env("SYSTEMD_COLORS", "0")
            .env_remove("SYSTEMD_PAGER");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: prctl(2) is a system call without memory of ours: nothing that another thread held at the fork is used.
        unsafe {
            command.pre_exec(|| set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
        }
        let mut process = command.spawn()?;
        let (Some(stdout), Some(stderr)) = (process.stdout.take(), process.stderr.take()) else {
            return Err(io::Error::other("no pipes"));
        };
        Ok(Self {
            process,
            stdout,
            stderr,
            stderr_ended: false,
            said: Vec::new(),
        })
    }

    /// Waits for output, at the longest `timeout`. An empty chunk is the end of it.
    pub(super) fn read<'a>(
        &mut self,
        stop: &Stop,
        timeout: Duration,
        buffer: &'a mut [u8],
    ) -> io::Result<Option<&'a [u8]>> {
        let [out, err] = if self.stderr_ended {
            let [out] = stop.wait([self.stdout.as_fd()], timeout)?;
            [out, false]
        } else {
            stop.wait([self.stdout.as_fd(), self.stderr.as_fd()], timeout)?
        };
        if err {
            self.listen()?;
        }
        if !out {
            return Ok(None);
        }
        match self.stdout.read(buffer) {
            Ok(read) => Ok(buffer.get(..read)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn listen(&mut self) -> io::Result<()> {
        let mut part = [0; MAX_SAID];
        let read = self.stderr.read(&mut part)?;
        self.stderr_ended = read == 0;
        self.said
            .extend_from_slice(part.get(..read).unwrap_or_default());
        let excess = self.said.len().saturating_sub(MAX_SAID);
        self.said.drain(..excess);
        Ok(())
    }

    /// Ends it. Returns how it ended and what it said last, without control characters.
    pub(super) fn end(mut self) -> String {
        // Its output has ended, so it ends by itself; if not, it is killed.
        let mut status = None;
        for _ in 0..20 {
            status = self.process.try_wait().ok().flatten();
            if status.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if status.is_some() {
            while !self.stderr_ended && self.listen().is_ok() {}
        }
        let how = status.map_or_else(
            || "it closed its output".to_owned(),
            |status| status.to_string(),
        );
        let said = String::from_utf8_lossy(&self.said);
        let said: String = said
            .trim()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if said.is_empty() {
            how
        } else {
            format!("{how}: {said}")
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
