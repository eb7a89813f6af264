//! `/v1/{policy}`: the entries of a policy.

use couic_common::{Cidr, Entry, EntryRequest, PeerJob, Policy, RemovedByTag};
use reqwest::{Method, Url};

use crate::{Client, ClientError};

/// A filter for lists of entries. The default matches all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Alternatives separated by commas; `*` matches any characters, `untagged` entries without a tag.
    pub tag: Option<String>,
    /// Maximum number of entries.
    pub limit: Option<u64>,
    /// Only entries after this CIDR in the order of lists: IPv4 first, then by address, then by prefix length.
    pub after: Option<Cidr>,
}

impl ListQuery {
    fn apply(&self, url: &mut Url) {
        let Self { tag, limit, after } = self;
        if tag.is_none() && limit.is_none() && after.is_none() {
            return;
        }
        let mut pairs = url.query_pairs_mut();
        if let Some(tag) = tag {
            pairs.append_pair("tag", tag);
        }
        if let Some(limit) = limit {
            pairs.append_pair("limit", &limit.to_string());
        }
        if let Some(after) = after {
            pairs.append_pair("after", &after.to_string());
        }
    }
}

impl Client {
    /// `GET /v1/{policy}`: the entries, in order. [`Client::stream_entries`] needs less memory for long lists.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn entries(
        &self,
        policy: Policy,
        query: &ListQuery,
    ) -> Result<Vec<Entry>, ClientError> {
        self.json(self.request(Method::GET, self.list_url(policy, query)))
            .await
    }

    /// `POST /v1/{policy}`: adds an entry, and returns it as stored.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 409 if there is an entry with this CIDR already, with 422 if a value is invalid or
    /// a guard rail rejects it.
    ///
    /// # Examples
    /// Bans an address for an hour.
    /// ```no_run
    /// # async fn run(client: couic_client::Client) -> Result<(), couic_client::ClientError> {
    /// use couic_client::common::{EntryRequest, Policy, unix_seconds};
    ///
    /// let entry = client
    ///     .add(Policy::Drop, &EntryRequest {
    ///         cidr: "192.0.2.7/32".into(),
    ///         // For daemons before 2.0, which do not know `ttl`.
    ///         expiration: unix_seconds() + 3_600,
    ///         ttl: Some(3_600),
    ///         tag: Some("ssh-scan".into()),
    ///         metadata: None,
    ///         force: false,
    ///         guard: None,
    ///     })
    ///     .await?;
    /// println!("{} is dropped", entry.cidr);
    /// # Ok(()) }
    /// ```
    pub async fn add(&self, policy: Policy, entry: &EntryRequest) -> Result<Entry, ClientError> {
        self.post(&[policy.as_str()], entry).await
    }

    /// `GET /v1/{policy}/{ip}/{prefix}`: one entry.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no such entry.
    pub async fn entry(&self, policy: Policy, cidr: Cidr) -> Result<Entry, ClientError> {
        let [ip, prefix] = path_of(cidr);
        self.get(&[policy.as_str(), &ip, &prefix]).await
    }

    /// `DELETE /v1/{policy}/{ip}/{prefix}`: deletes an entry.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no such entry, with 422 if a set defines it.
    pub async fn delete(&self, policy: Policy, cidr: Cidr) -> Result<(), ClientError> {
        let [ip, prefix] = path_of(cidr);
        self.remove(&[policy.as_str(), &ip, &prefix]).await
    }

    /// `DELETE /v1/{policy}?tag=T`: deletes every entry whose tag matches the pattern. Entries of sets stay.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete_by_tag(
        &self,
        policy: Policy,
        pattern: &str,
    ) -> Result<RemovedByTag, ClientError> {
        let query = ListQuery {
            tag: Some(pattern.to_owned()),
            ..ListQuery::default()
        };
        self.json(self.request(Method::DELETE, self.list_url(policy, &query)))
            .await
    }

    /// `POST /v1/{policy}/peer`: changes from a peer. Needs a token of group `peering` or `admin`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 422 if any job is invalid; then none was applied.
    pub async fn peer(
        &self,
        policy: Policy,
        jobs: &[PeerJob],
    ) -> Result<Vec<PeerJob>, ClientError> {
        self.post(&[policy.as_str(), "peer"], jobs).await
    }

    pub(super) fn list_url(&self, policy: Policy, query: &ListQuery) -> Url {
        let mut url = self.url(&[policy.as_str()]);
        query.apply(&mut url);
        url
    }
}

fn path_of(cidr: Cidr) -> [String; 2] {
    [cidr.addr().to_string(), cidr.prefix().to_string()]
}
