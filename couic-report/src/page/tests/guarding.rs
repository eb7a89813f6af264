//! Login, sessions, origins, roles, bounds.

use super::*;

const PAGES: [&str; 7] = [
    "/",
    "/address?ip=192.0.2.1",
    "/changes",
    "/firewalls",
    "/notifiers",
    "/settings",
    "/?range=hour",
];

#[tokio::test]
async fn nothing_is_shown_without_a_login() {
    let f = fixture("").await;
    for path in PAGES
        .iter()
        .chain(&["/none", "/firewalls?name=x", "/robots.txt"])
    {
        let got = f.get(path, "").await;
        assert_eq!(got.status, 401, "{path}");
        got.has("Log in").has("type=\"password\"");
        assert_eq!(got.field("next"), path.replace('&', "&#38;"));
        assert_eq!(f.get(path, "couic=guess").await.status, 401);
    }
    for path in ["/part/figures", "/part/alarms", "/api/series"] {
        let got = f.get(path, "").await;
        assert_eq!(
            (got.status, got.header("hx-refresh")),
            (401, "true"),
            "{path}"
        );
        assert!(!got.body.contains('<'));
    }
    for path in ["/act/ban", "/act/confirm", "/logout", "/none"] {
        assert_eq!(f.post(path, "", "ip=192.0.2.1").await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn a_login_leads_to_the_page_that_was_asked_for() {
    let f = fixture("").await;
    let got = f
        .post(
            "/login",
            "",
            &format!("token={VIEWER}&next=/address%3Fip%3D%3A%3A1"),
        )
        .await;
    assert_eq!(
        (got.status, got.header("location")),
        (303, "/address?ip=::1")
    );
    let cookie = got.header("set-cookie");
    assert!(
        cookie.contains("HttpOnly; SameSite=Strict; Max-Age=43200"),
        "{cookie}"
    );
    let away = f
        .post("/login", "", &format!("token={VIEWER}&next=//evil.example"))
        .await;
    assert_eq!(away.header("location"), "/");
    let cookie = cookie.split(';').next().unwrap();
    for path in PAGES {
        let got = f.get(path, cookie).await;
        assert_eq!(got.status, 200, "{path}: {}", got.body);
        got.has("ana (view)");
        assert_eq!(
            f.send("HEAD", path, &[("cookie", cookie)], "").await.body,
            ""
        );
    }
    let form_token = f.get("/", cookie).await.field("form_token");
    let out = f
        .post("/logout", cookie, &format!("form_token={form_token}"))
        .await;
    assert!(out.status == 303 && out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(f.get("/", cookie).await.status, 401);
}

#[tokio::test]
async fn wrong_tokens_are_slowed_down_and_the_right_one_waits_too() {
    let f = fixture("").await;
    for _ in 0..5 {
        let got = f.post("/login", "", "token=wrong-token-wrong-token").await;
        assert_eq!(got.status, 401);
        got.has("This token is not known here.");
    }
    let got = f.post("/login", "", &format!("token={ACTOR}")).await;
    assert_eq!(got.status, 429);
    assert!(got.header("retry-after").parse::<u64>().is_ok());
    let long = f
        .post("/login", "", &format!("token={}", "x".repeat(10_000)))
        .await;
    assert_eq!(long.status, 429);
}

#[tokio::test]
async fn behind_tls_the_cookie_is_secure_and_plain_ones_do_not_count() {
    let f = fixture("proxies = [\"198.51.100.77\"]").await;
    let headers = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "203.0.113.5"),
        ("origin", "https://couic.example.org"),
    ];
    let got = f
        .send("POST", "/login", &headers, &format!("token={VIEWER}"))
        .await;
    let cookie = got.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-couic=") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    let plain = cookie.replace("__Host-couic", "couic");
    let over_tls = ("x-forwarded-proto", "https");
    assert_eq!(
        f.send("GET", "/", &[over_tls, ("cookie", cookie)], "")
            .await
            .status,
        200
    );
    assert_eq!(
        f.send("GET", "/", &[over_tls, ("cookie", &plain)], "")
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn other_names_and_other_sites_are_refused() {
    let f = fixture("").await;
    let cookie = f.login(ACTOR).await;
    let rebound = f
        .send(
            "GET",
            "/",
            &[("host", "evil.example"), ("cookie", &cookie)],
            "",
        )
        .await;
    assert_eq!(rebound.status, 421);
    rebound.has("page.hosts");
    let body = format!("token={VIEWER}");
    for origin in [
        "http://evil.example",
        "null",
        "https://couic.example.org",
        "",
    ] {
        let headers = [("origin", origin), ("cookie", cookie.as_str())];
        for path in ["/login", "/act/ban", "/logout"] {
            let got = f.send("POST", path, &headers, &body).await;
            assert_eq!(got.status, 403, "{origin} {path}");
        }
    }
    assert_eq!(f.get("/", &cookie).await.status, 200, "still logged in");
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        assert_eq!(
            f.send(method, "/", &[("cookie", &cookie)], "").await.status,
            405,
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_followed_link_comes_back_with_the_cookie() {
    let f = fixture("").await;
    let headers = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
    ];
    let got = f.send("GET", "/address?ip=192.0.2.1", &headers, "").await;
    assert_eq!(got.status, 200);
    got.has("content=\"0; url=/address?ip=192.0.2.1\"");
    assert!(!got.body.contains("password"));
    let own = [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "navigate"),
    ];
    assert_eq!(f.send("GET", "/", &own, "").await.status, 401);
}

#[tokio::test]
async fn a_change_needs_the_role_and_the_form_of_the_session() {
    let f = fixture("[[page.firewalls]]\nname = \"fw\"\nsocket = \"/none.sock\"\ntoken = \"550e8400-e29b-41d4-a716-446655440000\"").await;
    let (viewer, actor) = (f.login(VIEWER).await, f.login(ACTOR).await);
    let of_viewer = f.get("/", &viewer).await.field("form_token");
    let of_actor = f.get("/", &actor).await.field("form_token");
    let ban = |token: &str| format!("form_token={token}&firewall=fw&ip=192.0.2.1&lasts=3600");
    for (cookie, token) in [
        (&actor, &of_viewer),
        (&actor, &String::new()),
        (&viewer, &of_actor),
    ] {
        let got = f.post("/act/ban", cookie, &ban(token)).await;
        assert_eq!(got.status, 403);
        got.has("another login");
    }
    let got = f.post("/act/ban", &viewer, &ban(&of_viewer)).await;
    assert_eq!(got.status, 403);
    got.has("your role is view");
    for path in ["/act/none", "/none", "/settings"] {
        assert_eq!(
            f.post(path, &actor, &ban(&of_actor)).await.status,
            404,
            "{path}"
        );
    }
    let unknown = ban(&of_actor).replace("firewall=fw", "firewall=other");
    assert_eq!(f.post("/act/ban", &actor, &unknown).await.status, 404);
}

#[tokio::test]
async fn errors_look_like_the_page_and_name_nothing() {
    let f = fixture("").await;
    let cookie = f.login(VIEWER).await;
    for path in [
        "/none",
        "/assets/0/page.css",
        "/firewalls?name=none",
        "/part/figures?name=%3Cb%3E",
    ] {
        let got = f.get(path, &cookie).await;
        assert_eq!(got.status, 404, "{path}");
        got.has("<h1>404 Not Found</h1>").has("page.css");
        assert!(!got.body.contains("<b>") && !got.body.contains("ana"));
    }
}
