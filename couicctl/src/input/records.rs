//! Entries as `export` and `list --json` print them: JSON, one document per line or an array, with tags and expirations.

use couic_common::{BatchRule, Cidr, Metadata, Policy, counted};
use serde::Deserialize;
use serde_json::{Deserializer, Value};

use super::{Network, SHOWN};
use crate::failure::Failure;

/// One network to import, and its label if the list has one.
pub(crate) struct Record {
    pub(crate) network: Network,
    /// The policy that it was exported from.
    pub(crate) policy: Option<Policy>,
    /// What the list says of it besides the network.
    pub(crate) rule: Option<BatchRule>,
}

impl From<Network> for Record {
    fn from(network: Network) -> Self {
        Self {
            network,
            policy: None,
            rule: None,
        }
    }
}

/// What tells such a list from other JSON: other lists have no expiration.
#[derive(Deserialize)]
struct Head {
    #[expect(dead_code, reason = "only whether it is there")]
    cidr: String,
    #[expect(dead_code, reason = "only whether it is there")]
    expiration: u64,
}

/// The fields that a batch does not have.
#[derive(Deserialize)]
struct Origin {
    #[serde(default)]
    policy: Option<Policy>,
    #[serde(default)]
    reason: Option<String>,
}

/// Whether the list begins with an entry.
pub(super) fn are(bytes: &[u8]) -> bool {
    let text = trimmed(bytes);
    if text.first() == Some(&b'[') {
        let mut items = Deserializer::from_slice(&text[1..]).into_iter::<Head>();
        return matches!(items.next(), Some(Ok(_)));
    }
    let mut documents = Deserializer::from_slice(text).into_iter::<Head>();
    matches!(documents.next(), Some(Ok(_)))
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.trim_ascii_start()
}

/// All entries; a list with one that is invalid is refused as a whole.
pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Vec<Record>, Failure> {
    let (mut records, mut invalid, mut count) = (Vec::new(), Vec::new(), 0_u64);
    let walked = each(bytes, |value| {
        count += 1;
        match record(value) {
            Ok(record) => records.push(record),
            Err(problem) => invalid.push(format!("entry {count}: {problem}")),
        }
    });
    if let Err(problem) = walked {
        let text = format!("{name} is not JSON, nothing was changed: {problem}");
        return Err(Failure::Usage(text));
    }
    if invalid.is_empty() {
        return Ok(records);
    }
    let mut report = format!("{name} is not usable, nothing was changed");
    for problem in invalid.iter().take(SHOWN) {
        report += &format!("\n  {problem}");
    }
    let more = invalid.len().saturating_sub(SHOWN) as u64;
    if more > 0 {
        let more = counted(more, "more invalid entry", "more invalid entries");
        report += &format!("\n  and {more}");
    }
    Err(Failure::Usage(report))
}

/// Calls `add` for each document, or for each item of an array: memory holds one at a time.
fn each(bytes: &[u8], mut add: impl FnMut(Value)) -> Result<(), String> {
    let text = trimmed(bytes);
    let Some(mut rest) = text.strip_prefix(b"[") else {
        for document in Deserializer::from_slice(text).into_iter() {
            add(document.map_err(|e| e.to_string())?);
        }
        return Ok(());
    };
    loop {
        let mut items = Deserializer::from_slice(rest).into_iter();
        let item = items.next().ok_or("the array does not end")?;
        add(item.map_err(|e| e.to_string())?);
        rest = rest[items.byte_offset()..].trim_ascii_start();
        match rest.split_first() {
            Some((b',', behind)) => rest = behind,
            Some((b']', behind)) if behind.trim_ascii().is_empty() => return Ok(()),
            _ => return Err("the array does not end".to_owned()),
        }
    }
}

/// A reason as requests carry it.
pub(crate) fn given(reason: String) -> Metadata {
    Metadata {
        kind: "couicctl".to_owned(),
        detail: reason,
        extra: None,
    }
}

fn record(value: Value) -> Result<Record, String> {
    let origin = Origin::deserialize(&value).map_err(|e| e.to_string())?;
    let mut rule: BatchRule = serde_json::from_value(value).map_err(|e| e.to_string())?;
    rule.metadata = rule.metadata.or(origin.reason.map(given));
    let cidr = Cidr::parse_lenient(&rule.cidr).map_err(|e| format!("{:?}: {e}", rule.cidr))?;
    Ok(Record {
        network: Network::new(cidr, &rule.cidr),
        policy: origin.policy,
        rule: Some(rule),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"{"policy":"drop","creation":7,"cidr":"192.0.2.7/32","tag":"a","expiration":0,"later":{}}
{"creation":7,"cidr":"2001:db8::/32","tag":null,"expiration":1800000000,"owners":[]}
"#;

    fn shown(text: &str) -> Vec<String> {
        let all = parse("f", text.as_bytes()).unwrap();
        all.iter()
            .map(|r| {
                let rule = r.rule.as_ref().unwrap();
                format!(
                    "{} {:?} {} {:?}",
                    r.network.cidr, rule.tag, rule.expiration, r.policy
                )
            })
            .collect()
    }

    #[test]
    fn lines_and_an_array_are_the_same() {
        let expected = [
            "192.0.2.7/32 Some(\"a\") 0 Some(Drop)",
            "2001:db8::/32 None 1800000000 None",
        ];
        assert_eq!(shown(LINES), expected);
        let array = format!("[\n{}\n]", LINES.trim().replace('\n', ",\n"));
        assert_eq!(shown(&array), expected);
        for text in [LINES, &array, &format!("\u{feff} {LINES}")] {
            assert!(are(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn other_lists_are_not_taken_for_entries() {
        for text in [
            r#"{"cidr":"1.10.16.0/20","sblid":"SBL256894"}"#,
            r#"[{"ip":"1.2.3.4","expiration":5}]"#,
            "[2001:db8::1]",
            "192.0.2.1\n",
            "[]",
            "",
        ] {
            assert!(!are(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn an_invalid_entry_refuses_the_list() {
        let text = format!("{LINES}{{\"cidr\":\"x\",\"expiration\":0}}\n{{\"cidr\":1}}\n");
        let Err(failure) = parse("f", text.as_bytes()) else {
            panic!("accepted");
        };
        let told = failure.text();
        assert!(told.contains("\n  entry 3: \"x\": not an IPv4"), "{told}");
        assert!(told.contains("\n  entry 4: "), "{told}");
        let cut = parse("f", &LINES.as_bytes()[..120]).err().unwrap().text();
        assert!(
            cut.starts_with("f is not JSON, nothing was changed"),
            "{cut}"
        );
    }
}
