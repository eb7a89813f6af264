//! Shared by the tests of chat notifiers: a notification to render, and the expected error per HTTP status.

use std::io;

use couic_plugin_api::{Kind, Notification, NotifyError, Plugin, Severity, Summary, TagCount};

use crate::{
    ChatConfig,
    stand_in::{Reply, StandIn, status, with_header},
};

/// A summary of 120 bans in 15 minutes, with these tags, each with the highest count possible.
#[must_use]
pub fn summary(tags: &[String], severity: Severity, source: &str) -> Notification {
    let top_tags = tags.iter().map(|tag| TagCount {
        tag: tag.clone(),
        count: u64::MAX,
    });
    let summary = Summary {
        from: 1_700_000_000,
        until: 1_700_000_900,
        total: 120,
        distinct_cidrs: 80,
        top_tags: top_tags.collect(),
        sources: tags.to_vec(),
        ..Summary::default()
    };
    Notification::new(Kind::Summary(summary), severity, source)
}

/// A notifier, and the server that it posts to, which always sends the same reply.
///
/// # Errors
/// An I/O error, or the notifier's refusal of the configuration.
pub async fn chat<P: Plugin<Config = ChatConfig>>(reply: Reply) -> io::Result<(P, StandIn)> {
    let server = StandIn::start([], reply).await?;
    let config = ChatConfig {
        webhook_url: server.url("/services/T/B/token"),
        timeout_ms: 5_000,
    };
    Ok((P::create(config).map_err(io::Error::other)?, server))
}

/// Checks the outcome of a notification for every kind of server reply.
///
/// # Errors
/// The first mismatch: the reply, and the outcome.
pub async fn check_outcomes<P: Plugin<Config = ChatConfig>>() -> Result<(), String> {
    let attempt = async |reply| {
        let (notifier, _server) = chat::<P>(reply).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(notifier.notify(&summary(&[], Severity::Red, "x")).await)
    };
    let limited = attempt(with_header(429, "retry-after", "0.5")).await?;
    let half = |wait: &std::time::Duration| wait.as_millis() == 500;
    if !matches!(&limited, Err(NotifyError::RateLimited { retry_after, .. }) if half(retry_after)) {
        return Err(format!("429: {limited:?}"));
    }
    for code in [400, 401, 403, 404, 410] {
        let outcome = attempt(status(code)).await?;
        if !matches!(&outcome, Err(NotifyError::Permanent { http_status, .. }) if *http_status == Some(code))
        {
            return Err(format!("{code}: {outcome:?}"));
        }
    }
    for reply in [Reply::Reset, Reply::Close, status(503)] {
        let outcome = attempt(reply.clone()).await?;
        if !matches!(&outcome, Err(NotifyError::Retry { .. })) {
            return Err(format!("{reply:?}: {outcome:?}"));
        }
    }
    Ok(())
}
