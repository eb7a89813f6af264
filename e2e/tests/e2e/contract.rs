//! The daemon against its OpenAPI document: schemathesis sends what the document allows, and what it does not.
//!
//! No answer is a failure of the server, each has a status, content type and body as documented, and no request that the
//! document allows is refused as invalid.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test")]

use std::{
    env, fs,
    io::copy,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use couic_e2e::{Daemon, Lab};

/// With these a run would take its own token away; they have a run of their own.
const TOKENS: [&str; 2] = ["rotate_client", "delete_client"];

/// Forwards a port of the loopback to the socket: schemathesis speaks TCP only.
fn forward(socket: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(client), Ok(daemon)) = (stream, UnixStream::connect(&socket)) else {
                return;
            };
            both_ways(client, daemon);
        }
    });
    address
}

fn both_ways(client: TcpStream, daemon: UnixStream) {
    let (mut from_client, mut to_daemon) =
        (client.try_clone().unwrap(), daemon.try_clone().unwrap());
    thread::spawn(move || {
        let _ = copy(&mut from_client, &mut to_daemon);
        let _ = to_daemon.shutdown(Shutdown::Write);
    });
    let (mut from_daemon, mut to_client) = (daemon, client);
    thread::spawn(move || {
        let _ = copy(&mut from_daemon, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

/// A run of schemathesis, and how many requests it made.
struct Run<'a> {
    daemon: &'a Daemon<'a>,
    address: SocketAddr,
    document: &'a Path,
}

impl Run<'_> {
    fn run(&self, which: &[&str]) -> u64 {
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/contract");
        let begun = Instant::now();
        let output = Command::new("schemathesis")
            .arg("--config-file")
            .arg(files.join("schemathesis.toml"))
            .arg("run")
            .arg(self.document)
            .args(["--url", &format!("http://{}", self.address)])
            .args(["--header", &format!("Authorization: Bearer {}", self.daemon.token())])
            .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,valid_is_not_refused"])
            .args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure"])
            // The same requests each time: with --max-time, how many there are would depend on the machine.
            .args(["--max-examples", "30"])
            .args(["--seed", "1", "--generation-deterministic"])
            .args(["--warnings", "off", "--request-timeout", "20"])
            .args(which)
            .env("SCHEMATHESIS_HOOKS", files.join("hooks.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(self.document.parent().unwrap())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}\n{errors}");
        let cases = text.lines().find_map(|line| {
            let (count, _) = line.trim().split_once(" generated")?;
            count.parse::<u64>().ok()
        });
        let cases = cases.unwrap_or_else(|| panic!("no number of requests in {text}"));
        println!("{cases} requests in {} s", begun.elapsed().as_secs());
        cases
    }
}

#[test]
fn the_daemon_keeps_its_openapi_document() {
    let Some(lab) = Lab::quiet() else { return };
    let found = Command::new("schemathesis").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no schemathesis, which scripts/setup installs");
        return;
    }
    let daemon = lab.daemon().start();
    let document = daemon.working_dir().parent().unwrap().join("openapi.json");
    fs::write(&document, couic::api::openapi_document().unwrap()).unwrap();
    let run = Run {
        daemon: &daemon,
        address: forward(daemon.socket()),
        document: &document,
    };
    let [rotate, delete] = TOKENS;
    // A stream has no end, and tests of its own.
    let most = ["--exclude-operation-id", "events"];
    let most = [
        &most[..],
        &[
            "--exclude-operation-id",
            rotate,
            "--exclude-operation-id",
            delete,
        ],
    ]
    .concat();
    let tokens = [
        "--include-operation-id",
        rotate,
        "--include-operation-id",
        delete,
    ];
    let requests = run.run(&most) + run.run(&tokens);
    assert!(requests > 500, "{requests}");
    // It has outlived all of it, with the token that it was asked with.
    let health = daemon.api().get("/v1/stats");
    assert!(health["drop_cidr_count"].is_u64(), "{health}");
    let log = daemon.log();
    assert!(!log.contains("a handler panicked"), "{log}");
}
