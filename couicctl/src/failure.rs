//! The failures of couicctl and their exit codes, which are defined here only.

use std::{
    borrow::Cow,
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use couic_client::{ClientError, SetupError};
use couic_common::{ALL_OWNERS_HINT, ApiError, FORCE_HINT};

/// Maximum number of details shown of an error response.
const SHOWN: usize = 20;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The daemon rejected the request, in part or as a whole (1).
    Refused(String),
    /// Another failure: an online source failed, the output cannot be written (1).
    Failed(String),
    /// The command line, or a file named on it, is not usable (2).
    Usage(String),
    /// No response from the daemon (3).
    Unreachable(String),
    /// The change is in force, but the daemon could not save it: a restart would undo it (4).
    NotSaved(String),
    /// The configuration file is not usable (64).
    Config(String),
    /// The reader of the output closed the pipe (0, no message).
    ClosedPipe,
    /// The failure was reported already; only the exit code is left (1).
    Reported,
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Refused(_) | Self::Failed(_) | Self::Reported => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::NotSaved(_) => 4,
            Self::Config(_) => 64,
        }
    }

    /// The message; empty if the failure was reported already.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Refused(text)
            | Self::Failed(text)
            | Self::Usage(text)
            | Self::Unreachable(text)
            | Self::NotSaved(text)
            | Self::Config(text) => text.clone(),
            Self::ClosedPipe | Self::Reported => String::new(),
        }
    }

    /// The same with a hint if the daemon refused the request.
    pub(crate) fn or_refused_with(self, hint: Option<&str>) -> Self {
        match (&self, hint) {
            (Self::Refused(_), Some(hint)) => self.hint(hint),
            _ => self,
        }
    }

    /// The same with a detail if the daemon refused the request.
    pub(crate) fn noted(self, note: Option<&str>) -> Self {
        match (&self, note) {
            (Self::Refused(_), Some(note)) => self.with(note),
            _ => self,
        }
    }

    /// The same with a line that says what to do.
    pub(crate) fn hint(self, hint: &str) -> Self {
        self.with(&format!("{HINT}{hint}"))
    }

    /// The same with a further line.
    pub(crate) fn with(self, line: &str) -> Self {
        let longer = |text| format!("{text}\n{line}");
        match self {
            Self::Refused(text) => Self::Refused(longer(text)),
            Self::Failed(text) => Self::Failed(longer(text)),
            Self::Usage(text) => Self::Usage(longer(text)),
            Self::Unreachable(text) => Self::Unreachable(longer(text)),
            Self::NotSaved(text) => Self::NotSaved(longer(text)),
            Self::Config(text) => Self::Config(longer(text)),
            other @ (Self::ClosedPipe | Self::Reported) => other,
        }
    }

    /// Writes the message to stderr, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Refused(text)
            | Self::Failed(text)
            | Self::Usage(text)
            | Self::Unreachable(text)
            | Self::NotSaved(text)
            | Self::Config(text) => print_error(text),
            Self::ClosedPipe | Self::Reported => {}
        }
        ExitCode::from(self.code())
    }
}

/// Begins a line of a message that says what to do.
pub(crate) const HINT: &str = "hint: ";

/// Writes an error to stderr: `error: what`, details indented, `hint: what to do`.
pub(crate) fn print_error(text: &str) {
    print("error", "31", text);
}

/// Writes to stderr what the operator should know although the command has done its work.
pub(crate) fn print_warning(text: &str) {
    print("warning", "33", text);
}

/// Writes a remark to stderr on what went well.
pub(crate) fn print_note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(text));
}

/// Errors of stderr are ignored, as there is no other place to report them.
fn print(label: &str, colour: &str, text: &str) {
    let mut stderr = io::stderr().lock();
    let colour = Some(colour).filter(|_| stderr.is_terminal() && !no_color());
    let _ = writeln!(stderr, "{}", laid_out(label, colour, text));
}

/// Whether `NO_COLOR` is set, by the convention of no-color.org.
pub(crate) fn no_color() -> bool {
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

fn laid_out(label: &str, colour: Option<&str>, text: &str) -> String {
    let paint = |word: &str, code: &str| match colour {
        Some(_) => format!("\x1b[1;{code}m{word}:\x1b[0m"),
        None => format!("{word}:"),
    };
    let mut lines = text.lines();
    let first = printable(lines.next().unwrap_or_default()).into_owned();
    let mut all = format!("{} {first}", paint(label, colour.unwrap_or_default()));
    for line in lines {
        let line = printable(line);
        all += &match line.strip_prefix(HINT) {
            Some(hint) => format!("\n{} {hint}", paint("hint", "36")),
            None => format!("\n  {}", line.trim_start()),
        };
    }
    all
}

/// Replaces control characters, so that text from a remote daemon cannot control the terminal.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(|c| c.is_control() && c != '\n') {
        let safe = |c: char| if c.is_control() && c != '\n' { '?' } else { c };
        text.chars().map(safe).collect::<String>().into()
    } else {
        text.into()
    }
}

/// The message of the daemon, with the options of couicctl that override guard rails and owners, and apply sets.
pub(crate) fn with_option(message: &str) -> String {
    let message = message.replace(FORCE_HINT, "use --force");
    let message = message.replace("?apply=true", "--apply");
    message.replace(ALL_OWNERS_HINT, "use --all-owners")
}

/// The daemon's message, and the details that add to it.
fn refusal(error: &ApiError) -> String {
    let details: Vec<_> = error
        .errors
        .iter()
        .filter(|(field, detail)| {
            let repeats = [
                detail.message.clone(),
                format!("{field}: {}", detail.message),
            ];
            !repeats.contains(&error.message)
        })
        .collect();
    let mut text = error.message.clone();
    for (field, detail) in details.iter().take(SHOWN) {
        text += &format!("\n  {field}: {}", detail.message);
    }
    if details.len() > SHOWN {
        text += &format!("\n  and {} more", details.len() - SHOWN);
    }
    with_option(&text)
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { error, .. } => Self::Refused(refusal(&error)),
            // Below the first line of such an error is what to do.
            other => {
                let text = other.to_string();
                Self::Unreachable(text.replace("\n  ", &format!("\n{HINT}")))
            }
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
    fn what_then_details_then_what_to_do() {
        let failure = Failure::Refused("no\n  cidr: bad\u{1b}".into()).hint("try x");
        let text = failure.text();
        assert_eq!(
            laid_out("error", None, &text),
            "error: no\n  cidr: bad?\nhint: try x"
        );
        assert_eq!(
            laid_out("error", Some("31"), "no\nhint: x"),
            "\u{1b}[1;31merror:\u{1b}[0m no\n\u{1b}[1;36mhint:\u{1b}[0m x"
        );
    }

    #[test]
    fn repeated_details_are_left_out_and_long_lists_cut() {
        let code = couic_common::ErrorCode::Invalid;
        let detail = |message: &str| couic_common::ErrorDetail {
            code,
            message: message.into(),
            rail: None,
        };
        let error = |details: Vec<(String, couic_common::ErrorDetail)>| ApiError {
            code,
            message: "no".into(),
            errors: details.into_iter().collect(),
            outcome: None,
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
    fn a_closed_pipe_is_not_a_failure() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(closed.code(), 0);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.code(), 1);
        let wrapped = serde_json::Error::io(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(Failure::from(wrapped).code(), 0);
    }
}
