//! Web servers from Debian in the host's namespace, with all their files in a directory of the test.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use couic_e2e::{HOST_V4, Lab, OUTSIDE_V4, until};
use couic_testkit::{LONG, Program};

use super::ask;

/// Whether a program is there; says `skipped` otherwise.
pub(crate) fn is_there(program: &str, shows_version: &str) -> bool {
    let mut command = Command::new(program);
    let command = command.arg(shows_version).stdout(Stdio::null());
    let status = command.stderr(Stdio::null()).status();
    let found = status.is_ok_and(|status| status.success());
    if !found {
        println!("skipped: no {program}; scripts/setup fetches it");
    }
    found
}

/// What every server of these tests serves: one page, a login that fails, and nothing else.
const PAGES: &str = "location = /good { return 200 ok; } location = /login { return 401; } location / { return 404; }";

/// nginx with `server` blocks beside its usual one, which logs to `access.log` in `combined`.
pub(super) fn nginx(lab: &Lab, dir: &Path, more: &str) -> Option<Program> {
    if !is_there("nginx", "-v") {
        return None;
    }
    let home = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {home}/nginx-{kind};\n"))
        .collect();
    let config = format!(
        "user root;\ndaemon off;\nmaster_process off;\npid {home}/nginx.pid;\nerror_log {home}/nginx.log;\nevents {{}}\n\
         http {{\n{temporary}server {{ listen 80; listen [::]:80; access_log {home}/access.log; {PAGES} }}\n{more}}}\n"
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, config).expect("write nginx.conf");
    let mut command = lab.host.command("nginx");
    command.arg("-c").arg(file);
    Some(ready(
        lab,
        Program::start(command, &dir.join("nginx.output")),
    ))
}

/// HAProxy, which logs to this target: an address of UDP, or the path of a datagram socket.
pub(super) fn haproxy(lab: &Lab, dir: &Path, log: &str) -> Option<Program> {
    if !is_there("haproxy", "-v") {
        return None;
    }
    let config = format!(
        "global\n  log {log} local0\ndefaults\n  mode http\n  log global\n  option httplog\n  timeout connect 5s\n  \
         timeout client 5s\n  timeout server 5s\nfrontend web\n  bind {HOST_V4}:80\n  \
         http-request return status 200 content-type text/plain string ok if {{ path /good }}\n  \
         http-request return status 404\n"
    );
    let file = dir.join("haproxy.cfg");
    fs::write(&file, config).expect("write haproxy.cfg");
    let mut command = lab.host.command("haproxy");
    command.arg("-db").arg("-f").arg(file);
    Some(ready(
        lab,
        Program::start(command, &dir.join("haproxy.output")),
    ))
}

/// Caddy, which logs JSON to `caddy.log`.
pub(super) fn caddy(lab: &Lab, dir: &Path) -> Option<Program> {
    if !is_there("caddy", "version") {
        return None;
    }
    let home = dir.display();
    let config = format!(
        "{{\n admin off\n auto_https off\n storage file_system {home}/caddy\n}}\nhttp://:80 {{\n log {{\n  output file {home}/caddy.log\n }}\n \
         respond /good 200\n respond /login 401\n respond 404\n}}\n"
    );
    let file = dir.join("Caddyfile");
    fs::write(&file, config).expect("write a Caddyfile");
    let mut command = lab.host.command("caddy");
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(file);
    command
        .env("HOME", dir)
        .env("XDG_DATA_HOME", dir)
        .env("XDG_CONFIG_HOME", dir);
    Some(ready(
        lab,
        Program::start(command, &dir.join("caddy.output")),
    ))
}

/// Answers requests.
fn ready(lab: &Lab, server: Program) -> Program {
    until("the server answers", LONG, || {
        (ask(lab, OUTSIDE_V4, &["/good"], &[]) == [200]).then_some(())
    });
    server
}
