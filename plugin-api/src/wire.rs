//! The JSON form of a notification, version 1, in the plugin ABI and in the spool.
//!
//! Flat on purpose: `kind` names the field that has the content. A plugin in C needs two fields; an older reader uses
//! `text` for a kind that it does not know.

use couic_common::Report;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::{Digest, Kind, Notice, Notification, Severity, Summary, Traffic};

const VERSION: u32 = 1;

#[derive(Serialize)]
struct Out<'a> {
    version: u32,
    id: Uuid,
    kind: &'a str,
    severity: Severity,
    created: u64,
    source: &'a str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reports: Option<&'a [Report]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'a Notice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic: Option<&'a Traffic>,
}

#[derive(Deserialize)]
struct In {
    version: u32,
    id: Uuid,
    kind: String,
    #[serde(default)]
    severity: Severity,
    created: u64,
    source: String,
    #[serde(default)]
    text: String,
    summary: Option<Summary>,
    reports: Option<Vec<Report>>,
    digest: Option<Digest>,
    notice: Option<Notice>,
    traffic: Option<Traffic>,
}

impl Serialize for Notification {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = Out {
            version: VERSION,
            id: self.id,
            kind: self.kind.name(),
            severity: self.severity,
            created: self.created,
            source: &self.source,
            text: self.text(),
            summary: None,
            reports: None,
            digest: None,
            notice: None,
            traffic: None,
        };
        match &self.kind {
            Kind::Summary(summary) => out.summary = Some(summary),
            Kind::Reports(reports) => out.reports = Some(reports),
            Kind::Digest(digest) => out.digest = Some(digest),
            Kind::Notice(notice) => out.notice = Some(notice),
            Kind::Traffic(traffic) => out.traffic = Some(traffic),
            Kind::Test | Kind::Other { .. } => {}
        }
        out.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Notification {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = In::deserialize(deserializer)?;
        if read.version != VERSION {
            return Err(de::Error::custom(format_args!(
                "notification of version {}, this reads version {VERSION}",
                read.version
            )));
        }
        let kind = match read.kind.as_str() {
            "summary" => Kind::Summary(content(read.summary, "summary")?),
            "reports" => Kind::Reports(content(read.reports, "reports")?),
            "digest" => Kind::Digest(content(read.digest, "digest")?),
            "notice" => Kind::Notice(content(read.notice, "notice")?),
            "traffic" => Kind::Traffic(content(read.traffic, "traffic")?),
            "test" => Kind::Test,
            _ => Kind::Other {
                name: read.kind,
                text: read.text,
            },
        };
        Ok(Self {
            id: read.id,
            kind,
            severity: read.severity,
            created: read.created,
            source: read.source,
        })
    }
}

fn content<T, E: de::Error>(value: Option<T>, name: &'static str) -> Result<T, E> {
    value.ok_or_else(|| E::missing_field(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TagCount;

    fn sample(kind: Kind) -> Notification {
        Notification {
            id: Uuid::from_u128(7),
            kind,
            severity: Severity::Red,
            created: 1_700_000_000,
            source: "fw1".to_owned(),
        }
    }

    fn report() -> Report {
        serde_json::from_str(
            r#"{"action":"add","policy":"drop","entry":{"creation":1,"cidr":"192.0.2.0/24","tag":"ssh","expiration":0},
                "metadata":{"kind":"k","detail":"d","extra":{"z":1,"a":[null]}},"timestamp":7}"#,
        )
        .unwrap()
    }

    #[test]
    fn every_kind_round_trips() {
        let tags = vec![TagCount {
            tag: "ssh".to_owned(),
            count: 3,
        }];
        let kinds = [
            Kind::Summary(Summary {
                total: 3,
                top_tags: tags.clone(),
                ..Summary::default()
            }),
            Kind::Reports(vec![report(), report()]),
            Kind::Reports(Vec::new()),
            Kind::Digest(Digest {
                merged: 2,
                top_tags: tags,
                ..Digest::default()
            }),
            Kind::Notice(Notice {
                code: "dropped".to_owned(),
                message: "2 dropped".to_owned(),
            }),
            Kind::Traffic(Traffic {
                tags: vec![crate::TagTraffic {
                    policy: couic_common::Policy::Drop,
                    tag: "ssh".to_owned(),
                    count: crate::PacketCount {
                        packets: 2,
                        bytes: 120,
                    },
                }],
                ..Traffic::default()
            }),
            Kind::Test,
        ];
        for kind in kinds {
            let before = sample(kind);
            let text = serde_json::to_string(&before).unwrap();
            assert_eq!(
                serde_json::from_str::<Notification>(&text).unwrap(),
                before,
                "{text}"
            );
        }
    }

    #[test]
    fn wire_form_is_golden() {
        let text = serde_json::to_string(&sample(Kind::Summary(Summary {
            from: 10,
            until: 70,
            total: 3,
            distinct_cidrs: 2,
            ..Summary::default()
        })))
        .unwrap();
        assert_eq!(
            text,
            r#"{"version":1,"id":"00000000-0000-0000-0000-000000000007","kind":"summary","severity":"red","created":1700000000,"source":"fw1","text":"3 added in 60 s, 2 distinct CIDRs","summary":{"from":10,"until":70,"total":3,"distinct_cidrs":2,"distinct_is_estimate":false,"top_tags":[],"sources":[]}}"#
        );
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_kinds_keep_their_text() {
        let text = r#"{"version":1,"id":"00000000-0000-0000-0000-000000000007","kind":"weather","severity":"red",
            "created":1,"source":"s","text":"rain","weather":{},"more":[1]}"#;
        let read: Notification = serde_json::from_str(text).unwrap();
        assert_eq!(read.kind.name(), "weather");
        assert_eq!(read.text(), "rain");
    }

    #[test]
    fn another_version_and_missing_content_are_refused() {
        for (text, why) in [
            (
                r#"{"version":2,"id":"00000000-0000-0000-0000-000000000007","kind":"test","created":1,"source":"s"}"#,
                "version 2",
            ),
            (
                r#"{"version":1,"id":"00000000-0000-0000-0000-000000000007","kind":"summary","created":1,"source":"s"}"#,
                "summary",
            ),
            (
                r#"{"version":1,"id":"7","kind":"test","created":1,"source":"s"}"#,
                "UUID",
            ),
            (
                r#"{"version":1,"kind":"test","created":1,"source":"s"}"#,
                "missing field `id`",
            ),
        ] {
            let error = serde_json::from_str::<Notification>(text)
                .unwrap_err()
                .to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
