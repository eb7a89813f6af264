//! couicctl's configuration: a file of wire values becomes settings that cannot be wrong, or a list of every mistake.

mod reader;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use couic_client::{Client, Endpoint, Token};

use crate::{asn, failure::Failure};
use reader::Reader;

/// Where the file is, unless `-c` says otherwise.
const DEFAULT_FILE: &str = "/etc/couic/couicctl.toml";
const DEFAULT_SOCKET: &str = "/var/run/couic/couic.sock";
const DEFAULT_CLIENT_FILE: &str = "/var/lib/couic/rbac/clients/couicctl.toml";

const KEYS: [&str; 9] = [
    "mode",
    "socket",
    "client_file",
    "tls",
    "host",
    "port",
    "token",
    "ca_file",
    "asn_url",
];

/// Which daemon, and where prefixes of autonomous systems are asked for.
pub(crate) struct Settings {
    pub(crate) target: Target,
    pub(crate) asn_url: String,
}

/// Which daemon.
pub(crate) enum Target {
    /// That of this machine.
    Local {
        socket: PathBuf,
        client_file: PathBuf,
    },
    /// One elsewhere, behind a proxy that forwards to its socket.
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
        }
    }
}

/// The settings of the file that was named, else of the default file, else the local defaults.
pub(crate) fn load(named: Option<&Path>) -> Result<Settings, Failure> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match fs::read_to_string(path) {
        Ok(text) => parse(&text).map_err(|mistakes| report(path, &mistakes)),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
            Ok(Settings::default())
        }
        Err(error) => Err(Failure::Config(format!(
            "the configuration {} cannot be read: {error}",
            path.display()
        ))),
    }
}

fn report(path: &Path, mistakes: &[String]) -> Failure {
    let mut text = format!("{} is not usable, nothing was done", path.display());
    for mistake in mistakes {
        text += &format!("\n  {mistake}");
    }
    Failure::Config(text)
}

fn parse(text: &str) -> Result<Settings, Vec<String>> {
    let mut file = Reader::new(text, &KEYS)?;
    let mode = file.string("mode");
    let socket = file.string("socket").map(PathBuf::from);
    let client_file = file.string("client_file").map(PathBuf::from);
    let tls = file.boolean("tls");
    let host = file.checked("host", |host| {
        // The same check that a connection makes.
        let made = Client::builder(Endpoint::plain(host, 1)).build();
        made.map(|_| host.to_owned()).map_err(|e| e.to_string())
    });
    let port = file.port("port");
    let token: Option<Token> = file.checked("token", |t| {
        t.parse()
            .map_err(|_| "must be a UUID, as in 00000000-0000-0000-0000-000000000000".into())
    });
    let ca_file = file.string("ca_file").map(PathBuf::from);
    let asn_url = file.checked("asn_url", check_asn_url);
    let target = match mode.as_deref() {
        Some("local") => {
            let socket = file.required("socket", socket, "mode \"local\"");
            let client_file = file.required("client_file", client_file, "mode \"local\"");
            socket
                .zip(client_file)
                .map(|(socket, client_file)| Target::Local {
                    socket,
                    client_file,
                })
        }
        Some("remote") => {
            let tls = file.required("tls", tls, "mode \"remote\"");
            let host = file.required("host", host, "mode \"remote\"");
            let port = file.required("port", port, "mode \"remote\"");
            let token = file.required("token", token, "mode \"remote\"");
            tls.zip(host)
                .zip(port)
                .zip(token)
                .map(|(((tls, host), port), token)| Target::Remote {
                    endpoint: Endpoint::Tcp { host, port, tls },
                    token,
                    ca_file,
                })
        }
        Some(_) => {
            file.wrong("mode", "must be \"local\" or \"remote\"");
            None
        }
        None => file.required("mode", None, "couicctl (\"local\" or \"remote\")"),
    };
    let mistakes = file.into_mistakes();
    match target {
        Some(target) if mistakes.is_empty() => Ok(Settings {
            target,
            asn_url: asn_url.unwrap_or_else(|| asn::DEFAULT_URL.into()),
        }),
        _ => Err(mistakes),
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
