//! `/v1/panic`, `/v1/confirm` and `/v1/status`: the switches of the daemon, and what it knows of its machine.

use couic_common::{
    ConfirmId, Confirmations, Confirmed, DaemonStatus, PanicRequest, PanicStatus, RevertedChange,
};
use reqwest::Method;

use crate::{Client, ClientError};

impl Client {
    /// `GET /v1/panic`: whether every packet passes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn panic(&self) -> Result<PanicStatus, ClientError> {
        self.get(&["panic"]).await
    }

    /// `PUT /v1/panic`: lets every packet pass from now on, whatever the rules say, or has the rules hold again.
    ///
    /// # Errors
    /// [`ClientError`]; the group must be admin.
    pub async fn set_panic(&self, request: &PanicRequest) -> Result<PanicStatus, ClientError> {
        let url = self.url(&["panic"]);
        self.json(self.request(Method::PUT, url).json(request))
            .await
    }

    /// `GET /v1/confirm`: changes of this client that wait to be confirmed, and those that were undone; for admin
    /// everybody's.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn confirmations(&self) -> Result<Confirmations, ClientError> {
        self.get(&["confirm"]).await
    }

    /// `POST /v1/confirm`: every change of this client stays.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 where none waits.
    pub async fn confirm_all(&self) -> Result<Confirmed, ClientError> {
        self.json(self.request(Method::POST, self.url(&["confirm"])))
            .await
    }

    /// `POST /v1/confirm/{id}`: one change stays.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 where it does not wait, say because it was undone.
    pub async fn confirm(&self, id: ConfirmId) -> Result<Confirmed, ClientError> {
        let url = self.url(&["confirm", &id.to_string()]);
        self.json(self.request(Method::POST, url)).await
    }

    /// `DELETE /v1/confirm/{id}`: undoes one change at once.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 where it does not wait.
    pub async fn undo(&self, id: ConfirmId) -> Result<RevertedChange, ClientError> {
        let url = self.url(&["confirm", &id.to_string()]);
        self.json(self.request(Method::DELETE, url)).await
    }

    /// `GET /v1/status`: what the daemon knows of itself and its machine.
    ///
    /// # Errors
    /// [`ClientError`]; 404 where the daemon is older than this route.
    pub async fn status(&self) -> Result<DaemonStatus, ClientError> {
        self.get(&["status"]).await
    }
}
