//! From settings to a client of the daemon: reads the token, sets up the transport, connects to nothing yet.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use couic_client::{Client, Endpoint, Token};
use serde::Deserialize;

use crate::{
    config::{Settings, Target},
    failure::Failure,
};

/// What couicctl reads of a client file. The group is the daemon's business.
#[derive(Deserialize)]
struct ClientFile {
    token: String,
}

/// The client, and where its token came from: for messages.
pub(crate) fn connect(settings: &Settings) -> Result<(Client, String), Failure> {
    match &settings.target {
        Target::Local {
            socket,
            client_file,
        } => {
            let token = token_of(client_file)?;
            if let Some(warning) = open_to_all(client_file) {
                eprintln!("couicctl: {warning}");
            }
            let client = Client::unix(socket, token)?;
            Ok((client, client_file.display().to_string()))
        }
        Target::Remote {
            endpoint,
            token,
            ca_file,
        } => {
            let client = remote(endpoint, token, ca_file.as_deref())?;
            Ok((client, "couicctl's configuration".into()))
        }
    }
}

fn remote(endpoint: &Endpoint, token: &Token, ca_file: Option<&Path>) -> Result<Client, Failure> {
    let mut builder = Client::builder(endpoint.clone()).token(token.clone());
    if let Some(path) = ca_file {
        let pem = fs::read(path).map_err(|e| {
            Failure::Config(format!("ca_file {} cannot be read: {e}", path.display()))
        })?;
        builder = builder.extra_ca(pem);
    }
    Ok(builder.build()?)
}

fn token_of(path: &Path) -> Result<Token, Failure> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    // The parser's own message would show the line, and with it the token.
    let damaged = || {
        Failure::Config(format!(
            "the client file {} holds no `token = \"UUID\"`\n  restore it, or delete it and restart the daemon, which then makes a new one",
            path.display()
        ))
    };
    let file: ClientFile = toml::from_str(&text).map_err(|_| damaged())?;
    file.token.parse().map_err(|_| damaged())
}

/// The daemon refuses such a file among its own; a copy elsewhere is the owner's business, once he knows.
fn open_to_all(path: &Path) -> Option<String> {
    const READ_OTHERS: u32 = 0o004;
    let mode = fs::metadata(path).ok()?.mode();
    (mode & READ_OTHERS != 0).then(|| {
        let shown = path.display();
        format!("warning: everybody on this machine can read the token in {shown}: run chmod o-r {shown}")
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run this as root or as the user of the daemon (couic), or set client_file in couicctl.toml\n  to a client file that you may read"
        }
        io::ErrorKind::NotFound => {
            "the daemon makes it when it first starts: has it run (systemctl status couic), and is its\n  working_dir the one that client_file in couicctl.toml points into?"
        }
        _ => "set client_file in couicctl.toml to a file that holds the token",
    };
    Failure::Unreachable(format!(
        "the token in {} cannot be read: {error}\n  {advice}",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn text(failure: Failure) -> String {
        match failure {
            Failure::Unreachable(text) | Failure::Config(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_damaged_client_file_is_named_but_not_shown() {
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
    fn a_token_that_everybody_can_read_is_warned_of_with_the_fix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        fs::write(&path, "token = \"secret-1234\"").unwrap();
        for (mode, warns) in [(0o600, false), (0o640, false), (0o644, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let warning = open_to_all(&path);
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
