//! `check`: the verdict for an address or a network, and the rules behind it.

use std::future::ready;

use couic_client::{EntryStream, ListQuery};
use couic_common::{Cidr, Entry, Lookup, LookupRule, Policy};
use futures_util::{StreamExt, TryStreamExt};

use super::Context;
use crate::{failure::Failure, render};

pub(super) async fn run(cidr: Cidr, cx: &mut Context) -> Result<(), Failure> {
    if cidr == Cidr::host(cidr.addr()) {
        let lookup = cx.client.lookup(cidr.addr()).await;
        let lookup = lookup.map_err(|e| cx.failed(e))?;
        let now = cx.now();
        return cx
            .output
            .show(&lookup, |out| render::lookup(&lookup, now, out));
    }
    let overlap = overlapping(cidr, &Policy::ALL, cx).await?;
    let now = cx.now();
    cx.output
        .show(&overlap, |out| render::overlap(&overlap, now, out))
}

/// The rules that cover a network or lie within it.
#[derive(serde::Serialize)]
pub(crate) struct Overlap {
    pub(crate) cidr: Cidr,
    /// Whether the panic switch is on.
    pub(crate) panic: bool,
    /// Those that cover all of it, ignore before drop and the longest prefix first; then those within, in order.
    pub(crate) rules: Vec<LookupRule>,
}

/// Asks for the rules of these policies.
async fn overlapping(cidr: Cidr, policies: &[Policy], cx: &Context) -> Result<Overlap, Failure> {
    let lookup = cx.client.lookup(cidr.addr()).await;
    let lookup = lookup.map_err(|e| cx.failed(e))?;
    let panic = lookup.panic;
    let mut rules = covering(lookup, cidr, policies);
    for policy in policies {
        let mut entries = within(cidr, *policy, cx).await?;
        while let Some(entry) = entries.try_next().await.map_err(|e| cx.failed(e))? {
            let policy = *policy;
            rules.push(LookupRule { policy, entry });
        }
    }
    Ok(Overlap { cidr, panic, rules })
}

/// The rules of these policies that cover the network as a whole; `lookup` is that of its first address.
pub(super) fn covering(lookup: Lookup, cidr: Cidr, policies: &[Policy]) -> Vec<LookupRule> {
    let covers = |rule: &LookupRule| {
        policies.contains(&rule.policy) && rule.entry.cidr.prefix() <= cidr.prefix()
    };
    let rules = lookup.decided_by.into_iter().chain(lookup.also_covered_by);
    rules.filter(covers).collect()
}

/// The entries that lie within a network, without that of the network itself.
pub(super) async fn within(
    cidr: Cidr,
    policy: Policy,
    cx: &Context,
) -> Result<EntryStream, Failure> {
    // In the order of lists, a network is followed by those within.
    let query = ListQuery {
        after: Some(cidr),
        owners: true,
        ..ListQuery::default()
    };
    let entries = cx.client.stream_entries(policy, &query).await;
    let entries = entries.map_err(|e| cx.failed(e))?;
    let inside = move |entry: &Entry| ready(Ok(cidr.contains(entry.cidr.addr())));
    Ok(entries.try_take_while(inside).boxed())
}
