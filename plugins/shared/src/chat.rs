//! Configuration of a chat notifier.

use std::time::Duration;

use couic_plugin_api::NotifyError;
use serde::Deserialize;

use crate::{Endpoint, EndpointConfig};

/// The `config = { … }` of a notifier that posts to one chat channel.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatConfig {
    /// The channel's webhook URL, a secret.
    pub webhook_url: String,
    /// Timeout of connection, request and response together, in milliseconds.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
}

fn default_timeout() -> u64 {
    5_000
}

impl ChatConfig {
    /// The endpoint of the channel.
    ///
    /// # Errors
    /// [`NotifyError::BadConfig`], which names the key and omits the URL.
    pub fn endpoint(self) -> Result<Endpoint, NotifyError> {
        let config = EndpointConfig {
            url: self.webhook_url,
            timeout: Duration::from_millis(self.timeout_ms),
            token: None,
        };
        Endpoint::new("webhook_url", config)
    }
}

#[cfg(test)]
mod tests {
    use couic_plugin_api::serde_json::{from_value, json};

    use super::*;

    #[test]
    fn configuration_is_checked() {
        for bad in [json!({}), json!({"webhook_url": "http://x/", "channel": 1})] {
            assert!(from_value::<ChatConfig>(bad).is_err());
        }
        let config: ChatConfig = from_value(json!({"webhook_url": "x/token"})).unwrap();
        assert_eq!(config.timeout_ms, 5_000);
        let error = config.endpoint().unwrap_err().to_string();
        assert!(
            error.contains("webhook_url") && !error.contains("token"),
            "{error}"
        );
    }
}
