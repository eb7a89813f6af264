//! A change is in the journal before its response is sent, whether it is sent alone or with others.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    sync::Arc,
    thread,
};

use couic::api::ServeSettings;
use couic_firewall::journal::Journal;

use super::{Running, run};

/// A service with its journal in `state`.
fn keeping(state: &Path) -> Running {
    let server = run(ServeSettings::default());
    let (journal, recovered) = Journal::open(state).unwrap();
    let _ = server
        .test
        .api
        .firewall
        .restore(Arc::new(journal), recovered);
    server
}

/// The number of rules that a start would recover now, as after kill -9.
fn rules_on_file(state: &Path) -> usize {
    let copy = tempfile::tempdir().unwrap();
    for file in state.read_dir().unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let (_, recovered) = Journal::open(copy.path()).unwrap();
    recovered.claims.len()
}

fn count(bytes: &[u8], mark: &[u8]) -> usize {
    bytes.windows(mark.len()).filter(|w| *w == mark).count()
}

#[test]
fn pipelined_answers_hold_after_kill_9() {
    const RULES: usize = 600;
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let server = keeping(&state);
    let client = server.connect();
    let mut stream = client.sender();
    let host = |i: usize| format!("10.0.{}.{}/32", i / 256, i % 256);
    let text: String = (0..RULES).map(|i| server.add(&host(i))).collect();
    let mut sender = client.sender();
    let sending = thread::spawn(move || sender.write_all(text.as_bytes()).unwrap());
    let (mut bytes, mut acknowledged) = (Vec::new(), 0);
    while acknowledged < RULES {
        // A little at a time, for many points of comparison.
        let mut some = [0; 4096];
        let read = stream.read(&mut some).unwrap();
        assert!(read > 0, "closed after {acknowledged} answers");
        bytes.extend_from_slice(&some[..read]);
        acknowledged = count(&bytes, b"HTTP/1.1 201");
        let kept = rules_on_file(&state);
        assert!(
            kept >= acknowledged,
            "{acknowledged} acknowledged, {kept} in the journal"
        );
    }
    sending.join().unwrap();
}

#[test]
fn the_last_answer_before_shutdown_is_durable() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let server = keeping(&state);
    let mut client = server.connect();
    assert_eq!(client.ask(server.add("10.0.0.1/32")).status, 201);
    assert_eq!(rules_on_file(&state), 1);
    let gone = server.head("DELETE", "/v1/drop/10.0.0.1/32", "connection: close\r\n");
    let mut client = server.connect();
    assert_eq!(client.ask(gone).status, 204);
    assert_eq!(rules_on_file(&state), 0);
}
