//! What the log tells once when it begins, and once when it is over: clocks that are apart, a proxy that is taken for a
//! client, logs that cannot be read.

use std::{collections::BTreeMap, io::ErrorKind, sync::atomic::Ordering::Relaxed};

use couic_detect::Dominant;
use couic_tail::Unread;
use nix::unistd::{User, geteuid};
use parking_lot::Mutex;
use tracing::{info, warn};

use super::service::SourceFigures;

/// Clocks further apart are told, in ms.
pub(crate) const OFFSET: i64 = 60_000;

/// What was told and lasts, by what it is about.
#[derive(Debug, Default)]
pub(crate) struct Alarms(Mutex<BTreeMap<String, String>>);

impl Alarms {
    /// Tells what has begun, and what is over.
    pub(crate) fn look(&self, sources: &[SourceFigures], dominant: &[Dominant]) {
        let mut now = BTreeMap::new();
        for source in sources {
            for one in &source.unread {
                let about = format!(
                    "the reading of {} by source {}",
                    one.path.display(),
                    source.name
                );
                now.insert(about, unread(&source.name, one));
            }
            if let Some(text) = apart(source) {
                now.insert(format!("the clock of source {}", source.name), text);
            }
        }
        for dominant in dominant {
            now.insert(
                format!(
                    "the share of {} in source {}",
                    dominant.addr, dominant.source
                ),
                dominant.to_string(),
            );
        }
        let mut told = self.0.lock();
        for text in now
            .iter()
            .filter(|(about, _)| !told.contains_key(*about))
            .map(|(_, text)| text)
        {
            warn!("{text}");
        }
        for about in told.keys().filter(|about| !now.contains_key(*about)) {
            info!("{about} is as usual again");
        }
        *told = now;
    }
}

/// What a source cannot read, and what to do, in words.
pub(crate) fn unread(source: &str, unread: &Unread) -> String {
    let (path, why) = (unread.path.display(), &unread.why);
    match unread.kind {
        ErrorKind::PermissionDenied => {
            let user = user();
            format!(
                "source {source}: {path} cannot be read by user {user} ({why}): add it to the group of the log (usermod -aG adm {user}) \
                 and restart, or setfacl -m u:{user}:r FILE, with :x for each directory above; see also the create line of logrotate"
            )
        }
        ErrorKind::NotFound => format!(
            "source {source}: {path} has not existed for a minute: is the path right, and does its writer run?"
        ),
        _ => format!("source {source}: {path} cannot be read: {why}"),
    }
}

fn user() -> String {
    let uid = geteuid();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    name.unwrap_or_else(|| uid.to_string())
}

/// Whether the lines of a source are dated far from their arrival, in words.
pub(crate) fn apart(source: &SourceFigures) -> Option<String> {
    let offset = source.counts.offset_ms.load(Relaxed);
    if offset.saturating_abs() <= OFFSET {
        return None;
    }
    let (by, way) = (
        offset.saturating_abs() / 1_000,
        if offset > 0 { "behind" } else { "ahead of" },
    );
    let name = &source.name;
    Some(format!(
        "source {name}: its lines are dated {by} s {way} this machine's clock; rates go by arrival all the same, but look at clocks and time zones"
    ))
}
