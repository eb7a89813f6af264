//! Builds the client of the daemon from the settings: reads the token and sets up the transport, without connecting.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path, time::Duration};

use couic_client::{Builder, Client, Endpoint, ListQuery, Token};
use couic_common::Policy;
use serde::Deserialize;

use crate::{
    config::{Settings, Target},
    failure::{Failure, print_warning},
};

/// The part of a client file that couicctl needs.
#[derive(Deserialize)]
struct ClientFile {
    #[serde(default)]
    token: String,
    /// In the file of the daemon for any client but couicctl's.
    #[serde(default)]
    token_sha256: String,
}

/// The client, and the source of its token for messages.
pub(crate) fn connect(settings: &Settings) -> Result<(Client, String), Failure> {
    let client = open(settings, None)?;
    match &settings.target {
        Target::Local { client_file, .. } => {
            if let Some(warning) = world_readable(client_file) {
                print_warning(&warning);
            }
            Ok((client, client_file.display().to_string()))
        }
        Target::Remote { .. } => Ok((client, "couicctl's configuration".into())),
    }
}

/// The client, for a question that must be answered soon or not at all. Prints nothing.
pub(crate) fn within(settings: &Settings, timeout: Duration) -> Result<Client, Failure> {
    open(settings, Some(timeout))
}

/// A client that can ask for no more than the health of the daemon: it needs no token.
pub(crate) fn without_token(settings: &Settings) -> Result<Client, Failure> {
    match &settings.target {
        Target::Local { socket, .. } => {
            Ok(Client::builder(Endpoint::unix(socket.as_path())).build()?)
        }
        Target::Remote { .. } => open(settings, None),
    }
}

/// Whether the daemon on this socket refuses the token in a file, or the file has none. None if that cannot be asked.
pub(crate) async fn refuses(socket: &Path, token: &Path) -> Option<bool> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let settings = Settings {
        target: Target::Local {
            socket: socket.to_owned(),
            client_file: token.to_owned(),
        },
        ..Settings::default()
    };
    let client = match within(&settings, PATIENCE) {
        Ok(client) => client,
        Err(Failure::Config(_)) => return Some(true),
        Err(_) => return None,
    };
    let query = ListQuery {
        limit: Some(1),
        ..ListQuery::default()
    };
    match client.entries(Policy::Drop, &query).await {
        Ok(_) => Some(false),
        Err(error) => (error.http_status() == Some(401)).then_some(true),
    }
}

fn open(settings: &Settings, timeout: Option<Duration>) -> Result<Client, Failure> {
    let mut builder = match &settings.target {
        Target::Local {
            socket,
            client_file,
        } => Client::builder(Endpoint::unix(socket.as_path())).token(token_of(client_file)?),
        Target::Remote {
            endpoint,
            token,
            ca_file,
        } => remote(endpoint, token, ca_file.as_deref())?,
    };
    if let Some(timeout) = timeout {
        builder = builder.timeout(timeout).connect_timeout(timeout);
    }
    Ok(builder.build()?)
}

fn remote(endpoint: &Endpoint, token: &Token, ca_file: Option<&Path>) -> Result<Builder, Failure> {
    let mut builder = Client::builder(endpoint.clone()).token(token.clone());
    if let Some(path) = ca_file {
        let pem = fs::read(path).map_err(|e| {
            Failure::Config(format!("ca_file {} cannot be read: {e}", path.display()))
        })?;
        builder = builder.extra_ca(pem);
    }
    Ok(builder)
}

fn token_of(path: &Path) -> Result<Token, Failure> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    // The message of the parser would quote the line with the token.
    let damaged = || {
        Failure::Config(format!(
            "the client file {} contains no `token = \"UUID\"`\nhint: restore it, or delete it and restart the daemon, which then creates a new one",
            path.display()
        ))
    };
    // As `clients add --token-file` writes it.
    if let Ok(token) = text.trim().parse() {
        return Ok(token);
    }
    match toml::from_str(&text) {
        Ok(ClientFile { token, .. }) if !token.is_empty() => token.parse().map_err(|_| damaged()),
        Ok(ClientFile { token_sha256, .. }) if !token_sha256.is_empty() => {
            Err(Failure::Config(format!(
                "the client file {} has the hash of a token, not the token: the daemon keeps no others\nhint: couicctl clients rotate NAME --token-file FILE, with an admin's client file, makes a token; then set client_file to that file",
                path.display()
            )))
        }
        _ => Err(damaged()),
    }
}

/// A warning for a world-readable file. The daemon refuses such a file in its own directory; a copy elsewhere is used.
fn world_readable(path: &Path) -> Option<String> {
    const READ_OTHERS: u32 = 0o004;
    let mode = fs::metadata(path).ok()?.mode();
    (mode & READ_OTHERS != 0).then(|| {
        let shown = path.display();
        format!("every user of this host can read the token in {shown}: run chmod o-r {shown}")
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run this as root or as the user of the daemon (couic), or set client_file in couicctl.toml to a client file that you can read"
        }
        io::ErrorKind::NotFound => {
            "the daemon creates it at its first start: has it run (systemctl status couic), and is client_file in couicctl.toml in its working_dir?"
        }
        _ => "set client_file in couicctl.toml to a file that contains the token",
    };
    Failure::Unreachable(format!(
        "the token in {} cannot be read: {error}\nhint: {advice}",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use couic_testkit::{Reply, StandIn};

    use super::*;

    fn text(failure: Failure) -> String {
        match failure {
            Failure::Unreachable(text) | Failure::Config(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_damaged_client_file_is_named_but_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        for bad in [
            "token = \"secret-1234\"",
            "secret-1234",
            "token = 5 # secret-1234",
            "group = \"admin\"",
        ] {
            fs::write(&path, bad).unwrap();
            let message = text(token_of(&path).unwrap_err());
            assert!(
                message.contains("c.toml") && !message.contains("secret"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_token_alone_in_its_file_will_do_and_a_hash_says_why_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "bbfa1388-3218-463c-9722-6805507c14bb\n").unwrap();
        assert!(token_of(&path).is_ok());
        fs::write(&path, "token_sha256 = \"00ff\"\ngroup = \"admin\"\n").unwrap();
        let message = text(token_of(&path).unwrap_err());
        assert!(
            message.contains("has the hash of a token") && !message.contains("00ff"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_token_that_the_daemon_does_not_know_is_told_from_one_that_cannot_be_tried() {
        let dir = tempfile::tempdir().unwrap();
        let (token, none) = (dir.path().join("token"), dir.path().join("none"));
        fs::write(&token, "bbfa1388-3218-463c-9722-6805507c14bb\n").unwrap();
        for (status, body, expected) in [
            (200, "[]", Some(false)),
            (401, "{\"message\":\"no\"}", Some(true)),
            (503, "{\"message\":\"later\"}", None),
        ] {
            let daemon = StandIn::unix(move |_| Reply::json(status, body));
            assert_eq!(refuses(&daemon.socket, &token).await, expected, "{status}");
            assert_eq!(refuses(&daemon.socket, &none).await, None);
        }
        assert_eq!(refuses(&none, &token).await, None);
        fs::write(&token, "").unwrap();
        assert_eq!(refuses(&none, &token).await, Some(true));
    }

    #[test]
    fn a_world_readable_token_is_reported_with_the_fix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        fs::write(&path, "token = \"secret-1234\"").unwrap();
        for (mode, warns) in [(0o600, false), (0o640, false), (0o644, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let warning = world_readable(&path);
            assert_eq!(warning.is_some(), warns, "{mode:o}");
            assert!(warning.is_none_or(|w| w.contains("run chmod o-r /") && !w.contains("secret")));
        }
    }

    #[test]
    fn a_missing_client_file_says_what_to_do() {
        let message = text(token_of(Path::new("/nonexistent/c.toml")).unwrap_err());
        assert!(
            message.contains("/nonexistent/c.toml") && message.contains("has it run"),
            "{message}"
        );
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(text(unreadable(Path::new("/x"), &denied)).contains("as root"));
    }
}
