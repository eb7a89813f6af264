//! Appends the text of each notification to a file, one line each.

use std::path::PathBuf;

use couic_plugin_api::{
    Kind, Level, Notification, Notifier, NotifyError, Plugin, Receipt, async_trait, export_notifier, log,
};
use serde::Deserialize;
use tokio::{fs::OpenOptions, io::AsyncWriteExt};

/// `config = { path = "/var/log/couic-notifications" }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    path: PathBuf,
}

struct FileNotifier {
    path: PathBuf,
}

impl Plugin for FileNotifier {
    type Config = Config;

    fn create(config: Config) -> Result<Self, NotifyError> {
        if !config.path.is_absolute() {
            return Err(NotifyError::bad_config("path: must be absolute"));
        }
        log(Level::Info, &format!("writes to {}", config.path.display()));
        Ok(Self { path: config.path })
    }
}

#[async_trait]
impl Notifier for FileNotifier {
    fn name(&self) -> &str {
        "file"
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let text = match &notification.kind {
            Kind::Reports(reports) => format!("{} changes of the rules", reports.len()),
            // Every other kind, those of later versions included, has a text.
            _ => notification.text(),
        };
        let line = format!("{} {text}\n", notification.id);
        // The host retries temporary failures: this makes one attempt.
        let retry = |error: std::io::Error| NotifyError::retry(NotifyError::chain(&error));
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(&self.path).await.map_err(retry)?;
        file.write_all(line.as_bytes()).await.map_err(retry)?;
        file.flush().await.map_err(retry)?;
        Ok(Receipt::default())
    }
}

export_notifier!(FileNotifier, name = "file", config_schema = r#"{"type":"object"}"#);
