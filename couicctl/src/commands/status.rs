//! `couicctl status`: everything on one screen. Only the health is required: what the token may not read, or an older
//! daemon does not know, is left out and named.

use std::time::{Duration, Instant};

use couic_client::{ClientError, LogQuery};
use couic_common::{
    AuditEntry, Confirmations, DaemonStatus, Health, Metrics, NotifierInfo, PanicStatus, PeerInfo,
    Stats,
};
use serde::Serialize;

use super::{Context, exit_code};
use crate::{
    failure::Failure,
    fill::{TableFill, fills},
    render,
};

/// Rates are those of this time.
const PERIOD: Duration = Duration::from_secs(1);

/// How many tags are shown.
const TAGS: usize = 5;

/// How many of the last changes are shown.
const CHANGES: u64 = 3;

/// What is known; the rest was not answered.
#[derive(Serialize)]
pub(crate) struct Overview {
    pub(crate) health: Health,
    pub(crate) panic: Option<PanicStatus>,
    pub(crate) daemon: Option<DaemonStatus>,
    pub(crate) stats: Option<Stats>,
    /// Packets and bytes per second: dropped, passed.
    pub(crate) rates: Option<[(f64, f64); 2]>,
    /// By policy and family.
    pub(crate) tables: Vec<TableFill>,
    /// The busiest tags of policy drop.
    pub(crate) tags: Vec<TagRate>,
    pub(crate) confirmations: Option<Confirmations>,
    pub(crate) peers: Option<Vec<PeerInfo>>,
    pub(crate) notifiers: Option<Vec<NotifierInfo>>,
    /// The last changes, the newest first.
    pub(crate) changes: Option<Vec<AuditEntry>>,
    /// Why something is missing.
    pub(crate) notes: Vec<String>,
}

/// A tag with its packets, and packets per second.
#[derive(Serialize)]
pub(crate) struct TagRate {
    pub(crate) tag: String,
    pub(crate) packets: u64,
    pub(crate) rate: f64,
}

pub(super) async fn run(cx: &mut Context) -> Result<(), Failure> {
    let health = cx.client.health().await.map_err(|e| cx.failed(e))?;
    let status = health.status;
    let overview = look(health, cx).await;
    let now = cx.now();
    let width = render::terminal_size().map_or(80, |(columns, _)| columns);
    cx.output
        .show(&overview, |out| render::status(&overview, now, width, out))?;
    exit_code(status, cx)
}

async fn look(health: Health, cx: &Context) -> Overview {
    let mut overview = Overview {
        health,
        panic: None,
        daemon: None,
        stats: None,
        rates: None,
        tables: Vec::new(),
        tags: Vec::new(),
        confirmations: None,
        peers: None,
        notifiers: None,
        changes: None,
        notes: Vec::new(),
    };
    if let Some(why) = &cx.no_token {
        let why = why.lines().next().unwrap_or_default();
        overview
            .notes
            .push(format!("only the health is shown: {why}"));
        return overview;
    }
    let client = &cx.client;
    let started = Instant::now();
    let notes = &mut overview.notes;
    let first = known("figures", client.metrics().await, notes);
    overview.daemon = known("the host", client.status().await, notes);
    overview.peers = known("peers", client.peers().await, notes);
    overview.notifiers = known("notifiers", client.notifiers().await, notes);
    overview.confirmations = known("pending changes", client.confirmations().await, notes);
    overview.changes = changes(cx, notes).await;
    overview.tables = known("the size of tables", client.metrics_text().await, notes)
        .map_or_else(Vec::new, |text| fills(&text));
    if overview.health.panic_since.is_some() {
        overview.panic = client.panic().await.ok();
    }
    if let Some(first) = first {
        rates(&mut overview, started, &first, cx).await;
    }
    overview.notes.dedup();
    overview
}

/// Reads the figures again after a while.
async fn rates(overview: &mut Overview, started: Instant, first: &Metrics, cx: &Context) {
    tokio::time::sleep(PERIOD.saturating_sub(started.elapsed())).await;
    let elapsed = started.elapsed();
    if let Ok(second) = cx.client.metrics().await {
        overview.rates = render::drop_and_pass(&first.stats, &second.stats, elapsed);
        let all = render::tag_rates(&first.drop_tags, &second.drop_tags, elapsed);
        let busiest = all.iter().filter(|figures| figures.counter.rx_packets > 0);
        let rate = |figures: &render::TagFigures<'_>| TagRate {
            tag: figures.tag.to_owned(),
            packets: figures.counter.rx_packets,
            rate: figures.rate.map_or(0.0, |(packets, _)| packets),
        };
        overview.tags = busiest.take(TAGS).map(rate).collect();
        overview.stats = Some(second.stats);
    }
}

/// The last changes; none if the daemon keeps no audit log or is older than it, or if the token has no right to read it.
async fn changes(cx: &Context, notes: &mut Vec<String>) -> Option<Vec<AuditEntry>> {
    let query = LogQuery {
        limit: Some(CHANGES),
        ..LogQuery::default()
    };
    let answer = cx.client.log(&query).await;
    let is_absent = |error: &ClientError| matches!(error.status(), Some(401 | 404));
    if answer.as_ref().is_err_and(is_absent) {
        return None;
    }
    known("changes", answer, notes).map(|page| page.entries)
}

/// The answer, or a note that it is missing.
fn known<T>(what: &str, answer: Result<T, ClientError>, notes: &mut Vec<String>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) => {
            let why = match error.status() {
                Some(401) => "the token has no right to read it".to_owned(),
                Some(404) => "the daemon is too old to report it".to_owned(),
                _ => error.to_string(),
            };
            notes.push(format!("without {what}: {why}"));
            None
        }
    }
}
