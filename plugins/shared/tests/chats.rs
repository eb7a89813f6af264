//! How attempts of the chat notifiers end, by what the chat answers.

#![expect(clippy::unwrap_used, reason = "a failing test says so by panicking")]

use couic_plugin_api::{Kind, Notification, NotifyError, Plugin, Severity};
use couic_plugin_discord::Discord;
use couic_plugin_shared::ChatConfig;
use couic_plugin_slack::Slack;
use couic_testkit::{Reply, StandIn, script};

async fn attempt<P: Plugin<Config = ChatConfig>>(reply: Reply) -> NotifyError {
    let server = StandIn::tcp(script([], reply));
    let config = ChatConfig {
        webhook_url: server.url("/services/T/B/token"),
        timeout_ms: 60_000,
    };
    let notifier = P::create(config).unwrap();
    let test = Notification::new(Kind::Test, Severity::Red, "here");
    notifier.notify(&test).await.unwrap_err()
}

async fn outcomes<P: Plugin<Config = ChatConfig>>() {
    let limited = attempt::<P>(Reply::status(429).with("retry-after", "0.5")).await;
    assert!(
        matches!(limited, NotifyError::RateLimited { retry_after, .. } if retry_after.as_millis() == 500),
        "{limited:?}"
    );
    for code in [400, 401, 403, 404, 410] {
        let error = attempt::<P>(Reply::status(code)).await;
        assert!(
            matches!(error, NotifyError::Permanent { http_status: Some(status), .. } if status == code),
            "{code}: {error:?}"
        );
    }
    for reply in [Reply::Reset, Reply::Close, Reply::status(503)] {
        let error = attempt::<P>(reply.clone()).await;
        assert!(
            matches!(error, NotifyError::Retry { .. }),
            "{reply:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn outcomes_pass_through_discord() {
    outcomes::<Discord>().await;
}

#[tokio::test]
async fn outcomes_pass_through_slack() {
    outcomes::<Slack>().await;
}
