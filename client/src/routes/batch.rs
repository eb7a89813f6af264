//! `POST /v1/{policy}/batch`: many changes in one call, each validated on its own.

use std::sync::Arc;

use couic_common::{BatchJob, BatchOutcome, Policy};
use futures_util::{Stream, StreamExt};
use reqwest::{Body, Method, header::CONTENT_TYPE};

use crate::{Client, ClientError, ndjson, progress::Progress};

/// Jobs per chunk, some 100 KiB.
const CHUNK: usize = 1024;

impl Client {
    /// `POST /v1/{policy}/batch` with a JSON array. Adding an existing entry is not an error here: it updates the tag
    /// and the expiration.
    ///
    /// # Errors
    /// [`ClientError`]. Failed jobs are not an error, but part of the outcome.
    pub async fn batch(
        &self,
        policy: Policy,
        jobs: &[BatchJob],
    ) -> Result<BatchOutcome, ClientError> {
        self.post(&[policy.as_str(), "batch"], jobs).await
    }

    /// `POST /v1/{policy}/batch` as NDJSON: any number of jobs, in bounded memory. The timeout runs while the daemon
    /// neither reads jobs nor responds, and is suspended while `jobs` has no item ready.
    ///
    /// # Errors
    /// [`ClientError`]. Failed jobs are not an error, but part of the outcome. If the connection breaks, the jobs sent
    /// before may have been applied.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn run(client: couic_client::Client) -> Result<(), couic_client::ClientError> {
    /// use couic_client::common::{BatchJob, BatchRule, PeerAction, Policy};
    /// use futures_util::stream;
    ///
    /// let jobs = stream::iter((0..=255).map(|n| BatchJob {
    ///     action: PeerAction::Add,
    ///     entry: BatchRule {
    ///         cidr: format!("198.51.100.{n}/32"),
    ///         expiration: 0,
    ///         tag: Some("abuse".into()),
    ///         metadata: None,
    ///         force: false,
    ///         guard: None,
    ///         ttl: None,
    ///         longer: false,
    ///     },
    /// }));
    /// let outcome = client.batch_stream(Policy::Drop, jobs).await?;
    /// println!("{} added, {} failed", outcome.added, outcome.failed);
    /// # Ok(()) }
    /// ```
    pub async fn batch_stream(
        &self,
        policy: Policy,
        jobs: impl Stream<Item = BatchJob> + Send + 'static,
    ) -> Result<BatchOutcome, ClientError> {
        let progress = Arc::new(Progress::default());
        let url = self.url(&[policy.as_str(), "batch"]);
        let request = self
            .request(Method::POST, url)
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(Body::wrap_stream(chunks(jobs, Arc::clone(&progress))));
        self.watched(request, &progress).await
    }
}

fn chunks(
    jobs: impl Stream<Item = BatchJob> + Send + 'static,
    progress: Arc<Progress>,
) -> impl Stream<Item = Result<bytes::Bytes, serde_json::Error>> + Send {
    let jobs = Box::pin(jobs.ready_chunks(CHUNK));
    futures_util::stream::unfold((jobs, progress), |(mut jobs, progress)| async move {
        let chunk = progress.waiting_for(jobs.next()).await;
        chunk.map(|chunk| (ndjson::encode(&chunk), (jobs, progress)))
    })
}
