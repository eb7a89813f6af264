//! The connection to the daemon: its address, and a token that may be rotated while this runs.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use couic_client::{Client, Endpoint, SetupError, Token, common::GuardRequest};
use couic_files::read_bounded;
use parking_lot::Mutex;

/// The largest token file.
const LARGEST: u64 = 4096;

/// Where the daemon is, and how it is asked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its address.
    pub endpoint: Endpoint,
    /// A file with the token alone, or a client file of the daemon (`token = "…"`). It is read at the start, and again when
    /// the daemon refuses the token.
    pub token_file: PathBuf,
    /// Certificate authorities (PEM) to trust besides those of the system.
    pub extra_ca: Option<Vec<u8>>,
    /// Ask for the daemon's guard rails even where it does not enforce them.
    pub guard: Option<GuardRequest>,
    /// Whether to keep a copy of the daemon's ignore list: [`Injector::ignored`](crate::Injector::ignored).
    pub watch_ignored: bool,
}

impl Config {
    /// The daemon of this machine, with guard rails and a copy of its ignore list.
    pub fn unix(socket: impl AsRef<Path>, token_file: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: Endpoint::unix(socket),
            token_file: token_file.into(),
            extra_ca: None,
            guard: Some(GuardRequest::default()),
            watch_ignored: true,
        }
    }
}

/// An injector cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InjectError {
    /// The token file cannot be used. The text never quotes it.
    #[error("the token file {} {problem}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The settings of the client are not usable.
    #[error("the client of the daemon cannot be set up")]
    Client(#[from] SetupError),
    /// The thread cannot be started.
    #[error("the thread that sends rules cannot be started")]
    Thread(#[source] io::Error),
}

/// The daemon as it is asked at present.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) config: Config,
    current: Mutex<Current>,
}

/// The client in use, and the how manieth token it has.
#[derive(Debug)]
struct Current {
    token: Token,
    client: Client,
    nth: u64,
}

impl Daemon {
    pub(crate) fn new(config: Config) -> Result<Self, InjectError> {
        let token = read_token(&config.token_file)?;
        let client = client(&config, token.clone())?;
        let nth = 0;
        let current = Mutex::new(Current { token, client, nth });
        Ok(Self { config, current })
    }

    /// The client, and the number of its token.
    pub(crate) fn client(&self) -> (Client, u64) {
        let current = self.current.lock();
        (current.client.clone(), current.nth)
    }

    /// Reads the token again, after the daemon refused the one with this number. Returns whether there is another one now.
    pub(crate) fn renew(&self, refused: u64) -> Result<bool, InjectError> {
        let mut current = self.current.lock();
        if current.nth != refused {
            return Ok(true);
        }
        let token = read_token(&self.config.token_file)?;
        if token == current.token {
            return Ok(false);
        }
        current.client = client(&self.config, token.clone())?;
        current.token = token;
        current.nth += 1;
        tracing::info!(
            "the token was read again from {}",
            self.config.token_file.display()
        );
        Ok(true)
    }
}

fn client(config: &Config, token: Token) -> Result<Client, SetupError> {
    let mut builder = Client::builder(config.endpoint.clone()).token(token);
    if let Some(pem) = &config.extra_ca {
        builder = builder.extra_ca(pem.clone());
    }
    builder.build()
}

fn read_token(path: &Path) -> Result<Token, InjectError> {
    let fail = |problem: String| InjectError::Token {
        path: path.to_owned(),
        problem,
    };
    // Links are followed: credentials are often mounted as such. A FIFO is not waited for.
    let mut options = OpenOptions::new();
    let opened = options.read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let bytes = opened
        .and_then(|file| read_bounded(file, LARGEST))
        .map_err(|error| {
            fail(format!(
                "cannot be read: {error}; `couicctl clients add` shows a token once, write it there, readable by this program only"
            ))
        })?;
    parse_token(&bytes).ok_or_else(|| {
        fail(
            "holds no token: a UUID alone, or a line token = \"UUID\" (its content is not shown)"
                .into(),
        )
    })
}

fn parse_token(bytes: &[u8]) -> Option<Token> {
    let text = std::str::from_utf8(bytes).ok()?;
    if let Ok(token) = text.trim().parse() {
        return Some(token);
    }
    let table: toml::Table = text.parse().ok()?;
    table.get("token")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ONE: &str = "b09d58a9-aaf1-4911-a592-040ff5dc45eb";
    const OTHER: &str = "b09d58a9-aaf1-4911-a592-040ff5dc45ec";

    #[test]
    fn a_token_is_bare_or_in_a_client_file_and_never_quoted() {
        let one: Option<Token> = ONE.parse().ok();
        assert_eq!(parse_token(format!("{ONE}\n").as_bytes()), one);
        let file = format!("token = \"{ONE}\"\ngroup = \"clientrw\"\n");
        assert_eq!(parse_token(file.as_bytes()), one);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let large = "b09d".repeat(2_000);
        for bad in ["", "b09d58a9", "token = 5 # b09d58a9", &large] {
            fs::write(&path, bad).unwrap();
            let error = read_token(&path).unwrap_err().to_string();
            let told = error.contains("holds no token") || error.contains("larger than");
            assert!(told && !error.contains("b09d"), "{error}");
        }
        let missing = read_token(&dir.path().join("none")).unwrap_err();
        assert!(missing.to_string().contains("couicctl clients add"));
    }

    #[test]
    fn another_token_is_taken_and_a_file_that_is_gone_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, ONE).unwrap();
        let daemon = Daemon::new(Config::unix("/nowhere", &path)).unwrap();
        assert!(!daemon.renew(0).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(daemon.renew(0).is_err());
        fs::write(&path, OTHER).unwrap();
        assert!(daemon.renew(0).unwrap() && !daemon.renew(1).unwrap());
        assert!(daemon.renew(0).unwrap(), "another task has read it");
    }
}
