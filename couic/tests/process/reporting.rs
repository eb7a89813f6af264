//! Reports to the webhook.

use couic_testkit::{LONG, Reply, StandIn};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::Place;

/// The filter works without its notifiers: health names the problem and stays 200.
#[test]
fn failing_notifiers_degrade_health_without_503() {
    let mut place = Place::new();
    place.more = format!(
        "[reporting]\nenabled = true\n[[reporting.notifiers]]\nplugin = \"webhook\"\n\
         config = {{ url = \"http://127.0.0.1:8001/\", timeout_ms = 60000 }}\n\
         [[reporting.notifiers]]\nplugin = \"absent\"\n[plugins]\ndir = {:?}\n",
        place.path("plugins")
    );
    let Some(daemon) = place.start(&[]) else {
        return;
    };
    let health = place.health().expect(200).json();
    assert_eq!(health["status"], "degraded");
    let problem = &health["notifier_problems"][0];
    assert_eq!(problem["notifier"], "absent");
    let message = problem["message"].as_str().unwrap();
    assert!(
        message.contains("plugins/absent") && message.contains("libabsent.so"),
        "{message}"
    );

    let webhook = StandIn::on(daemon.listen(8001), |_| Reply::status(200));
    let api = place.api();
    let test = |name: &str| -> Value {
        let path = format!("/v1/notifiers/{name}/test");
        api.request("POST", &path, None).expect(200).json()
    };
    let sent = test("webhook");
    assert_eq!(
        (&sent["delivered"], &sent["http_status"]),
        (&json!(true), &json!(200))
    );
    assert_eq!(webhook.only().json(), json!([]));
    assert_eq!(test("absent")["outcome"], "bad_config");

    let list = api.get("/v1/notifiers");
    assert_eq!(
        (&list[0]["state"], &list[0]["mode"]),
        (&json!("ok"), &json!("builtin"))
    );
    assert_eq!(
        (&list[1]["state"], &list[1]["mode"]),
        (&json!("failed"), &json!(null))
    );
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
}

#[test]
fn a_change_is_posted_with_its_metadata_unchanged() {
    let mut place = Place::new();
    place.more =
        "[reporting]\nenabled = true\nname = \"FW 1\"\nwebhook = \"http://127.0.0.1:8000/v1/reports/s3cret\"\n"
            .into();
    let Some(daemon) = place.start(&[]) else {
        return;
    };
    let webhook = StandIn::on(daemon.listen(8000), |_| Reply::status(200));
    let metadata = json!({"kind": "sshd", "detail": "5 failures", "extra": {"user": ["root", 7]}});
    let entry =
        json!({"cidr": "192.0.2.7/32", "expiration": 0, "tag": "ssh", "metadata": metadata});
    let added = place
        .api()
        .request("POST", "/v1/drop", Some(&entry.to_string()));
    assert_eq!(added.status, 201, "{added:?}");

    let post = webhook.next(LONG);
    assert_eq!(post.line(), "POST /v1/reports/s3cret");
    assert!(post.header("user-agent").unwrap().starts_with("couic/2"));
    assert_eq!(post.header("content-type"), Some("application/json"));
    assert_eq!(post.header("couic-instance"), Some("FW 1"));
    let reports = post.json();
    let report = &reports.as_array().unwrap()[0];
    assert_eq!(
        (&report["action"], &report["policy"]),
        (&json!("add"), &json!("drop"))
    );
    assert_eq!(report["entry"]["cidr"], "192.0.2.7/32");
    assert_eq!(report["metadata"], metadata);
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
    assert!(!place.log().contains("s3cret"), "{}", place.log());
}
