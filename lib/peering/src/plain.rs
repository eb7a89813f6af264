//! Jobs for a plain node, that is Couic 1.0, which supports only adding and removing.
//!
//! Such a node rejects a whole request for one bad job, applies the jobs of a request in any order, and does not renew
//! existing entries. Therefore removals precede additions, in separate requests; a rejected request is halved until the
//! bad job is found; and a renewal is a removal and an addition.

use std::collections::VecDeque;

use couic_common::{Cidr, EntryRequest, Metadata, PeerAction, PeerJob, Policy, Reason};

use crate::{Record, RecordState, record::NEVER};

/// Maximum number of jobs per request.
const MAX_JOBS: usize = 1_000;

/// Jobs for one request.
#[derive(Clone, Debug, PartialEq)]
pub struct PlainBatch {
    /// The policy.
    pub policy: Policy,
    /// Only additions, or only removals.
    pub jobs: Vec<PeerJob>,
    /// Whether a rejected addition is retried after a removal, as a renewal.
    insist: bool,
}

/// The queued requests for one node, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plain {
    batches: VecDeque<PlainBatch>,
}

impl Plain {
    pub(crate) fn waiting(&self) -> usize {
        self.batches.iter().map(|batch| batch.jobs.len()).sum()
    }

    pub(crate) fn next(&self) -> Option<&PlainBatch> {
        self.batches.front()
    }

    /// Queues jobs for registers. `insist` for those that have just changed.
    pub(crate) fn queue<'a>(
        &mut self,
        policy: Policy,
        records: impl Iterator<Item = (Cidr, &'a Record, Option<&'a Reason>)>,
        wall: u64,
        insist: bool,
    ) {
        let (mut removes, mut adds) = (Vec::new(), Vec::new());
        for (cidr, record, reason) in records {
            match &record.state {
                RecordState::Live { tag, until } if *until > wall => {
                    let until = if *until == NEVER { 0 } else { until / 1_000 };
                    let tag = tag.as_ref().map(|t| t.as_str().to_owned());
                    adds.push(job(PeerAction::Add, cidr, until, tag, reason));
                }
                RecordState::Live { .. } => {}
                RecordState::Deleted => removes.push(job(PeerAction::Remove, cidr, 0, None, None)),
            }
        }
        for jobs in [removes, adds] {
            let mut jobs = jobs.into_iter().peekable();
            while jobs.peek().is_some() {
                let jobs = jobs.by_ref().take(MAX_JOBS).collect();
                self.batches.push_back(PlainBatch {
                    policy,
                    jobs,
                    insist,
                });
            }
        }
    }

    /// The first request was accepted.
    pub(crate) fn taken(&mut self) {
        self.batches.pop_front();
    }

    /// The first request was rejected, in part or as a whole. Returns the number of jobs given up.
    pub(crate) fn refused(&mut self) -> usize {
        let Some(mut batch) = self.batches.pop_front() else {
            return 0;
        };
        if batch.jobs.len() > 1 {
            self.halve(batch);
            return 0;
        }
        let Some(add) = batch.jobs.pop().filter(|j| j.action == PeerAction::Add) else {
            // A removal fails if the entry does not exist, which is the intended state.
            return 0;
        };
        if !batch.insist {
            return 1;
        }
        let mut remove = add.clone();
        remove.action = PeerAction::Remove;
        for jobs in [vec![add], vec![remove]] {
            self.batches.push_front(PlainBatch {
                policy: batch.policy,
                jobs,
                insist: false,
            });
        }
        0
    }

    /// The first request is too large for a proxy in between. False if it cannot be made smaller.
    pub(crate) fn too_large(&mut self) -> bool {
        match self.batches.pop_front() {
            Some(batch) if batch.jobs.len() > 1 => {
                self.halve(batch);
                true
            }
            Some(batch) => {
                self.batches.push_front(batch);
                false
            }
            None => false,
        }
    }

    fn halve(&mut self, mut batch: PlainBatch) {
        let rest = batch.jobs.split_off(batch.jobs.len() / 2);
        let rest = PlainBatch {
            jobs: rest,
            ..batch
        };
        self.batches.push_front(rest);
        self.batches.push_front(batch);
    }

    pub(crate) fn clear(&mut self) {
        self.batches.clear();
    }
}

fn job(
    action: PeerAction,
    cidr: Cidr,
    expiration: u64,
    tag: Option<String>,
    reason: Option<&Reason>,
) -> PeerJob {
    PeerJob {
        action,
        entry: EntryRequest {
            cidr: cidr.to_string(),
            expiration,
            tag,
            metadata: reason.map(|reason| Metadata {
                kind: "couic".to_owned(),
                detail: reason.as_str().to_owned(),
                extra: None,
            }),
            force: false,
            guard: None,
            ttl: None,
            longer: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::Ipv4Addr};

    use super::*;
    use crate::{NodeId, Stamp};

    /// A node that rejects a request for one conflicting job, after applying some of the others.
    #[derive(Default)]
    struct Old(BTreeMap<String, u64>);

    impl Old {
        fn take(&mut self, batch: &PlainBatch) -> bool {
            // In any order, here backwards.
            batch.jobs.iter().rev().all(|job| {
                let cidr = job.entry.cidr.clone();
                match job.action {
                    PeerAction::Add if self.0.contains_key(&cidr) => false,
                    PeerAction::Add => self.0.insert(cidr, job.entry.expiration).is_none(),
                    PeerAction::Remove => self.0.remove(&cidr).is_some(),
                }
            })
        }
    }

    fn record(state: RecordState) -> Record {
        Record {
            stamp: Stamp {
                time: 1,
                node: NodeId(1),
            },
            state,
            covers: 0,
            revokes: 0,
        }
    }

    fn cidr(n: u32) -> Cidr {
        Cidr::host(Ipv4Addr::from_bits(n).into())
    }

    fn deliver(plain: &mut Plain, old: &mut Old) -> usize {
        let mut lost = 0;
        while let Some(batch) = plain.next() {
            if old.take(batch) {
                plain.taken();
            } else {
                lost += plain.refused();
            }
        }
        lost
    }

    #[test]
    fn one_bad_job_does_not_affect_the_others() {
        let (mut plain, mut old) = (Plain::default(), Old::default());
        old.0.insert(cidr(5).to_string(), 0);
        let live = record(RecordState::Live {
            tag: None,
            until: 9_000,
        });
        let gone = record(RecordState::Deleted);
        let over = record(RecordState::Live {
            tag: None,
            until: 500,
        });
        let adds = (0..10).map(|n| (cidr(n), &live, None));
        let rest = [(cidr(77), &gone, None), (cidr(78), &over, None)];
        plain.queue(Policy::Drop, adds.chain(rest), 1_000, true);
        assert_eq!(plain.waiting(), 11);
        assert_eq!(deliver(&mut plain, &mut old), 0);
        assert_eq!(old.0.len(), 10);
        assert!(old.0.values().all(|until| *until == 9), "one is renewed");
        // Without `insist`, sending them again changes nothing.
        plain.queue(
            Policy::Drop,
            (0..10).map(|n| (cidr(n), &live, None)),
            1_000,
            false,
        );
        deliver(&mut plain, &mut old);
        assert_eq!(old.0.len(), 10);
        plain.queue(
            Policy::Drop,
            (0..10).map(|n| (cidr(n), &gone, None)),
            1_000,
            true,
        );
        assert_eq!(deliver(&mut plain, &mut old), 0);
        assert!(old.0.is_empty());
    }

    #[test]
    fn too_large_is_halved_down_to_one() {
        let mut plain = Plain::default();
        let gone = record(RecordState::Deleted);
        plain.queue(
            Policy::Drop,
            (0..4).map(|n| (cidr(n), &gone, None)),
            0,
            true,
        );
        assert!(plain.too_large() && plain.too_large());
        let first = plain.next().unwrap();
        assert_eq!(first.jobs.len(), 1);
        assert_eq!(first.jobs[0].entry.cidr, cidr(0).to_string());
        assert!(!plain.too_large());
        assert_eq!(plain.waiting(), 4);
    }
}
