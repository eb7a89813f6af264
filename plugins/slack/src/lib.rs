//! Posts notifications to a Slack channel: one Block Kit message per notification, with a green, orange or red bar.
//!
//! Whatever a tag contains, the message stays within Slack's limits and is only text: `&`, `<` and `>` are escaped, so
//! that nothing becomes a mention or a link, and untrusted text is sent as `plain_text`, which has no markup.
//! Slack accepts one message per second: configure the dispatcher with [`PACE`].
//!
//! ```
//! use couic_plugin_api::{Kind, Notice, Notification, Severity};
//!
//! let notice = Notice { code: "sample".to_owned(), message: "<!channel> look".to_owned() };
//! let notification = Notification::new(Kind::Notice(notice), Severity::Red, "fw1");
//! let body = couic_plugin_slack::render(&notification);
//! let section = &body["attachments"][0]["blocks"][1]["text"];
//! assert_eq!(section["type"], "plain_text");
//! assert_eq!(section["text"], "&lt;!channel&gt; look");
//! ```

use std::time::Duration;

use couic_plugin_api::{
    Notification, Notifier, NotifyError, Plugin, Receipt, Severity, async_trait,
};
use couic_plugin_shared::{ChatConfig, Endpoint, Field, Message, text};
use serde_json::{Value, json};

#[cfg(feature = "export")]
couic_plugin_api::export_notifier!(Slack, name = "slack");

/// Slack allows 150, 3,000 and 2,000, and about 13 kB in total: these limits keep the sum below it.
const MAX_HEADER: usize = 150;
const MAX_TEXT: usize = 600;
const MAX_FIELD: usize = 250;
const MAX_FIELDS: usize = 10;
const MAX_PREVIEW: usize = 300;
/// Slack's rate limit: one message per second.
pub const PACE: Duration = Duration::from_secs(1);

/// See the [crate].
pub struct Slack {
    endpoint: Endpoint,
}

impl Plugin for Slack {
    type Config = ChatConfig;

    fn create(config: ChatConfig) -> Result<Self, NotifyError> {
        Ok(Self {
            endpoint: config.endpoint()?,
        })
    }
}

#[async_trait]
impl Notifier for Slack {
    fn name(&self) -> &str {
        "slack"
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let body = render(notification).to_string().into_bytes();
        let answer = self.endpoint.post(body, notification.id).await?;
        Ok(Receipt {
            http_status: Some(answer.status),
            pause: None,
        })
    }
}

/// The body of the request to Slack.
#[must_use]
pub fn render(notification: &Notification) -> Value {
    let message = Message::new(notification);
    let mut blocks = vec![json!({ "type": "header", "text": plain(&message.title, MAX_HEADER) })];
    if let Some(line) = &message.text {
        blocks.push(json!({ "type": "section", "text": plain(line, MAX_TEXT) }));
    }
    let fields = message.fields.iter().take(MAX_FIELDS);
    let fields = fields.map(|Field { name, value }| plain(&format!("{name}\n{value}"), MAX_FIELD));
    blocks.push(json!({ "type": "section", "fields": fields.collect::<Vec<_>>() }));
    blocks.push(json!({
        "type": "context",
        "elements": [plain(couic_plugin_shared::USER_AGENT, MAX_HEADER)],
    }));
    json!({
        // Shown in push notifications.
        "text": text::fit(&message.line(), MAX_PREVIEW, escape),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "attachments": [{ "color": color(message.severity), "blocks": blocks }],
    })
}

fn plain(content: &str, limit: usize) -> Value {
    json!({ "type": "plain_text", "text": text::fit(content, limit, escape), "emoji": false })
}

fn color(severity: Severity) -> &'static str {
    match severity {
        Severity::Green => "#2ecc71",
        Severity::Orange => "#e67e22",
        Severity::Red => "#e74c3c",
    }
}

fn escape(grapheme: &str, out: &mut String) {
    for c in grapheme.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
