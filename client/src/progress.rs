//! Requests whose bodies take their time: the timeout runs while nothing moves.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;

use crate::{Client, ClientError};

/// Tells a slow daemon from a slow source of the body.
#[derive(Default)]
pub(crate) struct Progress {
    sent: AtomicU64,
    /// The source has nothing ready.
    starved: AtomicBool,
}

impl Progress {
    /// The next chunk of the source, which counts as sent.
    pub(crate) async fn waiting_for<T>(&self, next: impl Future<Output = T>) -> T {
        self.starved.store(true, Relaxed);
        let next = next.await;
        self.starved.store(false, Relaxed);
        self.sent.fetch_add(1, Relaxed);
        next
    }

    fn moved_since(&self, seen: u64) -> bool {
        self.starved.load(Relaxed) || self.sent.load(Relaxed) != seen
    }
}

impl Client {
    /// Sends a request, and parses the response as JSON. The timeout runs while the daemon neither reads the body nor
    /// responds.
    pub(crate) async fn watched<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        progress: &Progress,
    ) -> Result<T, ClientError> {
        let exchange = async {
            let response = self.send(request).await?;
            self.decode(response).await
        };
        tokio::pin!(exchange);
        loop {
            let seen = progress.sent.load(Relaxed);
            match tokio::time::timeout(self.timeout, &mut exchange).await {
                Ok(outcome) => return outcome,
                Err(_) if progress.moved_since(seen) => {}
                Err(_) => {
                    return Err(ClientError::Timeout {
                        endpoint: self.endpoint.clone(),
                        waited: self.timeout,
                    });
                }
            }
        }
    }
}
