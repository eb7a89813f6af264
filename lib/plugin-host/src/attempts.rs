//! Numbers the attempts at a notification, for plugins.

use std::sync::{Mutex, PoisonError};

use couic_plugin_api::Uuid;

/// Counts calls with the same id in a row: notifications are delivered one after the other.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<(Uuid, u32)>);

impl Attempts {
    pub(super) fn count(&self, id: Uuid) -> u32 {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if last.0 == id { last.1 } else { 0 };
        *last = (id, before.saturating_add(1));
        last.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_id_starts_again() {
        let attempts = Attempts::default();
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let seen = [a, a, a, b, b, a].map(|id| attempts.count(id));
        assert_eq!(seen, [1, 2, 3, 1, 2, 1]);
    }
}
