//! Lines that come late: written while nobody read, or jumped over in a storm.
//!
//! They arrive all at once, so the moment of their arrival says nothing about rates; and the detector's time only goes
//! forward, so they cannot go to the detector of the live lines by their own time. They have one of their own, which is made
//! when the first of them comes and goes a minute after the last. It has the jails that look for what is slow: those with
//! `distinct` or `login`. Floods of an hour ago are over.
//!
//! A ban that is decided on late lines begins at the time of its line, and is not sent if it is over by now.

use std::sync::Arc;

use couic_detect::{
    Answer, Ask, Client, Decision, DetectConfig, Detector, Event, JailConfig, Nets,
};

/// How long a detector without lines is kept, in ms.
const KEPT: i64 = 60_000;

/// The detector of late lines, if there are any.
pub(crate) struct Late {
    config: Arc<DetectConfig>,
    sources: Vec<String>,
    seed: u64,
    ignored: Nets,
    detector: Option<Detector>,
    /// When the last line arrived.
    used_ms: i64,
    judged: u64,
}

impl Late {
    /// Without a detector as yet.
    pub(crate) fn new(config: Arc<DetectConfig>, sources: Vec<String>, seed: u64) -> Self {
        Self {
            config,
            sources,
            seed,
            ignored: Nets::default(),
            detector: None,
            used_ms: 0,
            judged: 0,
        }
    }

    /// Never banned either.
    pub(crate) fn set_ignored(&mut self, nets: Nets) {
        if let Some(detector) = &mut self.detector {
            detector.set_ignored(nets.clone());
        }
        self.ignored = nets;
    }

    /// Lines judged since the start.
    pub(crate) const fn judged(&self) -> u64 {
        self.judged
    }

    /// As [`Detector::observe`], for a source of this name, a line written at `time_ms` that has arrived at `now_ms`.
    pub(crate) fn observe(
        &mut self,
        source: &str,
        event: &Event<'_>,
        client: Option<Client>,
        line: &[u8],
        (time_ms, now_ms): (i64, i64),
    ) -> Vec<Decision> {
        self.used_ms = now_ms;
        if self.detector.is_none() {
            self.detector = self.make();
        }
        let Some(detector) = &mut self.detector else {
            return Vec::new();
        };
        let Some(id) = detector.source(source) else {
            return Vec::new();
        };
        self.judged += 1;
        detector.observe(id, event, client, line, time_ms)
    }

    /// As [`Detector::answer`]. Without the detector that asked, nobody is banned.
    pub(crate) fn answer(&mut self, ask: Ask, answer: Answer, now_ms: i64) -> Vec<Decision> {
        let detector = self.detector.as_mut();
        detector.map_or_else(Vec::new, |detector| detector.answer(ask, answer, now_ms))
    }

    /// Lets go of a detector that had no lines for a while.
    pub(crate) fn tidy(&mut self, now_ms: i64) {
        if now_ms.saturating_sub(self.used_ms) > KEPT {
            self.detector = None;
        }
    }

    fn make(&self) -> Option<Detector> {
        let slow = |jail: &&JailConfig| jail.distinct.is_some() || !jail.login.is_empty();
        let config = DetectConfig {
            v6_prefix: self.config.v6_prefix,
            jails: self.config.jails.iter().filter(slow).cloned().collect(),
            ladder: self.config.ladder,
            // What is over is not widened.
            widen: None,
            logins: Vec::new(),
            guard: self.config.guard,
            bots: self.config.bots.clone(),
            ignore: self.config.ignore.clone(),
        };
        let rules = config.check(&self.sources).ok()?;
        let mut detector = Detector::new(rules, self.seed);
        detector.set_ignored(self.ignored.clone());
        Some(detector)
    }
}
