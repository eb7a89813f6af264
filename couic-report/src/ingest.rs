//! Parses a request body into a batch: the fast path.
//!
//! Reports are parsed zero-copy and written into the batch's journal record one by one, without an allocation per
//! report. A body that is not entirely an array of reports is rejected as a whole.
//!
//! Lenient about differences of Couic 1.0 or a newer version (unknown fields, no policy, no timestamp), and with tags:
//! any text is accepted, truncated to 255 bytes. Metadata, owner and expiration may be anything: what can be read of them
//! goes into the history. Strict about the action and the CIDR.

mod lenient;

use std::{borrow::Cow, cell::Cell, fmt};

use couic_common::{Cidr, PeerAction, Policy};
use couic_plugin_api::Traffic;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, SeqAccess, Visitor},
};
use uuid::Uuid;

use self::lenient::{Details, Scalar};
use crate::state::{Batch, BatchWriter, Row};

/// Roughly how many times smaller a report is in the journal than in a body.
const SHRINKS_BY: usize = 8;

/// The body is not a JSON array of reports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct NotReports {
    /// Index of the invalid report, from 0; None if the body is not an array.
    index: Option<u32>,
    message: String,
}

impl NotReports {
    /// The parser panicked.
    pub(crate) fn fault() -> Self {
        Self {
            index: None,
            message: "internal error of couic-report while parsing".to_owned(),
        }
    }
}

impl fmt::Display for NotReports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a JSON array of reports: ")?;
        if let Some(index) = self.index {
            write!(f, "report {index} (counted from 0): ")?;
        }
        f.write_str(&self.message)
    }
}

/// Parses a body. `id` is the request's id, stable across retries; `source` is the sender; `now` the time.
pub(crate) fn parse(
    body: &[u8],
    id: Option<Uuid>,
    source: &str,
    now: u64,
) -> Result<Batch, NotReports> {
    let at = Cell::new(None);
    let writer = BatchWriter::new(id, source, now, body.len() / SHRINKS_BY);
    let mut json = serde_json::Deserializer::from_slice(body);
    let batch = json
        .deserialize_seq(Reports { writer, at: &at })
        .and_then(|writer| json.end().map(|()| writer.finish()));
    batch.map_err(|error| NotReports {
        index: at.get(),
        message: error.to_string(),
    })
}

/// Parses what a firewall passed and dropped, and returns it as JSON within the bounds of the history.
pub(crate) fn parse_traffic(body: &[u8]) -> Result<Vec<u8>, String> {
    const MAX_INTERFACES: usize = 64;
    const MAX_RULES: usize = 4;
    // A list would be read as the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("not traffic: a JSON object is expected".to_owned());
    }
    let read = serde_json::from_slice::<Traffic>(body);
    let mut traffic = read.map_err(|error| format!("not traffic as JSON: {error}"))?;
    traffic.interfaces.truncate(MAX_INTERFACES);
    traffic.rules.truncate(MAX_RULES);
    let tags = traffic.tags.iter_mut().map(|tag| &mut tag.tag);
    let interfaces = traffic.interfaces.iter_mut().map(|one| &mut one.name);
    let others = [&mut traffic.health, &mut traffic.version];
    for text in tags.chain(interfaces).chain(others) {
        text.truncate(text.floor_char_boundary(usize::from(u8::MAX)));
    }
    traffic.limit_tags();
    serde_json::to_vec(&traffic).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct WireReport<'a> {
    action: PeerAction,
    policy: Option<Policy>,
    #[serde(borrow)]
    entry: WireEntry<'a>,
    #[serde(borrow, default)]
    metadata: Details<'a>,
    timestamp: Option<u64>,
    #[serde(borrow, default)]
    owner: Details<'a>,
}

#[derive(Deserialize)]
struct WireEntry<'a> {
    cidr: Cidr,
    #[serde(borrow)]
    tag: Option<Text<'a>>,
    #[serde(borrow, default)]
    expiration: Scalar<'a>,
}

/// Borrowed unless it has escapes. (serde borrows a `Cow` in a field of its own only, not within an `Option`.)
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Reports<'s> {
    writer: BatchWriter,
    at: &'s Cell<Option<u32>>,
}

impl<'de> Visitor<'de> for Reports<'_> {
    type Value = BatchWriter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut reports: A) -> Result<BatchWriter, A::Error> {
        loop {
            self.at.set(Some(self.writer.len()));
            if reports.next_element_seed(One(&mut self.writer))?.is_none() {
                // Anything after the array belongs to no report.
                self.at.set(None);
                return Ok(self.writer);
            }
        }
    }
}

struct One<'w>(&'w mut BatchWriter);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let report = WireReport::deserialize(json)?;
        let tag = report.entry.tag.as_ref().map_or("", |tag| &tag.0);
        self.0.push(&Row {
            action: report.action,
            policy: report.policy,
            cidr: report.entry.cidr,
            tag,
            at: report.timestamp.unwrap_or_default(),
            expiration: report.entry.expiration.number(),
            reason: report.metadata.detail(),
            owner: report.owner.owner(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use serde::de::IgnoredAny;

    use super::*;
    use crate::state::Ledger;

    fn counted(body: &str) -> Result<(u32, u32, Ledger), NotReports> {
        let batch = parse(body.as_bytes(), None, "fw1", 9)?;
        let mut ledger = Ledger::new(Uuid::nil(), 0);
        ledger.apply(&batch.payload).unwrap();
        Ok((batch.adds, batch.removes, ledger))
    }

    #[test]
    fn reports_of_old_and_new_senders_are_parsed() {
        let body = r#" [
            {"action":"add","entry":{"creation":1,"cidr":"192.0.2.9/24","tag":"ssh","expiration":0}},
            {"action":"add","policy":"ignore","entry":{"cidr":"192.0.2.0\/24","tag":null},"metadata":null,"timestamp":7},
            {"timestamp":7,"new":{"x":[1,{}]},"entry":{"tag":"s\u0073h","cidr":"2001:db8::/32","more":1},"action":"add",
             "metadata":{"kind":"k","detail":"d","extra":{"deep":[[[]]]}}},
            {"action":"remove","entry":{"cidr":"192.0.2.0/24","tag":"ssh"}}
        ] "#;
        let (adds, removes, ledger) = counted(body).unwrap();
        assert_eq!((adds, removes), (3, 1));
        assert_eq!(ledger.figures.distinct(), (2, false));
        assert_eq!(ledger.figures.top_tags(9), [("ssh", 2)]);
        assert_eq!(counted("[]").map(|(a, r, _)| (a, r)), Ok((0, 0)));
    }

    #[test]
    fn hostile_tags_are_counted_as_text() {
        for tag in [
            "@everyone <!channel> [x](http://x) `*_~|",
            "\u{202e}\u{0}\u{7}\n\r\t\u{feff}",
            &"\u{1F1E6}\u{0301}".repeat(32),
            "\"},{\"action\":\"add\"",
        ] {
            let report = serde_json::json!([{"action":"add","entry":{"cidr":"::1/128","tag":tag}}]);
            let (_, _, ledger) = counted(&report.to_string()).unwrap();
            let top = ledger.figures.top_tags(1);
            assert!(
                top[0].0.len() <= 255 && tag.starts_with(top[0].0),
                "{tag:?}"
            );
        }
    }

    #[test]
    fn invalid_bodies_are_refused_with_the_index_of_the_report() {
        let good = r#"{"action":"add","entry":{"cidr":"::1/128"}}"#;
        for (body, says) in [
            (String::new(), "reports: EOF"),
            ("{}".to_owned(), "reports: invalid type: map"),
            ("null".to_owned(), "reports: invalid type: null"),
            (format!("[{good}"), "report 1 (counted from 0): EOF"),
            (format!("[{good}]]"), "reports: trailing characters"),
            (
                format!("[{good},]"),
                "report 1 (counted from 0): trailing comma",
            ),
            (
                format!("[{good},1]"),
                "report 1 (counted from 0): invalid type",
            ),
            (
                r#"[{"action":"ban","entry":{"cidr":"::1/128"}}]"#.to_owned(),
                "unknown variant",
            ),
            (
                r#"[{"action":"add","entry":{"cidr":"::1"}}]"#.to_owned(),
                "prefix length",
            ),
            (
                r#"[{"action":"add","entry":{}}]"#.to_owned(),
                "missing field `cidr`",
            ),
            (
                r#"[{"action":"add","policy":"x","entry":{"cidr":"::1/128"}}]"#.to_owned(),
                "unknown variant",
            ),
            (
                r#"[{"action":"add","entry":{"cidr":"::1/128","tag":5}}]"#.to_owned(),
                "invalid type",
            ),
            ("[[[".repeat(60_000), "report 0"),
        ] {
            let error = counted(&body).unwrap_err().to_string();
            assert!(error.contains(says), "{body:.60}: {error}");
        }
        assert!(parse(b"[\xff]", None, "", 9).is_err());
    }

    #[test]
    fn a_deep_document_does_not_overflow_the_stack() {
        let (open, close) = ("[".repeat(1_000_000), "]".repeat(1_000_000));
        let metadata = format!(r#""metadata":{open}{close}"#);
        let deep = format!(r#"[{{"action":"add","entry":{{"cidr":"::1/128"}},{metadata}}}]"#);
        assert_eq!(counted(&deep).unwrap().0, 1);
        assert!(counted(&deep[..1_500_000]).is_err());
    }

    /// Every element of an array is counted, or the first that is no report is named.
    fn counts_all_or_names_one(body: &[u8]) -> Result<(), TestCaseError> {
        let elements = serde_json::from_slice::<Vec<IgnoredAny>>(body).map(|all| all.len());
        match (parse(body, None, "", 9), elements) {
            (Ok(batch), Ok(elements)) => {
                prop_assert_eq!((batch.adds + batch.removes) as usize, elements);
            }
            (Ok(_), Err(error)) => prop_assert!(false, "not an array: {error}"),
            (Err(error), Ok(elements)) => {
                prop_assert!(error.index.is_some_and(|index| (index as usize) < elements));
            }
            (Err(error), Err(_)) => prop_assert!(!error.message.is_empty()),
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn bodies_are_counted_as_a_whole_or_refused_by_their_place(
            body: Vec<u8>,
            text in "[\\[\\]{}\",:a-z0-9/.]{0,80}",
            parts in proptest::collection::vec(proptest::sample::select(vec![
                r#"{"action":"add","entry":{"cidr":"::1/128"}}"#,
                r#"{"action":"remove","entry":{"cidr":"10.0.0.0/8","tag":"x"},"more":[{}]}"#,
                r#"{"action":"ban","entry":{"cidr":"::1/128"}}"#,
                "1",
                "null",
            ]), 0..6),
        ) {
            counts_all_or_names_one(&body)?;
            counts_all_or_names_one(text.as_bytes())?;
            counts_all_or_names_one(format!("[{}]", parts.join(",")).as_bytes())?;
        }

        #[test]
        fn agrees_with_the_full_type(reports in proptest::collection::vec((any::<bool>(), any::<u32>(), 0u8..=32, "[a-z]{0,4}"), 0..30)) {
            let json: Vec<_> = reports.iter().map(|(add, addr, len, tag)| {
                let action = if *add { "add" } else { "remove" };
                let cidr = format!("{}/{len}", std::net::Ipv4Addr::from_bits(*addr));
                let tag = (!tag.is_empty() && tag != "untagged").then_some(tag);
                serde_json::json!({"action": action, "entry": {"creation": 1, "cidr": cidr, "tag": tag, "expiration": 0}})
            }).collect();
            let text = serde_json::to_string(&json).unwrap();
            let full: Vec<couic_common::Report> = serde_json::from_str(&text).unwrap();
            let (adds, removes, ledger) = counted(&text).unwrap();
            let added: Vec<_> = full.iter().filter(|r| r.action == PeerAction::Add).collect();
            prop_assert_eq!(adds as usize, added.len());
            prop_assert_eq!(removes as usize, full.len() - added.len());
            let distinct: std::collections::BTreeSet<_> = added.iter().map(|r| r.entry.cidr).collect();
            prop_assert_eq!(ledger.figures.distinct().0, distinct.len() as u64);
        }
    }
}
