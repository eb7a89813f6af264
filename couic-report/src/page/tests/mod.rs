//! The routes, without a socket. Every answer is checked for the headers that all must have.

mod acting;
mod guarding;
mod reading;

use std::{net::IpAddr, sync::Arc};

use couic_common::unix_seconds;
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use warp::http::{Request, header};

use super::{Page, route};
use crate::{
    config::{Config, Settings as _},
    ingest,
    state::{Committer, Journal},
};

const VIEWER: &str = "viewer-token-0123456789";
const ACTOR: &str = "actor-token-0123456789abc";
const HOST: &str = "couic.example.org";
const BROWSER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 77));

/// A page with a browser's cookies.
struct Fixture {
    page: Arc<Page>,
    journal: Journal,
    _committer: Committer,
    _dir: TempDir,
}

/// An answer in text.
#[derive(Debug)]
struct Got {
    status: u16,
    headers: header::HeaderMap,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The value of a hidden field.
    fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let from = self
            .body
            .find(&start)
            .unwrap_or_else(|| panic!("no {name} in {}", self.body));
        let rest = &self.body[from + start.len()..];
        rest[..rest.find('"').unwrap()].to_owned()
    }

    fn has(&self, text: &str) -> &Self {
        assert!(
            self.body.contains(text),
            "{text:?} is not in\n{}",
            self.body
        );
        self
    }
}

/// `more` are further keys and tables of `[page]`.
async fn fixture(more: &str) -> Fixture {
    let text = format!(
        "[server]\nname = \"tower\"\nsecret = \"550e8400-e29b-41d4-a716-446655440000\"\n\
         [page]\nenabled = true\nhosts = [\"{HOST}\"]\n{more}\n\
         [[page.users]]\nname = \"ana\"\ntoken = \"{VIEWER}\"\n\
         [[page.users]]\nname = \"bob\"\nrole = \"act\"\ntoken = \"{ACTOR}\"\n"
    );
    let config = Config::parse(&text).unwrap();
    let dir = TempDir::new().unwrap();
    let (journal, committer, _) = Journal::open(
        dir.path(),
        unix_seconds(),
        config.history,
        config.thresholds,
    )
    .unwrap();
    let (dispatcher, _) = crate::notify::start(&config, None).await.unwrap();
    let page = Page::open(&config, journal.clone(), Arc::new(dispatcher)).unwrap();
    Fixture {
        page: Arc::new(page.unwrap()),
        journal,
        _committer: committer,
        _dir: dir,
    }
}

impl Fixture {
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", HOST);
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let answer = route::answer(&self.page, &parts, body.as_bytes(), BROWSER).await;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let got = Got {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        check(&got, path);
        got
    }

    async fn get(&self, path: &str, cookie: &str) -> Got {
        self.send("GET", path, &[("cookie", cookie)], "").await
    }

    /// A form that a page of this origin sends.
    async fn post(&self, path: &str, cookie: &str, body: &str) -> Got {
        let headers = [("cookie", cookie), ("origin", "http://couic.example.org")];
        self.send("POST", path, &headers, body).await
    }

    /// The cookie of a login.
    async fn login(&self, token: &str) -> String {
        let got = self.post("/login", "", &format!("token={token}")).await;
        assert_eq!(got.status, 303, "{}", got.body);
        got.header("set-cookie")
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    }

    /// Receives a request with reports.
    async fn report(&self, firewall: &str, reports: &serde_json::Value) {
        let batch = ingest::parse(
            reports.to_string().as_bytes(),
            None,
            firewall,
            unix_seconds(),
        )
        .unwrap();
        self.journal.accept(batch).await.unwrap();
    }
}

/// What holds for every answer.
fn check(got: &Got, path: &str) {
    let policy = got.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'"),
        "{path}: {policy}"
    );
    assert!(
        policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
        "{path}"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("x-robots-tag", "noindex, nofollow"),
    ] {
        assert_eq!(got.header(name), value, "{path}");
    }
    let store = got.header("cache-control");
    assert!(
        store == "no-store" || path.starts_with("/assets/"),
        "{path}: {store}"
    );
    if got.header("content-type").starts_with("text/html") {
        for inline in [" style=", "<style", " onclick", "javascript:", "<script>"] {
            assert!(
                !got.body.contains(inline),
                "{path}: {inline} in {}",
                got.body
            );
        }
        for secret in [VIEWER, ACTOR, "550e8400"] {
            assert!(!got.body.contains(secret), "{path}: a secret");
        }
    }
}
