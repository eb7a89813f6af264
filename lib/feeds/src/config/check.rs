//! From what is written to what is meant: all mistakes at once, each with its key.

use std::{fmt, time::Duration};

use couic_common::{Policy, SetName};
use reqwest::Url;

use super::{Column, Feed, FeedConfig, FeedMistake, OneOrMore, SET_PREFIX, Source};
use crate::{asn::Asn, format::Format, preset};

/// The longest name: with its prefix it is the name of a set.
const LONGEST_NAME: usize = 40;

const USUAL_BYTES: u64 = 32 << 20;
const MOST_BYTES: u64 = 256 << 20;

const LEAST_EVERY: Duration = Duration::from_secs(60);
const MOST_EVERY: Duration = Duration::from_secs(30 * 86_400);

/// The daemon's guard rail leaves out what is wider.
const WIDEST_OF_ALL: (u8, u8) = (8, 19);

/// The widest networks of real lists to drop, with room.
const WIDEST_DROP: (u8, u8) = (10, 24);

/// What a list may exempt from every drop is narrower: who controls it protects attackers.
const WIDEST_IGNORE: (u8, u8) = (16, 32);

impl FeedConfig {
    /// Checks everything.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn check(&self) -> Result<Feed, Vec<FeedMistake>> {
        let mut mistakes = Mistakes(Vec::new());
        let with_preset = self.with_preset(&mut mistakes);
        let feed = with_preset.read(&mut mistakes);
        match feed {
            Some(feed) if mistakes.0.is_empty() => Ok(feed),
            _ => Err(mistakes.0),
        }
    }

    fn with_preset(&self, mistakes: &mut Mistakes) -> Self {
        let Some(name) = &self.preset else {
            return self.clone();
        };
        let Some(preset) = preset::find(name) else {
            let names: Vec<&str> = preset::PRESETS.iter().map(|p| p.name).collect();
            mistakes.add("preset", format!("is none of {}", names.join(", ")));
            return self.clone();
        };
        preset.below(self)
    }

    fn read(&self, mistakes: &mut Mistakes) -> Option<Feed> {
        let set = self.set(mistakes);
        let source = self.source(mistakes);
        let format = match source {
            Some(Source::Asn(_)) => Some(crate::asn::format()),
            _ => self.format(mistakes),
        };
        let policy = self.policy.unwrap_or(Policy::Drop);
        let widest = match policy {
            Policy::Ignore => WIDEST_IGNORE,
            Policy::Drop => WIDEST_DROP,
        };
        let every = self.every(mistakes);
        let most_change = self.most_change.unwrap_or(0.5);
        if !(0.01..=100.0).contains(&most_change) {
            mistakes.add("most_change", "must be 0.01 to 100; 0.5 is the half".into());
        }
        let widest_v4 = self.widest_ipv4.unwrap_or(widest.0);
        let widest_v6 = self.widest_ipv6.unwrap_or(widest.1);
        mistakes.range("widest_ipv4", widest_v4, WIDEST_OF_ALL.0, 32);
        mistakes.range("widest_ipv6", widest_v6, WIDEST_OF_ALL.1, 128);
        let min_entries = self.min_entries.unwrap_or(1);
        mistakes.range("min_entries", min_entries, 1, 10_000_000);
        let max_bytes = self.max_bytes.unwrap_or(USUAL_BYTES);
        mistakes.range("max_bytes", max_bytes, 1, MOST_BYTES);
        Some(Feed {
            name: self.name.clone(),
            set: set?,
            source: source?,
            format: format?,
            policy,
            every: every?,
            min_entries,
            most_change,
            widest_v4,
            widest_v6,
            allow_http: self.allow_http == Some(true),
            allow_bogons: self.allow_bogons == Some(true),
            max_bytes,
            shadow: self.shadow != Some(false),
            ca_file: self.ca_file.clone(),
            header_file: self.header_file.clone(),
        })
    }

    fn set(&self, mistakes: &mut Mistakes) -> Option<SetName> {
        let set = format!("{SET_PREFIX}{}", self.name).parse().ok();
        let fits = (1..=LONGEST_NAME).contains(&self.name.len());
        if !fits || set.is_none() {
            let message = format!("must be 1 to {LONGEST_NAME} letters, digits, _ and -");
            mistakes.add("name", message);
            return None;
        }
        set
    }

    fn source(&self, mistakes: &mut Mistakes) -> Option<Source> {
        match (&self.url, &self.file, self.asn) {
            (Some(url), None, None) => {
                let parsed = url.0.parse::<Url>().ok();
                match parsed.filter(Url::has_host).as_ref().map(Url::scheme) {
                    Some("https") => {}
                    Some("http") if self.allow_http == Some(true) => {}
                    Some("http") => {
                        let message = "is not https://: anyone on the way can write the list; allow_http = true takes it nevertheless";
                        mistakes.add("url", message.into());
                    }
                    _ => mistakes.add("url", "is not a URL as in https://example.org/list".into()),
                }
                Some(Source::Url(url.clone()))
            }
            (None, Some(path), None) => {
                if !path.is_absolute() {
                    mistakes.add("file", "must be an absolute path".into());
                }
                Some(Source::File(path.clone()))
            }
            (None, None, Some(number)) => {
                let asn = Asn::new(number);
                if asn.is_none() {
                    mistakes.add("asn", "must be a number from 1 on, as 64496".into());
                }
                asn.map(Source::Asn)
            }
            _ => {
                mistakes.add(
                    "url",
                    "exactly one of url, file, asn and preset must be there".into(),
                );
                None
            }
        }
    }

    fn every(&self, mistakes: &mut Mistakes) -> Option<Duration> {
        let text = self.every.as_deref().unwrap_or("1h");
        let parsed = humantime::parse_duration(text).ok();
        let every = parsed.filter(|every| (LEAST_EVERY..=MOST_EVERY).contains(every));
        if every.is_none() {
            mistakes.add("every", "must be 1m to 30d, as in 12h".into());
        }
        every
    }

    fn format(&self, mistakes: &mut Mistakes) -> Option<Format> {
        let kind = self.format.as_deref().unwrap_or("text");
        let is_csv = kind == "csv";
        let is_json = matches!(kind, "json" | "ndjson");
        for (key, given, fits) in [
            ("column", self.column.is_some(), is_csv),
            ("separator", self.separator.is_some(), is_csv),
            ("pointer", self.pointer.is_some(), is_json),
        ] {
            if given && !fits {
                mistakes.add(key, format!("does not belong to format {kind}"));
            }
        }
        let pointers = if is_json {
            self.pointers(mistakes)
        } else {
            None
        };
        match kind {
            "text" => Some(Format::Text),
            "ranges" => Some(Format::Ranges),
            "csv" => self.csv(mistakes),
            "json" => Some(Format::Json(pointers?)),
            "ndjson" => Some(Format::Ndjson(pointers?)),
            _ => {
                mistakes.add(
                    "format",
                    "is none of text, ranges, csv, json, ndjson".into(),
                );
                None
            }
        }
    }

    fn csv(&self, mistakes: &mut Mistakes) -> Option<Format> {
        let column = self.column.clone().unwrap_or(Column::Number(1));
        if column == Column::Number(0) {
            mistakes.add("column", "columns are counted from 1".into());
        }
        let separator = self.separator.as_deref().unwrap_or(",");
        let &[separator] = separator.as_bytes() else {
            mistakes.add("separator", "must be one character, as ; or a tab".into());
            return None;
        };
        Some(Format::Csv { column, separator })
    }

    fn pointers(&self, mistakes: &mut Mistakes) -> Option<Vec<Vec<String>>> {
        let texts = match &self.pointer {
            None => &[][..],
            Some(OneOrMore::One(text)) => std::slice::from_ref(text),
            Some(OneOrMore::More(texts)) => texts,
        };
        if texts.is_empty() || texts.iter().any(|text| !text.starts_with('/')) {
            let message = "must say where the networks stand, as in /prefixes/*/ip_prefix";
            mistakes.add("pointer", message.into());
            return None;
        }
        let step = |text: &str| text.replace("~1", "/").replace("~0", "~");
        let steps = |text: &String| text.split('/').skip(1).map(step).collect();
        Some(texts.iter().map(steps).collect())
    }
}

struct Mistakes(Vec<FeedMistake>);

impl Mistakes {
    fn add(&mut self, key: &'static str, message: String) {
        self.0.push(FeedMistake { key, message });
    }

    fn range<T: Copy + PartialOrd + fmt::Display>(
        &mut self,
        key: &'static str,
        value: T,
        least: T,
        most: T,
    ) {
        if value < least || value > most {
            self.add(key, format!("must be {least} to {most}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> FeedConfig {
        serde_json::from_str(json).unwrap()
    }

    fn keys(json: &str) -> Vec<&'static str> {
        let mistakes = read(json).check().err().unwrap_or_default();
        mistakes.into_iter().map(|m| m.key).collect()
    }

    #[test]
    fn defaults_are_careful() {
        let feed = read(r#"{"name":"x","url":"https://example.org/?key=s3cret"}"#)
            .check()
            .unwrap();
        assert!(feed.shadow && !feed.allow_http && !feed.allow_bogons);
        assert_eq!((feed.widest_v4, feed.widest_v6), WIDEST_DROP);
        assert_eq!(feed.set.as_str(), "feed-x");
        assert_eq!(feed.every, Duration::from_secs(3600));
        assert!(!format!("{feed:?}").contains("s3cret"), "{feed:?}");
        let ignore = read(r#"{"name":"x","asn":64496,"policy":"ignore"}"#)
            .check()
            .unwrap();
        assert_eq!((ignore.widest_v4, ignore.widest_v6), WIDEST_IGNORE);
    }

    #[test]
    fn every_mistake_names_its_key_at_once() {
        let bad = r#"{"name":"a.b","url":"http://example.org","every":"5s","min_entries":0,"most_change":0,
            "widest_ipv4":7,"widest_ipv6":129,"max_bytes":300000000,"format":"csv","column":0,"separator":"ab","pointer":"/x"}"#;
        let expected = [
            "name",
            "url",
            "pointer",
            "column",
            "separator",
            "every",
            "most_change",
            "widest_ipv4",
            "widest_ipv6",
            "min_entries",
            "max_bytes",
        ];
        assert_eq!(keys(bad), expected);
        assert_eq!(keys(r#"{"name":"x"}"#), ["url"]);
        assert_eq!(keys(r#"{"name":"x","url":"https://a.b","asn":1}"#), ["url"]);
        assert_eq!(keys(r#"{"name":"x","asn":0}"#), ["asn"]);
        assert_eq!(keys(r#"{"name":"x","file":"list"}"#), ["file"]);
        assert_eq!(
            keys(r#"{"name":"x","preset":"spamhouse"}"#),
            ["preset", "url"]
        );
        assert_eq!(
            keys(r#"{"name":"x","url":"https://a.b","format":"json"}"#),
            ["pointer"]
        );
        assert_eq!(
            keys(r#"{"name":"x","url":"https://a.b","format":"xml"}"#),
            ["format"]
        );
        assert!(serde_json::from_str::<FeedConfig>(r#"{"name":"x","ulr":"y"}"#).is_err());
        let long = format!(r#"{{"name":"{}","asn":1}}"#, "x".repeat(41));
        assert_eq!(keys(&long), ["name"]);
    }
}
