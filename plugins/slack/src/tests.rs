use couic_plugin_api::{Kind, Notice};
use couic_plugin_shared::{sample, text::units};
use couic_testkit::{Reply, StandIn};
use proptest::prelude::*;

use super::*;

fn summary(tags: &[String], source: &str) -> Notification {
    sample::summary(tags, Severity::Orange, source)
}

fn blocks(body: &Value) -> &Vec<Value> {
    body["attachments"][0]["blocks"].as_array().unwrap()
}

/// Every text object of the message.
fn texts(body: &Value) -> Vec<&Value> {
    let mut all = Vec::new();
    for block in blocks(body) {
        all.extend(block.get("text"));
        for list in ["fields", "elements"] {
            all.extend(
                block
                    .get(list)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
        }
    }
    all
}

#[test]
fn a_summary_is_a_list_of_blocks_with_a_colored_bar() {
    let body = render(&summary(&["ssh".to_owned()], "gateway-1"));
    assert_eq!(body["attachments"][0]["color"], "#e67e22");
    assert_eq!(blocks(&body)[0]["type"], "header");
    let shown: Vec<_> = texts(&body)
        .iter()
        .map(|t| t["text"].as_str().unwrap())
        .collect();
    let max = u64::MAX;
    assert_eq!(
        shown,
        [
            "Couic: summary",
            "Total\n120",
            "Distinct CIDRs\n80",
            &format!("Top tags\nssh ({max})"),
            "Interval\n2023-11-14 22:13:20 to 2023-11-14 22:28:20 UTC (15 min)",
            "Reported by\nssh",
            "Server\ngateway-1",
            couic_plugin_shared::USER_AGENT,
        ]
    );
    assert!(
        body["text"]
            .as_str()
            .unwrap()
            .starts_with("Couic: summary; Total: 120; ")
    );
}

#[test]
fn hostile_tags_are_escaped() {
    let hostile = "<!channel> <https://evil|x> & *b*\u{202e}";
    let body = render(&summary(&[hostile.to_owned()], "x"));
    let shown = texts(&body)[3]["text"].as_str().unwrap();
    let expected = "Top tags\n&lt;!channel&gt; &lt;https://evil|x&gt; &amp; *b* (";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(
        texts(&body).iter().all(|t| t["type"] == "plain_text"),
        "no markup anywhere"
    );
    assert_eq!(body["mrkdwn"], false);
}

/// Slack's own limits, from its documentation.
fn check_limits(body: &Value) -> Result<(), TestCaseError> {
    prop_assert!(blocks(body).len() <= 50);
    prop_assert!(
        body.to_string().len() <= 13_000,
        "{} bytes",
        body.to_string().len()
    );
    for block in blocks(body) {
        let length = |value: &Value| units(value["text"].as_str().unwrap_or_default());
        let limit = if block["type"] == "header" {
            150
        } else {
            3_000
        };
        prop_assert!(
            block
                .get("text")
                .is_none_or(|text| (1..=limit).contains(&length(text)))
        );
        let fields = block.get("fields").and_then(Value::as_array);
        prop_assert!(fields.is_none_or(|f| f.len() <= 10 && f.iter().all(|f| (1..=2_000).contains(&length(f)))));
    }
    Ok(())
}

fn check_escapes(text: &str) -> Result<(), TestCaseError> {
    prop_assert!(!text.contains(['<', '>']), "{text:?}");
    let rest = text
        .replace("&amp;", "")
        .replace("&lt;", "")
        .replace("&gt;", "");
    prop_assert!(!rest.contains('&'), "half an escape in {text:?}");
    Ok(())
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        r"[<>&!@*_~`é👨\u{301}\u{202e}\u{200d} a]{0,900}",
        Just("\u{301}".repeat(3_000)),
        Just("👨\u{200d}".repeat(900)),
        Just("\"\\".repeat(900)),
    ]
}

proptest! {
    #[test]
    fn any_text_stays_within_the_limits(
        tags in prop::collection::vec(hostile(), 0..12),
        source in hostile(),
        message in hostile(),
    ) {
        let notice = Notice { code: String::new(), message };
        for notification in [
            summary(&tags, &source),
            Notification::new(Kind::Notice(notice), Severity::Green, source.clone()),
        ] {
            let body = render(&notification);
            check_limits(&body)?;
            check_escapes(body["text"].as_str().unwrap())?;
            for text in texts(&body) {
                check_escapes(text["text"].as_str().unwrap())?;
            }
        }
    }
}

#[tokio::test]
async fn one_message_is_one_attachment() {
    let server = StandIn::tcp(|_| Reply::status(200));
    let config = ChatConfig {
        webhook_url: server.url("/services/T/B/token"),
        timeout_ms: 60_000,
    };
    let slack = Slack::create(config).unwrap();
    let receipt = slack.notify(&summary(&[], "x")).await.unwrap();
    assert_eq!((receipt.http_status, slack.name()), (Some(200), "slack"));
    let body = server.only().json();
    assert_eq!(body["attachments"].as_array().unwrap().len(), 1);
}
