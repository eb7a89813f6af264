use couic_plugin_api::{Digest, Kind, Notice};
use couic_plugin_shared::{sample, text::units};
use couic_testkit::{Reply, StandIn};
use proptest::prelude::*;

use super::*;

fn summary(tags: &[String], source: &str) -> Notification {
    sample::summary(tags, Severity::Red, source)
}

fn fields(body: &Value) -> Vec<(&str, &str)> {
    let fields = body["embeds"][0]["fields"].as_array().unwrap();
    fields
        .iter()
        .map(|f| (f["name"].as_str().unwrap(), f["value"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_summary_is_one_embed() {
    let body = render(&summary(&["ssh".to_owned()], "gateway-1"));
    let embed = &body["embeds"][0];
    assert_eq!(embed["title"], r"Couic\: summary");
    assert_eq!(embed["color"], 0xe7_4c_3c);
    let max = u64::MAX;
    assert_eq!(
        fields(&body),
        [
            ("Total", "120"),
            ("Distinct CIDRs", "80"),
            ("Top tags", &format!(r"ssh \({max}\)")),
            (
                "Interval",
                r"2023\-11\-14 22\:13\:20 to 2023\-11\-14 22\:28\:20 UTC \(15 min\)"
            ),
            ("Reported by", "ssh"),
            ("Server", r"gateway\-1"),
        ]
    );
    assert_eq!(body["allowed_mentions"], json!({"parse": []}));
    assert!(
        body.get("content").is_none(),
        "only content can mention users"
    );
}

#[test]
fn the_color_is_that_of_the_severity() {
    for (severity, color) in [
        (Severity::Green, 0x2e_cc_71),
        (Severity::Orange, 0xe6_7e_22),
        (Severity::Red, 0xe7_4c_3c),
    ] {
        let notification = Notification::new(Kind::Test, severity, "here");
        assert_eq!(render(&notification)["embeds"][0]["color"], color);
    }
}

#[test]
fn hostile_tags_are_escaped() {
    let hostile = "@everyone <@1> **b** [x](https://evil) `c` ||s|| <t:1:R>\u{202e}";
    let body = render(&summary(&[hostile.to_owned()], "x"));
    let (_, shown) = fields(&body)[2];
    let expected =
        r"\@everyone \<\@1\> \*\*b\*\* \[x\]\(https\://evil\) \`c\` \|\|s\|\| \<t\:1\:R\>";
    assert!(shown.starts_with(expected), "{shown}");
}

/// Discord's own limits, from its documentation.
fn check_limits(body: &Value) -> Result<(), TestCaseError> {
    let embed = &body["embeds"][0];
    let length = |value: &Value| units(value.as_str().unwrap_or_default());
    let title = length(&embed["title"]);
    let description = length(&embed["description"]);
    let footer = length(&embed["footer"]["text"]);
    prop_assert!(title <= 256 && description <= 4_096 && footer <= 2_048);
    let fields = embed["fields"].as_array().unwrap();
    prop_assert!(fields.len() <= 25);
    let mut sum = title + description + footer;
    for field in fields {
        let (name, value) = (length(&field["name"]), length(&field["value"]));
        prop_assert!((1..=256).contains(&name) && (1..=1_024).contains(&value));
        prop_assert!(!field["value"].as_str().unwrap().trim().is_empty());
        sum += name + value;
    }
    prop_assert!(sum <= 6_000, "{sum} in all");
    Ok(())
}

/// Every special character is preceded by a backslash.
fn check_escapes(text: &str) -> Result<(), TestCaseError> {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            let next = chars.next();
            prop_assert!(
                next.is_some_and(|next| SPECIAL.contains(next)),
                "half an escape in {text:?}"
            );
        } else {
            prop_assert!(!SPECIAL.contains(c), "bare {c:?} in {text:?}");
        }
    }
    Ok(())
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        r"[\\*_~`|>#<@\[\]()é👨\u{301}\u{202e}\u{200d} a]{0,900}",
        Just("\u{301}".repeat(3_000)),
        Just("👨\u{200d}".repeat(900)),
        Just("\u{200b}".repeat(9)),
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
        let digest = Digest { merged: u64::MAX, ..Digest::default() };
        for notification in [
            summary(&tags, &source),
            Notification::new(Kind::Notice(notice), Severity::Green, source.clone()),
            Notification::new(Kind::Digest(digest), Severity::Green, source.clone()),
        ] {
            let body = render(&notification);
            check_limits(&body)?;
            for (_, value) in fields(&body) {
                check_escapes(value)?;
            }
            check_escapes(body["embeds"][0]["description"].as_str().unwrap_or_default())?;
        }
    }
}

#[tokio::test]
async fn an_exhausted_rate_limit_requests_a_pause() {
    for (remaining, expected) in [("0", Some(Duration::from_millis(1_250))), ("1", None)] {
        let server = StandIn::tcp(move |_| {
            Reply::status(204)
                .with("X-RateLimit-Remaining", remaining)
                .with("X-RateLimit-Reset-After", "1.25")
        });
        let config = ChatConfig {
            webhook_url: server.url("/api/webhooks/1/token"),
            timeout_ms: 60_000,
        };
        let discord = Discord::create(config).unwrap();
        let receipt = discord.notify(&summary(&[], "x")).await.unwrap();
        assert_eq!((receipt.http_status, receipt.pause), (Some(204), expected));
        let body = server.only().json();
        assert_eq!(body["embeds"].as_array().unwrap().len(), 1);
    }
}
