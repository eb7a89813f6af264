//! Tells a Discord channel what Couic does: one embed a notification, green, orange or red.
//!
//! Whatever a tag contains, the message stays within Discord's limits, mentions nobody (`allowed_mentions` is empty)
//! and shows no markup but ours. The pause that Discord's rate-limit headers ask for goes back to the dispatcher, so
//! that a 429 is rare: too many of them ban the address.

use std::time::Duration;

use couic_plugin_api::{
    Notification, Notifier, NotifyError, Plugin, Receipt, Severity, async_trait,
};
use couic_plugin_shared::{Answer, ChatConfig, Endpoint, Field, Message, text};
use serde_json::{Value, json};

#[cfg(feature = "export")]
couic_plugin_api::export_notifier!(Discord, name = "discord");

/// Discord's are 256, 4,096 and 1,024, and 6,000 over all: these keep the sum below it with ten fields.
const MAX_TITLE: usize = 200;
const MAX_DESCRIPTION: usize = 1_000;
const MAX_NAME: usize = 50;
const MAX_VALUE: usize = 400;
/// Fields that are shown. A message has fewer.
const MAX_FIELDS: usize = 10;
/// What Discord takes for markup, mentions, links and lists.
const SPECIAL: &str = r"\*_~`|>#-+<[]():@&";

/// See the [crate].
pub struct Discord {
    endpoint: Endpoint,
}

impl Plugin for Discord {
    type Config = ChatConfig;

    fn create(config: ChatConfig) -> Result<Self, NotifyError> {
        Ok(Self {
            endpoint: config.endpoint()?,
        })
    }
}

#[async_trait]
impl Notifier for Discord {
    fn name(&self) -> &str {
        "discord"
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let body = render(notification).to_string().into_bytes();
        let answer = self.endpoint.post(body, notification.id).await?;
        Ok(Receipt {
            http_status: Some(answer.status),
            pause: pause(&answer),
        })
    }
}

/// The request that Discord gets.
#[must_use]
pub fn render(notification: &Notification) -> Value {
    let message = Message::new(notification);
    let fields = message.fields.iter().take(MAX_FIELDS);
    let fields = fields.map(|Field { name, value }| {
        json!({
            "name": text::fit(name, MAX_NAME, escape),
            "value": text::fit(value, MAX_VALUE, escape),
            // Figures stand side by side, what may be long has a line of its own.
            "inline": value.len() <= 24,
        })
    });
    let fields: Vec<Value> = fields.collect();
    let mut embed = json!({
        "title": text::fit(&message.title, MAX_TITLE, escape),
        "color": color(message.severity),
        "fields": fields,
        "footer": { "text": couic_plugin_shared::USER_AGENT },
    });
    if let Some(line) = &message.text {
        embed["description"] = text::fit(line, MAX_DESCRIPTION, escape).into();
    }
    json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } })
}

fn color(severity: Severity) -> u32 {
    match severity {
        Severity::Green => 0x2e_cc_71,
        Severity::Orange => 0xe6_7e_22,
        Severity::Red => 0xe7_4c_3c,
    }
}

/// A backslash before all that could mean something. Discord takes it before any punctuation.
fn escape(grapheme: &str, out: &mut String) {
    for c in grapheme.chars() {
        if SPECIAL.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
}

/// How long to wait before the next one: until the bucket is full again, if this was the last drop.
fn pause(answer: &Answer) -> Option<Duration> {
    let header = |name| {
        answer
            .headers
            .get(name)?
            .to_str()
            .ok()?
            .trim()
            .parse::<f64>()
            .ok()
    };
    let remaining: f64 = header("x-ratelimit-remaining")?;
    if remaining >= 1.0 {
        return None;
    }
    let seconds: f64 = header("x-ratelimit-reset-after")?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests;
