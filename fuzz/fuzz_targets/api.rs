//! Whole requests through the API, in process, with a data plane in memory: no request causes a panic or an internal
//! error, and every error has its body. The first line of the input is `METHOD PATH [CONTENT-TYPE [CONFIRM-WITHIN]]`,
//! the rest is the body; `@` in a path stands for the oldest change that awaits confirmation. State is kept for a
//! thousand requests, a second apart, to cover conflicts, full tables, sets and undone changes.
#![no_main]

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use couic::{
    api::{Api, routes},
    host::Host,
    metrics::MetricsRegistry,
    rbac::ClientStore,
};
use couic_common::{ApiError, Health};
use couic_firewall::{
    confirm::Confirmations,
    dataplane::{Limits, MemoryPlane},
    panic_switch::PanicSwitch,
    rules::{Firewall, ManualClock, SetStore},
};
use libfuzzer_sys::fuzz_target;
use warp::{Filter, filters::BoxedFilter, http::Uri, reply::Response};

const REQUESTS_PER_LAB: u32 = 1000;

thread_local! {
    static LAB: RefCell<Option<Lab>> = const { RefCell::new(None) };
}

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = Request::from_input(bytes) else {
        return;
    };
    LAB.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|lab| lab.left == 0) {
            // Drop the old one first, as both use the same directory.
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
    confirm_within: Option<&'i str>,
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
        let confirm_within = words.next();
        // Skip headers that hyper would reject.
        let legal = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        let headers = [content_type, confirm_within];
        (known.contains(&method)
            && path.starts_with('/')
            && headers.into_iter().flatten().all(legal))
        .then_some(Self {
            method,
            path,
            content_type,
            confirm_within,
            body: bytes.get(end + 1..).unwrap_or_default(),
        })
    }
}

/// A daemon without its process.
struct Lab {
    runtime: tokio::runtime::Runtime,
    routes: BoxedFilter<(Response,)>,
    api: Arc<Api>,
    clock: Arc<ManualClock>,
    token: String,
    home: PathBuf,
    left: u32,
}

impl Lab {
    fn new() -> Self {
        // In memory if possible, since sets and clients are written with fsync.
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() {
            shm.to_path_buf()
        } else {
            std::env::temp_dir()
        };
        let home = base.join(format!("couic-fuzz-{}", std::process::id()));
        fs::create_dir_all(&home).expect("a directory");
        let plane = MemoryPlane::default();
        let clock = Arc::new(ManualClock::new(1_800_000_000));
        let limits = Limits {
            drop_entries: 64,
            ignore_entries: 16,
        };
        let firewall = Firewall::new(
            Box::new(plane.clone()),
            Arc::new(plane),
            limits,
            Arc::<ManualClock>::clone(&clock),
        );
        let (firewall, sets) = (
            Arc::new(firewall),
            Arc::new(SetStore::open(&home).expect("sets")),
        );
        let confirmations = Confirmations::open(&home, Arc::clone(&firewall), Arc::clone(&sets))
            .expect("a directory");
        let api = Arc::new(Api {
            panic: Arc::new(PanicSwitch::open(&home, Arc::clone(&firewall))),
            confirmations: Arc::new(confirmations),
            host: Host::new(&home, None),
            firewall,
            sets,
            clients: Arc::new(ClientStore::open(&home).expect("clients")),
            metrics: Arc::new(MetricsRegistry::new()),
            notifiers: None,
            peering: None,
            health: Arc::new(|| Health::well("fuzz")),
        });
        let file = fs::read_to_string(home.join("rbac/clients/couicctl.toml")).expect("a token");
        let token = file.split('"').nth(1).expect("a quoted token").to_owned();
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            routes: routes(Arc::clone(&api)).boxed(),
            api,
            clock,
            token,
            home,
            left: REQUESTS_PER_LAB,
        }
    }

    fn oldest(&self) -> String {
        let waiting = self.api.confirmations.list(None).pending;
        waiting
            .first()
            .map_or_else(|| "00000000".to_owned(), |change| change.id.to_string())
    }

    fn check(&self, request: &Request<'_>) {
        let mut sent = warp::test::request()
            .method(request.method)
            .path(&request.path.replace('@', &self.oldest()))
            .header("authorization", format!("Bearer {}", self.token))
            .body(request.body);
        if let Some(kind) = request.content_type {
            sent = sent.header("content-type", kind);
        }
        if let Some(within) = request.confirm_within {
            sent = sent.header("couic-confirm-within", within);
        }
        self.clock.advance(1);
        self.api.confirmations.undo_due();
        let answer = self.runtime.block_on(sent.reply(&self.routes));
        let status = answer.status().as_u16();
        let body = answer.body();
        let shown = String::from_utf8_lossy(body);
        assert!((200..500).contains(&status), "{status}: {shown}");
        assert_ne!(status, 401, "the token is the admin's");
        let panics = answer.headers().contains_key("couic-panic");
        assert_eq!(
            panics,
            self.api.firewall.passes_all(),
            "the header shows the state of the panic switch"
        );
        if answer.headers().contains_key("couic-confirm-id") {
            assert!(
                status < 300 && request.confirm_within.is_some(),
                "a rejected change is not pending"
            );
        }
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
        // Errors are ignored in a directory for temporary files.
        let _ = fs::remove_dir_all(&self.home);
    }
}
