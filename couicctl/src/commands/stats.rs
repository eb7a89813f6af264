//! `couicctl stats`, without the live view.

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
