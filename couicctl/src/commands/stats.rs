//! `couicctl stats`, without the live view, and `couicctl metrics`.

use couic_common::Policy;

use super::{
    Context,
    live::{self, Source},
};
use crate::{cli::StatsCommand, failure::Failure, render};

pub(super) async fn run(command: StatsCommand, cx: &mut Context) -> Result<(), Failure> {
    let (policy, is_live) = match command {
        StatsCommand::Global { live: true } => return live::run(Source::Global, cx).await,
        StatsCommand::Global { live: false } => {
            let stats = cx.client.stats().await.map_err(|e| cx.failed(e))?;
            return cx
                .output
                .show(&stats, |out| render::stats(&stats, None, out));
        }
        StatsCommand::Drop { live } => (Policy::Drop, live),
        StatsCommand::Ignore { live } => (Policy::Ignore, live),
    };
    if is_live {
        return live::run(Source::Tags(policy), cx).await;
    }
    let stats = cx
        .client
        .tag_stats(policy)
        .await
        .map_err(|e| cx.failed(e))?;
    if stats.tags.is_empty() {
        let sentence = format!("There are no rules of policy {policy}, and so no figures.");
        return cx.output.nothing(&stats, &sentence);
    }
    cx.output.table(&stats, || render::tag_stats(&stats))
}

/// Prints the metrics; with `--json`, those of `GET /v1/metrics`.
pub(super) async fn metrics(cx: &mut Context) -> Result<(), Failure> {
    if cx.output.is_json() {
        let metrics = cx.client.metrics().await.map_err(|e| cx.failed(e))?;
        return cx.output.show(&metrics, |_| Ok(()));
    }
    let text = cx.client.metrics_text_0_0_4().await;
    let text = text.map_err(|e| cx.failed(e))?;
    cx.output.writer().write_all(text.as_bytes())?;
    Ok(())
}
