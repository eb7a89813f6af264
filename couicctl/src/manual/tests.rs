//! All pages at once.

use super::*;

#[test]
fn every_page_has_its_sections() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), true).unwrap();
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let add = read("couicctl-drop-add.1");
    for section in [
        "EXAMPLES",
        "\"EXIT STATUS\"",
        "FILES",
        "ENVIRONMENT",
        "\"SEE ALSO\"",
    ] {
        let heading = format!(".SH {section}\n");
        let quoted = format!(".SH \"{section}\"\n");
        assert!(
            add.contains(&heading) || add.contains(&quoted),
            "{section}: {add}"
        );
    }
    assert!(!add.contains(".SH EXTRA"), "{add}");
    assert!(
        add.contains("couicctl drop add 192.0.2.7 \\-t ssh\\-scan"),
        "{add}"
    );
    assert!(add.contains("\\fBcouicctl\\fR(1)"), "{add}");
    for name in [
        "couicctl.1",
        "couic.8",
        "couic-detach.8",
        "couic-report.8",
        "couic-report-test-notify.8",
        "couic-bouncer.8",
        "couic-bouncer-feeds-accept.8",
        "couic-bouncer.toml.5",
        "couicmon.8",
        "couicmon-replay.8",
        "couicmon-import-fail2ban.8",
        "couic.toml.5",
        "couic-report.toml.5",
        "couicctl.toml.5",
    ] {
        assert!(read(name).contains(".SH NAME"), "{name}");
    }
    assert!(read("couic.8").contains("couic \\-\\-check\\-config"));
    assert!(read("couic.toml.5").contains(".TP\n\\fBifaces\\fR\n"));
}

/// groff finds mistakes in all of them, if it is there.
#[test]
fn groff_has_no_complaint() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), true).unwrap();
    let mut groff = std::process::Command::new("groff");
    groff.args(["-man", "-ww", "-Kutf8", "-Tutf8", "-z"]);
    for file in fs::read_dir(dir.path()).unwrap() {
        groff.arg(file.unwrap().path());
    }
    let Ok(output) = groff.output() else {
        println!("skipped: there is no groff");
        return;
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{told}");
}
