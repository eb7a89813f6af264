//! A set of guard rails.

use couic_common::Rail;

/// A set of guard rails. The default is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rails(u16);

impl Rails {
    /// Every one.
    #[must_use]
    pub fn all() -> Self {
        Self::from_iter(Rail::ALL)
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn has(self, rail: Rail) -> bool {
        self.0 & bit(rail) != 0
    }

    /// Those that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Adds one.
    pub const fn insert(&mut self, rail: Rail) {
        self.0 |= bit(rail);
    }

    /// Those of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Rail> {
        Rail::ALL.into_iter().filter(move |rail| self.has(*rail))
    }
}

const fn bit(rail: Rail) -> u16 {
    1 << rail as u16
}

impl FromIterator<Rail> for Rails {
    fn from_iter<I: IntoIterator<Item = Rail>>(rails: I) -> Self {
        let mut all = Self::default();
        rails.into_iter().for_each(|rail| all.insert(rail));
        all
    }
}
