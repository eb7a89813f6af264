//! `/v1/notifiers`: the receivers of reports of rule changes, and the state of delivery.

use std::time::Duration;

use couic_common::{DeadLetter, Discarded, NotifierInfo, NotifierName, NotifierTest, Replayed};
use reqwest::Method;

use crate::{Client, ClientError};

/// Timeout of a test: the daemon waits 90 s for its outcome.
const TEST_TIMEOUT: Duration = Duration::from_secs(100);

impl Client {
    /// `GET /v1/notifiers`: every notifier; none if reporting is disabled.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn notifiers(&self) -> Result<Vec<NotifierInfo>, ClientError> {
        self.get(&["notifiers"]).await
    }

    /// `GET /v1/notifiers/{name}`: one notifier.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no notifier of this name.
    pub async fn notifier(&self, name: &NotifierName) -> Result<NotifierInfo, ClientError> {
        self.get(&["notifiers", name.as_str()]).await
    }

    /// `POST /v1/notifiers/{name}/test`: delivers a sample and returns the outcome; a failed delivery is a result, not
    /// an error. Takes up to 90 s, whatever the client's timeout.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no notifier of this name.
    pub async fn test_notifier(&self, name: &NotifierName) -> Result<NotifierTest, ClientError> {
        let url = self.url(&["notifiers", name.as_str(), "test"]);
        let timeout = self.timeout.max(TEST_TIMEOUT);
        let request = self.request(Method::POST, url).timeout(timeout);
        let response = self.send(request).await?;
        self.decode(response).await
    }

    /// `GET /v1/notifiers/{name}/dead`: at most `limit` (1 to 1,000) dead letters after the one with key `after`,
    /// oldest first.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no notifier of this name.
    pub async fn dead_letters(
        &self,
        name: &NotifierName,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, ClientError> {
        let mut url = self.url(&["notifiers", name.as_str(), "dead"]);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("limit", &limit.to_string());
            if let Some(key) = after {
                query.append_pair("after", &key.to_string());
            }
        }
        self.json(self.request(Method::GET, url)).await
    }

    /// `POST /v1/notifiers/{name}/replay`: appends one dead letter, or all, to the queue again.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no such notifier or letter.
    pub async fn replay_dead_letters(
        &self,
        name: &NotifierName,
        key: Option<u64>,
    ) -> Result<Replayed, ClientError> {
        let mut url = self.url(&["notifiers", name.as_str(), "replay"]);
        if let Some(key) = key {
            url.query_pairs_mut().append_pair("key", &key.to_string());
        }
        self.json(self.request(Method::POST, url)).await
    }

    /// `DELETE /v1/notifiers/{name}/dead`: deletes one dead letter, or all.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no such notifier or letter.
    pub async fn discard_dead_letters(
        &self,
        name: &NotifierName,
        key: Option<u64>,
    ) -> Result<Discarded, ClientError> {
        let mut url = self.url(&["notifiers", name.as_str(), "dead"]);
        let which = key.map_or_else(|| "all".to_owned(), |key| key.to_string());
        url.query_pairs_mut().append_pair("key", &which);
        self.json(self.request(Method::DELETE, url)).await
    }

    /// `POST /v1/notifiers/{name}/resume`: resumes a failed notifier, and ends the backoff of a retrying one. Returns
    /// its state.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no notifier of this name.
    pub async fn resume_notifier(&self, name: &NotifierName) -> Result<NotifierInfo, ClientError> {
        let url = self.url(&["notifiers", name.as_str(), "resume"]);
        self.json(self.request(Method::POST, url)).await
    }
}
