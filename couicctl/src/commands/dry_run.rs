//! `import --dry-run`: what an import would do, by the entries that are there now. Sends nothing.

use std::collections::BTreeMap;

use couic_client::ListQuery;
use couic_common::{BatchJob, Cidr, Entry, OwnerKind, Policy, Tag};
use serde::Serialize;

use super::{Context, reading::Reading};
use crate::failure::Failure;

/// The counts, as an import has them.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Prediction {
    dry_run: bool,
    /// Networks that are not there.
    added: u64,
    /// Networks that are there, and would get another tag, expiration or claim.
    updated: u64,
    /// Networks that are there just so.
    unchanged: u64,
}

/// The sentence about it.
pub(super) fn sentence(prediction: &Prediction) -> String {
    let Prediction {
        added,
        updated,
        unchanged,
        ..
    } = prediction;
    format!(
        "{added} would be added, {updated} updated, {unchanged} unchanged; nothing was sent. Guard rails and limits \
         are checked at the import."
    )
}

/// Compares the jobs with the entries of the daemon.
pub(super) async fn predict(
    policy: Policy,
    jobs: &[BatchJob],
    cx: &Context,
) -> Result<Prediction, Failure> {
    let mut wanted: BTreeMap<Cidr, Vec<&BatchJob>> = BTreeMap::new();
    for job in jobs {
        // The daemon takes what couicctl writes.
        if let Ok(cidr) = Cidr::parse_lenient(&job.entry.cidr) {
            wanted.entry(cidr).or_default().push(job);
        }
    }
    let query = ListQuery {
        owners: true,
        ..ListQuery::default()
    };
    let entries = cx.client.stream_entries(policy, &query).await;
    let entries = entries.map_err(|e| cx.failed(e))?;
    let mut prediction = Prediction {
        dry_run: true,
        ..Prediction::default()
    };
    let mut reading = Reading::of(entries, Some(policy), cx).await?;
    while let Some(entry) = reading.next(cx).await? {
        let jobs = wanted.remove(&entry.cidr).unwrap_or_default();
        let same = jobs.iter().all(|job| is_there(job, &entry));
        prediction.unchanged += u64::from(!jobs.is_empty() && same);
        prediction.updated += u64::from(!jobs.is_empty() && !same);
    }
    prediction.added = wanted.len() as u64;
    Ok(prediction)
}

/// Whether a claim of a client is what the job asks for. One with a lifetime is renewed each time.
fn is_there(job: &BatchJob, entry: &Entry) -> bool {
    let tag = job.entry.tag.as_deref().filter(|tag| !tag.is_empty());
    let same = |held: Option<&Tag>, expiration| {
        held.map(Tag::as_str) == tag
            && job.entry.ttl.is_none()
            && job.entry.expiration == expiration
    };
    if entry.owners.is_empty() {
        return same(entry.tag.as_ref(), entry.expiration);
    }
    let mut claims = entry.owners.iter().filter(|o| o.kind == OwnerKind::Client);
    claims.any(|claim| same(claim.tag.as_ref(), claim.expiration))
}
