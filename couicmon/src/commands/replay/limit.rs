//! `--max-collateral`: how many banned sources, or which part of them, may be honest.

use couic_detect::JailAccount;

use crate::commands::Failure;

/// Holds for each jail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    Sources(u64),
    Percent(f64),
}

impl Limit {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let percent = text
            .strip_suffix('%')
            .map(|number| number.trim().parse().ok());
        let limit = match percent {
            Some(percent) => percent
                .filter(|p| (0.0..=100.0).contains(p))
                .map(Self::Percent),
            None => text.parse().ok().map(Self::Sources),
        };
        let wrong = || {
            format!(
                "--max-collateral {text:?} is neither a number of sources nor a share of them, as in 5%"
            )
        };
        limit.ok_or_else(|| Failure::Usage(wrong()))
    }

    /// The first jail that is above it.
    pub(super) fn exceeded<'a>(&self, jails: &'a [JailAccount]) -> Option<&'a str> {
        let is_over = |jail: &&JailAccount| {
            let honest = honest(jail);
            match *self {
                Self::Sources(most) => honest > most,
                Self::Percent(most) => 100.0 * honest as f64 > most * jail.bans.max(1) as f64,
            }
        };
        jails.iter().find(is_over).map(|jail| &*jail.jail)
    }
}

/// Banned sources that also made good requests or logged in. Most that logged in have good requests, too.
pub(super) fn honest(jail: &JailAccount) -> u64 {
    jail.collateral.good_sources.max(jail.collateral.logged_in)
}

#[cfg(test)]
mod tests {
    use couic_detect::Collateral;

    use super::*;

    #[test]
    fn limits_are_numbers_or_shares() {
        assert_eq!(Limit::parse("0").unwrap(), Limit::Sources(0));
        assert_eq!(Limit::parse("2.5%").unwrap(), Limit::Percent(2.5));
        for text in ["", "%", "-1", "101%", "x", "NaN%"] {
            assert!(Limit::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_jail_above_the_limit_is_named() {
        let jail = JailAccount {
            jail: "a".into(),
            bans: 100,
            collateral: Collateral {
                good_sources: 5,
                logged_in: 2,
                ..Collateral::default()
            },
            ..JailAccount::default()
        };
        let jails = [JailAccount::default(), jail];
        assert_eq!(Limit::Sources(4).exceeded(&jails), Some("a"));
        assert_eq!(Limit::Sources(5).exceeded(&jails), None);
        assert_eq!(Limit::Percent(4.9).exceeded(&jails), Some("a"));
        assert_eq!(Limit::Percent(5.0).exceeded(&jails), None);
    }
}
