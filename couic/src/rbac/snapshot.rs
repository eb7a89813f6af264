//! All clients in memory, laid out for authenticating requests by token.

use std::sync::Arc;

use couic_common::{ClientInfo, ClientName};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use uuid::Uuid;

use super::Identity;

/// Clients ordered by name.
#[derive(Clone, Default)]
pub(super) struct Snapshot {
    tokens: Vec<u128>,
    identities: Vec<Arc<Identity>>,
}

impl Snapshot {
    /// Compares with every token, to the end, even after a match: the time depends only on the number of clients. The
    /// store ensures that tokens are unique.
    pub(super) fn authenticate(&self, token: &Uuid) -> Option<&Arc<Identity>> {
        let token = token.as_u128();
        // Index + 1 of the match; 0 = none.
        let mut found = 0_u64;
        for (place, known) in (1_u64..).zip(&self.tokens) {
            found.conditional_assign(&place, known.ct_eq(&token));
        }
        let index = usize::try_from(found).ok()?.checked_sub(1)?;
        self.identities.get(index)
    }

    pub(super) fn get(&self, name: &ClientName) -> Option<ClientInfo> {
        self.place(name).ok().map(|i| self.info(i))
    }

    pub(super) fn list(&self) -> Vec<ClientInfo> {
        (0..self.tokens.len()).map(|i| self.info(i)).collect()
    }

    /// False, without a change, if the name is taken.
    pub(super) fn insert(&mut self, client: ClientInfo) -> bool {
        let ClientInfo { name, group, token } = client;
        let Err(place) = self.place(&name) else {
            return false;
        };
        self.tokens.insert(place, token.as_u128());
        self.identities
            .insert(place, Arc::new(Identity { name, group }));
        true
    }

    /// False if there is no such client.
    pub(super) fn remove(&mut self, name: &ClientName) -> bool {
        let Ok(place) = self.place(name) else {
            return false;
        };
        self.tokens.remove(place);
        self.identities.remove(place);
        true
    }

    fn place(&self, name: &ClientName) -> Result<usize, usize> {
        self.identities.binary_search_by(|i| i.name.cmp(name))
    }

    fn info(&self, index: usize) -> ClientInfo {
        let Identity { name, group } = &*self.identities[index];
        ClientInfo {
            name: name.clone(),
            group: *group,
            token: Uuid::from_u128(self.tokens[index]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use couic_common::Group;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a map: any order of inserts and removals leaves the same clients, each found by its own token.
        #[test]
        fn behaves_as_a_map(changes in prop::collection::vec((any::<bool>(), 0_u128..12), 0..60)) {
            let mut snapshot = Snapshot::default();
            let mut oracle = BTreeMap::new();
            for (add, n) in changes {
                let name: ClientName = format!("c{n}").parse().unwrap();
                let token = Uuid::from_u128(n + 1);
                if add {
                    let client = ClientInfo { name: name.clone(), group: Group::Admin, token };
                    prop_assert_eq!(snapshot.insert(client), oracle.insert(name, token).is_none());
                } else {
                    prop_assert_eq!(snapshot.remove(&name), oracle.remove(&name).is_some());
                }
            }
            let listed: Vec<_> = snapshot.list().into_iter().map(|c| (c.name, c.token)).collect();
            prop_assert_eq!(listed, oracle.clone().into_iter().collect::<Vec<_>>());
            for (name, token) in &oracle {
                prop_assert_eq!(&snapshot.authenticate(token).unwrap().name, name);
            }
            for stranger in [Uuid::nil(), Uuid::max()] {
                prop_assert!(snapshot.authenticate(&stranger).is_none());
            }
        }
    }
}
