//! Behind a reverse proxy: whoever forges `X-Forwarded-For` harms only themselves.

use couic_e2e::Monitor;
use tempfile::TempDir;

use super::{
    NAMED, OFFENDER, SCAN, VISITOR, ask, banned, crowded, only, scan_jail, servers::nginx,
    until_dropped,
};

/// nginx before another one: the latter sees the former's address, and a header whose end the former wrote.
#[test]
fn the_client_before_a_trusted_proxy_is_dropped_and_never_an_address_that_it_claims() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let home = dir.path().display();
    let log = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
               \"$http_referer\" \"$http_user_agent\" \"$http_x_forwarded_for\"";
    let behind = format!(
        "log_format behind '{log}';\n\
         server {{ listen 127.0.0.1:8080; access_log {home}/behind.log behind; location = /good {{ return 200; }} location / {{ return 404; }} }}\n\
         server {{ listen 81; access_log off; location / {{ proxy_pass http://127.0.0.1:8080; \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}\n"
    );
    let Some(_nginx) = nginx(&lab, dir.path(), &behind) else {
        return;
    };
    let daemon = lab.monitored_daemon().start();
    let source = format!(
        "[source.web]\nfile = \"{home}/behind.log\"\nfields = '{log}'\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
         client_from = \"x-forwarded-for\"\n"
    );
    let _monitor = Monitor::start(&lab, &daemon, dir.path(), &(source + &scan_jail()));
    let through = |source: &str, paths: &[&str], header: &str| {
        let paths: Vec<_> = paths.iter().map(|path| format!(":81{path}")).collect();
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        ask(&lab, source, &paths, &["-H", header])
    };
    assert_eq!(through(VISITOR, &["/good", "/missing"], ""), [200, 404]);
    // Forged in every form: an address, many, garbage, the proxy's own, with quotes that end a field of the log.
    for forged in [
        format!("X-Forwarded-For: {NAMED}"),
        format!("X-Forwarded-For: {NAMED}, 127.0.0.1"),
        format!("X-Forwarded-For: \" 404 0 \"-\" \"-\" \"{NAMED}\""),
        "X-Forwarded-For: unknown, ,,".to_owned(),
    ] {
        let _ = through(OFFENDER, &SCAN[..3], &forged);
    }
    let _ = through(OFFENDER, &SCAN, &format!("X-Forwarded-For: {NAMED}"));
    until_dropped(&lab, OFFENDER);
    assert_eq!(through(VISITOR, &["/good"], ""), [200]);
    assert_eq!(through(NAMED, &["/good"], ""), [200]);
    assert_eq!(banned(&daemon), only(&[OFFENDER]));
}
