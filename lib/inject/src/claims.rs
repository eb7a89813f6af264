//! What the daemon holds for its clients, for callers that compare it with what should be there.

use couic_client::{
    ClientError, ListQuery,
    common::{OwnerKind, Policy, TagPattern},
};
use futures_util::TryStreamExt;
use ipnetwork::IpNetwork;

use crate::daemon::Daemon;

/// A claim of a client on a rule of policy `drop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The network.
    pub cidr: IpNetwork,
    /// The tag; empty for none.
    pub tag: String,
    /// When it ends, Unix seconds by the clock of this machine; 0 = never.
    pub until: u64,
}

pub(crate) async fn read(
    daemon: &Daemon,
    tag: &str,
    most: usize,
    mut take: impl FnMut(Claim) + Send,
) -> Result<bool, ClientError> {
    let refused = match read_once(daemon, tag, most, &mut take).await {
        Err((error, token)) if error.status() == Some(401) => {
            // Only a new token is tried: the sender tells about one that is refused.
            if !daemon.renew(token).unwrap_or(false) {
                return Err(error);
            }
            read_once(daemon, tag, most, &mut take).await
        }
        read => read,
    };
    refused.map_err(|(error, _)| error)
}

/// The error comes with the number of the token.
async fn read_once(
    daemon: &Daemon,
    tag: &str,
    most: usize,
    take: &mut (impl FnMut(Claim) + Send),
) -> Result<bool, (ClientError, u64)> {
    let (client, token) = daemon.client();
    let fail = |error| (error, token);
    let Ok(pattern) = tag.parse::<TagPattern>();
    let query = ListQuery {
        tag: Some(tag.to_owned()),
        owners: true,
        ..ListQuery::default()
    };
    let mut entries = client
        .stream_entries(Policy::Drop, &query)
        .await
        .map_err(fail)?;
    let (ahead, mut count) = (client.clock_ahead(), 0);
    while let Some(entry) = entries.try_next().await.map_err(fail)? {
        for owner in entry.owners {
            let tag = owner.tag.as_ref().map(couic_client::common::Tag::as_str);
            if owner.kind != OwnerKind::Client || !pattern.matches(tag) {
                continue;
            }
            if count == most {
                return Ok(true);
            }
            count += 1;
            let until = match owner.expiration {
                0 => 0,
                end => end.saturating_add_signed(-ahead).max(1),
            };
            take(Claim {
                cidr: entry.cidr.into(),
                tag: tag.unwrap_or_default().to_owned(),
                until,
            });
        }
    }
    Ok(false)
}
