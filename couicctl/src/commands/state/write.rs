//! Writes a state file.

use std::{collections::BTreeMap, io};

use couic_common::{Cidr, ClientInfo, Policy, Tag};

use super::{
    observe::Exported,
    show::utc,
    wanted::{Claim, Rules},
};

const HEAD: &str = "\
# The state of Couic: couicctl diff -f FILE compares, couicctl apply -f FILE makes it so.
# What is named here is to be as it is here; all else is left alone, but for what [owns] covers, as in
#   [owns]
#   drop = [\"infra-*\"]      # tags, the same for ignore; also sets = [\"drop/feed-*\"], clients = [\"ci-*\"]
";

/// The whole file.
pub(super) fn file(exported: &Exported, out: &mut dyn io::Write) -> io::Result<()> {
    let Exported {
        own,
        rules,
        sets,
        clients,
    } = exported;
    writeln!(out, "{HEAD}client = {}", quoted(own.as_str()))?;
    for (policy, rules) in rules {
        groups(*policy, rules, out)?;
    }
    for (policy, name, entries) in sets {
        writeln!(out, "\n[sets.{policy}.{name}]")?;
        let mut entries = entries.iter();
        list(&mut entries, |cidr| quoted(&cidr.to_string()), out)?;
    }
    let others = clients.iter().flatten();
    let others = others.filter(|one| !one.own && one.name.as_str() != "couicctl");
    others
        .into_iter()
        .try_for_each(|client| self::client(client, out))
}

/// A group for each tag.
fn groups(policy: Policy, rules: &Rules, out: &mut dyn io::Write) -> io::Result<()> {
    let mut by_tag: BTreeMap<&Option<Tag>, Vec<(Cidr, &Claim)>> = BTreeMap::new();
    for ((cidr, tag), claim) in &rules.claims {
        by_tag.entry(tag).or_default().push((*cidr, claim));
    }
    for (tag, claims) in by_tag {
        writeln!(out, "\n[[{policy}]]")?;
        let tag = tag.as_ref().map_or(couic_common::UNTAGGED, Tag::as_str);
        writeln!(out, "tag = {}", quoted(tag))?;
        list(&mut claims.iter(), |(cidr, claim)| entry(*cidr, claim), out)?;
    }
    Ok(())
}

fn list<'a, T: 'a>(
    items: &mut dyn Iterator<Item = &'a T>,
    text: impl Fn(&T) -> String,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    writeln!(out, "entries = [")?;
    for item in items {
        writeln!(out, "  {},", text(item))?;
    }
    writeln!(out, "]")
}

fn entry(cidr: Cidr, claim: &Claim) -> String {
    let mut text = quoted(&cidr.to_string());
    if claim.expiration == 0 && claim.reason.is_none() {
        return text;
    }
    if claim.expiration != 0 {
        text += &format!(", expires = {}", utc(claim.expiration));
    }
    if let Some(reason) = &claim.reason {
        text += &format!(", reason = {}", quoted(reason.as_str()));
    }
    format!("{{ cidr = {text} }}")
}

fn client(client: &ClientInfo, out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "\n[clients.{}]", client.name)?;
    writeln!(out, "group = {}", quoted(client.group.as_str()))?;
    if let Some(limits) = &client.limits {
        let limits = toml::Value::try_from(limits).map_err(io::Error::other)?;
        writeln!(out, "limits = {}", inline(&limits))?;
    }
    let name = &client.name;
    writeln!(
        out,
        "# token_file = \"/etc/couic/{name}.token\"    # where apply writes the token if it creates the client"
    )
}

/// A value on one line.
fn inline(value: &toml::Value) -> String {
    match value {
        toml::Value::Table(table) => {
            let fields = table
                .iter()
                .map(|(key, value)| format!("{key} = {}", inline(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
