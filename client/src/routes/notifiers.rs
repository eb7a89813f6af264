//! `/v1/notifiers`: whom rule changes are reported to, and how that goes.

use std::time::Duration;

use couic_common::{DeadLetter, Discarded, NotifierInfo, NotifierName, NotifierTest, Replayed};
use reqwest::Method;

use crate::{Client, ClientError};

/// The daemon waits 90 s for the outcome of a test.
const TEST_PATIENCE: Duration = Duration::from_secs(100);

impl Client {
    /// `GET /v1/notifiers`: every notifier; none where reporting is off.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn notifiers(&self) -> Result<Vec<NotifierInfo>, ClientError> {
        self.get(&["notifiers"]).await
    }

    /// `GET /v1/notifiers/{name}`: one notifier.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 where there is none of this name.
    pub async fn notifier(&self, name: &NotifierName) -> Result<NotifierInfo, ClientError> {
        self.get(&["notifiers", name.as_str()]).await
    }

    /// `POST /v1/notifiers/{name}/test`: delivers a sample and tells how that ended; one that failed is an answer, not
    /// an error. Takes up to 90 s, whatever the client's own time limit.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 where there is none of this name.
    pub async fn test_notifier(&self, name: &NotifierName) -> Result<NotifierTest, ClientError> {
        let url = self.url(&["notifiers", name.as_str(), "test"]);
        let patience = self.timeout.max(TEST_PATIENCE);
        let request = self.request(Method::POST, url).timeout(patience);
        let response = self.send(request).await?;
        self.decode(response).await
    }

    /// `GET /v1/notifiers/{name}/dead`: at most `limit` (1 to 1,000) dead letters behind the one with key `after`, the
    /// oldest first.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 where there is no notifier of this name.
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

    /// `POST /v1/notifiers/{name}/replay`: puts one dead letter, or all, back behind what waits.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 where there is no such notifier or letter.
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

    /// `DELETE /v1/notifiers/{name}/dead`: forgets one dead letter, or all.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 where there is no such notifier or letter.
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

    /// `POST /v1/notifiers/{name}/resume`: lets a failed notifier try again, and one that waits between attempts try
    /// now. Answers how it is.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 where there is none of this name.
    pub async fn resume_notifier(&self, name: &NotifierName) -> Result<NotifierInfo, ClientError> {
        let url = self.url(&["notifiers", name.as_str(), "resume"]);
        self.json(self.request(Method::POST, url)).await
    }
}
