//! A set that is applied with one request: of any size, and with a file that is the truth after a crash.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::{collections::BTreeSet, fs, thread, time::Duration};

use couic_common::Policy;
use couic_e2e::{Api, Daemon, Frame, Lab};
use nix::sys::signal::Signal;

use super::{BLOCKED, OTHER};

/// So many addresses from 100.64.0.0 on, and one more.
fn list(count: u32, last: &str) -> String {
    let addresses = (0..count).map(|n| std::net::Ipv4Addr::from(0x6440_0000 + n));
    let mut text: String = addresses.map(|addr| format!("{addr}\n")).collect();
    text += last;
    text.push('\n');
    text
}

#[test]
fn a_million_lines_are_in_force_with_one_request() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    // Of other sets, a bad file does no harm.
    daemon.set_file(Policy::Drop, "bad", "nonsense\n");
    let text = list(999_999, BLOCKED);
    let answer = daemon.api().put_list("drop", "feed", &text);
    let written = answer.expect("an answer").expect(201).json();
    assert_eq!(written["added"], 1_000_000, "{written}");
    let frames = ["100.64.0.0", "100.79.66.62", BLOCKED, OTHER].map(Frame::v4);
    assert_eq!(wire.arrivals(&frames), [0, 0, 0, 1]);
    assert_eq!(daemon.api().stats().drop_cidr_count, 1_000_000);
    let answer = daemon.api().put_list("drop", "feed", &list(1, OTHER));
    let written = answer.expect("an answer").expect(200).json();
    assert_eq!(written["removed"], 999_999, "{written}");
    assert_eq!(wire.arrivals(&frames), [0, 1, 1, 0]);
}

/// What the set's file says, in the form of the API.
fn said(daemon: &Daemon<'_>) -> BTreeSet<String> {
    let file = daemon.working_dir().join("sets/drop/feed.couic");
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn in_force(api: &Api) -> BTreeSet<String> {
    let list = api.get("/v1/drop");
    let entries = list.as_array().unwrap().iter();
    let cidr = |entry: &serde_json::Value| entry["cidr"].as_str().unwrap_or_default().to_owned();
    entries.map(cidr).collect()
}

/// Whichever of file and rules a kill met first: the file is whole, and a start loads what it says.
#[test]
fn after_a_kill_the_rules_are_what_the_file_says() {
    let Some(lab) = Lab::quiet() else { return };
    let mut daemon = lab.daemon().start();
    let lists = [list(20_000, BLOCKED), list(10_000, OTHER)];
    let first = daemon.api().put_list("drop", "feed", &lists[0]);
    let _ = first.expect("an answer").expect(201);
    for kill in 0..6_u64 {
        let api = daemon.api().clone();
        let lists = &lists;
        let pid = daemon.pid();
        thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let mut lists = lists.iter().cycle();
                while let Some(Ok(answer)) = lists.next().map(|l| api.put_list("drop", "feed", l)) {
                    let _ = answer.expect(200);
                }
            });
            // A point in time, not a condition: the kill is to meet any step of the change.
            thread::sleep(Duration::from_millis(40 + 17 * kill));
            nix::sys::signal::kill(pid, Signal::SIGKILL).expect("the kill");
            writer.join().expect("the writer");
        });
        assert_eq!(daemon.exit_code(), -9);
        daemon = daemon.restart();
        let said = said(&daemon);
        let whole = lists.iter().any(|l| l.lines().count() == said.len());
        assert!(whole, "{} lines: half a file", said.len());
        assert_eq!(in_force(daemon.api()), said);
        let folder = daemon.working_dir().join("sets/drop");
        let files = fs::read_dir(folder).expect("the folder").count();
        assert_eq!(files, 1, "what the kill left half done is gone");
    }
}
