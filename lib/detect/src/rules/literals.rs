//! The literals of all jails of a source, searched at once.

use aho_corasick::{
    Anchored, BuildError, MatchKind, StartKind,
    automaton::Automaton,
    dfa::{self, DFA},
    nfa::{contiguous, noncontiguous},
};

use super::Mask;

/// Up to so many bytes of literals the automaton is a DFA: faster, but 64 to 1,024 bytes per byte of literals.
const DFA_BYTES: usize = 8_192;

enum Engine {
    None,
    Dfa(DFA),
    Nfa(contiguous::NFA),
}

/// Literals, each of some jails.
pub(crate) struct Literals {
    engine: Engine,
    of: Vec<Mask>,
}

impl Literals {
    /// Those of an unanchored search, whatever the case of ASCII letters.
    pub(crate) fn anywhere(literals: &[(Vec<u8>, Mask)]) -> Result<Self, BuildError> {
        Self::new(literals, true, StartKind::Unanchored)
    }

    /// Those with which a text starts, of the same case.
    pub(crate) fn prefixes(literals: &[(Vec<u8>, Mask)]) -> Result<Self, BuildError> {
        Self::new(literals, false, StartKind::Anchored)
    }

    fn new(
        literals: &[(Vec<u8>, Mask)],
        ignore_case: bool,
        start: StartKind,
    ) -> Result<Self, BuildError> {
        let of = literals.iter().map(|(_, mask)| *mask).collect();
        let patterns = || literals.iter().map(|(literal, _)| literal);
        let engine = if literals.is_empty() {
            Engine::None
        } else if patterns().map(Vec::len).sum::<usize>() <= DFA_BYTES {
            let mut builder = dfa::Builder::new();
            builder.match_kind(MatchKind::Standard).start_kind(start);
            builder.ascii_case_insensitive(ignore_case).prefilter(false);
            Engine::Dfa(builder.build(patterns())?)
        } else {
            let mut builder = noncontiguous::Builder::new();
            builder.match_kind(MatchKind::Standard).prefilter(false);
            builder.ascii_case_insensitive(ignore_case);
            let nfa = builder.build(patterns())?;
            Engine::Nfa(contiguous::Builder::new().build_from_noncontiguous(&nfa)?)
        };
        Ok(Self { engine, of })
    }

    /// The jails with a literal somewhere in the text; the search ends when all `wanted` ones are found.
    pub(crate) fn find(&self, text: &[u8], wanted: Mask) -> Mask {
        match &self.engine {
            Engine::None => 0,
            Engine::Dfa(dfa) => self.walk(dfa, text, wanted),
            Engine::Nfa(nfa) => self.walk(nfa, text, wanted),
        }
    }

    #[inline]
    fn walk<A: Automaton>(&self, automaton: &A, text: &[u8], wanted: Mask) -> Mask {
        let mut found = 0;
        let Ok(mut state) = automaton.start_state(Anchored::No) else {
            return found;
        };
        for byte in text {
            state = automaton.next_state(Anchored::No, state, *byte);
            if automaton.is_special(state) && automaton.is_match(state) {
                for n in 0..automaton.match_len(state) {
                    let literal = automaton.match_pattern(state, n).as_usize();
                    found |= self.of.get(literal).copied().unwrap_or(0);
                }
                if found & wanted == wanted {
                    break;
                }
            }
        }
        found
    }

    /// Calls `hit` with the number and length of each literal with which the text starts.
    pub(crate) fn starts(&self, text: &[u8], hit: impl FnMut(usize, usize)) {
        match &self.engine {
            Engine::None => {}
            Engine::Dfa(dfa) => Self::descend(dfa, text, hit),
            Engine::Nfa(nfa) => Self::descend(nfa, text, hit),
        }
    }

    fn descend<A: Automaton>(automaton: &A, text: &[u8], mut hit: impl FnMut(usize, usize)) {
        let Ok(mut state) = automaton.start_state(Anchored::Yes) else {
            return;
        };
        for (n, byte) in text.iter().enumerate() {
            state = automaton.next_state(Anchored::Yes, state, *byte);
            if !automaton.is_special(state) {
                continue;
            }
            if automaton.is_dead(state) {
                return;
            }
            if automaton.is_match(state) {
                for i in 0..automaton.match_len(state) {
                    let literal = automaton.match_pattern(state, i);
                    // States also tell of literals that start later.
                    if automaton.pattern_len(literal) == n + 1 {
                        hit(literal.as_usize(), n + 1);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbered(literals: &[String], padding: usize) -> Vec<(Vec<u8>, Mask)> {
        let mut all: Vec<(Vec<u8>, Mask)> = literals
            .iter()
            .enumerate()
            .map(|(n, l)| (l.clone().into_bytes(), 1 << n))
            .collect();
        if padding > 0 {
            all.push((vec![b'~'; padding], 1 << 100));
        }
        all
    }

    proptest! {
        /// Small sets are a DFA, padded ones an NFA.
        #[test]
        fn as_a_search_for_one_after_another(
            literals in prop::collection::vec("[abA/]{1,4}", 0..12),
            text in "[abAB/]{0,24}",
            padded: bool,
        ) {
            let padding = if padded { DFA_BYTES + 1 } else { 0 };
            let numbered = numbered(&literals, padding);
            let found = Literals::anywhere(&numbered).unwrap().find(text.as_bytes(), Mask::MAX);
            let mut starts = 0;
            let prefixes = Literals::prefixes(&numbered).unwrap();
            prefixes.starts(text.as_bytes(), |n, len| {
                assert_eq!(len, literals[n].len());
                starts |= 1 << n;
            });
            let lower = text.to_lowercase();
            for (n, literal) in literals.iter().enumerate() {
                prop_assert_eq!(found >> n & 1 == 1, lower.contains(&literal.to_lowercase()));
                prop_assert_eq!(starts >> n & 1 == 1, text.starts_with(literal.as_str()));
            }
        }
    }
}
