//! `/v1/{policy}`: the entries of a policy.

use couic_common::{
    Cidr, Entry, EntryRequest, HELD_BY_HEADER, PeerJob, Policy, RemovedByTag, RuleOwner,
};
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
    /// Entries with their owners.
    pub owners: bool,
}

/// Which claims to release. The default is all of the client's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// For one entry: only the claim with this tag, `untagged` for the one without. For many: alternatives separated by
    /// commas, as in [`ListQuery`].
    pub tag: Option<String>,
    /// The claims of all clients and peers, not only the client's own. Needs a token of group `admin`.
    pub all_owners: bool,
    /// Why, for reports.
    pub reason: Option<String>,
}

impl Release {
    fn apply(&self, url: &mut Url) {
        let Self {
            tag,
            all_owners,
            reason,
        } = self;
        if let Some(tag) = tag {
            url.query_pairs_mut().append_pair("tag", tag);
        }
        if *all_owners {
            url.query_pairs_mut().append_pair("all_owners", "true");
        }
        if let Some(reason) = reason {
            url.query_pairs_mut().append_pair("reason", reason);
        }
    }
}

impl ListQuery {
    fn apply(&self, url: &mut Url) {
        let Self {
            tag,
            limit,
            after,
            owners,
        } = self;
        if *self == Self::default() {
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
        if *owners {
            pairs.append_pair("owners", "true");
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
    ///         longer: false,
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

    /// The same with its owners. A daemon that knows none leaves them out.
    ///
    /// # Errors
    /// As [`Client::entry`].
    pub async fn entry_with_owners(
        &self,
        policy: Policy,
        cidr: Cidr,
    ) -> Result<Entry, ClientError> {
        let mut url = self.entry_url(policy, cidr);
        url.query_pairs_mut().append_pair("owners", "true");
        self.json(self.request(Method::GET, url)).await
    }

    /// `DELETE /v1/{policy}/{ip}/{prefix}`: releases all own claims on an entry, which ends unless others hold it too.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no such entry, with 422 if a set defines it, or only others hold it.
    pub async fn delete(&self, policy: Policy, cidr: Cidr) -> Result<(), ClientError> {
        let released = self.release(policy, cidr, &Release::default()).await;
        released.map(drop)
    }

    /// The same for some claims. Returns who still holds the entry, which stays then; at most 16 are named.
    ///
    /// # Errors
    /// As [`Client::delete`]; also with 404 if the tag is given and there is no such claim.
    pub async fn release(
        &self,
        policy: Policy,
        cidr: Cidr,
        which: &Release,
    ) -> Result<Vec<RuleOwner>, ClientError> {
        let mut url = self.entry_url(policy, cidr);
        which.apply(&mut url);
        let request = self.request(Method::DELETE, url).timeout(self.timeout);
        let response = self.send(request).await?;
        let Some(held_by) = response.headers().get(HELD_BY_HEADER) else {
            return Ok(Vec::new());
        };
        serde_json::from_slice(held_by.as_bytes()).map_err(|e| {
            let problem = format!("its header {HELD_BY_HEADER} cannot be read: {e}");
            ClientError::protocol(&self.endpoint, problem)
        })
    }

    /// `DELETE /v1/{policy}?tag=T`: releases every own claim whose tag matches the pattern.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete_by_tag(
        &self,
        policy: Policy,
        pattern: &str,
    ) -> Result<RemovedByTag, ClientError> {
        let which = Release {
            tag: Some(pattern.to_owned()),
            ..Release::default()
        };
        self.release_by_tag(policy, &which).await
    }

    /// The same with a choice of owners.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn release_by_tag(
        &self,
        policy: Policy,
        which: &Release,
    ) -> Result<RemovedByTag, ClientError> {
        let mut url = self.url(&[policy.as_str()]);
        which.apply(&mut url);
        self.json(self.request(Method::DELETE, url)).await
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

    fn entry_url(&self, policy: Policy, cidr: Cidr) -> Url {
        let [ip, prefix] = path_of(cidr);
        self.url(&[policy.as_str(), &ip, &prefix])
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
