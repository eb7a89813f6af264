//! `/v1/sets`: the set files. Changes take effect at the next reload.

use couic_common::{Policy, ReloadStatus, SetBody, SetDeleted, SetName, SetSummary, SetUpdate};
use reqwest::Method;

use crate::{Client, ClientError};

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

    /// `DELETE /v1/sets/{policy}/{name}`: deletes a set file, which takes effect at the next reload.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no set of this name.
    pub async fn delete_set(
        &self,
        policy: Policy,
        name: &SetName,
    ) -> Result<SetDeleted, ClientError> {
        let url = self.url(&["sets", policy.as_str(), name.as_str()]);
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
