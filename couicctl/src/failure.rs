//! Every way in which couicctl fails, and the exit code of each. Decided here and nowhere else.

use std::{
    borrow::Cow,
    io::{self, Write},
    process::ExitCode,
};

use couic_client::{ClientError, SetupError};

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The daemon refused, in part or in whole (1).
    Refused(String),
    /// It could not be done for another reason: a lookup elsewhere failed, the output cannot be written (1).
    Failed(String),
    /// What was typed, or the file that was named, is not usable (2).
    Usage(String),
    /// No answer from the daemon (3).
    Unreachable(String),
    /// The configuration file is not usable (64).
    Config(String),
    /// Whoever read the output has seen enough (0, quiet).
    ClosedPipe,
    /// Everything was said already; only the exit code is left (1).
    Said,
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Refused(_) | Self::Failed(_) | Self::Said => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Config(_) => 64,
        }
    }

    /// Says on stderr what happened, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Refused(text)
            | Self::Failed(text)
            | Self::Usage(text)
            | Self::Unreachable(text)
            | Self::Config(text) => say(text),
            Self::ClosedPipe | Self::Said => {}
        }
        ExitCode::from(self.code())
    }
}

/// Writes a message to stderr. Where stderr is gone, there is nobody left to tell.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "couicctl: {}", printable(text));
}

/// Without control characters: what a remote daemon sends shall not steer this terminal.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(|c| c.is_control() && c != '\n') {
        let safe = |c: char| if c.is_control() && c != '\n' { '?' } else { c };
        text.chars().map(safe).collect::<String>().into()
    } else {
        text.into()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let text = error.to_string();
        match error {
            ClientError::Refused { .. } => Self::Refused(text),
            _ => Self::Unreachable(text),
        }
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ClosedPipe
        } else {
            Self::Failed(format!("the output cannot be written: {error}"))
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{9b}d"), "a?[2Jb?\nc?d");
        assert!(matches!(printable("é │\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(closed.code(), 0);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.code(), 1);
        let wrapped = serde_json::Error::io(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(Failure::from(wrapped).code(), 0);
    }
}
