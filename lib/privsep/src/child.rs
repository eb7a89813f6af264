//! The child processes of Couic's programs: the same program again, whose first argument names the role.
//!
//! What holds of each, whatever its role:
//! - Only SIGKILL ends it from outside. A stop of its program signals the whole process or control group, and the program
//!   ends its children itself.
//! - It finds `/dev/null` as standard input, so that no code in it reads from the parent by accident.
//! - The end of the parent is no error.
//! - It ends without exit handlers: those of a plugin may hang.

use std::{
    env, fs,
    io::{self, ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::dup2_stdin};

use crate::{Channel, ignore_signals};

/// What a child process is for.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// The hidden argument.
    pub name: &'static str,
    /// Runs with what the parent gave it as standard input, and returns when the parent is gone.
    pub run: fn(OwnedFd) -> io::Result<()>,
}

/// If this process was started in one of these roles, runs it and does not return. Must be the first call in `main`, since
/// such a process may have no privileges and limited memory.
pub fn run_if_child(roles: &[Role]) {
    let Some(word) = env::args_os().nth(1) else {
        return;
    };
    let Some(role) = roles.iter().find(|role| word == role.name) else {
        return;
    };
    let code = match role.live() {
        Ok(()) => 0,
        Err(error) if matches!(error.kind(), BrokenPipe | UnexpectedEof) => 0,
        Err(error) => {
            // Without standard error there is no place left to say it.
            let _ = writeln!(io::stderr(), "couic {}: {error}", role.name);
            1
        }
    };
    // SAFETY: takes no pointer.
    unsafe { libc::_exit(code) }
}

impl Role {
    fn live(&self) -> io::Result<()> {
        ignore_signals();
        // For ps only.
        let _ = fs::write("/proc/self/comm", format!("couic-{}", self.name));
        let parent = io::stdin().as_fd().try_clone_to_owned()?;
        dup2_stdin(fs::File::open("/dev/null")?)?;
        (self.run)(parent)
    }

    /// The command that starts `program`, whose `main` begins with [`run_if_child`], in this role.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg0("couic").arg(self.name);
        command.env_clear().current_dir("/");
        command
    }

    /// Starts `program` in this role, with more arguments, and a channel to it.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn start(&self, program: &Path, arguments: &[String]) -> io::Result<(Channel, Child)> {
        let (channel, theirs) = Channel::pair()?;
        let mut command = self.command(program);
        let command = command.args(arguments).stdin(theirs).stdout(Stdio::null());
        Ok((channel, command.spawn()?))
    }
}

/// Waits for the end of a child until the deadline. `None` if it has not ended by then.
pub fn wait_until(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
            ended => return ended.ok().flatten(),
        }
    }
}

/// How a process ended, as a predicate.
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("was killed by {signal}"),
            Err(_) => format!("was killed by signal {number}"),
        },
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped());
        command.spawn().unwrap()
    }

    #[test]
    fn the_end_of_a_child_is_awaited_no_longer_than_until_the_deadline() {
        let mut child = shell("read line");
        assert!(wait_until(&mut child, Instant::now()).is_none());
        child.kill().unwrap();
        let patience = Instant::now() + Duration::from_secs(60);
        let status = wait_until(&mut child, patience).unwrap();
        assert_eq!(describe(status), "was killed by SIGKILL");
        let status = wait_until(&mut child, Instant::now()).unwrap();
        assert_eq!(describe(status), "was killed by SIGKILL", "asked again");
        let status = wait_until(&mut shell("exit 3"), patience).unwrap();
        assert_eq!(describe(status), "exited with status 3");
    }
}
