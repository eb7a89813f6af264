//! Messages of every kind of notification, and values at their bounds.

use super::*;

fn shown(kind: Kind) -> Vec<(String, String)> {
    let notification = Notification::new(kind, Severity::Red, "gate\u{202e}way");
    let fields = Message::new(&notification).fields;
    fields
        .into_iter()
        .map(|f| (f.name.to_owned(), f.value))
        .collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[test]
fn a_summary_shows_all_its_figures() {
    let tag = |tag: &str, count| TagCount {
        tag: tag.to_owned(),
        count,
    };
    let summary = Summary {
        from: 1_700_000_000,
        until: 1_700_000_900,
        total: 120,
        distinct_cidrs: 80,
        distinct_is_estimate: true,
        top_tags: vec![tag("ssh", 100), tag("a\nb", 2)],
        sources: vec!["one".to_owned(), "two".to_owned()],
    };
    let expected = [
        ("Total", "120"),
        ("Distinct CIDRs", "about 80"),
        ("Top tags", "ssh (100), a b (2)"),
        (
            "Interval",
            "2023-11-14 22:13:20 to 2023-11-14 22:28:20 UTC (15 min)",
        ),
        ("Reported by", "one, two"),
        ("Server", "gateway"),
    ];
    assert_eq!(shown(Kind::Summary(summary)), pairs(&expected));
    let empty = shown(Kind::Summary(Summary::default()));
    assert!(empty.contains(&("Top tags".to_owned(), "none".to_owned())));
}

#[test]
fn reports_are_counted() {
    let report = |action: &str, cidr: &str, tag: &str| {
        let text = format!(
            r#"{{"action":"{action}","entry":{{"creation":1,"cidr":"{cidr}","tag":"{tag}","expiration":0}},"timestamp":60}}"#
        );
        couic_plugin_api::serde_json::from_str::<Report>(&text).unwrap()
    };
    let reports = vec![
        report("add", "192.0.2.0/24", "ssh"),
        report("add", "192.0.2.0/24", "web"),
        report("add", "198.51.100.0/24", "web"),
        report("remove", "198.51.100.0/24", "old"),
    ];
    let expected = [
        ("Total", "3"),
        ("Removed", "1"),
        ("Distinct CIDRs", "2"),
        ("Top tags", "web (2), ssh (1)"),
        (
            "Interval",
            "1970-01-01 00:01:00 to 1970-01-01 00:01:00 UTC (0 s)",
        ),
        ("Server", "gateway"),
    ];
    assert_eq!(shown(Kind::Reports(reports)), pairs(&expected));
}

#[test]
fn times_out_of_range_are_shown_as_numbers() {
    assert!(interval(0, u64::MAX).contains(&u64::MAX.to_string()));
    assert_eq!(
        interval(0, 3_601),
        "1970-01-01 00:00:00 to 1970-01-01 01:00:01 UTC (60 min 1 s)"
    );
}

#[test]
fn a_notice_of_invisible_characters_has_no_text() {
    let notice = couic_plugin_api::Notice {
        message: "\u{200b} \n".to_owned(),
        ..Default::default()
    };
    let notification = Notification::new(Kind::Notice(notice), Severity::Green, "here");
    assert_eq!(Message::new(&notification).text, None);
}

#[test]
fn a_test_notification_is_one_line() {
    let message = Message::new(&Notification::new(Kind::Test, Severity::Green, ""));
    assert_eq!(
        message.text.as_deref(),
        Some("Test notification: delivery works.")
    );
    assert_eq!(
        message.line(),
        "Couic: test. Test notification: delivery works.; Server: none"
    );
}
