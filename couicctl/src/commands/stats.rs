//! `couicctl stats`, without the live view, and `couicctl metrics`.

use couic_common::Policy;

use super::Context;
use crate::{cli::StatsCommand, failure::Failure, render};

pub(super) async fn run(command: &StatsCommand, cx: &mut Context) -> Result<(), Failure> {
    let policy = match command {
        StatsCommand::Global { .. } => {
            let stats = cx.client.stats().await.map_err(|e| cx.failed(e))?;
            return cx
                .output
                .show(&stats, |out| render::stats(&stats, None, out));
        }
        StatsCommand::Drop => Policy::Drop,
        StatsCommand::Ignore => Policy::Ignore,
    };
    let stats = cx
        .client
        .tag_stats(policy)
        .await
        .map_err(|e| cx.failed(e))?;
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
