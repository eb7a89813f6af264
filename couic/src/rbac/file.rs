//! One client file: `NAME.toml` with `token = "<uuid>"` and `group = "<group>"`, mode 0600.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use couic_common::{ClientInfo, ClientName, Group};
use uuid::Uuid;

use couic_files::owner_name;

/// In bytes, far more than a client file needs.
const LARGEST: u64 = 4096;

const SHAPE: &str = r#"it must hold exactly: token = "<uuid>" and group = "<group>""#;

/// The content of the client's file.
pub(super) fn render(client: &ClientInfo) -> String {
    let ClientInfo {
        name: _,
        group,
        token,
    } = client;
    format!("token = \"{token}\"\ngroup = \"{group}\"\n")
}

/// Reads a client file that belongs to `owner` or to root.
///
/// The error is for the operator: the problem and the fix, without any content that could be a token.
pub(super) fn read(path: &Path, name: ClientName, owner: u32) -> Result<ClientInfo, String> {
    let text = read_private(path, owner)?;
    let (token, group) = parse(&text)?;
    Ok(ClientInfo { name, group, token })
}

/// Opens first and checks the descriptor, so that the file cannot be exchanged in between.
fn read_private(path: &Path, owner: u32) -> Result<String, String> {
    let unreadable = |e: io::Error| format!("cannot be read: {e}");
    if fs::symlink_metadata(path).map_err(unreadable)?.is_symlink() {
        return Err(
            "is a symbolic link, which is not followed: put the file itself here".to_owned(),
        );
    }
    let file = OpenOptions::new()
        .read(true)
        // O_NONBLOCK: a FIFO of that name must not hang the start.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    let shown = path.display();
    if !found.is_file() {
        return Err("is not a regular file: move it away".to_owned());
    }
    let mode = found.mode() & 0o7777;
    if mode != 0o600 {
        return Err(format!(
            "has mode {mode:04o}, but holds a secret: run chmod 0600 {shown}, and replace the client if others may have read it"
        ));
    }
    if found.uid() != owner && found.uid() != 0 {
        let (whose, ours) = (owner_name(found.uid()), owner_name(owner));
        return Err(format!("belongs to {whose}: run chown {ours} {shown}"));
    }
    let mut text = String::new();
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > LARGEST {
        return Err(format!("is larger than {LARGEST} bytes: {SHAPE}"));
    }
    Ok(text)
}

/// The TOML library's message quotes the content, which may be a token: only the line number is used.
fn parse(text: &str) -> Result<(Uuid, Group), String> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        let start = e.span().map_or(0, |s| s.start.min(text.len()));
        let line = 1 + text.as_bytes()[..start]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        format!("line {line} is not TOML: {SHAPE}")
    })?;
    if let Some(key) = table.keys().find(|k| *k != "token" && *k != "group") {
        return Err(format!("has an unknown key {key:?}: {SHAPE}"));
    }
    let value = |key: &str| match table.get(key).map(|v| v.as_str()) {
        Some(Some(text)) => Ok(text),
        Some(None) => Err(format!("{key} is not a string: {SHAPE}")),
        None => Err(format!("has no {key}: {SHAPE}")),
    };
    let group = value("group")?.parse().map_err(|e| format!("group: {e}"))?;
    let token = Uuid::parse_str(value("token")?)
        .ok()
        .filter(|t| !t.is_nil())
        .ok_or(
            "token is not a UUID, or is all zeros: delete the file and create the client again",
        )?;
    Ok((token, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendered_client_is_parsed_back() {
        let client = ClientInfo {
            name: "web".parse().unwrap(),
            group: Group::ClientRw,
            token: Uuid::from_u128(7),
        };
        assert_eq!(
            parse(&render(&client)).unwrap(),
            (client.token, client.group)
        );
    }

    #[test]
    fn every_bad_content_is_refused_without_quoting_it() {
        for (text, expected) in [
            ("", "has no group"),
            ("group = \"admin\"", "has no token"),
            (
                "group = \"admin\"\ntoken = \"5ec2e7\"",
                "token is not a UUID",
            ),
            (
                "group = \"admin\"\ntoken = \"00000000-0000-0000-0000-000000000000\"",
                "all zeros",
            ),
            ("group = \"admin\"\ntoken = 5227", "token is not a string"),
            (
                "group = \"admin\"\ntoken = 5ec2e7-5227",
                "line 2 is not TOML",
            ),
            ("group = \"root\"\ntoken = \"5ec2e7\"", "unknown group"),
            (
                "group = [\"admin\"]\ntoken = \"5ec2e7\"",
                "group is not a string",
            ),
            (
                "group = \"admin\"\ntoken = \"550e8400-e29b-41d4-a716-446655440000\"\nexpires = 1",
                "unknown key \"expires\"",
            ),
        ] {
            let told = parse(text).unwrap_err();
            assert!(told.contains(expected), "{text:?}: {told}");
            for secret in ["5ec2e7", "5227", "550e8400"] {
                assert!(!told.contains(secret), "{told}");
            }
        }
    }
}
