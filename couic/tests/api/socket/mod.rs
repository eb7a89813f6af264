//! A service on a real Unix socket, and raw clients.

mod bodies;
mod durable;
mod events;
mod injector;
mod patience;
mod pipelining;
mod shutdown;
mod strangers;

use std::{path::PathBuf, sync::Arc};

use couic::api::{ServeSettings, serve_with};
use couic_common::Group;
use couic_httpd::ServeSummary;
use couic_testkit::{Connection, LONG, until};
use serde_json::json;
use tokio::{
    net::UnixListener,
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::support::{TestApi, start};

/// The API on a socket, with a runtime of its own.
struct Running {
    test: TestApi,
    path: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<ServeSummary>,
    runtime: Runtime,
}

fn run(settings: ServeSettings) -> Running {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let test = start();
    let path = test.dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let api = Arc::clone(&test.api);
    let shutdown = async {
        let _ = stopped.await;
    };
    let server = tokio::spawn(serve_with(listener, api, shutdown, settings));
    drop(_entered);
    Running {
        test,
        path,
        stop: Some(stop),
        server,
        runtime,
    }
}

impl Running {
    fn connect(&self) -> Connection {
        Connection::unix(&self.path).unwrap()
    }

    fn signal(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    fn ended(self) -> ServeSummary {
        let ended = async { timeout(LONG, self.server).await };
        self.runtime.block_on(ended).unwrap().unwrap()
    }

    fn head(&self, method: &str, path: &str, more: &str) -> String {
        let token = self.test.token(Group::Admin);
        format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{more}\r\n"
        )
    }

    fn post(&self, path: &str, body: &str) -> String {
        let more = format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        self.head("POST", path, &more) + body
    }

    fn add(&self, cidr: &str) -> String {
        self.post(
            "/v1/drop",
            &json!({"cidr": cidr, "expiration": 0}).to_string(),
        )
    }

    fn rules(&self) -> usize {
        self.test.plane.rules().len()
    }

    fn until_rules(&self, count: usize) {
        until("the rules are in force", LONG, || {
            (self.rules() >= count).then_some(())
        });
    }
}
