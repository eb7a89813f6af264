//! The steps of a plan, and their description for the operator.

use std::{fmt, path::PathBuf};

/// One change of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Create the system user and group of the daemon.
    User { name: String },
    /// Create a directory of this user, with its group.
    Directory {
        path: PathBuf,
        mode: u32,
        owner: String,
        group: String,
    },
    /// Replace the daemon's configuration, once the daemon accepts it: `root:group`, 0640.
    Configuration {
        path: PathBuf,
        text: String,
        group: String,
        changes: Vec<String>,
    },
    /// Write a file of this owner, or of root.
    File {
        path: PathBuf,
        text: String,
        owner: Option<(String, String)>,
        about: String,
    },
    /// Start the daemon now, and at boot.
    Start,
    /// Start the daemon, which runs, at boot too.
    Enable,
    /// Restart the daemon with its new configuration.
    Restart,
    /// Apply the set files.
    Reload,
    /// Let fail2ban read its configuration again, and make the bans that it has with the actions that it now has.
    Fail2ban,
    /// Create the client that fail2ban bans as.
    Fail2banClient {
        /// The file that its token is written to.
        token: PathBuf,
    },
    /// Give that client a new token.
    Fail2banToken {
        /// The file that it is written to, in place of the one that is refused.
        token: PathBuf,
    },
    /// Create the client that may read statistics.
    Monitoring {
        /// The file that its token is written to.
        token: PathBuf,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { name } => write!(f, "create the system user {name}"),
            Self::Directory { path, mode, owner, group } => {
                write!(f, "create {} ({owner}:{group}, {mode:04o})", path.display())
            }
            Self::Configuration { path, changes, .. } => {
                write!(f, "write {}: {}", path.display(), changes.join("; "))
            }
            Self::File { path, about, .. } => write!(f, "write {}: {about}", path.display()),
            Self::Start => f.write_str("start couic now and at boot (systemctl enable --now couic)"),
            Self::Enable => f.write_str("start couic at boot (systemctl enable couic)"),
            Self::Restart => f.write_str(
                "restart couic with its new configuration; the filter stays attached (systemctl restart couic)",
            ),
            Self::Reload => f.write_str("apply the set files (couicctl reload)"),
            Self::Fail2ban => f.write_str("restart the jails of fail2ban (fail2ban-client reload --restart --all)"),
            Self::Fail2banClient { token } => write!(
                f,
                "create the client fail2ban, which may only drop, with its token in {} (0600)",
                token.display()
            ),
            Self::Fail2banToken { token } => write!(
                f,
                "give the client fail2ban a new token, in {}: the one there is refused",
                token.display()
            ),
            Self::Monitoring { token } => write!(
                f,
                "create the client monitoring, with its token in {} (0600)",
                token.display()
            ),
        }
    }
}
