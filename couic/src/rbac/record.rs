//! A client as it is kept.

use couic_common::{ClientInfo, ClientLimits, ClientName, Group};
use uuid::Uuid;

use super::{RbacError, digest::TokenHash, store::PROTECTED_CLIENT};

/// A client to create.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// Its name.
    pub name: ClientName,
    /// Its group.
    pub group: Group,
    /// What it may change, if not all that its group may.
    pub limits: Option<ClientLimits>,
}

/// A client of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: ClientName,
    pub(super) group: Group,
    pub(super) token: StoredToken,
    /// When the token ends, Unix seconds.
    pub(super) expires: Option<u64>,
    pub(super) limits: Option<ClientLimits>,
}

/// What a file says of a token.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum StoredToken {
    /// For local programs that read it from the file.
    Plain(Uuid),
    Hashed(TokenHash),
}

impl std::fmt::Debug for StoredToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoredToken")
    }
}

impl StoredToken {
    pub(super) fn hash(&self) -> TokenHash {
        match self {
            Self::Plain(token) => TokenHash::of(token),
            Self::Hashed(hash) => *hash,
        }
    }
}

impl Record {
    /// The same with another token, as it is to be kept: couicctl reads its own from the file.
    pub(super) fn with_token(self, token: Uuid, now: u64) -> Self {
        let lifetime = self.limits.as_ref().and_then(|l| l.token_lifetime);
        Self {
            token: StoredToken::Plain(token),
            expires: lifetime.map(|seconds| now.saturating_add(seconds)),
            ..self
        }
        .kept()
    }

    /// The same with its token as it is to be kept.
    pub(super) fn kept(self) -> Self {
        if self.name.as_str() == PROTECTED_CLIENT {
            return self;
        }
        let token = StoredToken::Hashed(self.token.hash());
        Self { token, ..self }
    }

    /// As the API shows it. The token is known if the file has it in plain text.
    pub(super) fn info(&self) -> ClientInfo {
        let Self {
            name,
            group,
            token,
            expires,
            limits,
        } = self;
        ClientInfo {
            name: name.clone(),
            group: *group,
            token: match token {
                StoredToken::Plain(token) => Some(*token),
                StoredToken::Hashed(_) => None,
            },
            expires: *expires,
            limits: limits.clone(),
            own: false,
        }
    }
}

/// Whether such a client may have such limits.
///
/// # Errors
/// [`RbacError::Limits`]: the first mistake.
pub(super) fn check_limits(
    name: &ClientName,
    group: Group,
    limits: Option<&ClientLimits>,
) -> Result<(), RbacError> {
    let Some(limits) = limits else { return Ok(()) };
    let wrong = |field: &str, message: String| {
        let field = field.to_owned();
        Err(RbacError::Limits { field, message })
    };
    if let Some((field, message)) = limits.mistakes().into_iter().next() {
        return wrong(&format!("limits.{field}"), message);
    }
    if name.as_str() == PROTECTED_CLIENT {
        let message = "cannot be set for the client that couicctl uses".to_owned();
        return wrong("limits", message);
    }
    if limits.limit_rules() && group != Group::ClientRw {
        let why = match group {
            Group::Admin => "an admin could create a client without limits",
            Group::Peering => "a peer is limited by its table in the configuration",
            _ => "this group changes no rules",
        };
        let message = format!("of rules hold for the group clientrw only: {why}");
        return wrong("limits", message);
    }
    Ok(())
}
