//! `/v1/peers`: the nodes that share rules with this one; and what such nodes say to each other.

use couic_common::{ClientName, PeerForgotten, PeerInfo, PeerJob, Policy};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Client, ClientError};

/// The largest answer that is taken from a peer: ten times what one sends.
const MAX_ANSWER: usize = 32 << 20;

impl Client {
    /// `GET /v1/peers`: every peer; none where rules are not shared.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, ClientError> {
        self.get(&["peers"]).await
    }

    /// `DELETE /v1/peers/{name}`: removes every rule that came from a peer, here and on all nodes.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 where nobody has that name.
    pub async fn forget_peer(&self, name: &ClientName) -> Result<PeerForgotten, ClientError> {
        self.json(self.request(Method::DELETE, self.url(&["peers", name.as_str()])))
            .await
    }

    /// `POST /v1/{policy}/peer`: what every Couic understands. All jobs are done, or some of them and an error.
    ///
    /// # Errors
    /// [`ClientError::Refused`] where a job is not accepted.
    pub async fn tell_peer(&self, policy: Policy, jobs: &[PeerJob]) -> Result<(), ClientError> {
        let url = self.url(&[policy.as_str(), "peer"]);
        let request = self.request(Method::POST, url).json(jobs);
        let response = self.send(request.timeout(self.timeout)).await?;
        // The answer repeats the jobs. It is read so that the connection can be used again.
        self.body(response, MAX_ANSWER).await.map(drop)
    }

    /// `POST /v1/{policy}/{what}`: one exchange between nodes, `what` being `digest`, `pull` or `push`. The bodies are
    /// those of the crate `couic-peering`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 or 405 where the node does not know the route.
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
                format!("its JSON is not an exchange's: {e}"),
            )
        })
    }
}
