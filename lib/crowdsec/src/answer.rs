//! What is taken of the decisions of an answer, and what is not.

use std::collections::BTreeMap;

use crate::{
    Config,
    decision::{self, Decision, Skip},
    model::Told,
    names::Names,
    splitter::{List, SplitError},
};

/// What a pull told, and what was not taken of it.
#[derive(Debug, Default)]
pub(crate) struct Pulled {
    pub(crate) told: Told,
    pub(crate) skipped: BTreeMap<Skip, u64>,
    /// The first one of each kind, for the log.
    pub(crate) examples: BTreeMap<Skip, String>,
}

/// Takes decisions of an answer.
pub(crate) struct Reader<'a> {
    pub(crate) config: &'a Config,
    pub(crate) names: &'a mut Names,
    pub(crate) pulled: Pulled,
    pub(crate) now: u64,
}

impl Reader<'_> {
    pub(crate) fn take(&mut self, list: List, item: &[u8]) -> Result<(), SplitError> {
        let decision: Decision<'_> = match serde_json::from_slice(item) {
            Ok(decision) => decision,
            Err(error) if error.is_data() => {
                self.skip(Skip::Malformed, item);
                return Ok(());
            }
            Err(error) => return Err(SplitError::Json(error.to_string())),
        };
        let told = &mut self.pulled.told;
        match list {
            List::Other => {}
            List::New => match decision::ban(&decision, self.config, self.names, self.now) {
                Ok(_) if told.new.len() >= self.config.most => told.cut = true,
                Ok(ban) => told.new.push(ban),
                Err(why) => self.skip(why, item),
            },
            List::Deleted => match decision::target(&decision, self.config) {
                Ok(_) if told.deleted.len() >= self.config.most => told.cut = true,
                Ok(id) => told.deleted.push(id),
                // The new ones are counted.
                Err(_) => {}
            },
        }
        Ok(())
    }

    /// So many items are no decisions at all.
    pub(crate) fn odd(&mut self, count: u64) {
        if count > 0 {
            self.skip(Skip::Malformed, b"an item that is no decision");
            *self.pulled.skipped.entry(Skip::Malformed).or_default() += count - 1;
        }
    }

    fn skip(&mut self, why: Skip, item: &[u8]) {
        *self.pulled.skipped.entry(why).or_default() += 1;
        self.pulled.examples.entry(why).or_insert_with(|| {
            let text = String::from_utf8_lossy(&item[..item.len().min(300)]).into_owned();
            text.chars()
                .map(|c| if c.is_control() { '?' } else { c })
                .collect()
        });
    }
}
