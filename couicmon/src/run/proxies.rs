//! Whose word about the client is believed: networks of the configuration, and sets of the daemon's ignore policy.

use couic_detect::{Client, Event, Nets, Trusted};
use couic_inject::Ignored;

use crate::config::{ClientFrom, Proxies, SourceConfig};

/// The proxies of a source.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    trusted: Trusted,
    client_from: ClientFrom,
}

impl Judge {
    /// None as long as a set is not known. Without it, the proxy would be taken for the client: nobody can be judged.
    pub(crate) fn of(source: &SourceConfig, ignored: Option<&Ignored>) -> Option<Self> {
        let mut nets = Vec::new();
        let mut unix = false;
        for proxies in &source.proxies {
            match proxies {
                Proxies::Net(net) => nets.push(*net),
                Proxies::Unix => unix = true,
                Proxies::Feed(name) => nets.extend(ignored?.sets.get(name)?),
            }
        }
        let trusted = Trusted::new(nets.into_iter().collect::<Nets>());
        Some(Self {
            trusted: if unix { trusted.with_unix() } else { trusted },
            client_from: source.client_from,
        })
    }

    /// Whose line this is; None for formats without an address of their own.
    #[inline]
    pub(crate) fn client(&self, event: &Event<'_>) -> Option<Client> {
        let forwarded = match self.client_from {
            ClientFrom::Forwarded => event.forwarded.as_ref(),
            ClientFrom::Peer => b"",
        };
        Some(self.trusted.client(event.peer?, forwarded))
    }
}
