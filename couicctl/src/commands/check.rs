//! `check`: the verdict for an address or a network, and the rules behind it.

use couic_client::ListQuery;
use couic_common::{Cidr, LookupRule, Policy};
use futures_util::TryStreamExt;

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
pub(super) async fn overlapping(
    cidr: Cidr,
    policies: &[Policy],
    cx: &Context,
) -> Result<Overlap, Failure> {
    let lookup = cx.client.lookup(cidr.addr()).await;
    let lookup = lookup.map_err(|e| cx.failed(e))?;
    let covers = |rule: &LookupRule| {
        policies.contains(&rule.policy) && rule.entry.cidr.prefix() <= cidr.prefix()
    };
    let rules = lookup.decided_by.into_iter().chain(lookup.also_covered_by);
    let mut rules: Vec<LookupRule> = rules.filter(covers).collect();
    // In the order of lists, a network is followed by those within.
    let query = ListQuery {
        after: Some(cidr),
        owners: true,
        ..ListQuery::default()
    };
    for policy in policies {
        let stream = cx.client.stream_entries(*policy, &query).await;
        let mut stream = stream.map_err(|e| cx.failed(e))?;
        while let Some(entry) = stream.try_next().await.map_err(|e| cx.failed(e))? {
            if !cidr.contains(entry.cidr.addr()) {
                break;
            }
            rules.push(LookupRule {
                policy: *policy,
                entry,
            });
        }
    }
    Ok(Overlap {
        cidr,
        panic: lookup.panic,
        rules,
    })
}
