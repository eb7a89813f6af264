//! A daemon that is away, and ends and starts of couicmon.

use super::*;

fn await_pending(service: &Service) {
    let pending = || {
        service
            .decider
            .with(|injector| injector.figures().pending == 1)
            .filter(|one| *one)
    };
    until("a ban waits", LONG, pending);
}

#[test]
fn bans_wait_for_a_daemon_that_is_away() {
    let rig = Rig::new();
    rig.daemon.go();
    let service = rig.start(&rig.config("", SCAN));
    rig.write(&["192.0.2.7"; 3], 404);
    await_pending(&service);
    rig.daemon.come();
    rig.daemon.await_rule("192.0.2.7/32");
    service.stop();
}

#[test]
fn what_could_not_be_sent_is_sent_after_the_next_start() {
    let rig = Rig::new();
    rig.daemon.go();
    let service = rig.start(&rig.config("", SCAN));
    rig.write(&["192.0.2.7"; 3], 404);
    await_pending(&service);
    // Written now and then, for the case that it is killed.
    service.save();
    assert!(rig.state().join("pending").exists());
    service.stop();
    drop(service);
    rig.daemon.come();
    let service = rig.start(&rig.config("", SCAN));
    let job = rig.daemon.await_rule("192.0.2.7/32");
    assert!(job.entry.ttl.unwrap() <= 600);
    service.stop();
    assert!(!rig.state().join("pending").exists());
}

#[test]
fn a_start_goes_on_where_the_last_run_ended_and_knows_who_came_back() {
    let rig = Rig::new();
    let service = rig.start(&rig.config("", SCAN));
    rig.write(&["192.0.2.7"; 3], 404);
    rig.daemon.await_rule("192.0.2.7/32");
    service.stop();
    drop(service);
    let service = rig.start(&rig.config("", SCAN));
    let ladder = service.core.lock().detector.ladder();
    assert_eq!((ladder.len(), ladder[0].level), (1, 1));
    rig.write(&["192.0.2.8"; 3], 404);
    rig.daemon.await_rule("192.0.2.8/32");
    assert_eq!(service.sources()[0].tail.lines, 3, "nothing is read twice");
    service.stop();
}

/// As if the last run had ended then.
fn stopped_at(rig: &Rig, unix: i64) {
    let path = rig.state().join("web.tail.json");
    let mut checkpoint: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(checkpoint["taken_ms"].is_u64());
    checkpoint["taken_ms"] = (unix * 1_000).into();
    fs::write(path, checkpoint.to_string()).unwrap();
}

/// A ban begins when its line was written.
#[test]
fn what_was_written_meanwhile_is_judged_by_its_own_time() {
    let rig = Rig::new();
    let slow = format!("{SCAN}distinct = \"path\"\n")
        .replace("status = 404", "status = 401")
        .replace("3 per", "2 per");
    let config = || rig.config("", &slow);
    let service = rig.start(&config());
    rig.write(&["192.0.2.1"], 200);
    await_lines(&service, 1);
    service.stop();
    drop(service);
    let now = super::super::core::clock_ms() / 1_000;
    stopped_at(&rig, now - 540);
    let mut text = String::new();
    // 7 minutes ago quickly, by another at a pace that is allowed, and an hour ago.
    for (address, times) in [
        ("192.0.2.7", [now - 420, now - 419, now - 418]),
        ("192.0.2.8", [now - 400, now - 300, now - 200]),
        ("192.0.2.9", [now - 3_602, now - 3_601, now - 3_600]),
    ] {
        for (n, at) in times.iter().enumerate() {
            let line = line_at(address, 401, *at).replace("/x?", &format!("/x{n}?"));
            writeln!(text, "{line}").unwrap();
        }
    }
    File::options()
        .append(true)
        .open(rig.log())
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let service = rig.start(&config());
    let job = rig.daemon.await_rule("192.0.2.7/32");
    let ttl = job.entry.ttl.unwrap();
    assert!((150..=181).contains(&ttl), "600 s less 7 minutes: {ttl}");
    await_lines(&service, 9);
    service.stop();
    assert_eq!(rig.daemon.in_force(), ["192.0.2.7/32"]);
}
