//! `/v1/peers`: the nodes that share rules with this one; and the routes between such nodes.

use couic_common::{ClientName, PeerForgotten, PeerInfo, PeerJob, Policy};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Client, ClientError};

/// Maximum size of a peer's response: ten times that of a well-behaved one.
const MAX_ANSWER: usize = 32 << 20;

impl Client {
    /// `GET /v1/peers`: every peer; none if rules are not shared.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, ClientError> {
        self.get(&["peers"]).await
    }

    /// `DELETE /v1/peers/{name}`: removes all that came from a peer, on that node.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no peer of this name.
    pub async fn forget_peer(&self, name: &ClientName) -> Result<PeerForgotten, ClientError> {
        self.json(self.request(Method::DELETE, self.url(&["peers", name.as_str()])))
            .await
    }

    /// `POST /v1/{policy}/peer`: sends jobs, which every version of Couic accepts. On error, some jobs may have been
    /// applied.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if a job is not accepted.
    pub async fn tell_peer(&self, policy: Policy, jobs: &[PeerJob]) -> Result<(), ClientError> {
        let url = self.url(&[policy.as_str(), "peer"]);
        let request = self.request(Method::POST, url).json(jobs);
        let response = self.send(request.timeout(self.timeout)).await?;
        // The response repeats the jobs. It is drained so that the connection can be reused.
        self.body(response, MAX_ANSWER).await.map(drop)
    }

    /// `POST /v1/{policy}/{what}`: one exchange between nodes, `what` being `digest`, `pull` or `push`. The bodies are
    /// those of the crate `couic-peering`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 or 405 if the node does not support the route.
    pub async fn exchange<A: DeserializeOwned>(
        &self,
        policy: Policy,
        what: &str,
        body: &impl Serialize,
    ) -> Result<A, ClientError> {
        let url = self.url(&[policy.as_str(), what]);
        let request = self.request(Method::POST, url).json(body);
        let response = self.send(request.timeout(self.timeout)).await?;
        let body = self.body(response, MAX_ANSWER).await?;
        serde_json::from_slice(&body).map_err(|e| {
            ClientError::protocol(
                &self.endpoint,
                format!("its JSON is not that of an exchange between nodes: {e}"),
            )
        })
    }
}
