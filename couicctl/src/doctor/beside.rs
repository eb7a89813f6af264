//! Programs beside the daemon on this machine: couicmon and couic-bouncer, asked on their control sockets.

use std::{path::Path, time::Duration};

use couic_httpd::{Ask, AskError};
use serde_json::Value;

use super::Check;
use crate::{connect, installed::Installed};

/// The socket is on this machine: a longer silence is a program that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Problems that are named.
const NAMED: usize = 3;

/// Those that are set up here, at their usual places.
pub(super) fn all(checks: &mut Vec<Check>) {
    for name in ["couicmon", "couic-bouncer"] {
        let socket = format!("/run/{name}/control.sock");
        let token = format!("/etc/{name}/token");
        checks.extend(one(name, Path::new(&socket), Path::new(&token)));
    }
}

/// Whether the token of fail2ban, beside the daemon's configuration, is one of the daemon's. None if there is none.
pub(super) async fn fail2ban(config: &Path, installed: &Installed) -> Option<Check> {
    const NAME: &str = "fail2ban";
    let token = config.with_file_name("fail2ban.token");
    if !token.exists() {
        return None;
    }
    let shown = token.display();
    Some(match connect::refuses(&installed.socket, &token).await {
        Some(false) => Check::ok(NAME, format!("its token in {shown} is accepted")),
        Some(true) => Check::fail(
            NAME,
            format!("its token in {shown} is refused: no ban of it is made"),
        )
        .advise("couicctl setup --yes gives it a new one"),
        None => Check::skip(NAME, format!("its token in {shown} cannot be tried")),
    })
}

/// None if it was never given a token, and does not run.
fn one(name: &str, socket: &Path, token: &Path) -> Option<Check> {
    if !socket.exists() {
        let is_set_up = token.exists();
        return is_set_up.then(|| {
            let check = Check::warn(name, "it has a token, and does not run");
            check.advise(format!(
                "systemctl status {name}; systemctl enable --now {name}"
            ))
        });
    }
    let ask = Ask {
        program: name,
        socket,
        patience: PATIENCE,
    };
    Some(match ask.send("GET /health") {
        Ok(body) => judged(name, &body),
        // Health that has failed is told so, with the same body.
        Err(AskError::Refused {
            status, message, ..
        }) if status == "503" => judged(name, &message),
        Err(AskError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Check::skip(name, "only root, its user and its group may ask it")
        }
        Err(error) => Check::fail(name, error.to_string()),
    })
}

fn judged(name: &str, body: &str) -> Check {
    let health: Value = serde_json::from_str(body).unwrap_or_default();
    let status = health["status"]
        .as_str()
        .unwrap_or("its answer cannot be read");
    let problems = health["problems"].as_array().map(Vec::as_slice);
    let problems = problems.unwrap_or_default().iter();
    let named: Vec<&str> = problems.filter_map(Value::as_str).take(NAMED).collect();
    let text = match named.as_slice() {
        [] => status.to_owned(),
        named => format!("{status}: {}", named.join("; ")),
    };
    match status {
        "ok" => Check::ok(name, text),
        "degraded" => Check::warn(name, text),
        _ => Check::fail(name, text),
    }
}

#[cfg(test)]
mod tests {
    use couic_testkit::{Reply, StandIn};

    use super::*;
    use crate::doctor::CheckState;

    #[tokio::test]
    async fn the_token_of_fail2ban_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("couic.toml");
        let daemon = StandIn::unix(|_| Reply::json(401, "{\"message\":\"no\"}"));
        let installed = Installed {
            socket: daemon.socket.clone(),
            ..Installed::default()
        };
        assert_eq!(fail2ban(&config, &installed).await, None);
        let token = "bbfa1388-3218-463c-9722-6805507c14bb\n";
        std::fs::write(dir.path().join("fail2ban.token"), token).unwrap();
        let check = fail2ban(&config, &installed).await.unwrap();
        assert_eq!(check.state, CheckState::Fail, "{check:?}");
    }

    #[test]
    fn what_runs_is_asked_and_what_should_run_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (none, token) = (dir.path().join("none"), dir.path().join("token"));
        assert!(one("couicmon", &none, &token).is_none());
        std::fs::write(&token, "").unwrap();
        let check = one("couicmon", &none, &token).unwrap();
        assert_eq!(check.state, CheckState::Warn);
        for (code, status, expected) in [
            (200, "ok", CheckState::Ok),
            (200, "degraded", CheckState::Warn),
            (503, "failed", CheckState::Fail),
        ] {
            let body = format!("{{\"status\":\"{status}\",\"problems\":[\"feed a is stale\"]}}");
            let program = StandIn::unix(move |_| Reply::json(code, body.clone()));
            let check = one("couic-bouncer", &program.socket, &token).unwrap();
            assert_eq!(check.state, expected, "{check:?}");
            assert!(check.found.contains("feed a is stale"), "{check:?}");
        }
    }
}
