//! Every way in which couicctl fails, and the exit code of each. Decided here and nowhere else.

use std::{
    borrow::Cow,
    io::{self, Write},
    process::ExitCode,
};

use couic_client::{ClientError, SetupError};
use couic_common::ApiError;

/// So many details of a refusal are shown.
const SHOWN: usize = 20;

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
    /// It was done and holds, but the daemon could not write it down: a restart would undo it (4).
    NotKept(String),
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
            Self::NotKept(_) => 4,
            Self::Config(_) => 64,
        }
    }

    /// What happened, where it was not said already.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Refused(text)
            | Self::Failed(text)
            | Self::Usage(text)
            | Self::Unreachable(text)
            | Self::NotKept(text)
            | Self::Config(text) => text.clone(),
            Self::ClosedPipe | Self::Said => String::new(),
        }
    }

    /// Says on stderr what happened, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Refused(text)
            | Self::Failed(text)
            | Self::Usage(text)
            | Self::Unreachable(text)
            | Self::NotKept(text)
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

/// The daemon's words: its message, and the details that say more than that.
fn refusal(error: &ApiError) -> String {
    let details: Vec<_> = error
        .errors
        .iter()
        .filter(|(field, detail)| {
            let told = [
                detail.message.clone(),
                format!("{field}: {}", detail.message),
            ];
            !told.contains(&error.message)
        })
        .collect();
    let mut text = error.message.clone();
    for (field, detail) in details.iter().take(SHOWN) {
        text += &format!("\n  {field}: {}", detail.message);
    }
    if details.len() > SHOWN {
        text += &format!("\n  and {} more", details.len() - SHOWN);
    }
    text
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { error, .. } => Self::Refused(refusal(&error)),
            other => Self::Unreachable(other.to_string()),
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
    fn details_that_repeat_or_flood_are_left_away() {
        let code = couic_common::ErrorCode::Invalid;
        let detail = |message: &str| couic_common::ErrorDetail {
            code,
            message: message.into(),
        };
        let error = |details: Vec<(String, couic_common::ErrorDetail)>| ApiError {
            code,
            message: "no".into(),
            errors: details.into_iter().collect(),
        };
        let details = vec![("cidr".into(), detail("no")), ("tag".into(), detail("nor"))];
        assert_eq!(refusal(&error(details)), "no\n  tag: nor");
        let repeated = ApiError {
            message: "cidr: no".into(),
            ..error(vec![("cidr".into(), detail("no"))])
        };
        assert_eq!(refusal(&repeated), "cidr: no");
        let many = (0..5_000).map(|n| (format!("entries[{n:04}]"), detail("bad")));
        let text = refusal(&error(many.collect()));
        assert_eq!(text.lines().count(), 22);
        assert!(text.ends_with("\n  and 4980 more"), "{text}");
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
