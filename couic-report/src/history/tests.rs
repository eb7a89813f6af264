//! The history against a simple oracle, over restarts and crashes; and its bounds.

use std::{fs, path::Path, time::Duration};

use couic_common::{Cidr, OwnerKind, PeerAction, Policy};
use couic_plugin_api::{PacketCount, Severity, TagTraffic, Traffic};
use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::{
    config,
    state::{BatchWriter, Committer, Journal, Row, Seal, TrafficRecord, tests::copy_into},
};

mod bounds;
mod oracle;

const THRESHOLDS: Thresholds = Thresholds {
    orange: 3,
    red: 5,
    min: Severity::Orange,
};

/// A journal in a folder, which can be restarted and killed.
struct Rig {
    dir: TempDir,
    running: Option<(Journal, Committer)>,
    limits: config::History,
}

fn open(dir: &Path, limits: config::History) -> (Journal, Committer) {
    let now = unix_seconds() - 10 * DAY;
    let (journal, committer, damage) = Journal::open(dir, now, limits, THRESHOLDS).unwrap();
    assert_eq!(damage, Vec::<String>::new());
    (journal, committer)
}

impl Rig {
    fn new(limits: config::History) -> Self {
        let dir = TempDir::new().unwrap();
        let running = Some(open(dir.path(), limits));
        Self {
            dir,
            running,
            limits,
        }
    }

    fn journal(&self) -> &Journal {
        &self.running.as_ref().unwrap().0
    }

    fn history(&self) -> History {
        self.journal().history().clone()
    }

    fn restart(&mut self) {
        self.end();
        self.running = Some(open(self.dir.path(), self.limits));
    }

    /// Goes on with a copy of the folder, as after kill -9.
    fn kill(&mut self) {
        let copy = TempDir::new().unwrap();
        copy_into(self.dir.path(), copy.path());
        self.end();
        self.dir = copy;
        self.running = Some(open(self.dir.path(), self.limits));
    }

    fn end(&mut self) {
        let (journal, committer) = self.running.take().unwrap();
        drop(journal);
        committer.join();
    }
}

fn host(n: u8) -> Cidr {
    format!("192.0.2.{n}/32").parse().unwrap()
}

fn batch(source: &str, received: u64, rows: &[Row<'_>]) -> crate::state::Batch {
    let mut writer = BatchWriter::new(Some(Uuid::new_v4()), source, received, 0);
    rows.iter().for_each(|row| writer.push(row));
    writer.finish()
}

fn dropped(from: u64, until: u64, tag: &str, packets: u64) -> Traffic {
    let count = PacketCount {
        packets,
        bytes: packets * 60,
    };
    Traffic {
        from,
        until,
        dropped: count,
        tags: vec![TagTraffic {
            policy: Policy::Drop,
            tag: tag.to_owned(),
            count,
        }],
        version: "2.0.0".to_owned(),
        ..Traffic::default()
    }
}

async fn send(journal: &Journal, source: &str, received: u64, traffic: &Traffic) {
    let json = serde_json::to_vec(traffic).unwrap();
    let record = TrafficRecord {
        id: None,
        received,
        source,
        json: &json,
    };
    journal.traffic(&record).await.unwrap();
}
