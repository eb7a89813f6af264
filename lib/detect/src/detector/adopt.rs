//! Taking over the counts of the detector before, so that a reload is no amnesty.

use std::mem::swap;

use super::{Detector, JailState};

impl Detector {
    /// Goes on with what another detector has counted, before anything else is done with this one: its time, its figures,
    /// who talked, and the buckets of each jail that is exactly as it was. Of a jail that was changed the buckets are empty:
    /// hits by other conditions prove nothing. What was taken is left with the unused one of this detector, so that the
    /// other can take it back. Bans that run are for [`restore_ladder`](Self::restore_ladder). Without effect if seeds or
    /// prefixes differ, since then sources do.
    pub fn adopt(&mut self, old: &mut Self) {
        if self.seed != old.seed || self.v6_prefix != old.v6_prefix {
            return;
        }
        self.clock = old.clock.clone();
        self.counters = old.counters.clone();
        swap(&mut self.talkers, &mut old.talkers);
        self.guard.adopt(&mut old.guard);
        for (scan, majority) in self.scans.iter().zip(&mut self.majorities) {
            let before = old.scans.iter().position(|old| old.name == scan.name);
            if let Some(before) = before.and_then(|at| old.majorities.get_mut(at)) {
                swap(majority, before);
            }
        }
        for jail in &mut self.jails {
            let mut jails = old.jails.iter_mut();
            if let Some(old) = jails.find(|old| old.rule.name == jail.rule.name) {
                jail.adopt(old);
            }
        }
    }
}

impl JailState {
    fn adopt(&mut self, old: &mut Self) {
        let shadow = self.figures.shadow;
        self.figures = old.figures.clone();
        self.figures.shadow = shadow;
        if self.rule.config == old.rule.config {
            swap(&mut self.buckets, &mut old.buckets);
        }
    }
}
