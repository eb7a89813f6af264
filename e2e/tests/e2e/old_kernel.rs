//! Behaviour that depends on the kernel release, with another release mounted over `/proc/sys/kernel/osrelease`.

use couic_common::HealthStatus;
use couic_e2e::{DaemonBuilder, Lab};
use nix::sys::signal::Signal;

/// Starts the daemon with this kernel release.
fn on<'lab>(builder: DaemonBuilder<'lab>, release: &str) -> DaemonBuilder<'lab> {
    let script = format!(
        "f=$(mktemp) && echo {release} >$f && chmod 644 $f && mount --bind $f /proc/sys/kernel/osrelease && rm $f && exec \"$@\""
    );
    builder.wrapped(&["unshare", "-m", "sh", "-c", script.as_str(), "sh"], &[])
}

#[test]
fn a_kernel_that_is_too_old_is_refused_with_both_versions_before_anything_is_touched() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = on(lab.daemon(), "4.18.0-553.el8_10.x86_64");
    let dir = builder.working_dir();
    let refusal = builder.try_start().unwrap_err();
    assert_eq!(refusal.status.code(), Some(1));
    assert_eq!(
        refusal.output,
        "couic: this kernel is Linux 4.18.0-553.el8_10.x86_64, and Couic needs Linux 5.10 or later: boot a newer kernel\n"
    );
    assert!(!dir.join("couic.lock").exists());
    assert!(!dir.with_file_name("log").join("couic.log").exists());
}

#[test]
fn missing_kernel_features_are_reported_once_without_degrading_health() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = on(lab.daemon(), "5.10.0-33-amd64").start();
    let (status, health) = daemon.api().health();
    assert_eq!((status, health.status), (200, HealthStatus::Ok));
    let lacks = "this kernel lacks memory of tables by control group (Linux 5.11)";
    let count = |texts: &[String]| texts.iter().filter(|text| text.contains(lacks)).count();
    assert_eq!(count(&health.missing_features), 1, "{health:?}");
    assert_eq!(daemon.log().matches(lacks).count(), 1, "{}", daemon.log());
    let doctor = daemon.ctl(&["doctor"]).stdout;
    let line = doctor.lines().find(|line| line.contains("kernel features"));
    assert!(
        line.is_some_and(|line| line.starts_with("ok") && line.contains(lacks)),
        "{doctor}"
    );
    let _daemon = daemon.ended_by(Signal::SIGTERM);
}
