//! `/v1/panic`, `/v1/confirm` and `/v1/status`: the panic switch, changes to confirm, and the state of the host.

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

    /// `PUT /v1/panic`: lets every packet pass, regardless of the rules, or puts the rules back in force.
    ///
    /// # Errors
    /// [`ClientError`]. Requires group admin.
    pub async fn set_panic(&self, request: &PanicRequest) -> Result<PanicStatus, ClientError> {
        let url = self.url(&["panic"]);
        self.json(self.request(Method::PUT, url).json(request))
            .await
    }

    /// `GET /v1/confirm`: changes of this client that await confirmation, and those that were undone; for group admin,
    /// those of all clients.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn confirmations(&self) -> Result<Confirmations, ClientError> {
        self.get(&["confirm"]).await
    }

    /// `POST /v1/confirm`: confirms every change of this client.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if none is pending.
    pub async fn confirm_all(&self) -> Result<Confirmed, ClientError> {
        self.json(self.request(Method::POST, self.url(&["confirm"])))
            .await
    }

    /// `POST /v1/confirm/{id}`: confirms one change.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if it is not pending, for example because it was undone.
    pub async fn confirm(&self, id: ConfirmId) -> Result<Confirmed, ClientError> {
        let url = self.url(&["confirm", &id.to_string()]);
        self.json(self.request(Method::POST, url)).await
    }

    /// `DELETE /v1/confirm/{id}`: undoes one change at once.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if it is not pending.
    pub async fn undo(&self, id: ConfirmId) -> Result<RevertedChange, ClientError> {
        let url = self.url(&["confirm", &id.to_string()]);
        self.json(self.request(Method::DELETE, url)).await
    }

    /// `GET /v1/status`: the state of the daemon and its host.
    ///
    /// # Errors
    /// [`ClientError`]; 404 if the daemon predates this route.
    pub async fn status(&self) -> Result<DaemonStatus, ClientError> {
        self.get(&["status"]).await
    }
}
