//! Notices in response headers: that the panic switch is on, changes to confirm, and guard rails that were lifted.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use couic_common::{
    CONFIRM_ID_HEADER, CONFIRM_UNTIL_HEADER, ConfirmId, LIFTED_HEADER, PANIC_HEADER, Rail,
};
use reqwest::header::HeaderMap;

/// A change that is undone unless it is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToConfirm {
    /// The id to confirm.
    pub id: ConfirmId,
    /// The deadline in Unix seconds, by the daemon's clock.
    pub until: u64,
}

/// The notices of the responses so far.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    panic: AtomicBool,
    to_confirm: Mutex<Vec<ToConfirm>>,
    lifted: Mutex<BTreeSet<Rail>>,
}

impl Notices {
    pub(crate) fn read(&self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let panic = text(PANIC_HEADER) == Some("on");
        self.panic.store(panic, Ordering::Relaxed);
        let id = text(CONFIRM_ID_HEADER).and_then(|id| id.parse().ok());
        let until = text(CONFIRM_UNTIL_HEADER).and_then(|until| until.parse().ok());
        if let (Some(id), Some(until)) = (id, until) {
            let mut all = self
                .to_confirm
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            all.push(ToConfirm { id, until });
        }
        let rails = text(LIFTED_HEADER).unwrap_or_default().split(',');
        // A rail of another version is left out.
        let rails = rails.filter_map(|name| name.trim().parse::<Rail>().ok());
        let mut lifted = self.lifted.lock().unwrap_or_else(PoisonError::into_inner);
        lifted.extend(rails);
    }

    pub(crate) fn drain_lifted(&self) -> Vec<Rail> {
        let mut lifted = self.lifted.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *lifted).into_iter().collect()
    }

    pub(crate) fn panic(&self) -> bool {
        self.panic.load(Ordering::Relaxed)
    }

    pub(crate) fn drain_to_confirm(&self) -> Vec<ToConfirm> {
        let mut all = self
            .to_confirm
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut all)
    }
}
