//! Panics on request.

use std::time::Duration;

use couic_plugin_api::{
    Notification, Notifier, NotifyError, Plugin, Receipt, async_trait, export_notifier,
};

#[derive(serde::Deserialize)]
struct Config {
    #[serde(default)]
    panic: bool,
}

struct Panics;

impl Plugin for Panics {
    type Config = Config;

    fn create(config: Config) -> Result<Self, NotifyError> {
        assert!(!config.panic, "in create");
        Ok(Self)
    }
}

#[async_trait]
impl Notifier for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        match notification.source.as_str() {
            "panic" => panic!("in notify"),
            "hang" => std::future::pending().await,
            "block" => loop {
                std::thread::park();
            },
            _ => Ok(Receipt::default()),
        }
    }
}

export_notifier!(Panics, name = "panics");
