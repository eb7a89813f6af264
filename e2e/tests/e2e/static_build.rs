//! The static build, end to end: `make test-static` builds it and runs this.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use couic_common::HealthStatus;
use couic_e2e::{Daemon, Frame, Lab, until};
use nix::sys::signal::Signal;

const PATIENCE: Duration = Duration::from_secs(90);

const REASON: &str = "this is a static build, which loads no plugin files";

/// The directory of the static programs. Prints the reason and returns None if it is not set.
fn programs() -> Option<PathBuf> {
    let dir = std::env::var_os("COUIC_STATIC_BIN_DIR").map(PathBuf::from);
    if dir.is_none() {
        println!("skipped: COUIC_STATIC_BIN_DIR is not set: run make test-static");
    }
    dir
}

#[test]
fn the_static_build_filters_reports_and_names_unsupported_notifiers() {
    let (Some(programs), Some(lab)) = (programs(), Lab::quiet()) else {
        return;
    };
    let chat = lab.chat();
    let daemon = lab
        .daemon()
        .binary(programs.join("couic"))
        .config(&format!(
            "[reporting]\nenabled = true\nwebhook = \"{}\"\n\
             [[reporting.notifiers]]\nplugin = \"discord\"\nconfig = {{ webhook_url = \"{}\" }}\n\
             [[reporting.notifiers]]\nplugin = \"chatter\"\n\
             [[reporting.notifiers]]\nplugin = \"/usr/lib/couic/plugins/libsiem.so\"\nisolated = false\n",
            chat.url("/api/webhooks/1/t0ken"),
            chat.url("/api/webhooks/1/t0ken"),
        ))
        .start();
    let attacker = [Frame::v4("198.51.100.7")];
    assert_eq!(lab.wire().arrivals(&attacker), [1]);
    daemon.ctl_ok(&["drop", "add", "198.51.100.7", "-t", "static"]);
    assert_eq!(lab.wire().arrivals(&attacker), [0]);
    let posts = [chat.next(PATIENCE), chat.next(PATIENCE)];
    assert!(
        posts
            .iter()
            .any(|post| post.json().to_string().contains("198.51.100.7")),
        "{posts:?}"
    );
    assert!(
        posts.iter().any(|post| post.json()["embeds"].is_array()),
        "{posts:?}"
    );

    let health = daemon.api().health().1;
    assert_eq!(health.status, HealthStatus::Degraded);
    let mut failed: Vec<&str> = Vec::new();
    for problem in &health.notifier_problems {
        assert!(problem.message.contains(REASON), "{problem:?}");
        failed.push(&problem.notifier);
    }
    assert_eq!(failed, ["chatter", "libsiem"]);
    let log = daemon.log();
    assert!(
        log.contains("the notifier chatter does not start") && log.contains(REASON),
        "{log}"
    );
    assert!(
        !log.contains("dlopen") && !log.contains("dynamic linker refuses"),
        "{log}"
    );

    the_check_of_the_configuration_says_so(&programs.join("couic"), &daemon);
    let daemon = daemon.ended_by(Signal::SIGTERM);
    until("the frame passes again", PATIENCE, || {
        (lab.wire().arrivals(&attacker) == [1]).then_some(())
    });
    drop(daemon);
}

#[expect(clippy::panic, reason = "a failure ends the test")]
fn the_check_of_the_configuration_says_so(couic: &Path, daemon: &Daemon<'_>) {
    let config = daemon.working_dir().with_file_name("couic.toml");
    let args = ["--check-config".as_ref(), "-c".as_ref(), config.as_os_str()];
    let checked = Command::new(couic).args(args).output();
    let checked = checked.unwrap_or_else(|error| panic!("couic --check-config: {error}"));
    let stdout = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(stdout.matches(REASON).count(), 2, "{stdout}");
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn static_programs_start_without_a_dynamic_linker() {
    let Some(programs) = programs() else { return };
    for (name, argument, code) in [
        ("couic", "--version", 0),
        ("couicctl", "--version", 0),
        ("couic-report", "--version", 0),
        ("couic-plugin", "check", 2),
    ] {
        let output = Command::new(programs.join(name)).arg(argument).output();
        let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(output.status.code(), Some(code), "{name}: {output:?}");
        // The path of the dynamic linker follows the program headers.
        let interpreter = [b"/lib64/ld-".as_slice(), b"/lib/ld-"];
        let program = std::fs::read(programs.join(name)).expect("read it");
        let head = &program[..4096];
        for path in interpreter {
            assert!(
                !head.windows(path.len()).any(|w| w == path),
                "{name} names one"
            );
        }
    }
    let checked = Command::new(programs.join("couic-plugin"))
        .args(["check", "/usr/lib/couic/plugins/libsiem.so"])
        .output()
        .expect("run couic-plugin");
    let stderr = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(stderr.contains(REASON), "{stderr}");
}
