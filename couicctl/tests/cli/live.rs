//! `stats global --live`, on a pipe and on a terminal.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use couic_testkit::{Reply, StandIn};

use crate::{command, config, figures::STATS};

/// Adds ten packets per request.
fn daemon() -> StandIn {
    let packets = AtomicU64::new(0);
    StandIn::unix(move |_| {
        let n = packets.fetch_add(10, Ordering::Relaxed);
        let drop = format!(r#""XDP_DROP":{{"rx_packets":{n}"#);
        Reply::json(200, STATS.replace(r#""XDP_DROP":{"rx_packets":5"#, &drop))
    })
}

pub(crate) fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_line_a_second_on_a_pipe() {
    let daemon = daemon();
    let mut child = command(&config(&daemon), &["stats", "global", "-l"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(
        first.ends_with("Z aborted=0 drop=0 pass=1 drop_rules=2 ignore_rules=1"),
        "{first}"
    );
    let second = lines.next().unwrap().unwrap();
    assert!(second.contains(" drop=10 drop/s="), "{second}");
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_document_a_second_as_json() {
    let daemon = daemon();
    let mut child = command(&config(&daemon), &["stats", "global", "-l", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for (n, line) in (0..).zip(lines.take(2)) {
        let stats: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(stats["xdp"]["XDP_DROP"]["rx_packets"], 10 * n);
    }
    // The reader is gone: the next write ends it, without a message.
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_missing_daemon_is_reported_at_once() {
    let daemon = daemon();
    let config = config(&daemon);
    std::fs::remove_file(&daemon.socket).unwrap();
    let output = command(&config, &["stats", "global", "-l"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.is_empty());
}

#[test]
fn the_terminal_is_restored() {
    let daemon = daemon();
    let config = config(&daemon);
    let line = format!(
        "stty -echo && exec {} -c {} stats global -l",
        env!("CARGO_BIN_EXE_couicctl"),
        config.display()
    );
    // script(1) provides a terminal. Without echo, as the kernel may print ^C before or after the last figures.
    let spawned = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        println!("skipped: there is no script(1)");
        return;
    };
    let mut screen = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    let has = |seen: &[u8], text: &str| String::from_utf8_lossy(seen).contains(text);
    while !has(&seen, "┆      10 ┆") && screen.read(&mut byte).unwrap() > 0 {
        seen.push(byte[0]);
    }
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    screen.read_to_end(&mut seen).unwrap();
    let text = String::from_utf8_lossy(&seen);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text:?}");
    assert!(text.contains("\x1b[?1049h\x1b[?25l\x1b[H┌"), "{text:?}");
    assert!(text.contains("Packets/s"), "{text:?}");
    let (_, after) = text.rsplit_once("\x1b[?25h\x1b[?1049l").unwrap();
    assert!(
        after.contains("XDP_DROP") && after.trim_end().ends_with("2 drop, 1 ignore"),
        "{after:?}"
    );
}

#[test]
fn rates_by_tag_as_lines() {
    let packets = AtomicU64::new(0);
    let daemon = StandIn::unix(move |_| {
        let n = packets.fetch_add(10, Ordering::Relaxed);
        let busy = format!(r#"{{"rx_packets":{n},"rx_bytes":{}}}"#, 60 * n);
        Reply::json(
            200,
            format!(r#"{{"tags":{{"busy":{busy},"idle":{{"rx_packets":3,"rx_bytes":9}}}}}}"#),
        )
    });
    let mut child = command(&config(&daemon), &["stats", "drop", "-l"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(
        first.contains("Z tag=busy packets=10 packets/s=") && first.contains(" bytes=600 bytes/s="),
        "{first}"
    );
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
