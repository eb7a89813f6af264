//! Where the lists of feeds go: to sets of the daemon, file and rules at once, with the injector's token and its copy of the
//! ignore list.

use std::{
    fmt::{self, Display},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use couic_client::ClientError;
use couic_common::{Networks, Policy, SetName, list_networks};
use couic_feeds::{Put, SetSink, SinkError};
use couic_inject::{Injector, in_a_line};

/// The daemon. It does not keep the injector: its end is the service's.
pub(super) struct Sink(pub(super) Weak<Injector>);

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

impl Sink {
    fn injector(&self) -> Result<Arc<Injector>, SinkError> {
        self.0.upgrade().ok_or_else(|| told("the service ends"))
    }
}

#[async_trait::async_trait]
impl SetSink for Sink {
    async fn put(&self, policy: Policy, set: &SetName, list: Bytes) -> Result<Put, SinkError> {
        let put = |client: couic_client::Client| {
            let list = list.clone();
            async move { client.put_set_list(policy, set, list, true).await }
        };
        let written = self
            .injector()?
            .ask(put)
            .await
            .map_err(|error| failed(&error))?;
        Ok(Put {
            refused: written.refused_count,
        })
    }

    async fn remove(&self, policy: Policy, set: &SetName) -> Result<(), SinkError> {
        let remove = |client: couic_client::Client| async move {
            client.delete_set(policy, set, true).await
        };
        match self.injector()?.ask(remove).await {
            Ok(_) => Ok(()),
            Err(error) if error.status() == Some(404) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn has(&self, policy: Policy, set: &SetName) -> Result<bool, SinkError> {
        let list = |client: couic_client::Client| async move { client.sets(policy).await };
        let sets = self
            .injector()?
            .ask(list)
            .await
            .map_err(|error| failed(&error))?;
        Ok(sets.iter().any(|one| one.name == *set))
    }

    async fn read(&self, policy: Policy, set: &SetName) -> Result<Option<Networks>, SinkError> {
        let read = |client: couic_client::Client| async move { client.set(policy, set).await };
        let body = match self.injector()?.ask(read).await {
            Ok(body) => body,
            Err(error) if error.status() == Some(404) => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let mut networks = Networks::default();
        for entry in &body.entries {
            list_networks(entry.as_bytes(), |cidr| networks.push(cidr)).map_err(told)?;
        }
        Ok(Some(networks))
    }

    async fn ignored(&self) -> Result<Networks, SinkError> {
        let ignored = self.injector()?.ignored();
        let ignored = ignored.ok_or_else(|| told("the daemon's ignore list is not known yet"))?;
        Ok(ignored.nets.iter().map(|net| (*net).into()).collect())
    }
}

fn failed(error: &ClientError) -> SinkError {
    told(couic_common::error_chain(error))
}

fn told(text: impl Display) -> SinkError {
    SinkError {
        text: in_a_line(&text.to_string()),
    }
}
