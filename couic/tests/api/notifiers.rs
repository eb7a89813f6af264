//! Notifiers: status, tests, resumption.

mod dead;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use couic::reporting::{Counted, Notifiers};
use couic_common::Group;
use couic_delivery::{Member, NotificationDispatcher, Policy};
use couic_plugin_api::{
    Kind, Notice, Notification, Notifier, NotifyError, Receipt, Severity, async_trait,
};
use couic_testkit::until_ok;
use serde_json::{Value, json};

use crate::support::{Reply, TestApi, start, start_reporting};

/// A notifier with a configurable outcome.
struct Double {
    name: &'static str,
    ends: Mutex<Result<Receipt, NotifyError>>,
}

#[async_trait]
impl Notifier for Double {
    fn name(&self) -> &str {
        self.name
    }

    async fn notify(&self, _: &Notification) -> Result<Receipt, NotifyError> {
        self.ends.lock().unwrap().clone()
    }
}

impl Double {
    fn ends(&self, result: Result<Receipt, NotifyError>) {
        *self.ends.lock().unwrap() = result;
    }
}

struct Place {
    test: TestApi,
    siem: Arc<Double>,
    dispatcher: Arc<NotificationDispatcher>,
}

fn delivered() -> Result<Receipt, NotifyError> {
    Ok(Receipt {
        http_status: Some(204),
        pause: None,
    })
}

fn refused(status: u16) -> Result<Receipt, NotifyError> {
    Err(NotifyError::from_http(status, None))
}

/// An API with the notifiers `siem` and `chat.ops`.
fn place() -> Place {
    let double = |name| {
        let ends = Mutex::new(delivered());
        Arc::new(Double { name, ends })
    };
    let siem = double("siem");
    let members = [Arc::clone(&siem), double("chat.ops")];
    let members = members.map(|double| Member::new(double, Policy::default()));
    let dispatcher = NotificationDispatcher::start("t", "here", None, members.into()).unwrap();
    let dispatcher = Arc::new(dispatcher);
    let notifiers = Notifiers::new(Arc::clone(&dispatcher), Arc::<Counted>::default());
    let test = start_reporting(notifiers);
    Place {
        test,
        siem,
        dispatcher,
    }
}

impl Place {
    fn tell(&self, message: &str) {
        let notice = Notice {
            code: "test".to_owned(),
            message: message.to_owned(),
        };
        let notice = Notification::new(Kind::Notice(notice), Severity::Orange, "here");
        self.dispatcher.enqueue(&notice).unwrap();
    }

    async fn siem(&self) -> Value {
        let reply = self.test.get("/v1/notifiers/siem").await;
        reply.is(200).json()
    }

    async fn until(&self, what: impl Fn(&Value) -> bool) -> Value {
        until_ok(Duration::from_millis(2), async || {
            let siem = self.siem().await;
            if what(&siem) { Ok(siem) } else { Err(siem) }
        })
        .await
    }

    async fn post(&self, what: &str) -> Reply {
        self.test
            .ask("POST", &format!("/v1/notifiers/{what}"))
            .send()
            .await
    }
}

#[tokio::test]
async fn the_list_has_the_state_of_every_notifier() {
    let place = place();
    place.tell("hello");
    place.until(|siem| siem["delivered"] == 1).await;
    let list = place.test.get("/v1/notifiers").await.is(200).json();
    let names: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|n| &n["name"])
        .collect();
    assert_eq!(names, ["siem", "chat.ops"]);
    let siem = &list[0];
    for (key, expected) in [
        ("state", json!("ok")),
        ("queue_events", json!(0)),
        ("dead_letters", json!(0)),
        ("attempts", json!({"delivered": 1})),
        ("failed_attempts", json!(0)),
        ("last_error", json!(null)),
        ("problems", json!([])),
        ("spool", json!(null)),
    ] {
        assert_eq!(siem[key], expected, "{key} of {siem}");
    }
    assert!(siem["last_success"].as_u64().unwrap() > 1_700_000_000);
    // Another route with as many parts must not shadow a notifier's name.
    place
        .test
        .get("/v1/notifiers/peer")
        .await
        .error(404, "not_found");
    place.test.get("/v1/notifiers/chat.ops").await.is(200);
}

#[tokio::test]
async fn a_test_returns_its_outcome() {
    let place = place();
    let result = place.post("siem/test").await.is(200).json();
    assert_eq!(result["delivered"], true);
    assert_eq!(
        (
            &result["outcome"],
            &result["http_status"],
            &result["message"]
        ),
        (&json!("delivered"), &json!(204), &json!(null))
    );
    place.siem.ends(refused(404));
    let result = place.post("siem/test").await.is(200).json();
    assert_eq!(
        (
            &result["delivered"],
            &result["outcome"],
            &result["http_status"]
        ),
        (&json!(false), &json!("permanent"), &json!(404))
    );
    assert_eq!(result["message"], "the server answered 404");
    let siem = place.siem().await;
    assert_eq!(siem["state"], "failed");
    assert_eq!(
        siem["problems"],
        json!(["has failed: the server answered 404"])
    );
    place.post("nobody/test").await.error(404, "not_found");
}

#[tokio::test]
async fn a_failed_notifier_is_resumed() {
    let place = place();
    place.siem.ends(refused(401));
    place.tell("kept");
    place.until(|siem| siem["state"] == "failed").await;
    place.siem.ends(delivered());
    let resumed = place.post("siem/resume").await.is(200).json();
    assert_eq!(resumed["name"], "siem");
    place.until(|siem| siem["delivered"] == 1).await;
    place.post("nobody/resume").await.error(404, "not_found");
}

#[tokio::test]
async fn without_reporting_there_are_no_notifiers() {
    let test = start();
    assert_eq!(test.get("/v1/notifiers").await.is(200).json(), json!([]));
    for (method, path) in [
        ("GET", "siem"),
        ("POST", "siem/test"),
        ("GET", "siem/dead"),
        ("DELETE", "siem/dead?key=all"),
        ("POST", "siem/replay"),
        ("POST", "siem/resume"),
    ] {
        let asked = test.ask(method, &format!("/v1/notifiers/{path}"));
        asked.send().await.error(404, "not_found");
    }
}

#[tokio::test]
async fn delivery_figures_are_in_the_metrics() {
    let place = place();
    place.tell("hello");
    place.until(|siem| siem["delivered"] == 1).await;
    let asked = place
        .test
        .as_group(Group::Monitoring, "GET", "/v1/metrics?format=prometheus");
    let text = String::from_utf8(asked.send().await.is(200).body).unwrap();
    for line in [
        "couic_reports_total 0",
        "couic_notifier_delivered_total{notifier=\"siem\"} 1",
        "couic_notifier_state{notifier=\"siem\",state=\"ok\"} 1",
        "couic_notifier_attempts_total{notifier=\"siem\",outcome=\"delivered\"} 1",
        "couic_notifier_dead_letters{notifier=\"chat.ops\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
    }
}
