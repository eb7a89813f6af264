//! What a reload changes, and what it keeps.

use super::*;

#[test]
fn other_rules_take_effect_and_no_line_is_lost_or_read_twice() {
    let rig = Rig::new();
    let service = rig.start(&rig.config("", SCAN));
    rig.write(&["192.0.2.7"; 3], 404);
    rig.daemon.await_rule("192.0.2.7/32");
    let stricter = SCAN
        .replace("3 per 60s", "1 per 60s")
        .replace("scan", "strict");
    let told = service.reload(rig.config("", &stricter)).unwrap();
    assert_eq!(told, "configuration reloaded, reading 1 source for 1 jail");
    rig.write(&["192.0.2.8"], 404);
    let job = rig.daemon.await_rule("192.0.2.8/32");
    assert_eq!(job.entry.tag.as_deref(), Some("mon-strict"));
    // The source was not touched.
    await_lines(&service, 4);
    assert_eq!(service.sources()[0].tail.lines, 4);
    service.stop();
    assert_eq!(rig.daemon.jobs(), 2);
}

#[test]
fn the_ladder_outlives_a_reload() {
    let rig = Rig::new();
    let service = rig.start(&rig.config("", SCAN));
    rig.write(&["192.0.2.7"; 3], 404);
    rig.daemon.await_rule("192.0.2.7/32");
    let ladder = || service.core.lock().detector.ladder();
    let before = ladder();
    assert_eq!(before.len(), 1);
    service.reload(rig.config("", SCAN)).unwrap();
    assert_eq!(ladder(), before);
    service.stop();
}

#[test]
fn sources_come_and_go_with_a_reload() {
    let rig = Rig::new();
    let service = rig.start(&rig.config("", SCAN));
    let other = rig.dir.path().join("other.log");
    fs::write(&other, "").unwrap();
    let tables = format!(
        "{}\n[source.other]\nfile = \"{}\"\nformat = \"combined\"\n",
        SCAN.replace("source = \"web\"", "source = [\"web\", \"other\"]"),
        other.display()
    );
    service.reload(rig.config("", &tables)).unwrap();
    assert_eq!(service.sources().len(), 2);
    let open = || {
        (service
            .sources()
            .iter()
            .all(|source| source.tail.files == 1))
        .then_some(())
    };
    until("both logs are open", LONG, open);
    let mut file = File::options().append(true).open(&other).unwrap();
    for _ in 0..3 {
        writeln!(file, "{}", line("192.0.2.9", 404)).unwrap();
    }
    rig.daemon.await_rule("192.0.2.9/32");
    service.reload(rig.config("", SCAN)).unwrap();
    assert_eq!(service.sources().len(), 1);
    rig.write(&["192.0.2.10"; 3], 404);
    rig.daemon.await_rule("192.0.2.10/32");
    service.stop();
}

#[test]
fn a_source_that_cannot_be_read_leaves_everything_as_it_was() {
    let rig = Rig::new();
    let service = rig.start(&rig.config("", SCAN));
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let tables = format!(
        "{}\n[source.net]\nudp = \"{}\"\nformat = \"plain\"\n",
        SCAN.replace("3 per 60s", "1 per 60s"),
        taken.local_addr().unwrap()
    );
    let why = service.reload(rig.config("", &tables)).unwrap_err();
    assert!(
        why.contains("source net") && why.contains("cannot receive"),
        "{why}"
    );
    assert_eq!(service.sources().len(), 1);
    rig.write(&["192.0.2.7"; 2], 404);
    await_lines(&service, 2);
    rig.write(&["192.0.2.8"; 3], 404);
    rig.daemon.await_rule("192.0.2.8/32");
    service.stop();
    assert_eq!(rig.daemon.in_force(), ["192.0.2.8/32"]);
}

#[test]
fn keys_that_need_a_restart_are_named() {
    let rig = Rig::new();
    let service = rig.start(&rig.config("", SCAN));
    let mut config = rig.config("", SCAN);
    config.metrics = None;
    let told = service.reload(config).unwrap();
    assert!(
        told.ends_with("at the next restart: metrics.listen"),
        "{told}"
    );
    service.stop();
}

#[test]
fn a_refused_reload_is_a_problem_until_one_succeeds() {
    let rig = Rig::new();
    let service = rig.start(&rig.config("", SCAN));
    let told = || serde_json::to_string(&crate::run::health::of(&service, false)).unwrap();
    let why = service.take_over(Err("line 3: junk".into())).unwrap_err();
    assert_eq!(why, "line 3: junk");
    let health = told();
    assert!(health.contains("the last reload was refused") && health.contains("line 3: junk"));
    assert!(health.contains("degraded"), "{health}");
    service.take_over(Ok(rig.config("", SCAN))).unwrap();
    assert!(told().contains("\"problems\":[]"), "{}", told());
    service.stop();
}

#[test]
fn hits_before_a_reload_count_after_it() {
    let rig = Rig::new();
    let service = rig.start(&rig.config("", SCAN));
    rig.write(&["192.0.2.7"; 2], 404);
    await_lines(&service, 2);
    service.reload(rig.config("", SCAN)).unwrap();
    rig.write(&["192.0.2.7"], 404);
    rig.daemon.await_rule("192.0.2.7/32");
    service.stop();
}
