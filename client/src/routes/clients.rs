//! `/v1/client`: API clients and their tokens.

use couic_common::{ClientInfo, ClientLimits, ClientName, ClientRequest, Group, RotateRequest};

use crate::{Client, ClientError};

impl Client {
    /// `GET /v1/client`: every client. Of tokens, the daemon knows that of `couicctl` at most.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn clients(&self) -> Result<Vec<ClientInfo>, ClientError> {
        self.get(&["client"]).await
    }

    /// `POST /v1/client`: creates a client and its token, which only this answer has.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 422 if the name is taken.
    pub async fn create_client(
        &self,
        name: &ClientName,
        group: Group,
    ) -> Result<ClientInfo, ClientError> {
        self.create_limited_client(name, group, None).await
    }

    /// `POST /v1/client`: the same for a client that may not change all that its group may. A daemon without limits
    /// ignores them: see that the answer has them.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 422 if the name is taken, or the limits cannot be.
    pub async fn create_limited_client(
        &self,
        name: &ClientName,
        group: Group,
        limits: Option<&ClientLimits>,
    ) -> Result<ClientInfo, ClientError> {
        let request = ClientRequest {
            name: name.to_string(),
            group: group.to_string(),
            limits: limits.cloned(),
        };
        self.post(&["client"], &request).await
    }

    /// `GET /v1/client/{name}`: one client.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no client of this name.
    pub async fn client(&self, name: &ClientName) -> Result<ClientInfo, ClientError> {
        self.get(&["client", name.as_str()]).await
    }

    /// `POST /v1/client/{name}/rotate`: a new token, which only this answer has. The old one is accepted for `grace` seconds more.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no client of this name.
    pub async fn rotate_client(
        &self,
        name: &ClientName,
        grace: u64,
    ) -> Result<ClientInfo, ClientError> {
        let path = ["client", name.as_str(), "rotate"];
        self.post(&path, &RotateRequest { grace }).await
    }

    /// `DELETE /v1/client/{name}`: deletes a client and revokes its token at once.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no client of this name, with 422 for `couicctl` itself.
    pub async fn delete_client(&self, name: &ClientName) -> Result<(), ClientError> {
        self.remove(&["client", name.as_str()]).await
    }
}
