//! Whole requests through the API in process, over a data plane in memory: no request makes a panic or a fault of the
//! daemon, and every error has its body. The first line of the input is `METHOD PATH [CONTENT-TYPE]`, the rest is the
//! body. State lives on for a thousand requests, so that conflicts, full tables and sets are met.
#![no_main]

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use couic::{
    api::{Api, routes},
    dataplane::{Limits, MemoryPlane},
    firewall::{Firewall, SetStore, SystemClock},
    guard::Guard,
    metrics::MetricsRegistry,
    rbac::ClientStore,
};
use couic_common::{ApiError, Health, HealthStatus};
use libfuzzer_sys::fuzz_target;
use warp::{Filter, filters::BoxedFilter, http::Uri, reply::Response};

const REQUESTS_A_LAB: u32 = 1000;

thread_local! {
    static LAB: RefCell<Option<Lab>> = const { RefCell::new(None) };
}

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = Request::from_input(bytes) else {
        return;
    };
    LAB.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|lab| lab.left == 0) {
            // The old one goes first: both have the same directory.
            *slot = None;
            *slot = Some(Lab::new());
        }
        if let Some(lab) = slot {
            lab.left -= 1;
            lab.check(&request);
        }
    });
});

struct Request<'i> {
    method: &'i str,
    path: &'i str,
    content_type: Option<&'i str>,
    body: &'i [u8],
}

impl<'i> Request<'i> {
    fn from_input(bytes: &'i [u8]) -> Option<Self> {
        let end = bytes
            .iter()
            .position(|b| *b == b'\n')
            .unwrap_or(bytes.len());
        let mut words = std::str::from_utf8(&bytes[..end]).ok()?.split(' ');
        let method = words.next()?;
        let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
        let path = words.next()?;
        path.parse::<Uri>().ok()?.path().strip_prefix('/')?;
        let content_type = words.next();
        // What hyper would refuse is none of our business.
        let legal = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        (known.contains(&method) && path.starts_with('/') && content_type.is_none_or(legal))
            .then_some(Self {
                method,
                path,
                content_type,
                body: bytes.get(end + 1..).unwrap_or_default(),
            })
    }
}

/// A daemon without its process.
struct Lab {
    runtime: tokio::runtime::Runtime,
    routes: BoxedFilter<(Response,)>,
    token: String,
    home: PathBuf,
    left: u32,
}

impl Lab {
    fn new() -> Self {
        // In memory where there is such a place: sets and clients are written with all care.
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() {
            shm.to_path_buf()
        } else {
            std::env::temp_dir()
        };
        let home = base.join(format!("couic-fuzz-{}", std::process::id()));
        fs::create_dir_all(&home).expect("a directory");
        let plane = MemoryPlane::default();
        let limits = Limits {
            drop_entries: 64,
            ignore_entries: 16,
        };
        let firewall = Firewall::new(
            Box::new(plane.clone()),
            Arc::new(plane),
            limits,
            Arc::new(SystemClock),
        );
        let api = Api {
            firewall: Arc::new(firewall),
            sets: Arc::new(SetStore::open(&home).expect("sets")),
            clients: Arc::new(ClientStore::open(&home).expect("clients")),
            guard: Guard::new(false),
            metrics: Arc::new(MetricsRegistry::new()),
            notifiers: None,
            peering: None,
            health: Arc::new(|| Health {
                status: HealthStatus::Ok,
                version: "fuzz".to_owned(),
                interfaces: Vec::new(),
                set_problems: Vec::new(),
                notifier_problems: Vec::new(),
                peer_problems: Vec::new(),
                state_problems: Vec::new(),
            }),
        };
        let file = fs::read_to_string(home.join("rbac/clients/couicctl.toml")).expect("a token");
        let token = file.split('"').nth(1).expect("a quoted token").to_owned();
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            routes: routes(Arc::new(api)).boxed(),
            token,
            home,
            left: REQUESTS_A_LAB,
        }
    }

    fn check(&self, request: &Request<'_>) {
        let mut sent = warp::test::request()
            .method(request.method)
            .path(request.path)
            .header("authorization", format!("Bearer {}", self.token))
            .body(request.body);
        if let Some(kind) = request.content_type {
            sent = sent.header("content-type", kind);
        }
        let answer = self.runtime.block_on(sent.reply(&self.routes));
        let status = answer.status().as_u16();
        let body = answer.body();
        let shown = String::from_utf8_lossy(body);
        assert!((200..500).contains(&status), "{status}: {shown}");
        assert_ne!(status, 401, "the token is the admin's");
        if request.method == "HEAD" {
            assert!(body.is_empty(), "HEAD has no body");
        } else if status >= 400 {
            let error: Result<ApiError, _> = serde_json::from_slice(body);
            assert!(error.is_ok(), "{status} without an error body: {shown}");
        } else if status == 204 {
            assert!(body.is_empty(), "204 has no body");
        }
        assert!(
            !shown.contains(&self.token) || request.path.starts_with("/v1/client"),
            "a token in {shown}"
        );
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // It lies in a directory for temporary files.
        let _ = fs::remove_dir_all(&self.home);
    }
}
