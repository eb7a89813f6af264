//! `couicctl sets create` and `update`: as JSON, which every daemon takes, or as a list, which may be of any size and can be
//! applied.

use std::collections::BTreeSet;

use couic_common::{Cidr, SetBody, SetUpdate, SetWritten, counted};
use serde_json::json;

use super::{SEE_LIST, refused, unknown};
use crate::{
    cli::{SetArg, SetForce},
    commands::{
        Context,
        entries::{guard_of, is_forced},
        interrupt::watched,
    },
    failure::{Failure, print_error, print_warning},
};

/// Sets beyond that are sent as a list: JSON bodies have a limit of 16 MiB.
const LARGE: usize = 100_000;

/// A set to be written.
pub(super) struct Write {
    pub(super) set: SetArg,
    pub(super) entries: BTreeSet<Cidr>,
    /// Whether its rules are to change with it.
    pub(super) apply: bool,
    /// Whether there has to be such a set, or must be none.
    pub(super) exists: bool,
}

impl Write {
    pub(super) async fn run(self, force: &SetForce, cx: &mut Context) -> Result<(), Failure> {
        if self.apply || self.entries.len() > LARGE {
            self.send_list(force, cx).await
        } else {
            self.send_json(force, cx).await
        }
    }

    async fn send_json(self, force: &SetForce, cx: &mut Context) -> Result<(), Failure> {
        let SetArg { policy, name } = &self.set;
        let entries: Vec<String> = self.entries.iter().map(Cidr::to_string).collect();
        let (force, guard) = (is_forced(force), Some(guard_of(force)));
        let done = if self.exists {
            let body = SetUpdate {
                name: Some(name.to_string()),
                entries,
                force,
                guard,
            };
            let request = cx.client.replace_set(*policy, name, &body);
            watched("writing the set", SEE_LIST, request).await?
        } else {
            let body = SetBody {
                name: name.to_string(),
                entries,
                force,
                guard,
            };
            let request = cx.client.create_set(*policy, &body);
            watched("writing the set", SEE_LIST, request).await?
        };
        match done {
            Ok(()) => written(&self.set, self.entries.len() as u64, cx),
            Err(error) => Err(self.failed(error, cx).await),
        }
    }

    async fn send_list(self, force: &SetForce, cx: &mut Context) -> Result<(), Failure> {
        let SetArg { policy, name } = &self.set;
        let mut list = String::with_capacity(self.entries.len() * 20);
        for cidr in &self.entries {
            list += &cidr.to_string();
            list.push('\n');
        }
        // Its answers name the change to confirm, which is looked for there.
        cx.client = cx.client.guarded(guard_of(force), is_forced(force));
        let request = cx
            .client
            .put_set_list_if(*policy, name, list, self.apply, self.exists);
        match watched("writing the set", SEE_LIST, request).await? {
            Ok(set) if set.applied => applied(&self.set, &set, cx),
            Ok(set) => written(&self.set, set.entry_count, cx),
            Err(error) => Err(self.failed(error, cx).await),
        }
    }

    async fn failed(&self, error: couic_client::ClientError, cx: &Context) -> Failure {
        if self.exists {
            unknown(&self.set, error, cx).await
        } else {
            cx.failed(error)
        }
    }
}

fn written(set: &SetArg, count: u64, cx: &mut Context) -> Result<(), Failure> {
    let SetArg { policy, name } = set;
    let value =
        json!({"policy": policy, "name": name, "entry_count": count, "reload_required": true});
    cx.output.show(&value, |out| {
        let entries = counted(count, "entry", "entries");
        writeln!(
            out,
            "Set {policy}/{name} written, {entries}. Rules change at the next couicctl sets reload."
        )
    })
}

fn applied(set: &SetArg, done: &SetWritten, cx: &mut Context) -> Result<(), Failure> {
    let SetArg { policy, name } = set;
    let SetWritten {
        entry_count: count,
        added,
        removed,
        refused_count,
        refused: some,
        notes,
        ..
    } = done;
    let value = json!({"policy": policy, "name": name, "entry_count": count, "reload_required": false, "added": added,
        "removed": removed, "refused_count": refused_count, "refused": some, "notes": notes});
    cx.output.show(&value, |out| {
        let entries = counted(*count, "entry", "entries");
        writeln!(
            out,
            "Set {policy}/{name} applied, {entries}: {added} new, {removed} gone."
        )
    })?;
    notes.iter().for_each(|note| print_warning(note));
    if *refused_count == 0 {
        return Ok(());
    }
    cx.output.flush()?;
    print_error(&refused(some, *refused_count));
    Err(Failure::Reported)
}
