//! Reads entries for a command that answers only when it has them all, or writes them elsewhere than to the terminal: with
//! progress, and a Ctrl-C that says how far it came.

use couic_client::EntryStream;
use couic_common::{Entry, Policy, grouped};
use futures_util::TryStreamExt;

use super::{Context, interrupt::Interrupt, progress::Progress};
use crate::failure::Failure;

/// Entries between two updates of the progress.
const STEP: u64 = 1_024;

/// Entries of a policy as they arrive.
pub(super) struct Reading {
    entries: EntryStream,
    progress: Progress,
    interrupt: Interrupt,
    read: u64,
}

impl Reading {
    /// With the time that is left if these are all entries of `whole` and the token may read how many there are.
    pub(super) async fn of(
        entries: EntryStream,
        whole: Option<Policy>,
        cx: &Context,
    ) -> Result<Self, Failure> {
        let total = match whole {
            Some(policy) if Progress::is_shown() => total(policy, cx).await,
            _ => None,
        };
        Ok(Self {
            entries,
            progress: total.map_or_else(|| Progress::waiting("reading the entries"), Progress::of),
            interrupt: Interrupt::catch()?,
            read: 0,
        })
    }

    /// Shows no progress, since the entries go to the terminal.
    pub(super) fn hide(&mut self) {
        self.progress = Progress::of(0);
    }

    /// The next entry. A signal is an error that says how many came before.
    pub(super) async fn next(&mut self, cx: &Context) -> Result<Option<Entry>, Failure> {
        let next = tokio::select! {
            biased;
            () = self.interrupt.wait() => {
                let text = format!(
                    "interrupted after reading {} entries; nothing was changed",
                    grouped(self.read)
                );
                return Err(Failure::Failed(text));
            }
            next = self.entries.try_next() => next.map_err(|e| cx.failed(e))?,
        };
        self.read += u64::from(next.is_some());
        if self.read.is_multiple_of(STEP) {
            self.progress
                .show(usize::try_from(self.read).unwrap_or(usize::MAX));
        }
        Ok(next)
    }
}

/// How many entries there are; None for a token that may not read it.
async fn total(policy: Policy, cx: &Context) -> Option<usize> {
    let stats = cx.client.stats().await.ok()?;
    let count = match policy {
        Policy::Drop => stats.drop_cidr_count,
        Policy::Ignore => stats.ignore_cidr_count,
    };
    usize::try_from(count).ok()
}
