//! Values in the words of the configuration: durations, the address of metrics.

use std::{env, net::SocketAddr, time::Duration};

use couic_common::time_left;

use crate::Section;

impl Section<'_> {
    /// A duration such as `10m`, from a second to `most`; a bare number would leave its unit open, and is refused.
    pub fn duration(
        &mut self,
        key: &'static str,
        most: Duration,
        default: Duration,
    ) -> Option<Duration> {
        let Some((text, line)) = self.string(key).ok()? else {
            return Some(default);
        };
        match humantime::parse_duration(text) {
            Ok(found) if found >= Duration::from_secs(1) && found <= most => Some(found),
            Ok(_) => {
                let most = time_left(most.as_secs());
                let message = format!("{text:?} is not in the range from 1s to {most}");
                self.mistake(Some(line), key, message)
            }
            Err(_) => {
                let message =
                    format!("{text:?} is not a duration, as in \"90s\", \"10m\", \"1h\", \"7d\"");
                self.mistake(Some(line), key, message)
            }
        }
    }

    /// `[metrics] listen`: on the loopback only, as anyone who can connect may read them. `Some(None)` if they are off.
    pub fn metrics(&mut self, default: &str) -> Option<Option<SocketAddr>> {
        let mut section = self.table("metrics");
        let found = section.string("listen").ok()?;
        let (text, line) = found.map_or((default, None), |(text, line)| (text, Some(line)));
        let address = match (text, text.parse::<SocketAddr>()) {
            ("off", _) => Some(None),
            (_, Ok(address)) if address.ip().is_loopback() => Some(Some(address)),
            _ => {
                let message = format!(
                    "{text:?} must be \"off\", or an address of the loopback with a port, as in {default:?}"
                );
                section.mistake(line, "listen", message)
            }
        };
        section.finish();
        address
    }

    /// `[logging] level`.
    pub fn log_level(&mut self) -> Option<&'static str> {
        let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
        let mut logging = self.table("logging");
        let level = logging.one_of("level", &levels, "info");
        logging.finish();
        level
    }
}

/// What systemd made for the state, else the documented default.
#[must_use]
pub fn state_dir(default: &str) -> String {
    let given = env::var("STATE_DIRECTORY").ok();
    let first = given.as_deref().and_then(|dirs| dirs.split(':').next());
    first
        .filter(|dir| dir.starts_with('/'))
        .unwrap_or(default)
        .to_owned()
}
