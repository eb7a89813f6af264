//! What the detector decides.

use std::{net::IpAddr, sync::Arc, time::Duration};

use ipnetwork::IpNetwork;

use crate::guard::Why;

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Ban.
    Ban(Ban),
    /// Say it, but do not ban: the jail is in shadow mode.
    Shadow(Ban),
    /// The source claims to be a crawler: look up its name, and give the answer to
    /// [`Detector::answer`](crate::Detector::answer). Meanwhile nothing else is decided about it, for half a minute at most.
    Ask(Ask),
    /// Say it, but do not ban: a bound of harm is reached.
    Held(Ban, Why),
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// An IPv4 address, an IPv6 prefix, or their /24 or /48.
    pub cidr: IpNetwork,
    /// The jail.
    pub jail: Arc<str>,
    /// The tag of the rule.
    pub tag: Arc<str>,
    /// How long, from now on, in whole seconds.
    pub length: Duration,
    /// The how many-th ban of the source it is, 1 for the first; a renewal has the level of the ban that it renews.
    pub level: u32,
    /// Hits that fill the bucket.
    pub count: u32,
    /// The rate of the jail, as in `10 per 100s`.
    pub rate: Arc<str>,
    /// The line of the last hit, escaped, at most 200 bytes.
    pub sample: String,
    /// Of a /24 or /48 its banned neighbours; else 0.
    pub neighbours: u32,
}

/// A question about a source that claims to be a crawler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The address to look up.
    pub addr: IpAddr,
    /// The name of the address must end with one of these, and the address must be one of the name's.
    pub names: Arc<[String]>,
    /// Whether all addresses of the crawler have such a name. If not, [`Answer::Fake`] is taken as [`Answer::Unknown`].
    pub strict: bool,
    /// The ban that waits.
    pub ban: Ban,
}

/// The answer to [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is the crawler: no ban, for a day.
    Real,
    /// It is not: the ban.
    Fake,
    /// Nobody knows (no answer in time): the jail's shortest ban, which is not remembered against the source.
    Unknown,
}
