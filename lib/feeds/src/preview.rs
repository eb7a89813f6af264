//! What a feed would bring, without the daemon: before it is configured, or while its list is held back.

use couic_common::{Cidr, Extent, Policy};
use serde::Serialize;

use crate::{
    config::{Feed, FeedConfig, FeedMistake},
    examine::{baseline, examine},
    fetch::Fetched,
    judge::{Change, Verdict},
    obtain::obtain,
    settings::{Settings, blocking},
    sieve::{Dropped, Needed},
    store::{Store, Which},
};

/// Networks that are shown.
const SHOWN: usize = 10;

/// What a feed would bring.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preview {
    /// Its name.
    pub name: String,
    /// Where the list comes from, without secrets.
    pub source: String,
    /// The policy of its set.
    pub policy: Policy,
    /// Entries of the list.
    pub entries: u64,
    /// Networks that would be in force, merged.
    pub networks: u64,
    /// IPv4 addresses that these cover.
    pub v4_addresses: u64,
    /// Networks of /64 that these cover.
    pub v6_subnets: u64,
    /// Entries that would not be taken. The daemon's ignore list is not asked.
    pub dropped: Dropped,
    /// The first entry that cannot be read, and why.
    pub first_unreadable: Option<String>,
    /// Why the list would be held back.
    pub held: Option<String>,
    /// Why the list would be refused.
    pub refused: Option<String>,
    /// From the last good list, if there is one.
    pub change: Option<Change>,
    /// The first and the widest networks.
    pub sample: Vec<Cidr>,
}

/// There is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The feed is wrong.
    #[error("{}", .0.iter().map(|m| format!("{}: {}", m.key, m.message)).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<FeedMistake>),
    /// There is no list, or it is none.
    #[error("{from}: {problem}")]
    NoList {
        /// The source.
        from: String,
        /// Why.
        problem: String,
    },
}

/// Fetches and judges a list, and keeps nothing.
///
/// # Errors
/// [`PreviewError`].
pub async fn preview(config: &FeedConfig, settings: &Settings) -> Result<Preview, PreviewError> {
    let feed = config.check().map_err(PreviewError::Mistakes)?;
    let from = feed.source.to_string();
    let no_list = |problem: String| PreviewError::NoList {
        from: from.clone(),
        problem,
    };
    let fetched = obtain(&feed, settings, None).await;
    let Fetched::List(body, _) = fetched.map_err(|e| no_list(e.to_string()))? else {
        return Err(no_list("it responded with 304".to_owned()));
    };
    let settings = settings.clone();
    let looked = blocking(move || Ok(look(&feed, body, &settings))).await;
    looked.map_err(|e| no_list(e.to_string()))?.map_err(no_list)
}

fn look(feed: &Feed, body: Vec<u8>, settings: &Settings) -> Result<Preview, String> {
    let last = || {
        let store = Store::beside(&settings.state_dir);
        // The state may be another user's.
        let last = store.load(&feed.name, Which::Good).ok().flatten()?;
        baseline(feed, last)
    };
    let examined = examine(feed, body, last).map_err(|e| e.to_string())?;
    let (mut networks, mut dropped) = (examined.networks, examined.dropped);
    let needed = Needed {
        own: settings.own_networks(),
        ..Needed::default()
    };
    needed.spare(&mut networks, feed.policy, &mut dropped);
    networks.merge(feed.widest_v4, feed.widest_v6);
    let Extent {
        networks: count,
        v4,
        v6,
    } = networks.extent();
    let mut sample: Vec<Cidr> = networks.iter().take(SHOWN).collect();
    let widest = networks
        .iter()
        .filter(|cidr| cidr.is_ipv4())
        .min_by_key(|cidr| cidr.prefix());
    sample.extend(widest.filter(|cidr| !sample.contains(cidr)));
    let (held, refused) = match examined.verdict {
        Verdict::Good => (None, None),
        Verdict::Held(why) => (Some(why), None),
        Verdict::Refused(why) => (None, Some(why)),
    };
    Ok(Preview {
        name: feed.name.clone(),
        source: feed.source.to_string(),
        policy: feed.policy,
        entries: examined.entries,
        networks: count,
        v4_addresses: v4,
        v6_subnets: u64::try_from(v6 >> 64).unwrap_or(u64::MAX),
        dropped,
        first_unreadable: examined.first_unreadable,
        held,
        refused,
        change: examined.change,
        sample,
    })
}
