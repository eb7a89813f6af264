//! `GET /v1/{policy}` as a stream: entries arrive while the daemon is still reading.

use std::{pin::Pin, time::Duration};

use couic_common::{Entry, Policy};
use futures_util::{Stream, stream};
use reqwest::{
    Method, Response,
    header::{ACCEPT, CONTENT_TYPE},
};

use super::ListQuery;
use crate::{Client, ClientError, ndjson::Lines};

/// Entries as they arrive. The stream ends after an error.
pub type EntryStream = Pin<Box<dyn Stream<Item = Result<Entry, ClientError>> + Send>>;

impl Client {
    /// `GET /v1/{policy}` as NDJSON: entries one by one, in bounded memory. A plain JSON list of a daemon without
    /// NDJSON is read as a whole.
    ///
    /// # Errors
    /// [`ClientError`], here or as the last item of the stream.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn run(client: couic_client::Client) -> Result<(), couic_client::ClientError> {
    /// use couic_client::{ListQuery, common::Policy};
    /// use futures_util::TryStreamExt;
    ///
    /// let mut entries = client.stream_entries(Policy::Drop, &ListQuery::default()).await?;
    /// while let Some(entry) = entries.try_next().await? {
    ///     println!("{}", entry.cidr);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn stream_entries(
        &self,
        policy: Policy,
        query: &ListQuery,
    ) -> Result<EntryStream, ClientError> {
        let request = self
            .request(Method::GET, self.list_url(policy, query))
            .header(ACCEPT, "application/x-ndjson, application/json;q=0.5");
        let response = within(self, self.timeout, self.send(request)).await?;
        if is_ndjson(&response) {
            return Ok(Box::pin(lines(Reader::new(self.clone(), response))));
        }
        let whole: Vec<Entry> =
            within(self, self.timeout, async { self.decode(response).await }).await?;
        Ok(Box::pin(stream::iter(whole.into_iter().map(Ok))))
    }
}

fn is_ndjson(response: &Response) -> bool {
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    kind.is_some_and(|k| k.starts_with("application/x-ndjson"))
}

struct Reader {
    client: Client,
    response: Response,
    lines: Lines,
    ended: bool,
}

impl Reader {
    fn new(client: Client, response: Response) -> Self {
        Self {
            client,
            response,
            lines: Lines::default(),
            ended: false,
        }
    }

    async fn next(&mut self) -> Result<Option<Entry>, ClientError> {
        loop {
            if let Some(line) = self.lines.next() {
                return parse(&self.client, line).map(Some);
            }
            if self.ended {
                let Self { client, lines, .. } = self;
                return lines.rest().map(|line| parse(client, line)).transpose();
            }
            let (client, response) = (&self.client, &mut self.response);
            let chunk = within(client, client.timeout, async {
                response.chunk().await.map_err(|e| client.transport(&e))
            })
            .await?;
            match chunk {
                Some(chunk) => self.lines.push(&chunk).map_err(|_| {
                    ClientError::protocol(&self.client.endpoint, "a line of the list is too long")
                })?,
                None => self.ended = true,
            }
        }
    }
}

fn lines(reader: Reader) -> impl Stream<Item = Result<Entry, ClientError>> + Send {
    stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        match reader.next().await {
            Ok(None) => None,
            Ok(Some(entry)) => Some((Ok(entry), Some(reader))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

fn parse(client: &Client, line: &[u8]) -> Result<Entry, ClientError> {
    serde_json::from_slice(line).map_err(|e| {
        ClientError::protocol(
            &client.endpoint,
            format!("a line of the list is not an entry: {e}"),
        )
    })
}

async fn within<T>(
    client: &Client,
    limit: Duration,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(ClientError::Timeout {
            endpoint: client.endpoint.clone(),
            waited: limit,
        })
    })
}
