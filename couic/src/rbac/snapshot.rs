//! All clients in memory, laid out for authenticating requests by token.

use std::{sync::Arc, time::Instant};

use couic_common::{ClientInfo, ClientName};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use uuid::Uuid;

use super::{
    Identity, Scope, TokenError,
    digest::TokenHash,
    record::{Record, StoredToken},
};

/// Clients ordered by name.
#[derive(Clone, Default)]
pub(super) struct Snapshot {
    hashes: Vec<TokenHash>,
    identities: Vec<Arc<Identity>>,
    /// As in the files.
    records: Vec<Record>,
    /// Tokens that were replaced and are accepted for a while; at most one of each client.
    former: Vec<Former>,
}

/// A token that was replaced.
#[derive(Clone)]
struct Former {
    hash: TokenHash,
    identity: Arc<Identity>,
    until: Instant,
}

impl Snapshot {
    /// Compares with every token, to the end, even after a match: the time depends only on the number of clients. The
    /// store ensures that tokens are unique. `now` is in Unix seconds.
    pub(super) fn authenticate(
        &self,
        token: &Uuid,
        at: Instant,
        now: u64,
    ) -> Result<&Arc<Identity>, TokenError> {
        if token.is_nil() {
            return Err(TokenError::Nil);
        }
        let who = self.find(TokenHash::of(token), at);
        let who = who.ok_or(TokenError::Unknown)?;
        match who.expires.and_then(|end| now.checked_sub(end)) {
            None => Ok(who),
            Some(ago) => Err(TokenError::Expired {
                name: who.name.clone(),
                ago,
            }),
        }
    }

    fn find(&self, hash: TokenHash, at: Instant) -> Option<&Arc<Identity>> {
        // Index + 1 of the match, former tokens last; 0 = none.
        let mut found = 0_u64;
        let former = self.former.iter().map(|former| &former.hash);
        for (place, known) in (1_u64..).zip(self.hashes.iter().chain(former)) {
            found.conditional_assign(&place, known.ct_eq(&hash));
        }
        let index = usize::try_from(found).ok()?.checked_sub(1)?;
        match index.checked_sub(self.hashes.len()) {
            None => self.identities.get(index),
            Some(index) => {
                let former = self.former.get(index)?;
                (at < former.until).then_some(&former.identity)
            }
        }
    }

    /// Whether a token with this very identity, as [`Self::authenticate`] returned it, is still accepted.
    pub(super) fn admits(&self, who: &Arc<Identity>, at: Instant, now: u64) -> bool {
        let is_it = |known: &Arc<Identity>| Arc::ptr_eq(known, who);
        let lives = |former: &Former| is_it(&former.identity) && at < former.until;
        who.expires.is_none_or(|end| now < end)
            && (self.identities.iter().any(is_it) || self.former.iter().any(lives))
    }

    /// Puts another record, with another token, in the place of that of its name. The old token is accepted until
    /// `until`; one that was replaced before is not any more. False if there is no such client.
    pub(super) fn rotate(&mut self, record: Record, until: Instant) -> bool {
        let Ok(place) = self.place(&record.name) else {
            return false;
        };
        let identity = Arc::clone(&self.identities[place]);
        let renewed = Identity {
            expires: record.expires,
            ..(*identity).clone()
        };
        self.identities[place] = Arc::new(renewed);
        let hash = std::mem::replace(&mut self.hashes[place], record.token.hash());
        self.former
            .retain(|former| former.identity.name != record.name);
        self.former.push(Former {
            hash,
            identity,
            until,
        });
        self.records[place] = record;
        true
    }

    /// Forgets replaced tokens that are not accepted any more.
    pub(super) fn expire(&mut self, now: Instant) {
        self.former.retain(|former| now < former.until);
    }

    pub(super) fn get(&self, name: &ClientName) -> Option<&Record> {
        self.place(name).ok().map(|i| &self.records[i])
    }

    pub(super) fn list(&self) -> Vec<ClientInfo> {
        self.records.iter().map(Record::info).collect()
    }

    /// The clients whose tokens are in memory, and in their files, in plain text.
    pub(super) fn plain(&self) -> impl Iterator<Item = &Record> {
        let is_plain = |record: &&Record| matches!(record.token, StoredToken::Plain(_));
        self.records.iter().filter(is_plain)
    }

    /// Notes that the file of a client has the hash of its token now.
    pub(super) fn hashed(&mut self, record: Record) {
        if let Ok(place) = self.place(&record.name) {
            self.records[place] = record;
        }
    }

    /// False, without a change, if the name is taken.
    pub(super) fn insert(&mut self, record: Record) -> bool {
        let Err(place) = self.place(&record.name) else {
            return false;
        };
        let limits = record.limits.as_ref();
        let scope = limits.and_then(|limits| Scope::of(limits, Instant::now()));
        let identity = Identity {
            name: record.name.clone(),
            group: record.group,
            scope: scope.map(Arc::new),
            expires: record.expires,
        };
        self.hashes.insert(place, record.token.hash());
        self.identities.insert(place, Arc::new(identity));
        self.records.insert(place, record);
        true
    }

    /// False if there is no such client.
    pub(super) fn remove(&mut self, name: &ClientName) -> bool {
        let Ok(place) = self.place(name) else {
            return false;
        };
        self.hashes.remove(place);
        self.identities.remove(place);
        self.records.remove(place);
        self.former.retain(|former| former.identity.name != *name);
        true
    }

    fn place(&self, name: &ClientName) -> Result<usize, usize> {
        self.records
            .binary_search_by(|record| record.name.cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use couic_common::Group;
    use proptest::prelude::*;

    use super::*;

    fn record(name: &ClientName, token: u128, expires: Option<u64>) -> Record {
        Record {
            name: name.clone(),
            group: Group::Admin,
            token: StoredToken::Plain(Uuid::from_u128(token)),
            expires,
            limits: None,
        }
    }

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
                    let inserted = snapshot.insert(record(&name, n + 1, None));
                    prop_assert_eq!(inserted, oracle.insert(name, token).is_none());
                } else {
                    prop_assert_eq!(snapshot.remove(&name), oracle.remove(&name).is_some());
                }
            }
            let listed: Vec<_> = snapshot.list().into_iter().map(|c| c.name).collect();
            prop_assert_eq!(listed, oracle.keys().cloned().collect::<Vec<_>>());
            for (name, token) in &oracle {
                prop_assert_eq!(&snapshot.authenticate(token, Instant::now(), 0).unwrap().name, name);
            }
            for stranger in [Uuid::nil(), Uuid::max()] {
                prop_assert!(snapshot.authenticate(&stranger, Instant::now(), 0).is_err());
            }
        }
    }

    #[test]
    fn a_replaced_token_is_accepted_for_its_time_only() {
        let [a, b]: [ClientName; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let token = Uuid::from_u128;
        let mut snapshot = Snapshot::default();
        for (name, n) in [(&a, 1), (&b, 2)] {
            snapshot.insert(record(name, n, None));
        }
        let now = Instant::now();
        let end = now + std::time::Duration::from_secs(60);
        let who = |snapshot: &Snapshot, n, at| {
            let found = snapshot.authenticate(&token(n), at, 0).ok();
            found.map(|identity| identity.name.clone())
        };
        let first = Arc::clone(snapshot.authenticate(&token(1), now, 0).unwrap());
        assert!(snapshot.rotate(record(&a, 11, None), end));
        assert!(snapshot.admits(&first, now, 0) && !snapshot.admits(&first, end, 0));
        for n in [1, 11] {
            assert_eq!(who(&snapshot, n, now), Some(a.clone()));
        }
        assert_eq!(who(&snapshot, 2, now), Some(b.clone()));
        assert_eq!(who(&snapshot, 1, end), None);
        assert_eq!(who(&snapshot, 11, end), Some(a.clone()));
        // Only the last one has time left.
        assert!(snapshot.rotate(record(&a, 12, None), end));
        assert!(!snapshot.admits(&first, now, 0));
        let accepted = [1, 11, 12].map(|n| who(&snapshot, n, now).is_some());
        assert_eq!(accepted, [false, true, true]);
        snapshot.expire(end);
        assert!(snapshot.former.is_empty());
        assert!(snapshot.rotate(record(&a, 13, None), end) && snapshot.remove(&a));
        assert!(who(&snapshot, 12, now).is_none() && snapshot.former.is_empty());
        assert!(!snapshot.rotate(record(&a, 14, None), end));
    }

    #[test]
    fn a_token_ends_at_its_time_and_says_so() {
        let name: ClientName = "a".parse().unwrap();
        let mut snapshot = Snapshot::default();
        snapshot.insert(record(&name, 1, Some(100)));
        let at = Instant::now();
        let ask = |snapshot: &Snapshot, n, now| {
            let found = snapshot.authenticate(&Uuid::from_u128(n), at, now);
            found.map(|who| who.name.clone())
        };
        assert_eq!(ask(&snapshot, 1, 99), Ok(name.clone()));
        let who = Arc::clone(snapshot.authenticate(&Uuid::from_u128(1), at, 99).unwrap());
        assert!(snapshot.admits(&who, at, 99) && !snapshot.admits(&who, at, 100));
        let expired = |ago| {
            let name = name.clone();
            Err(TokenError::Expired { name, ago })
        };
        assert_eq!(ask(&snapshot, 1, 100), expired(0));
        assert_eq!(ask(&snapshot, 1, 130), expired(30));
        // The grace of an old token does not lengthen its life, nor does its end shorten that of the new one.
        let later = at + std::time::Duration::from_secs(60);
        assert!(snapshot.rotate(record(&name, 2, Some(200)), later));
        assert_eq!(ask(&snapshot, 1, 99), Ok(name.clone()));
        assert_eq!(ask(&snapshot, 1, 100), expired(0));
        assert_eq!(ask(&snapshot, 2, 199), Ok(name.clone()));
        assert_eq!(ask(&snapshot, 0, 0), Err(TokenError::Nil));
        assert_eq!(ask(&snapshot, 3, 0), Err(TokenError::Unknown));
    }
}
