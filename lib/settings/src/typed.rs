//! Tables of a library that brings their type, by serde.

use std::{borrow::Cow, collections::BTreeSet};

use serde::de::{DeserializeOwned, IntoDeserializer as _};
use toml::{Spanned, de::DeValue};

use crate::{Mistake, Section};

impl Section<'_> {
    /// The whole table as a type with serde's `Deserialize`, of a library that checks its own keys. All mistakes are reported,
    /// with the line and key of each: what cannot be read is put aside, and the rest is read on. `more` are keys that the
    /// table has besides those that are written, such as its name.
    pub fn typed<T: DeserializeOwned>(self, more: &[(&'static str, &str)]) -> Option<T> {
        let mut table = self.table.cloned().unwrap_or_default();
        for (key, value) in more {
            let value = DeValue::String((*value).to_owned().into());
            table.insert(Spanned::new(0..0, (*key).into()), Spanned::new(0..0, value));
        }
        let mut wrong = BTreeSet::new();
        loop {
            let whole = Spanned::new(0..0, table.clone());
            let error = match T::deserialize(whole.into_deserializer()) {
                Ok(read) => return wrong.is_empty().then_some(read),
                Err(error) => error,
            };
            let at = error.span().map_or(0, |span| span.start);
            let is_at = |(key, value): &(&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                key.span().contains(&at) || value.span().contains(&at)
            };
            let key = table
                .iter()
                .find(is_at)
                .map(|(key, _)| key.get_ref().clone());
            let Some(key) = key else {
                return self.whole(error.message(), &wrong);
            };
            self.mistake::<()>(
                Some(self.reader.line_of(at)),
                &key,
                error.message().to_owned(),
            );
            table.remove(key.as_ref());
            wrong.insert(key.into_owned());
        }
    }

    /// A mistake that is no key's. That a key is missing which was put aside is none.
    fn whole<T>(&self, message: &str, wrong: &BTreeSet<String>) -> Option<T> {
        let missing = message.strip_prefix("missing field `");
        match missing.map(|rest| rest.trim_end_matches('`')) {
            Some(key) if wrong.contains(key) => None,
            Some(key) => self.mistake(None, key, "is missing".to_owned()),
            None => {
                let (line, key) = (self.line, self.name.clone());
                let message = message.to_owned();
                self.reader.note(Mistake {
                    line,
                    key: Some(key),
                    message,
                });
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::parse;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Feed {
        name: String,
        url: String,
        #[serde(default)]
        most: u8,
    }

    fn feed(text: &str) -> Result<Feed, Vec<String>> {
        let read = parse(text, |root| {
            let mut feeds = root.tables_by_name("feeds")?;
            let (name, section) = feeds.pop()?;
            section.typed::<Feed>(&[("name", name)])
        });
        read.map_err(|mistakes| {
            let shown = mistakes.into_iter().map(|one| {
                let line = one.line.map_or(0, |line| line);
                format!("{line} {}: {}", one.key.unwrap_or_default(), one.message)
            });
            shown.collect()
        })
    }

    #[test]
    fn every_mistake_has_its_line_and_none_is_told_twice() {
        let read = feed("[feeds.a]\nurl = \"x\"\n").unwrap();
        assert_eq!((&*read.name, &*read.url, read.most), ("a", "x", 0));
        let mistakes = feed("\n[feeds.a]\nurl = 5\nmost = 300\nmots = 1\n").unwrap_err();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        for (line, key) in [(3, "url"), (4, "most"), (5, "mots")] {
            let begin = format!("{line} feeds.a.{key}: ");
            assert!(
                mistakes.iter().any(|one| one.starts_with(&begin)),
                "{mistakes:?}"
            );
        }
        let missing = feed("[feeds.a]\nmost = 3\n").unwrap_err();
        assert_eq!(missing, ["1 feeds.a.url: is missing"]);
    }
}
