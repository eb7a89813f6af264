//! Taking over another configuration: CrowdSec and feeds go on where their keys are as before, and start anew where not. If
//! what is new cannot be set up, everything stays as it was.

use std::sync::Arc;

use couic_settings::awaiting_restart;

use super::{
    feeds::Following,
    service::{Service, consumer, follow},
};
use crate::config::Config;

impl Service {
    /// Takes over another configuration, if it could be read. Returns what to tell. A refusal is a problem until a reload
    /// succeeds.
    ///
    /// # Errors
    /// Why the configuration before stays in force.
    pub(crate) async fn take_over(&self, config: Result<Config, String>) -> Result<String, String> {
        let _alone = self.reloading.lock().await;
        let told = match config {
            Ok(config) => self.reload(config).await,
            Err(why) => Err(why),
        };
        self.now.lock().refused = told.as_ref().err().cloned();
        told
    }

    async fn reload(&self, config: Config) -> Result<String, String> {
        if let Some(why) = self.allowed.lacks(&config) {
            return Err(format!("{why}, so it needs a restart"));
        }
        let injector = self.injector.lock().as_ref().map(Arc::clone);
        let injector = injector.ok_or("it is stopping")?;
        let before = self.now.lock().config.clone();
        // Their Debug has every key.
        let is_same_crowdsec = format!("{:?}", before.crowdsec) == format!("{:?}", config.crowdsec);
        let is_same_feeds = before.feeds == config.feeds && before.asn_url == config.asn_url;
        let crowdsec = match is_same_crowdsec {
            true => None,
            false => Some(consumer(&config, &injector).map_err(|error| error.to_string())?),
        };
        // They share a directory, so the old ones end first.
        if !is_same_feeds {
            let old = self.now.lock().feeds.take();
            if let Some(old) = old {
                old.end("the task of the feeds").await;
            }
            let new = Following::new(&config, &injector);
            let failed = new.as_ref().err().cloned();
            let follows = new.or_else(|_| Following::new(&before, &injector));
            self.now.lock().feeds = follows.ok().map(Following::start);
            failed.map_or(Ok(()), Err)?;
        }
        if let Some(new) = crowdsec {
            let old = self.now.lock().crowdsec.take();
            if let Some(old) = old {
                old.end("the consumer of CrowdSec").await;
            }
            self.now.lock().crowdsec = new.map(follow);
        }
        let pending = pending(&before, &config);
        self.now.lock().config = config;
        Ok(format!(
            "configuration reloaded, {}{pending}",
            self.summary()
        ))
    }
}

/// A clause that names keys that a reload does not take over.
fn pending(old: &Config, new: &Config) -> String {
    awaiting_restart(&[
        ("user", old.user != new.user),
        ("state_dir", old.state_dir != new.state_dir),
        ("control", old.control != new.control),
        ("metrics.listen", old.metrics != new.metrics),
        ("daemon.socket", old.socket != new.socket),
        ("daemon.token_file", old.token_file != new.token_file),
    ])
}
