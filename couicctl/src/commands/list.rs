//! `couicctl drop list` and `couicctl ignore list`: entries as they arrive, in bounded memory where the order allows it.

use std::cmp::Ordering;

use couic_client::{ClientError, EntryStream, ListQuery};
use couic_common::{Cidr, Entry, Policy, Tag, TagPattern};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Context, check, reading::Reading};
use crate::{
    cli::{ListArgs, SortKey},
    failure::Failure,
    input::Network,
    output::Array,
    render::EntryTable,
    suggest::did_you_mean,
};

/// So many entries decide the width of the columns, before the first is shown.
const BLOCK: u64 = 4_096;

pub(super) async fn run(policy: Policy, args: ListArgs, cx: &mut Context) -> Result<(), Failure> {
    let mut entries = source(policy, &args, cx).await?;
    let most = args.limit.unwrap_or(u64::MAX);
    if args.sort != SortKey::Cidr {
        let is_whole = args.cidr.is_none() && args.address.is_none() && args.tag.is_none();
        let reading = Reading::of(entries, is_whole.then_some(policy), cx).await?;
        let sorted = sorted(reading, args.sort, most, cx).await?;
        entries = stream::iter(sorted.into_iter().map(Ok)).boxed();
    }
    let count = if cx.output.is_json() {
        as_json(entries, args.quiet, most, cx).await?
    } else if args.quiet {
        as_lines(entries, most, cx).await?
    } else {
        as_table(policy, entries, most, cx).await?
    };
    if count == 0 && !cx.output.is_json() {
        return nothing(policy, &args, cx).await;
    }
    Ok(())
}

/// The entries that were asked for, in the order of addresses.
async fn source(policy: Policy, args: &ListArgs, cx: &Context) -> Result<EntryStream, Failure> {
    let about = args.cidr.as_ref().or(args.address.as_ref());
    let Some(Network { cidr, .. }) = about else {
        let sorts = args.sort != SortKey::Cidr;
        let query = ListQuery {
            tag: args.tag.clone(),
            owners: !args.quiet,
            limit: args.limit.filter(|_| !sorts),
            ..ListQuery::default()
        };
        let entries = cx.client.stream_entries(policy, &query).await;
        return entries.map_err(|e| cx.failed(e));
    };
    let cidr = *cidr;
    let lookup = cx.client.lookup(cidr.addr()).await;
    let covering = check::covering(lookup.map_err(|e| cx.failed(e))?, cidr, &[policy]);
    let mut covering: Vec<Entry> = covering.into_iter().map(|rule| rule.entry).collect();
    covering.sort_by_key(|entry| entry.cidr);
    let within = check::within(cidr, policy, cx).await?;
    let all = stream::iter(covering.into_iter().map(Ok)).chain(within);
    let Some(tag) = &args.tag else {
        return Ok(all.boxed());
    };
    let Ok(pattern) = tag.parse::<TagPattern>();
    let matches = move |entry: &Entry| pattern.matches(entry.tag.as_ref().map(Tag::as_str));
    let all = all.try_filter(move |entry| std::future::ready(matches(entry)));
    Ok(all.boxed())
}

/// The first `most` entries in this order. Holds twice as many at most.
async fn sorted(
    mut reading: Reading,
    key: SortKey,
    most: u64,
    cx: &Context,
) -> Result<Vec<Entry>, Failure> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut held: Vec<Entry> = Vec::new();
    while let Some(entry) = reading.next(cx).await? {
        if key == SortKey::Hits && entry.hits.is_none() {
            let missing = Failure::Failed("the daemon does not count hits by rule".to_owned());
            return Err(
                missing.hint("set per_rule = true in [statistics] of couic.toml and restart couic")
            );
        }
        held.push(entry);
        if held.len() >= most.saturating_mul(2).max(1_024) && held.len() > most {
            held.sort_by(|a, b| order(key, a, b));
            held.truncate(most);
        }
    }
    held.sort_by(|a, b| order(key, a, b));
    held.truncate(most);
    Ok(held)
}

/// Equal ones stay in the order of addresses.
fn order(key: SortKey, a: &Entry, b: &Entry) -> Ordering {
    let end = |entry: &Entry| match entry.expiration {
        0 => u64::MAX,
        end => end,
    };
    let by_key = match key {
        SortKey::Cidr => Ordering::Equal,
        SortKey::Hits => b.hits.cmp(&a.hits),
        SortKey::Created => b.creation.cmp(&a.creation),
        SortKey::Expires => end(a).cmp(&end(b)),
        SortKey::Tag => (a.tag.is_none(), &a.tag).cmp(&(b.tag.is_none(), &b.tag)),
    };
    by_key.then_with(|| a.cidr.cmp(&b.cidr))
}

async fn next(
    entries: &mut EntryStream,
    count: &mut u64,
    most: u64,
) -> Result<Option<Entry>, ClientError> {
    if *count == most {
        return Ok(None);
    }
    let entry = entries.try_next().await?;
    *count += u64::from(entry.is_some());
    Ok(entry)
}

async fn as_json(
    mut entries: EntryStream,
    quiet: bool,
    most: u64,
    cx: &mut Context,
) -> Result<u64, Failure> {
    // A refusal comes before the first entry: nothing is written then.
    let mut count = 0;
    let first = next(&mut entries, &mut count, most).await;
    let mut entry = first.map_err(|e| cx.failed(e))?;
    let mut array = cx.output.array();
    let push = |array: &mut Array<'_>, entry: &Entry| match quiet {
        true => array.push(&entry.cidr),
        false => array.push(entry),
    };
    let ended = loop {
        let Some(found) = entry else { break Ok(()) };
        push(&mut array, &found)?;
        match next(&mut entries, &mut count, most).await {
            Ok(next) => entry = next,
            Err(error) => break Err(error),
        }
    };
    if ended.is_ok() {
        array.end()?;
    }
    ended.map_err(|e| cx.failed(e))?;
    Ok(count)
}

async fn as_lines(mut entries: EntryStream, most: u64, cx: &mut Context) -> Result<u64, Failure> {
    let mut count = 0;
    while let Some(Entry { cidr, .. }) = {
        let next = next(&mut entries, &mut count, most).await;
        next.map_err(|e| cx.failed(e))?
    } {
        if count == 1 {
            cx.output.page()?;
        }
        writeln!(cx.output.writer(), "{cidr}")?;
    }
    Ok(count)
}

async fn as_table(
    policy: Policy,
    mut entries: EntryStream,
    most: u64,
    cx: &mut Context,
) -> Result<u64, Failure> {
    let mut count = 0;
    let mut table: Option<EntryTable> = None;
    let now = cx.now();
    while let Some(entry) = {
        let next = next(&mut entries, &mut count, most).await;
        next.map_err(|e| cx.failed(e))?
    } {
        let table = table.get_or_insert_with(|| EntryTable::new(policy, &entry, now));
        table.add(&entry);
        if count.is_multiple_of(BLOCK) {
            if count == BLOCK {
                cx.output.page()?;
            }
            table.block(cx.output.writer())?;
        }
    }
    if let Some(table) = table {
        cx.output.page()?;
        table.end(cx.output.writer())?;
    }
    Ok(count)
}

/// On a terminal: that nothing was found, and the tag that was probably meant.
async fn nothing(policy: Policy, args: &ListArgs, cx: &mut Context) -> Result<(), Failure> {
    let mut sentence = match (&args.cidr.as_ref().or(args.address.as_ref()), &args.tag) {
        (Some(Network { cidr, .. }), _) => {
            format!("No entry of policy {policy} covers {cidr} or lies within it.")
        }
        (None, Some(tag)) => format!("No entry of policy {policy} has a tag that matches {tag}."),
        (None, None) => format!("There are no entries of policy {policy}."),
    };
    if let Some(tag) = &args.tag
        && cx.output.is_terminal()
        && let Ok(known) = cx.client.tag_stats(policy).await
        && let Some(hint) = did_you_mean(tag, known.tags.keys().map(String::as_str))
    {
        sentence += &format!("\nhint: {hint}");
    }
    cx.output.nothing::<[Cidr]>(&[], &sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(cidr: &str, tag: &str, creation: u64, expiration: u64, hits: u64) -> Entry {
        serde_json::from_value(serde_json::json!({
            "cidr": cidr, "tag": (!tag.is_empty()).then_some(tag), "creation": creation,
            "expiration": expiration, "hits": hits,
        }))
        .unwrap()
    }

    #[test]
    fn every_order() {
        let mut all = [
            entry("10.0.0.1/32", "b", 1, 0, 5),
            entry("10.0.0.2/32", "", 3, 50, 9),
            entry("10.0.0.3/32", "a", 2, 90, 5),
        ];
        for (key, expected) in [
            (SortKey::Hits, [2, 1, 3]),
            (SortKey::Created, [2, 3, 1]),
            (SortKey::Expires, [2, 3, 1]),
            (SortKey::Tag, [3, 1, 2]),
            (SortKey::Cidr, [1, 2, 3]),
        ] {
            all.sort_by(|a, b| order(key, a, b));
            let found = all.each_ref().map(|e| e.cidr.to_string());
            assert_eq!(found, expected.map(|n| format!("10.0.0.{n}/32")), "{key:?}");
        }
    }
}
