//! The regexes of all jails of a source, in one automaton.

use std::net::IpAddr;

use regex_automata::{
    Input, PatternSet,
    meta::{Cache, Regex},
};

use super::{
    Filter, Mask,
    pattern::{self, Capturer, Pattern},
    scan::mask_of,
};

/// All regexes of a source.
pub(super) struct Regexes {
    all: Regex,
    cache: Cache,
    matching: PatternSet,
    /// For each regex its bit, whether it is one to ignore, and what captures its address.
    each: Vec<(usize, bool, Option<Capturer>)>,
    /// Bits without a regex that must match.
    only_ignoring: Mask,
}

impl Regexes {
    pub(super) fn new(filters: &[(Filter, Option<usize>)]) -> Result<Option<Self>, String> {
        let mut patterns: Vec<&Pattern> = Vec::new();
        let mut each = Vec::new();
        for (bit, (filter, _)) in filters.iter().enumerate() {
            for pattern in &filter.regexes {
                patterns.push(pattern);
                each.push((bit, false, pattern.capturer()));
            }
            for pattern in &filter.ignore {
                patterns.push(pattern);
                each.push((bit, true, None));
            }
        }
        if patterns.is_empty() {
            return Ok(None);
        }
        let all = pattern::all(&patterns)?;
        Ok(Some(Self {
            cache: all.create_cache(),
            matching: PatternSet::new(all.pattern_len()),
            all,
            each,
            only_ignoring: mask_of(filters, |(f, _)| f.regexes.is_empty()),
        }))
    }

    /// The bits that have a regex that matches and none to ignore that does.
    pub(super) fn find(&mut self, text: &[u8]) -> Mask {
        self.matching.clear();
        let input = Input::new(text);
        self.all
            .which_overlapping_matches_with(&mut self.cache, &input, &mut self.matching);
        let (mut found, mut ignored) = (self.only_ignoring, 0);
        for pattern in self.matching.iter() {
            match self.each.get(pattern.as_usize()) {
                Some((bit, true, _)) => ignored |= 1 << bit,
                Some((bit, false, _)) => found |= 1 << bit,
                None => {}
            }
        }
        found & !ignored
    }

    /// The first address that the matching regexes of a bit capture.
    pub(super) fn captured(&mut self, bit: usize, text: &[u8]) -> Option<IpAddr> {
        let matching = self.matching.iter();
        for pattern in matching {
            if let Some((of, _, Some(capturer))) = self.each.get_mut(pattern.as_usize())
                && *of == bit
                && let Some(addr) = capturer.address(text)
            {
                return Some(addr);
            }
        }
        None
    }
}
