//! What pages show: reports, hostile texts, mistakes.

use serde_json::json;

use super::*;

#[tokio::test]
async fn an_empty_service_says_what_to_do() {
    let f = fixture("").await;
    let cookie = f.login(VIEWER).await;
    f.get("/", &cookie)
        .await
        .has("No firewall has reported yet")
        .has("[reporting] enabled = true");
    f.get("/notifiers", &cookie)
        .await
        .has("No notifier is configured");
    f.get("/changes", &cookie).await.has("No change matches.");
    let got = f.get("/address?ip=192.0.2.1", &cookie).await;
    got.has("nothing is known");
}

#[tokio::test]
async fn an_address_that_is_none_is_explained() {
    let f = fixture("").await;
    let cookie = f.login(VIEWER).await;
    for typed in [
        "nonsense",
        "1.2.3",
        "%3Cscript%3Ealert(1)%3C/script%3E",
        "999.1.1.1",
        "::1::",
    ] {
        for path in [
            format!("/address?ip={typed}"),
            format!("/changes?address={typed}"),
        ] {
            let got = f.get(&path, &cookie).await;
            got.has("role=\"alert\"").has("aria-invalid=\"true\"");
            assert!(!got.body.contains("<script>alert"), "{path}");
        }
    }
    f.get("/address?ip=::ffff:192.0.2.1", &cookie)
        .await
        .has("<span class=\"net\">192.0.2.1</span>");
}

#[tokio::test]
async fn reports_are_shown_and_hostile_texts_are_text() {
    let f = fixture("").await;
    let cookie = f.login(VIEWER).await;
    let hostile = "<script>alert(1)</script>\" onload=x '&";
    let now = unix_seconds();
    let report = |ip: &str, tag: &str| {
        json!({"action":"add","policy":"drop","timestamp":now,
            "metadata":{"kind":"k","detail":"<img src=x onerror=alert(1)>"},
            "entry":{"creation":now,"cidr":format!("{ip}/32"),"tag":tag,"expiration":0}})
    };
    let reports = json!([
        report("203.0.113.9", hostile),
        report("203.0.113.9", "sshd")
    ]);
    f.report("<b>fw</b>&\"'", &reports).await;
    for path in [
        "/",
        "/?range=month",
        "/address?ip=203.0.113.9",
        "/changes",
        "/firewalls",
        "/part/figures",
    ] {
        let got = f.get(path, &cookie).await;
        assert_eq!(got.status, 200, "{path}");
        for raw in ["<script>alert", "<img", "<b>fw"] {
            assert!(!got.body.contains(raw), "{path}: {raw} in {}", got.body);
        }
        got.has("&#60;b&#62;fw&#60;/b&#62;");
    }
    let got = f.get("/changes?tag=sshd", &cookie).await;
    got.has("203.0.113.9/32")
        .has("drop added")
        .has("&#60;img src=x");
    assert!(
        !got.body.contains("alert(1)&#60;/script"),
        "filtered by tag"
    );
    f.get("/address?ip=203.0.113.9", &cookie)
        .await
        .has("As its reports tell")
        .has("dropped");
    f.get("/firewalls?name=%3Cb%3Efw%3C/b%3E%26%22%27", &cookie)
        .await
        .has("First heard of");
    let go = f.get("/firewalls/%3Cb%3E", &cookie).await;
    assert_eq!(
        (go.status, go.header("location")),
        (303, "/firewalls?name=%3Cb%3E")
    );
}

#[tokio::test]
async fn figures_for_the_charts_are_bounded() {
    let f = fixture("").await;
    let cookie = f.login(VIEWER).await;
    for (range, steps) in [
        ("hour", 60),
        ("day", 288),
        ("week", 168),
        ("month", 120),
        ("none", 288),
    ] {
        let got = f
            .get(&format!("/api/series?kind=rules&range={range}"), &cookie)
            .await;
        let plot: serde_json::Value = serde_json::from_str(&got.body).unwrap();
        let times = plot["times"].as_array().unwrap();
        assert!(times.len() <= steps, "{range}: {}", times.len());
        assert_eq!(
            plot["lines"][0]["values"].as_array().unwrap().len(),
            times.len()
        );
    }
}

#[tokio::test]
async fn settings_are_shown_without_secrets_and_a_broken_database_is_told() {
    let f = fixture("mmdb = [\"/nonexistent/asn.mmdb\"]").await;
    let cookie = f.login(ACTOR).await;
    let got = f.get("/settings", &cookie).await;
    got.has("bob (act)")
        .has("127.0.0.1:8001")
        .has("/nonexistent/asn.mmdb: cannot be read");
}
