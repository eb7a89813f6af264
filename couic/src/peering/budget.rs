//! How many answers with registers may be unsent at once: each takes half a megabyte until its client reads it.

use std::{collections::BTreeMap, sync::Arc};

use couic_common::ClientName;
use parking_lot::Mutex;

/// Per client. A node asks one at a time; others may be those of a connection that broke.
const PER_CLIENT: usize = 4;

/// Of all clients together.
const IN_ALL: usize = 64;

/// The places for answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnswerBudget(Arc<Mutex<BTreeMap<ClientName, usize>>>);

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct AnswerPlace {
    budget: AnswerBudget,
    name: ClientName,
}

impl AnswerBudget {
    /// None if this client has its share already, or all places are taken.
    pub(crate) fn place(&self, name: &ClientName) -> Option<AnswerPlace> {
        let mut taken = self.0.lock();
        if taken.values().sum::<usize>() >= IN_ALL {
            return None;
        }
        let its = taken.entry(name.clone()).or_default();
        if *its >= PER_CLIENT {
            return None;
        }
        *its += 1;
        Some(AnswerPlace {
            budget: self.clone(),
            name: name.clone(),
        })
    }
}

impl Drop for AnswerPlace {
    fn drop(&mut self) {
        let mut taken = self.budget.0.lock();
        let its = taken.remove(&self.name).unwrap_or(0).saturating_sub(1);
        if its > 0 {
            taken.insert(self.name.clone(), its);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_a_few_places_and_all_have_a_bounded_number() {
        let budget = AnswerBudget::default();
        let name = |n: usize| format!("c{n}").parse::<ClientName>().unwrap();
        let mut held: Vec<_> = (0..9).filter_map(|_| budget.place(&name(0))).collect();
        assert_eq!(held.len(), PER_CLIENT);
        held.pop();
        held.extend(budget.place(&name(0)));
        assert!(budget.place(&name(0)).is_none());
        held.extend((1..100).filter_map(|n| budget.place(&name(n))));
        assert_eq!(held.len(), IN_ALL);
        drop(held);
        assert!(budget.place(&name(0)).is_some());
        assert!(budget.0.lock().is_empty(), "dropped at once");
    }
}
