//! One client file: `NAME.toml` with `group = "<group>"` and the token or its hash, mode 0600.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use couic_common::{ClientLimits, ClientName, Group};
use uuid::Uuid;

use super::{
    RbacError,
    digest::TokenHash,
    record::{Record, StoredToken, check_limits},
};
use couic_files::owner_name;

/// In bytes, far more than a client file needs.
const LARGEST: u64 = 4096;

const SHAPE: &str = r#"it must hold token = "<uuid>" (or token_sha256) and group = "<group>", and may hold expires and [limits]"#;

const KEYS: [&str; 5] = ["token", "token_sha256", "group", "expires", "limits"];

/// The content of the client's file.
///
/// # Errors
/// None for limits without a mistake.
pub(super) fn render(record: &Record) -> io::Result<String> {
    let Record {
        name: _,
        group,
        token,
        expires,
        limits,
    } = record;
    let mut text = match token {
        StoredToken::Plain(token) => format!("token = \"{token}\"\n"),
        StoredToken::Hashed(hash) => format!("token_sha256 = \"{hash}\"\n"),
    };
    text += &format!("group = \"{group}\"\n");
    if let Some(expires) = expires {
        text += &format!("expires = {expires}\n");
    }
    if let Some(limits) = limits {
        text += "\n[limits]\n";
        text += &toml::to_string(limits).map_err(io::Error::other)?;
    }
    Ok(text)
}

/// Reads a client file that belongs to `owner` or to root.
///
/// The error is for the operator: the problem and the fix, without any content that could be a token.
pub(super) fn read(path: &Path, name: ClientName, owner: u32) -> Result<Record, String> {
    parse(name, &read_private(path, owner)?)
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
fn parse(name: ClientName, text: &str) -> Result<Record, String> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        let start = e.span().map_or(0, |s| s.start.min(text.len()));
        let line = 1 + text.as_bytes()[..start]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        format!("line {line} is not TOML: {SHAPE}")
    })?;
    if let Some(key) = table.keys().find(|k| !KEYS.contains(&k.as_str())) {
        return Err(format!("has an unknown key {key:?}: {SHAPE}"));
    }
    let group: Group = required(&table, "group")?
        .parse()
        .map_err(|e| format!("group: {e}"))?;
    let token = token(&table)?;
    let expires = match table.get("expires") {
        None => None,
        Some(value) => {
            let seconds = value.as_integer().and_then(|s| u64::try_from(s).ok());
            Some(seconds.ok_or("expires is not a time in Unix seconds")?)
        }
    };
    let limits = limits(&table)?;
    let lifetime = limits.as_ref().and_then(|l| l.token_lifetime);
    if lifetime.is_some() != expires.is_some() {
        return Err(
            "has expires (Unix seconds) without token_lifetime (seconds, in [limits]), or the other way round: set both, or none"
                .to_owned(),
        );
    }
    check_limits(&name, group, limits.as_ref()).map_err(|e: RbacError| e.to_string())?;
    Ok(Record {
        name,
        group,
        token,
        expires,
        limits,
    })
}

fn required<'a>(table: &'a toml::Table, key: &str) -> Result<&'a str, String> {
    match table.get(key).map(|v| v.as_str()) {
        Some(Some(text)) => Ok(text),
        Some(None) => Err(format!("{key} is not a string: {SHAPE}")),
        None => Err(format!("has no {key}: {SHAPE}")),
    }
}

fn token(table: &toml::Table) -> Result<StoredToken, String> {
    if !table.contains_key("token_sha256") {
        let token = Uuid::parse_str(required(table, "token")?).ok();
        let token = token.filter(|t| !t.is_nil());
        return token.map(StoredToken::Plain).ok_or_else(|| {
            "token is not a UUID, or is all zeros: delete the file and create the client again"
                .to_owned()
        });
    }
    if table.contains_key("token") {
        return Err("has both token and token_sha256: remove one".to_owned());
    }
    let hash = TokenHash::parse(required(table, "token_sha256")?);
    hash.map(StoredToken::Hashed).ok_or_else(|| {
        "token_sha256 is not 64 hexadecimal digits: delete the file and create the client again"
            .to_owned()
    })
}

/// The library's message quotes values, of which one may be a token in the wrong place.
fn limits(table: &toml::Table) -> Result<Option<ClientLimits>, String> {
    let limits = table.get("limits").cloned().map(toml::Value::try_into);
    limits.transpose().map_err(|_| {
        "[limits] has an unknown key or a value of the wrong type: its keys are policies, tags, widest_ipv4, widest_ipv6, longest, adds_per_minute and token_lifetime"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendered_client_is_parsed_back() {
        let token = Uuid::from_u128(7);
        let limits = r#"{"policies": ["drop"], "tags": ["mon-*"], "widest_ipv4": 24, "widest_ipv6": 48,
            "longest": 604800, "adds_per_minute": 6000, "token_lifetime": 60}"#;
        let limits: ClientLimits = serde_json::from_str(limits).unwrap();
        for (limits, expires) in [
            (None, None),
            (Some(limits), Some(1_800_000_000)),
            (Some(ClientLimits::default()), None),
        ] {
            let plain = Record {
                name: "web".parse().unwrap(),
                group: Group::ClientRw,
                token: StoredToken::Plain(token),
                expires,
                limits,
            };
            for record in [plain.clone(), plain.kept()] {
                let text = render(&record).unwrap();
                assert_eq!(parse(record.name.clone(), &text).unwrap(), record);
                let in_plain = text.contains(&token.to_string());
                assert_eq!(in_plain, matches!(record.token, StoredToken::Plain(_)));
            }
        }
    }

    #[test]
    fn the_token_of_couicctl_does_not_expire() {
        let text = "group = \"admin\"\ntoken = \"550e8400-e29b-41d4-a716-446655440000\"\nexpires = 1\n[limits]\ntoken_lifetime = 1";
        assert!(parse("web".parse().unwrap(), text).is_ok());
        let told = parse("couicctl".parse().unwrap(), text).unwrap_err();
        assert!(told.contains("the client that couicctl uses"), "{told}");
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
                "group = \"admin\"\ntoken = \"550e8400-e29b-41d4-a716-446655440000\"\nexpire = 1",
                "unknown key \"expire\"",
            ),
            (
                "group = \"admin\"\ntoken = \"550e8400-e29b-41d4-a716-446655440000\"\ntoken_sha256 = \"\"",
                "has both",
            ),
            (
                "group = \"admin\"\ntoken_sha256 = \"550e8400-e29b-41d4-a716-446655440000\"",
                "not 64 hexadecimal digits",
            ),
            (
                "group = \"admin\"\ntoken = \"550e8400-e29b-41d4-a716-446655440000\"\nexpires = \"5227\"",
                "not a time",
            ),
            (
                "group = \"clientrw\"\ntoken = \"550e8400-e29b-41d4-a716-446655440000\"\n[limits]\ntags = \"5227\"",
                "[limits] has an unknown key or a value of the wrong type",
            ),
            (
                "group = \"clientrw\"\ntoken = \"550e8400-e29b-41d4-a716-446655440000\"\n[limits]\ntags = []",
                "limits.tags must be",
            ),
            (
                "group = \"admin\"\ntoken = \"550e8400-e29b-41d4-a716-446655440000\"\n[limits]\ntags = [\"x\"]",
                "an admin could create a client without limits",
            ),
            (
                "group = \"clientrw\"\ntoken = \"550e8400-e29b-41d4-a716-446655440000\"\n[limits]\ntoken_lifetime = 60",
                "set both, or none",
            ),
        ] {
            let told = parse("web".parse().unwrap(), text).unwrap_err();
            assert!(told.contains(expected), "{text:?}: {told}");
            for secret in ["5ec2e7", "5227", "550e8400"] {
                assert!(!told.contains(secret), "{told}");
            }
        }
    }
}
