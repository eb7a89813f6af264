//! `/v1/log`: the audit log.

use couic_common::{AuditEntry, Cidr, LOG_READ_DOWN_TO_HEADER, Policy};
use reqwest::{Method, Url};

use crate::{Client, ClientError};

/// Which entries of the audit log to read. The default is the newest 100.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Maximum number of entries, 1 to 1,000.
    pub limit: Option<u64>,
    /// Not older, Unix seconds.
    pub since: Option<u64>,
    /// Not newer, Unix seconds.
    pub until: Option<u64>,
    /// Rules that cover this network, or lie in it.
    pub address: Option<Cidr>,
    /// Rules with these tags: alternatives separated by commas; `*` matches any characters.
    pub tag: Option<String>,
    /// The name of a client, peer or set, or the kind of an actor without a name; `*` matches any characters.
    pub actor: Option<String>,
    /// The action, such as `added`.
    pub action: Option<String>,
    /// The policy.
    pub policy: Option<Policy>,
}

/// Entries of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The newest first.
    pub entries: Vec<AuditEntry>,
    /// Set if the daemon stopped searching at its bound: the time down to which it read, Unix seconds. Older entries may
    /// match, too: a query with `until` of that time goes on.
    pub read_down_to: Option<u64>,
}

impl LogQuery {
    fn apply(&self, url: &mut Url) {
        let Self {
            limit,
            since,
            until,
            address,
            tag,
            actor,
            action,
            policy,
        } = self;
        let number = |value: &Option<u64>| value.map(|value| value.to_string());
        let pairs = [
            ("limit", number(limit)),
            ("since", number(since)),
            ("until", number(until)),
            ("address", address.map(|address| address.to_string())),
            ("tag", tag.clone()),
            ("actor", actor.clone()),
            ("action", action.clone()),
            ("policy", policy.map(|policy| policy.to_string())),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
    }
}

impl Client {
    /// `GET /v1/log`: entries of the audit log, the newest first.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if the daemon has no audit log, or is older than it; with 503 if too many
    /// searches are under way.
    pub async fn log(&self, query: &LogQuery) -> Result<LogPage, ClientError> {
        let mut url = self.url(&["log"]);
        query.apply(&mut url);
        let request = self.request(Method::GET, url).timeout(self.timeout);
        let response = self.send(request).await?;
        let read_down_to = response.headers().get(LOG_READ_DOWN_TO_HEADER);
        let read_down_to = read_down_to.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(LogPage {
            entries: self.decode(response).await?,
            read_down_to,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_what_is_set() {
        let url = |query: LogQuery| {
            let mut url: Url = "http://host/v1/log".parse().unwrap();
            query.apply(&mut url);
            url.to_string()
        };
        assert_eq!(url(LogQuery::default()), "http://host/v1/log");
        let query = LogQuery {
            limit: Some(7),
            address: "2001:db8::/32".parse().ok(),
            tag: Some("a,b*".to_owned()),
            policy: Some(Policy::Ignore),
            ..LogQuery::default()
        };
        let expected =
            "http://host/v1/log?limit=7&address=2001%3Adb8%3A%3A%2F32&tag=a%2Cb*&policy=ignore";
        assert_eq!(url(query), expected);
    }
}
