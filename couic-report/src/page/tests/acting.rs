//! Questions to daemons and changes, with a stand-in of the daemon.

use std::sync::{Arc as Shared, Mutex};

use couic_testkit::{Reply, StandIn};

use super::*;

const HEALTH: &str = r#"{"status":"ok","version":"2.0","interfaces":[],"set_problems":[]}"#;
const LOOKUP: &str = r#"{"ip":"203.0.113.9","verdict":"drop","decided_by":{"policy":"drop","creation":1,
    "cidr":"203.0.113.0/24","tag":"sshd","expiration":0,"owners":[{"kind":"client","name":"fail2ban","tag":"sshd","expiration":0}]},
    "also_covered_by":[]}"#;
const REFUSED: &str = r#"{"code":"invalid","message":"would cut off 198.51.100.77: send \"force\": true",
    "errors":{"cidr":{"code":"invalid","message":"would cut off 198.51.100.77: send \"force\": true"}}}"#;

/// A daemon that bans, and the page with its token.
async fn with_daemon(refuses: bool) -> (Fixture, StandIn) {
    let pending = Shared::new(Mutex::new(false));
    let daemon = StandIn::tcp(move |request| {
        let mut pending = pending.lock().unwrap();
        match request.line() {
            "GET /v1/health" => Reply::json(200, HEALTH),
            "GET /v1/lookup/203.0.113.9" => Reply::json(200, LOOKUP),
            "GET /v1/confirm" if *pending => Reply::json(
                200,
                r#"{"pending":[{"id":"0a1b2c3d","client":"page","summary":"ban <b>203.0.113.9/32",
                "made":1,"until":61,"left":57,"rules":1,"added":1,"removed":0,"sets":[],"problem":null}],"reverted":[],"problems":[]}"#,
            ),
            "GET /v1/confirm" => Reply::json(200, r#"{"pending":[],"reverted":[],"problems":[]}"#),
            "POST /v1/drop" | "POST /v1/ignore" if refuses => Reply::json(422, REFUSED),
            "POST /v1/drop" | "POST /v1/ignore" => {
                *pending = true;
                Reply::json(
                    201,
                    r#"{"creation":1,"cidr":"203.0.113.9/32","tag":"couic-report","expiration":0}"#,
                )
                .with("couic-confirm-id", "0a1b2c3d")
                .with("couic-confirm-until", "61")
            }
            "POST /v1/confirm/0a1b2c3d" => {
                *pending = false;
                Reply::json(200, r#"{"confirmed":["0a1b2c3d"]}"#)
            }
            line if line.starts_with("DELETE /v1/drop/203.0.113.0/24") => Reply::status(204),
            _ => Reply::status(404),
        }
    });
    let url = daemon.url("");
    let f = fixture(&format!(
        "[[page.firewalls]]\nname = \"fw\"\nurl = \"{url}\"\ntoken = \"b09d58a9-aaf1-4911-a592-040ff5dc45eb\""
    ))
    .await;
    (f, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_asked_of_the_daemon() {
    let (f, _daemon) = with_daemon(false).await;
    let cookie = f.login(VIEWER).await;
    let got = f.get("/address?ip=203.0.113.9", &cookie).await;
    got.has("Decided by drop 203.0.113.0/24.")
        .has("client fail2ban (tag sshd) without end");
    got.has("<span class=\"state bad\">dropped</span>");
    assert!(!got.body.contains("/act/"), "a viewer has no buttons");
    let actor = f.login(ACTOR).await;
    f.get("/address?ip=203.0.113.9", &actor)
        .await
        .has("/act/ban")
        .has("/act/unban")
        .has("/act/allow");
    let none = f.get("/address?ip=192.0.2.1", &actor).await;
    none.has("The daemon does not answer").has("not known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_protects_the_viewer_and_is_confirmed_without_script() {
    let (f, daemon) = with_daemon(false).await;
    let cookie = f.login(ACTOR).await;
    let page = f.get("/address?ip=203.0.113.9", &cookie).await;
    let body = format!(
        "form_token={}&firewall=fw&ip=203.0.113.9&lasts=3600&reason=scans+%0Aports&back={}",
        page.field("form_token"),
        "/address%3Fip%3D203.0.113.9"
    );
    let got = f.post("/act/ban", &cookie, &body).await;
    assert_eq!(
        (got.status, got.header("location")),
        (303, "/address?ip=203.0.113.9")
    );
    let sent = daemon.requests();
    let ban = sent
        .iter()
        .find(|request| request.line() == "POST /v1/drop")
        .unwrap();
    assert_eq!(ban.header("couic-confirm-within"), Some("60"));
    assert_eq!(
        ban.header("authorization"),
        Some("Bearer b09d58a9-aaf1-4911-a592-040ff5dc45eb")
    );
    let json = ban.json();
    assert_eq!(json["guard"]["protect"][0], BROWSER.to_string());
    assert_eq!(
        (&json["ttl"], &json["cidr"]),
        (&3600.into(), &"203.0.113.9/32".into())
    );
    assert_eq!(json["metadata"]["kind"], "couic-report");
    assert_eq!(json["metadata"]["detail"], "banned by bob: scans  ports");

    let page = f.get("/address?ip=203.0.113.9", &cookie).await;
    page.has("203.0.113.9/32 is banned.")
        .has("data-countdown=\"57\"")
        .has("ban &#60;b&#62;203.0.113.9/32");
    assert!(
        !f.get("/", &cookie).await.body.contains("is banned."),
        "shown once"
    );
    let viewer = f.login(VIEWER).await;
    let seen = f.get("/", &viewer).await;
    seen.has("is undone in");
    assert!(!seen.body.contains("/act/confirm"));
    let body = format!(
        "form_token={}&firewall=fw&id={}&back=/",
        page.field("form_token"),
        page.field("id")
    );
    assert_eq!(f.post("/act/confirm", &cookie, &body).await.status, 303);
    let page = f.get("/", &cookie).await;
    page.has("the change is confirmed, and stays.");
    assert!(!page.body.contains("is undone in"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unban_is_guarded_and_may_include_what_others_hold() {
    let (f, daemon) = with_daemon(false).await;
    let cookie = f.login(ACTOR).await;
    let token = f.get("/", &cookie).await.field("form_token");
    for (more, expected) in [("", false), ("&all_owners=yes", true)] {
        let body = format!("form_token={token}&firewall=fw&policy=drop&cidr=203.0.113.0/24{more}");
        assert_eq!(f.post("/act/unban", &cookie, &body).await.status, 303);
        f.get("/", &cookie)
            .await
            .has("drop 203.0.113.0/24 is deleted.");
        let sent = daemon.requests();
        let delete = sent
            .iter()
            .rfind(|request| request.line().starts_with("DELETE"))
            .unwrap();
        assert!(
            delete.line().contains("guard=198.51.100.77"),
            "{}",
            delete.line()
        );
        assert_eq!(delete.line().contains("all_owners=true"), expected);
        assert_eq!(delete.header("couic-confirm-within"), Some("60"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_shown_in_the_words_of_the_daemon() {
    let (f, _daemon) = with_daemon(true).await;
    let cookie = f.login(ACTOR).await;
    let token = f.get("/", &cookie).await.field("form_token");
    let body = format!("form_token={token}&firewall=fw&ip=198.51.100.77&lasts=0");
    assert_eq!(f.post("/act/ban", &cookie, &body).await.status, 303);
    let got = f.get("/", &cookie).await;
    got.has("Nothing was changed.")
        .has("would cut off 198.51.100.77: couicctl with --force can do it");
    assert_eq!(got.body.matches("would cut off").count(), 1, "{}", got.body);
    let login = f
        .post("/act/ban", "", &format!("{body}&back=/changes"))
        .await;
    login.has("You were logged out");
    assert_eq!(
        (login.status, login.field("next")),
        (401, "/changes".to_owned())
    );
    for body in [
        "&ip=x&lasts=0",
        "&ip=192.0.2.1",
        "&ip=192.0.2.1&lasts=7",
        "&ip=192.0.2.1&lasts=-1",
    ] {
        f.post(
            "/act/ban",
            &cookie,
            &format!("form_token={token}&firewall=fw{body}"),
        )
        .await;
        f.get("/", &cookie).await.has("Nothing was changed.");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_or_floods_delays_a_page_by_seconds_only() {
    let flood = StandIn::tcp(|_| Reply::json(200, "x".repeat(8 << 20)));
    let hang = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let f = fixture(&format!(
        "[[page.firewalls]]\nname = \"flood\"\nurl = \"{}\"\ntoken = \"b09d58a9-aaf1-4911-a592-040ff5dc45eb\"\n\
         [[page.firewalls]]\nname = \"hang\"\nurl = \"http://{}\"\ntoken = \"b09d58a9-aaf1-4911-a592-040ff5dc45eb\"",
        flood.url(""),
        hang.local_addr().unwrap()
    ))
    .await;
    let cookie = f.login(VIEWER).await;
    let got = f.get("/firewalls", &cookie).await;
    got.has("the response is larger than 4 MiB")
        .has("answer within 3");
    let before = flood.requests().len();
    for _ in 0..5 {
        f.get("/settings", &cookie).await;
    }
    let asked = flood.requests().len() - before;
    assert!(
        asked <= 4,
        "{asked} questions: the state is kept for some seconds"
    );
}
