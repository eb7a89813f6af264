//! couicctl's configuration: parses the file into valid settings, or a list of all mistakes.

use std::path::{Path, PathBuf};

use couic_client::{Client, Endpoint, Token};
use couic_feeds::asn;
use couic_settings::{ConfigErrors, Section};

use crate::failure::Failure;

/// Default path of the file, without `-c`.
const DEFAULT_FILE: &str = "/etc/couic/couicctl.toml";
const DEFAULT_SOCKET: &str = "/var/run/couic/couic.sock";
const DEFAULT_CLIENT_FILE: &str = "/var/lib/couic/rbac/clients/couicctl.toml";

/// The daemon, and the source of prefixes of autonomous systems.
pub(crate) struct Settings {
    pub(crate) target: Target,
    pub(crate) asn_url: String,
    /// The file that these are from, or would be.
    pub(crate) file: PathBuf,
}

/// The daemon.
pub(crate) enum Target {
    /// The daemon of this host.
    Local {
        socket: PathBuf,
        client_file: PathBuf,
    },
    /// A remote daemon, behind a proxy that forwards to its socket.
    Remote {
        endpoint: Endpoint,
        token: Token,
        ca_file: Option<PathBuf>,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            target: Target::Local {
                socket: DEFAULT_SOCKET.into(),
                client_file: DEFAULT_CLIENT_FILE.into(),
            },
            asn_url: asn::DEFAULT_URL.into(),
            file: DEFAULT_FILE.into(),
        }
    }
}

/// The settings of the given file, else of the default file, else the local defaults.
pub(crate) fn load(named: Option<&Path>) -> Result<Settings, Failure> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    if named.is_none() && matches!(path.try_exists(), Ok(false)) {
        return Ok(Settings::default());
    }
    let settings = couic_settings::load(path, read).map_err(|errors| report(&errors))?;
    Ok(Settings {
        file: path.to_owned(),
        ..settings
    })
}

fn report(errors: &ConfigErrors) -> Failure {
    let mistakes = errors.to_string().replace('\n', "\n  ");
    Failure::Config(format!(
        "the configuration is not usable, nothing was done\n  {mistakes}"
    ))
}

/// The kind of daemon in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Local,
    Remote,
}

impl Mode {
    const ALL: [(&str, Self); 2] = [("local", Self::Local), ("remote", Self::Remote)];

    /// The keys that the mode requires.
    fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Local => &["socket", "client_file"],
            Self::Remote => &["tls", "host", "port", "token"],
        }
    }
}

/// Reads every key, whatever the mode requires, so that all mistakes are reported.
fn read(root: &mut Section<'_>) -> Option<Settings> {
    let mode = mode(root);
    let socket = text(root, "socket");
    let client_file = text(root, "client_file");
    let tls = root.bool("tls", false);
    let host = checked(root, "host", |host| {
        // The same check as for a connection.
        let made = Client::builder(Endpoint::plain(host, 1)).build();
        made.map(|_| host.to_owned()).map_err(|e| e.to_string())
    });
    let port = root.int("port", 1..=65_535, Some(1));
    let token: Option<Option<Token>> = checked(root, "token", |token| {
        let message = "is not a UUID (not shown here: it is a secret)";
        token.parse().map_err(|_| message.to_owned())
    });
    let ca_file = text(root, "ca_file");
    let asn_url = checked(root, "asn_url", check_asn_url)?;
    let target = match mode? {
        Mode::Local => Target::Local {
            socket: socket??.into(),
            client_file: client_file??.into(),
        },
        Mode::Remote => Target::Remote {
            endpoint: Endpoint::Tcp {
                host: host??,
                port: u16::try_from(port?).ok()?,
                tls: tls?,
            },
            token: token??,
            ca_file: ca_file?.map(PathBuf::from),
        },
    };
    Some(Settings {
        target,
        asn_url: asn_url.unwrap_or_else(|| asn::DEFAULT_URL.into()),
        file: PathBuf::new(),
    })
}

/// The mode, with a mistake for each required key that is missing.
fn mode(root: &mut Section<'_>) -> Option<Mode> {
    if root.get("mode").is_none() {
        let message = "is missing: must be \"local\" or \"remote\"";
        return root.mistake(None, "mode", message.to_owned());
    }
    let mode = root.one_of("mode", &Mode::ALL, Mode::Local)?;
    let name = if mode == Mode::Local {
        "local"
    } else {
        "remote"
    };
    for key in mode.needs() {
        if root.get(key).is_none() {
            let message = format!("is missing: mode {name:?} requires it");
            root.mistake::<()>(None, key, message);
        }
    }
    Some(mode)
}

/// A string that is not empty. `Some(None)` if the key is missing, None after a mistake.
fn text(root: &mut Section<'_>, key: &'static str) -> Option<Option<String>> {
    checked(root, key, |text| Ok(text.to_owned()))
}

/// The same, converted by `check`.
fn checked<T>(
    root: &mut Section<'_>,
    key: &'static str,
    check: impl FnOnce(&str) -> Result<T, String>,
) -> Option<Option<T>> {
    let Some((text, line)) = root.string(key).ok()? else {
        return Some(None);
    };
    if text.is_empty() {
        return root.mistake(Some(line), key, "is empty".to_owned());
    }
    match check(text) {
        Ok(value) => Some(Some(value)),
        Err(message) => root.mistake(Some(line), key, message),
    }
}

fn check_asn_url(url: &str) -> Result<String, String> {
    let filled = url.replace(asn::PLACEHOLDER, "1");
    let good = reqwest::Url::parse(&filled)
        .is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
    if good && filled != url {
        Ok(url.to_owned())
    } else {
        Err("must be an http or https URL with {asn} where the number goes".into())
    }
}

#[cfg(test)]
mod tests;
