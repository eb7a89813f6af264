//! All clients in memory, laid out for authenticating requests by token.

use std::{sync::Arc, time::Instant};

use couic_common::{ClientInfo, ClientName};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use uuid::Uuid;

use super::Identity;

/// Clients ordered by name.
#[derive(Clone, Default)]
pub(super) struct Snapshot {
    tokens: Vec<u128>,
    identities: Vec<Arc<Identity>>,
    /// Tokens that were replaced and are accepted for a while; at most one of each client.
    former: Vec<Former>,
}

/// A token that was replaced.
#[derive(Clone)]
struct Former {
    token: u128,
    identity: Arc<Identity>,
    until: Instant,
}

impl Snapshot {
    /// Compares with every token, to the end, even after a match: the time depends only on the number of clients. The
    /// store ensures that tokens are unique.
    pub(super) fn authenticate(&self, token: &Uuid, now: Instant) -> Option<&Arc<Identity>> {
        let token = token.as_u128();
        // Index + 1 of the match, former tokens last; 0 = none.
        let mut found = 0_u64;
        let former = self.former.iter().map(|former| &former.token);
        for (place, known) in (1_u64..).zip(self.tokens.iter().chain(former)) {
            found.conditional_assign(&place, known.ct_eq(&token));
        }
        let index = usize::try_from(found).ok()?.checked_sub(1)?;
        match index.checked_sub(self.tokens.len()) {
            None => self.identities.get(index),
            Some(index) => {
                let former = self.former.get(index)?;
                (now < former.until).then_some(&former.identity)
            }
        }
    }

    /// Replaces the token of a client. The old one is accepted until `until`; one that was replaced before is not any
    /// more. False if there is no such client.
    pub(super) fn rotate(&mut self, name: &ClientName, token: Uuid, until: Instant) -> bool {
        let Ok(place) = self.place(name) else {
            return false;
        };
        let identity = Arc::clone(&self.identities[place]);
        let old = std::mem::replace(&mut self.tokens[place], token.as_u128());
        self.former.retain(|former| former.identity.name != *name);
        self.former.push(Former {
            token: old,
            identity,
            until,
        });
        true
    }

    /// Forgets replaced tokens that are not accepted any more.
    pub(super) fn expire(&mut self, now: Instant) {
        self.former.retain(|former| now < former.until);
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
        let removed = self.identities.remove(place);
        self.former
            .retain(|former| former.identity.name != removed.name);
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
                prop_assert_eq!(&snapshot.authenticate(token, Instant::now()).unwrap().name, name);
            }
            for stranger in [Uuid::nil(), Uuid::max()] {
                prop_assert!(snapshot.authenticate(&stranger, Instant::now()).is_none());
            }
        }
    }

    #[test]
    fn a_replaced_token_is_accepted_for_its_time_only() {
        let [a, b]: [ClientName; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let token = Uuid::from_u128;
        let mut snapshot = Snapshot::default();
        for (name, n) in [(&a, 1), (&b, 2)] {
            let (name, group) = (name.clone(), Group::Admin);
            snapshot.insert(ClientInfo {
                name,
                group,
                token: token(n),
            });
        }
        let now = Instant::now();
        let end = now + std::time::Duration::from_secs(60);
        let who = |snapshot: &Snapshot, n, at| {
            let found = snapshot.authenticate(&token(n), at);
            found.map(|identity| identity.name.clone())
        };
        assert!(snapshot.rotate(&a, token(11), end));
        for n in [1, 11] {
            assert_eq!(who(&snapshot, n, now), Some(a.clone()));
        }
        assert_eq!(who(&snapshot, 2, now), Some(b.clone()));
        assert_eq!(who(&snapshot, 1, end), None);
        assert_eq!(who(&snapshot, 11, end), Some(a.clone()));
        // Only the last one has time left.
        assert!(snapshot.rotate(&a, token(12), end));
        let accepted = [1, 11, 12].map(|n| who(&snapshot, n, now).is_some());
        assert_eq!(accepted, [false, true, true]);
        snapshot.expire(end);
        assert!(snapshot.former.is_empty());
        assert!(snapshot.rotate(&a, token(13), end) && snapshot.remove(&a));
        assert!(who(&snapshot, 12, now).is_none() && snapshot.former.is_empty());
        assert!(!snapshot.rotate(&a, token(14), end));
    }
}
