//! Counters, lookup, health, and the OpenAPI document.

use std::net::IpAddr;

use couic_common::{Health, Lookup, Metrics, Policy, Stats, TagStats};
use reqwest::{Method, StatusCode, header::ACCEPT};

use crate::{Client, ClientError};

impl Client {
    /// `GET /v1/stats`: rules, and packets and bytes since the XDP program was loaded.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stats(&self) -> Result<Stats, ClientError> {
        self.get(&["stats"]).await
    }

    /// `GET /v1/stats/tags/{policy}`: packets and bytes by tag.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tag_stats(&self, policy: Policy) -> Result<TagStats, ClientError> {
        self.get(&["stats", "tags", policy.as_str()]).await
    }

    /// `GET /v1/metrics`: all counters.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics(&self) -> Result<Metrics, ClientError> {
        self.get(&["metrics"]).await
    }

    /// `GET /v1/metrics?format=prometheus`: all counters as OpenMetrics text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics_text(&self) -> Result<String, ClientError> {
        let mut url = self.url(&["metrics"]);
        url.query_pairs_mut().append_pair("format", "prometheus");
        self.text(self.request(Method::GET, url)).await
    }

    /// The same in the Prometheus text format 0.0.4, as node_exporter's textfile collector reads it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics_text_0_0_4(&self) -> Result<String, ClientError> {
        let mut url = self.url(&["metrics"]);
        url.query_pairs_mut().append_pair("format", "prometheus");
        let request = self.request(Method::GET, url);
        self.text(request.header(ACCEPT, "text/plain; version=0.0.4"))
            .await
    }

    /// `GET /v1/lookup/{ip}`: the verdict for packets from this address, and the rules behind it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lookup(&self, ip: IpAddr) -> Result<Lookup, ClientError> {
        self.get(&["lookup", &ip.to_string()]).await
    }

    /// `GET /v1/health`: whether traffic is filtered. Requires no token, and none is sent. A daemon that reports itself
    /// down (503) is a result, not an error.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn health(&self) -> Result<Health, ClientError> {
        let request = self
            .http
            .request(Method::GET, self.url(&["health"]))
            .timeout(self.timeout);
        let response = request.send().await.map_err(|e| self.transport(&e))?;
        self.notices.read(response.headers());
        let status = response.status();
        if status.is_success() {
            return self.decode(response).await;
        }
        let body = self.body(response, 1 << 20).await?;
        match serde_json::from_slice(&body) {
            Ok(health) if status == StatusCode::SERVICE_UNAVAILABLE => Ok(health),
            _ => Err(self.refused(status, &body)),
        }
    }

    /// `GET /v1/openapi.json`: the OpenAPI 3.1 document.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn openapi(&self) -> Result<serde_json::Value, ClientError> {
        self.get(&["openapi.json"]).await
    }
}
