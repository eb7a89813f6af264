//! Posts notifications to a Discord channel: one embed per notification, green, orange or red.
//!
//! Whatever a tag contains, the message stays within Discord's limits, cannot mention users (`allowed_mentions` is
//! empty) and renders no foreign markup. The pause requested by Discord's rate-limit headers is passed to the
//! dispatcher, so that a 429 is rare: too many of them get the address banned.
//!
//! ```
//! use couic_plugin_api::{Kind, Notice, Notification, Severity};
//!
//! let notice = Notice { code: "sample".to_owned(), message: "@everyone look".to_owned() };
//! let notification = Notification::new(Kind::Notice(notice), Severity::Red, "fw1");
//! let body = couic_plugin_discord::render(&notification);
//! assert_eq!(body["embeds"][0]["description"], r"\@everyone look");
//! assert!(body["allowed_mentions"]["parse"].as_array().unwrap().is_empty());
//! ```

use std::time::Duration;

use couic_plugin_api::{
    Notification, Notifier, NotifyError, Plugin, Receipt, Severity, async_trait,
};
use couic_plugin_shared::{Answer, ChatConfig, Endpoint, Field, Message, text};
use serde_json::{Value, json};

#[cfg(feature = "export")]
couic_plugin_api::export_notifier!(Discord, name = "discord");

/// Discord allows 256, 4,096 and 1,024, and 6,000 in total: with these limits, ten fields stay below the total.
const MAX_TITLE: usize = 200;
const MAX_DESCRIPTION: usize = 1_000;
const MAX_NAME: usize = 50;
const MAX_VALUE: usize = 400;
/// Most fields shown. A message has fewer.
const MAX_FIELDS: usize = 10;
/// Characters of Discord's markup, mentions, links and lists.
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

/// The body of the request to Discord.
#[must_use]
pub fn render(notification: &Notification) -> Value {
    let message = Message::new(notification);
    let fields = message.fields.iter().take(MAX_FIELDS);
    let fields = fields.map(|Field { name, value }| {
        json!({
            "name": text::fit(name, MAX_NAME, escape),
            "value": text::fit(value, MAX_VALUE, escape),
            // Numbers stand side by side, longer values on a line of their own.
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

/// Puts a backslash before every special character. Discord accepts one before any punctuation.
fn escape(grapheme: &str, out: &mut String) {
    for c in grapheme.chars() {
        if SPECIAL.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
}

/// The pause before the next request: until the rate-limit bucket is refilled, if this request emptied it.
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
