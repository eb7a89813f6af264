//! `couicctl drop export` and `couicctl ignore export`: what `import` reads, one JSON document per line and claim.

use couic_client::ListQuery;
use couic_common::{Entry, OwnerKind, Policy, RuleOwner, Tag, TagPattern, counted};
use serde_json::{Map, Value};

use super::{Context, reading::Reading};
use crate::{
    cli::ExportArgs,
    failure::{Failure, print_warning},
};

/// Rules without a claim of a client, by what holds them.
#[derive(Default)]
struct LeftOut {
    sets: u64,
    peers: u64,
}

pub(super) async fn run(policy: Policy, args: ExportArgs, cx: &mut Context) -> Result<(), Failure> {
    let pattern: Option<TagPattern> = args.tag.map(|tag| {
        let Ok(pattern) = tag.parse();
        pattern
    });
    let query = ListQuery {
        owners: true,
        ..ListQuery::default()
    };
    let entries = cx.client.stream_entries(policy, &query).await;
    let entries = entries.map_err(|e| cx.failed(e))?;
    let mut left_out = LeftOut::default();
    let mut reading = Reading::of(entries, Some(policy), cx).await?;
    if cx.output.is_terminal() {
        reading.hide();
    }
    loop {
        let next = reading.next(cx).await;
        let Some(entry) =
            next.map_err(|f| f.hint("the list written so far is not complete: export it again"))?
        else {
            break;
        };
        let matches = |claim: &RuleOwner| {
            let tag = claim.tag.as_ref().map(Tag::as_str);
            pattern.as_ref().is_none_or(|pattern| pattern.matches(tag))
        };
        if entry.owners.iter().all(|o| o.kind != OwnerKind::Client) && !entry.owners.is_empty() {
            left_out.count(&entry.owners);
            continue;
        }
        for line in lines(policy, &entry, matches)? {
            serde_json::to_writer(cx.output.writer(), &line)?;
            writeln!(cx.output.writer())?;
        }
    }
    drop(reading);
    cx.output.flush()?;
    if pattern.is_none() {
        left_out.report(policy);
    }
    Ok(())
}

impl LeftOut {
    fn count(&mut self, owners: &[RuleOwner]) {
        if owners.iter().any(|owner| owner.kind == OwnerKind::Set) {
            self.sets += 1;
        } else {
            self.peers += 1;
        }
    }

    fn report(&self, policy: Policy) {
        let rules = |count| counted(count, "rule", "rules");
        if self.sets > 0 {
            let sets = rules(self.sets);
            print_warning(&format!(
                "{sets} of sets left out\nhint: copy the set files, sets/{policy} in the daemon's working_dir"
            ));
        }
        if self.peers > 0 {
            let peers = rules(self.peers);
            print_warning(&format!(
                "{peers} of peers left out\nhint: they come from the peers again"
            ));
        }
    }
}

/// The entry once for each claim of a client, with the claim's tag, expiration and reason. An older daemon names no claims.
fn lines(
    policy: Policy,
    entry: &Entry,
    matches: impl Fn(&RuleOwner) -> bool,
) -> Result<Vec<Map<String, Value>>, Failure> {
    let Value::Object(mut fields) = serde_json::to_value(entry)? else {
        return Ok(Vec::new());
    };
    for figure in ["owners", "hits", "last_seen"] {
        fields.remove(figure);
    }
    let mut line = Map::new();
    line.insert("policy".to_owned(), policy.as_str().into());
    line.extend(fields);
    if entry.owners.is_empty() {
        return Ok(vec![line]);
    }
    let mut lines: Vec<Map<String, Value>> = Vec::new();
    let claims = entry.owners.iter().filter(|o| o.kind == OwnerKind::Client);
    for claim in claims.filter(|claim| matches(claim)) {
        let mut line = line.clone();
        line.insert("tag".to_owned(), serde_json::to_value(&claim.tag)?);
        line.insert("expiration".to_owned(), claim.expiration.into());
        match &claim.reason {
            Some(reason) => drop(line.insert("reason".to_owned(), reason.as_str().into())),
            None => drop(line.remove("reason")),
        }
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_claim_of_a_client() {
        let owner = |kind: &str, tag: &str, end: u64| serde_json::json!({"kind": kind, "name": "n", "tag": tag, "expiration": end});
        let entry: Entry = serde_json::from_value(serde_json::json!({
            "creation": 7, "cidr": "192.0.2.7/32", "tag": "a", "expiration": 0, "hits": 3,
            "owners": [owner("client", "a", 0), owner("client", "b", 9), owner("peer", "c", 5), owner("client", "b", 9)],
        }))
        .unwrap();
        let all = lines(Policy::Drop, &entry, |_| true).unwrap();
        let text: Vec<String> = all
            .iter()
            .map(|l| Value::from(l.clone()).to_string())
            .collect();
        assert_eq!(
            text,
            [
                r#"{"policy":"drop","creation":7,"cidr":"192.0.2.7/32","tag":"a","expiration":0}"#,
                r#"{"policy":"drop","creation":7,"cidr":"192.0.2.7/32","tag":"b","expiration":9}"#,
            ]
        );
        let some = lines(Policy::Drop, &entry, |claim| claim.expiration > 0).unwrap();
        assert_eq!(some.len(), 1);
    }
}
