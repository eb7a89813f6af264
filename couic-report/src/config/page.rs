//! `[page]`: the web page. Off by default; without a token there is no page.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use couic_client::{Endpoint, Token};
use couic_settings::{Noted, Secret, Section};

use super::{address, name};

/// The shortest token of the page: 16 random characters cannot be guessed at the rate that the login allows.
const SHORTEST_TOKEN: usize = 16;

/// The longest one, and so the longest that a login reads.
pub(crate) const LONGEST_TOKEN: usize = 256;

/// The web page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The listen address, other than that of the reports.
    pub addr: SocketAddr,
    /// Who may log in; at least one.
    pub users: Vec<User>,
    /// Host names by which browsers reach the page, besides `localhost` and addresses.
    pub hosts: Vec<String>,
    /// Reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub proxies: Vec<IpAddr>,
    /// How long a login lasts.
    pub session: Duration,
    /// MaxMind databases of countries and networks.
    pub mmdb: Vec<PathBuf>,
    /// Daemons that the page asks, and on which it acts.
    pub firewalls: Vec<Firewall>,
}

/// Who logs in.
#[derive(Clone, Debug)]
pub struct User {
    /// The name in logs, and in the reason of a change.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// The password.
    pub token: Source<String>,
}

/// What a user of the page may do; the greater may do more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read.
    View,
    /// Ban, unban, allow for an hour, confirm.
    Act,
}

impl Role {
    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Act => "act",
        }
    }
}

/// A secret in the configuration, or in a file of its own, which is read at the start.
#[derive(Clone, Debug)]
pub enum Source<T> {
    /// In the configuration.
    Here(Secret<T>),
    /// In this file.
    File(PathBuf),
}

/// A daemon.
#[derive(Clone, Debug)]
pub struct Firewall {
    /// Its name, as in its reports.
    pub name: String,
    /// Its address.
    pub endpoint: Endpoint,
    /// Its token for this page.
    pub token: Source<Token>,
    /// A file with certificate authorities to trust besides those of the system.
    pub ca: Option<PathBuf>,
}

/// `Some(None)` if there is no page; None after a mistake.
pub(super) fn read(root: &mut Section<'_>) -> Option<Option<Page>> {
    let mut section = root.table("page");
    let enabled = section.bool("enabled", false);
    let ip = address(&mut section);
    let port = section.int("port", 1..=65_535, Some(8001));
    let users = users(&mut section, enabled == Some(true));
    let hosts = names(&mut section, "hosts");
    let proxies = proxies(&mut section);
    let hours = section.int("session_hours", 1..=720, Some(12));
    let mmdb = paths(&mut section, "mmdb");
    let firewalls = firewalls(&mut section);
    section.finish();
    let page = Page {
        addr: SocketAddr::new(ip?, u16::try_from(port?).ok()?),
        users: users?,
        hosts: hosts?,
        proxies: proxies?,
        session: Duration::from_secs(hours? * 3600),
        mmdb: mmdb?,
        firewalls: firewalls?,
    };
    Some(enabled?.then_some(page))
}

const ROLES: [(&str, Role); 2] = [("view", Role::View), ("act", Role::Act)];

/// `token` of the table itself, which is the user `page`, and `[[page.users]]`.
fn users(section: &mut Section<'_>, required: bool) -> Option<Vec<User>> {
    let own = token(section, password);
    let role = section.one_of("role", &ROLES, Role::View);
    let tables = section.tables("users")?;
    let mut users = Vec::new();
    if let Some(token) = own? {
        let name = "page".to_owned();
        users.push(User {
            name,
            role: role?,
            token,
        });
    }
    // Every table is read, so that all mistakes are reported.
    let read: Vec<_> = tables.into_iter().map(user).collect();
    for user in read {
        users.push(user?);
    }
    if users.is_empty() && required {
        let message = "is missing: the page shows who is banned and why, so it has no access \
                       without a token; openssl rand -hex 16 makes one";
        return section.mistake(None, "token", message.to_owned());
    }
    Some(users)
}

fn user(mut table: Section<'_>) -> Option<User> {
    let name = name(&mut table);
    let role = table.one_of("role", &ROLES, Role::View);
    let token = required_token(&mut table, password);
    table.finish();
    Some(User {
        name: name?,
        role: role?,
        token: token?,
    })
}

/// What a login token must be. The error never quotes it.
pub(crate) fn password(text: &str) -> Result<String, String> {
    if (SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "must have {SHORTEST_TOKEN} to {LONGEST_TOKEN} characters; openssl rand -hex 16 makes one"
    ))
}

/// What a daemon's token must be. The error never quotes it.
pub(crate) fn daemon_token(text: &str) -> Result<Token, String> {
    text.parse()
        .map_err(|_| "is not a UUID (not shown here: it is a secret)".to_owned())
}

/// `token` or `token_file`; `Some(None)` if there is neither.
fn token<T>(
    section: &mut Section<'_>,
    check: fn(&str) -> Result<T, String>,
) -> Option<Option<Source<T>>> {
    let inline = section.string("token");
    let file = section.string("token_file");
    let (Ok(inline), Ok(file)) = (inline, file) else {
        return None;
    };
    match (inline, file) {
        (Some(_), Some((_, line))) => {
            let message = "must not be set together with token".to_owned();
            section.mistake(Some(line), "token_file", message)
        }
        (Some((text, line)), None) => match check(text) {
            Ok(token) => Some(Some(Source::Here(Secret::new(token)))),
            Err(message) => section.mistake(Some(line), "token", message),
        },
        (None, Some(_)) => {
            let path = section.path("token_file", "/run/credentials/couic-report.service/page")?;
            Some(Some(Source::File(path)))
        }
        (None, None) => Some(None),
    }
}

fn required_token<T>(
    section: &mut Section<'_>,
    check: fn(&str) -> Result<T, String>,
) -> Option<Source<T>> {
    token(section, check)?.or_else(|| {
        let message = "is missing; token_file names a file that contains it".to_owned();
        section.mistake(None, "token", message)
    })
}

/// Host names, in lower case.
fn names(section: &mut Section<'_>, key: &'static str) -> Option<Vec<String>> {
    if section.get(key).is_none() {
        return Some(Vec::new());
    }
    let texts = section.strings(key)?;
    let one = |(text, line): (String, usize)| {
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if !text.is_empty() && text.len() <= 253 && text.bytes().all(is_name) {
            return Some(text.to_ascii_lowercase());
        }
        let message = format!("{text:?} is not a host name, as in \"couic.example.org\"");
        section.mistake(Some(line), key, message)
    };
    let all: Vec<_> = texts.into_iter().map(one).collect();
    all.into_iter().collect()
}

fn proxies(section: &mut Section<'_>) -> Option<Vec<IpAddr>> {
    if section.get("proxies").is_none() {
        return Some(vec![
            Ipv4Addr::LOCALHOST.into(),
            std::net::Ipv6Addr::LOCALHOST.into(),
        ]);
    }
    let texts = section.strings("proxies")?;
    let one = |(text, line): (String, usize)| {
        text.parse().ok().or_else(|| {
            let message = format!("{text:?} is not an address, as in \"127.0.0.1\"");
            section.mistake(Some(line), "proxies", message)
        })
    };
    let all: Vec<_> = texts.into_iter().map(one).collect();
    all.into_iter().collect()
}

fn paths(section: &mut Section<'_>, key: &'static str) -> Option<Vec<PathBuf>> {
    if section.get(key).is_none() {
        return Some(Vec::new());
    }
    let texts = section.strings(key)?;
    let one = |(text, line): (String, usize)| {
        if text.starts_with('/') {
            return Some(text.into());
        }
        section.mistake(
            Some(line),
            key,
            format!("{text:?} must be an absolute path"),
        )
    };
    let all: Vec<_> = texts.into_iter().map(one).collect();
    all.into_iter().collect()
}

fn firewalls(section: &mut Section<'_>) -> Option<Vec<Firewall>> {
    let read: Vec<_> = section
        .tables("firewalls")?
        .into_iter()
        .map(firewall)
        .collect();
    let all: Vec<Firewall> = read.into_iter().collect::<Option<_>>()?;
    for (n, one) in all.iter().enumerate() {
        if all[..n].iter().any(|other| other.name == one.name) {
            let message = format!("two are named {:?}", one.name);
            return section.mistake(None, "firewalls", message);
        }
    }
    Some(all)
}

fn firewall(mut table: Section<'_>) -> Option<Firewall> {
    let name = name(&mut table);
    let endpoint = endpoint(&mut table);
    let token = required_token(&mut table, daemon_token);
    let ca = match table.get("ca") {
        Some(_) => table.path("ca", "/etc/couic-report/ca.pem").map(Some),
        None => Some(None),
    };
    table.finish();
    Some(Firewall {
        name: name?,
        endpoint: endpoint?,
        token: token?,
        ca: ca?,
    })
}

/// `socket`, or `url` as in `https://fw.example.org:2900`.
fn endpoint(table: &mut Section<'_>) -> Option<Endpoint> {
    let url = match table.string("url") {
        Ok(url) => url,
        Err(Noted) => return None,
    };
    let Some((text, line)) = url else {
        let socket = table.path("socket", "/var/run/couic/couic.sock")?;
        return Some(Endpoint::unix(socket));
    };
    if table.get("socket").is_some() {
        return table.mistake(
            Some(line),
            "url",
            "must not be set together with socket".to_owned(),
        );
    }
    parse_url(text).or_else(|| {
        let message = format!("{text:?} is not an address, as in \"https://fw.example.org:2900\"");
        table.mistake(Some(line), "url", message)
    })
}

fn parse_url(text: &str) -> Option<Endpoint> {
    let (tls, rest) = match text.split_once("://")? {
        ("https", rest) => (true, rest),
        ("http", rest) => (false, rest),
        _ => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let uri: warp::http::uri::Authority = rest.parse().ok()?;
    if rest.contains('@') || uri.host().is_empty() {
        return None;
    }
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    Some(Endpoint::Tcp {
        host: uri.host().to_owned(),
        port,
        tls,
    })
}
