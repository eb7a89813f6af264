//! `/v1/sets`: the set files. Changes take effect at the next reload, or at once with `apply`.

use std::sync::Arc;

use bytes::Bytes;
use couic_common::{
    Policy, ReloadStatus, SetBody, SetDeleted, SetName, SetSummary, SetUpdate, SetWritten,
};
use futures_util::stream;
use reqwest::{Body, Method, header::CONTENT_TYPE};

use crate::{Client, ClientError, progress::Progress, transport::append};

/// How much of a list is sent at a time: the daemon reads it in such pieces.
const PIECE: usize = 64 << 10;

impl Client {
    /// `GET /v1/sets/{policy}`: the sets of a policy.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sets(&self, policy: Policy) -> Result<Vec<SetSummary>, ClientError> {
        self.get(&["sets", policy.as_str()]).await
    }

    /// `POST /v1/sets/{policy}`: writes a new set file, which takes effect at the next reload.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 409 if there is a set of this name, with 422 if a value is invalid or a guard rail
    /// rejects it.
    pub async fn create_set(&self, policy: Policy, set: &SetBody) -> Result<(), ClientError> {
        let request = self
            .request(Method::POST, self.url(&["sets", policy.as_str()]))
            .json(set)
            .timeout(self.timeout);
        self.send(request).await.map(drop)
    }

    /// `GET /v1/sets/{policy}/{name}`: a set with its entries, from the file.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no set of this name.
    pub async fn set(&self, policy: Policy, name: &SetName) -> Result<SetBody, ClientError> {
        self.get(&["sets", policy.as_str(), name.as_str()]).await
    }

    /// `PUT /v1/sets/{policy}/{name}`: replaces the entries of a set file, which takes effect at the next reload.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no set of this name, with 422 if a value is invalid or a guard
    /// rail rejects it.
    pub async fn replace_set(
        &self,
        policy: Policy,
        name: &SetName,
        set: &SetUpdate,
    ) -> Result<(), ClientError> {
        let url = self.url(&["sets", policy.as_str(), name.as_str()]);
        let request = self
            .request(Method::PUT, url)
            .json(set)
            .timeout(self.timeout);
        self.send(request).await.map(drop)
    }

    /// `PUT /v1/sets/{policy}/{name}` with a list: one CIDR, address or range a line, `#` and `;` begin comments. Creates or
    /// replaces the set, of any size up to 256 MiB. With `apply` its rules change together with its file, all or nothing,
    /// and no other set is looked at; entries that a guard rail refuses are left out of force, and named.
    ///
    /// The timeout runs while the daemon neither reads the list nor responds.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 422 that names a line that is invalid, for a list that is empty but does not hold the
    /// line `# empty on purpose`, or if the rules have no room; with 403 if the limits of the client do not allow it.
    /// Nothing has changed then.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn run(client: couic_client::Client) -> Result<(), couic_client::ClientError> {
    /// use couic_client::common::Policy;
    ///
    /// let name = "feed-example".parse().expect("a set's name");
    /// let written = client.put_set_list(Policy::Drop, &name, "192.0.2.0/24\n2001:db8::/32\n", true).await?;
    /// println!("{} entries, {} new", written.entry_count, written.added);
    /// # Ok(()) }
    /// ```
    pub async fn put_set_list(
        &self,
        policy: Policy,
        name: &SetName,
        list: impl Into<Bytes>,
        apply: bool,
    ) -> Result<SetWritten, ClientError> {
        self.put_list(policy, name, list.into(), apply, None).await
    }

    /// The same for a set that is there already (`exists`), or is not.
    ///
    /// # Errors
    /// The same; [`ClientError::Refused`] with 404 or 409 if it is otherwise.
    pub async fn put_set_list_if(
        &self,
        policy: Policy,
        name: &SetName,
        list: impl Into<Bytes>,
        apply: bool,
        exists: bool,
    ) -> Result<SetWritten, ClientError> {
        self.put_list(policy, name, list.into(), apply, Some(exists))
            .await
    }

    async fn put_list(
        &self,
        policy: Policy,
        name: &SetName,
        list: Bytes,
        apply: bool,
        exists: Option<bool>,
    ) -> Result<SetWritten, ClientError> {
        let mut url = self.url(&["sets", policy.as_str(), name.as_str()]);
        if apply {
            url.query_pairs_mut().append_pair("apply", "true");
        }
        if let Some(exists) = exists {
            let exists = if exists { "true" } else { "false" };
            url.query_pairs_mut().append_pair("exists", exists);
        }
        if let Some((guard, force)) = &self.guard {
            append(&mut url, guard, *force);
        }
        let progress = Arc::new(Progress::default());
        let request = self
            .request(Method::PUT, url)
            .header(CONTENT_TYPE, "text/plain")
            .body(Body::wrap_stream(pieces(list, Arc::clone(&progress))));
        self.watched(request, &progress).await
    }

    /// `DELETE /v1/sets/{policy}/{name}`: deletes a set file. With `apply` its rules go with it, all or nothing; otherwise
    /// they go at the next reload.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no set of this name; with 422, if applied, if a guard rail refuses
    /// that.
    pub async fn delete_set(
        &self,
        policy: Policy,
        name: &SetName,
        apply: bool,
    ) -> Result<SetDeleted, ClientError> {
        let mut url = self.url(&["sets", policy.as_str(), name.as_str()]);
        if apply {
            url.query_pairs_mut().append_pair("apply", "true");
        }
        self.json(self.request(Method::DELETE, url)).await
    }

    /// `POST /v1/sets/reload`: applies the set files to the rules. All or nothing.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 422, naming file and line, if a file has an invalid line; then nothing changed.
    pub async fn reload_sets(&self) -> Result<ReloadStatus, ClientError> {
        let url = self.url(&["sets", "reload"]);
        self.json(self.request(Method::POST, url)).await
    }
}

fn pieces(
    list: Bytes,
    progress: Arc<Progress>,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send {
    stream::unfold((list, progress), |(mut list, progress)| async move {
        let size = PIECE.min(list.len());
        let piece = progress.waiting_for(async { list.split_to(size) }).await;
        (!piece.is_empty()).then_some((Ok(piece), (list, progress)))
    })
}
