//! The rights of each group, as in the contract's table.

use std::sync::Arc;

use couic_common::{ClientName, Group};

use super::Scope;

/// A right that a route requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// List a policy's entries.
    PolicyList,
    /// Read one entry.
    PolicyGet,
    /// Add entries.
    PolicyCreate,
    /// Delete entries.
    PolicyDelete,
    /// End the claims of all clients and peers.
    PolicyDeleteAll,
    /// Send jobs as a peer.
    PolicyPeer,
    /// List sets.
    SetsList,
    /// Read one set.
    SetsGet,
    /// Create, replace and reload sets.
    SetsCreate,
    /// Delete sets.
    SetsDelete,
    /// Read the global statistics.
    StatsList,
    /// Read the statistics of tags.
    StatsGet,
    /// Manage clients.
    Clients,
    /// Read the state of peers.
    PeersList,
    /// Remove the rules of a peer.
    PeersForget,
    /// Read the state of notifiers.
    NotifiersList,
    /// Test notifiers, read, replay and discard their dead letters, resume them.
    NotifiersOperate,
    /// Set and clear the panic switch.
    Panic,
    /// Confirm or undo changes of other clients.
    ConfirmAny,
    /// Read the audit log.
    LogRead,
}

/// The authenticated client of a request.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The client's name.
    pub name: ClientName,
    /// Its group, which determines its rights.
    pub group: Group,
    /// What it may change of what its group may, if not all. Shared by its tokens.
    pub scope: Option<Arc<Scope>>,
    /// When its token ends, Unix seconds.
    pub expires: Option<u64>,
}

impl Identity {
    /// Whether the client has that right. Its limits may still refuse a change.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        right.is_of(self.group)
    }
}

impl Right {
    /// Whether the clients of a group have it.
    #[must_use]
    pub fn is_of(self, group: Group) -> bool {
        use Right as R;
        let right = self;
        match group {
            Group::Admin => true,
            Group::ClientRw => matches!(
                right,
                R::PolicyList
                    | R::PolicyGet
                    | R::PolicyCreate
                    | R::PolicyDelete
                    | R::SetsList
                    | R::SetsGet
                    | R::SetsCreate
                    | R::SetsDelete
                    | R::LogRead
            ),
            Group::ClientRo => matches!(
                right,
                R::PolicyList | R::PolicyGet | R::SetsList | R::SetsGet | R::LogRead
            ),
            Group::Monitoring => matches!(
                right,
                R::StatsList | R::StatsGet | R::PeersList | R::NotifiersList
            ),
            Group::Peering => right == R::PolicyPeer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row per right, one column per group, in the order of `Group::ALL`.
    const TABLE: [(Right, [bool; 5]); 20] = {
        const Y: bool = true;
        const N: bool = false;
        [
            (Right::PolicyList, [Y, Y, Y, N, N]),
            (Right::PolicyGet, [Y, Y, Y, N, N]),
            (Right::PolicyCreate, [Y, Y, N, N, N]),
            (Right::PolicyDelete, [Y, Y, N, N, N]),
            (Right::PolicyDeleteAll, [Y, N, N, N, N]),
            (Right::PolicyPeer, [Y, N, N, N, Y]),
            (Right::SetsList, [Y, Y, Y, N, N]),
            (Right::SetsGet, [Y, Y, Y, N, N]),
            (Right::SetsCreate, [Y, Y, N, N, N]),
            (Right::SetsDelete, [Y, Y, N, N, N]),
            (Right::StatsList, [Y, N, N, Y, N]),
            (Right::StatsGet, [Y, N, N, Y, N]),
            (Right::Clients, [Y, N, N, N, N]),
            (Right::PeersList, [Y, N, N, Y, N]),
            (Right::PeersForget, [Y, N, N, N, N]),
            (Right::NotifiersList, [Y, N, N, Y, N]),
            (Right::NotifiersOperate, [Y, N, N, N, N]),
            (Right::Panic, [Y, N, N, N, N]),
            (Right::ConfirmAny, [Y, N, N, N, N]),
            (Right::LogRead, [Y, Y, Y, N, N]),
        ]
    };

    #[test]
    fn every_cell_of_the_contract() {
        for (right, row) in TABLE {
            for (group, expected) in Group::ALL.into_iter().zip(row) {
                let name = "x".parse().unwrap();
                let (scope, expires) = (None, None);
                let identity = Identity {
                    name,
                    group,
                    scope,
                    expires,
                };
                assert_eq!(identity.may(right), expected, "{group} {right:?}");
            }
        }
    }
}
