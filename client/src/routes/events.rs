//! `GET /v1/events`: changes of rules as they happen.

use std::time::Duration;

use couic_common::{EventGap, EventId, Policy, RuleChange};
use reqwest::{Method, Response, Url, header::ACCEPT};
use tokio::time::timeout;

use crate::{
    Client, ClientError,
    sse::{Events, Sent},
};

/// The longest silence of a stream, on which the daemon says something every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// Which changes to read. The default is all from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsQuery {
    /// Only those of this policy.
    pub policy: Option<Policy>,
    /// Only those of rules with these tags: alternatives separated by commas; `*` matches any characters.
    pub tag: Option<String>,
    /// Only those behind this one.
    pub after: Option<EventId>,
    /// Only what the daemon has kept until now, instead of waiting for more.
    pub kept_only: bool,
}

/// What a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A rule has changed.
    Change(RuleChange),
    /// Changes are missing here: the reader was too slow or too long away, or the daemon has been restarted. Only the
    /// lists of rules say what is in force.
    Gap(EventGap),
}

/// Changes as they happen. After an error, the next call connects again, and goes on behind the last event.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    query: EventsQuery,
    open: Option<Open>,
    is_over: bool,
}

/// A connection.
#[derive(Debug)]
struct Open {
    response: Response,
    events: Events,
}

impl EventsQuery {
    fn apply(&self, url: &mut Url) {
        let Self {
            policy,
            tag,
            after,
            kept_only,
        } = self;
        let pairs = [
            ("policy", policy.map(|policy| policy.to_string())),
            ("tag", tag.clone()),
            ("after", after.map(|id| id.to_string())),
            ("follow", kept_only.then(|| "false".to_owned())),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
    }
}

impl Client {
    /// `GET /v1/events`: changes of rules as they happen. None of those after this has returned is missing: whoever needs
    /// the rules as well reads them then.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 or 405 if the daemon is older than this route; with 503 if too many streams are
    /// open.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn run(client: couic_client::Client) -> Result<(), couic_client::ClientError> {
    /// use couic_client::{Event, EventsQuery};
    ///
    /// let mut events = client.events(EventsQuery::default()).await?;
    /// loop {
    ///     match events.next().await {
    ///         Ok(Some(Event::Change(change))) => println!("{:?} {}", change.action, change.cidr),
    ///         Ok(Some(Event::Gap(_))) => println!("read the lists again"),
    ///         Ok(None) => return Ok(()),
    ///         Err(error @ couic_client::ClientError::Refused { .. }) => return Err(error),
    ///         // The daemon restarts.
    ///         Err(_) => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn events(&self, query: EventsQuery) -> Result<EventStream, ClientError> {
        let mut stream = EventStream {
            client: self.clone(),
            query,
            open: None,
            is_over: false,
        };
        stream.connect().await?;
        Ok(stream)
    }
}

impl EventStream {
    /// The next event; None at the end of what was kept, if no more was asked for. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ClientError`], also if the daemon has ended the stream. The next call connects again.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        if self.is_over {
            return Ok(None);
        }
        let next = self.read().await;
        if next.is_err() {
            self.open = None;
        }
        if matches!(next, Ok(None)) {
            self.is_over = true;
        }
        next
    }

    /// The place of the stream: that of its last event, or of where it began.
    #[must_use]
    pub const fn last_id(&self) -> Option<EventId> {
        self.query.after
    }

    async fn connect(&mut self) -> Result<&mut Open, ClientError> {
        let mut url = self.client.url(&["events"]);
        self.query.apply(&mut url);
        let request = self.client.request(Method::GET, url);
        let request = request.header(ACCEPT, "text/event-stream");
        let limit = self.client.timeout;
        let response = timeout(limit, self.client.send(request)).await;
        let response = response.unwrap_or_else(|_| Err(self.timed_out(limit)))?;
        Ok(self.open.insert(Open {
            response,
            events: Events::default(),
        }))
    }

    async fn read(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if self.open.is_none() {
                self.connect().await?;
            }
            let Some(open) = &mut self.open else {
                continue;
            };
            let too_long = |_| ClientError::protocol(&self.client.endpoint, "an event is too long");
            let sent = open.events.next().map_err(too_long)?;
            if let Some(id) = &open.events.last_id {
                self.query.after = id.parse().ok().or(self.query.after);
            }
            if let Some(sent) = sent {
                if let Some(event) = parse(&self.client, &sent)? {
                    return Ok(Some(event));
                }
            } else if !self.receive().await? {
                return if self.query.kept_only {
                    Ok(None)
                } else {
                    Err(self.ended())
                };
            }
        }
    }

    /// False at the end of the stream.
    async fn receive(&mut self) -> Result<bool, ClientError> {
        let limit = self.client.timeout.max(SILENCE);
        let Some(open) = &mut self.open else {
            return Ok(false);
        };
        let Ok(chunk) = timeout(limit, open.response.chunk()).await else {
            return Err(self.timed_out(limit));
        };
        let Some(chunk) = chunk.map_err(|e| self.client.transport(&e))? else {
            return Ok(false);
        };
        let too_long = |_| ClientError::protocol(&self.client.endpoint, "a line is too long");
        open.events.push(&chunk).map_err(too_long)?;
        Ok(true)
    }

    fn timed_out(&self, waited: Duration) -> ClientError {
        ClientError::Timeout {
            endpoint: self.client.endpoint.clone(),
            waited,
        }
    }

    fn ended(&self) -> ClientError {
        ClientError::Unreachable {
            endpoint: self.client.endpoint.clone(),
            problem: "the daemon has ended the stream of events".to_owned(),
            advice: "it stops or restarts, or the token is not accepted any more".to_owned(),
        }
    }
}

/// None for types of events that this version does not know.
fn parse(client: &Client, sent: &Sent) -> Result<Option<Event>, ClientError> {
    let event = match sent.kind.as_str() {
        "" | "message" => serde_json::from_str(&sent.data).map(Event::Change),
        "gap" => serde_json::from_str(&sent.data).map(Event::Gap),
        _ => return Ok(None),
    };
    event.map(Some).map_err(|e| {
        let problem = format!("an event is not a change of a rule: {e}");
        ClientError::protocol(&client.endpoint, problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_what_is_set() {
        let url = |query: EventsQuery| {
            let mut url: Url = "http://host/v1/events".parse().unwrap();
            query.apply(&mut url);
            url.to_string()
        };
        assert_eq!(url(EventsQuery::default()), "http://host/v1/events");
        let query = EventsQuery {
            policy: Some(Policy::Ignore),
            tag: Some("a,b*".to_owned()),
            after: Some(EventId { boot: 1, seq: 2 }),
            kept_only: true,
        };
        let expected =
            "http://host/v1/events?policy=ignore&tag=a%2Cb*&after=0000000000000001-2&follow=false";
        assert_eq!(url(query), expected);
    }
}
