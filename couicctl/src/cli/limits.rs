//! The limits of a new client, as arguments.

use std::time::Duration;

use clap::{Args, ValueEnum};
use couic_common::{ClientLimits, Policy};

use crate::duration;

/// What a client may change. All of these need group clientrw, but for --expires.
#[derive(Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// It may change rules of this policy only; drop,ignore for both
    #[arg(long, value_name = "POLICY", value_delimiter = ',')]
    policy: Vec<PolicyArg>,
    /// It may add and delete rules with these tags only; * stands for any characters
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    tag: Vec<String>,
    /// It may write, apply and delete sets of these names; * stands for any characters. Without, it may change none
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    set: Vec<String>,
    /// The widest networks that it may add: the shortest prefix of IPv4, or of IPv4 and IPv6
    #[arg(long, value_name = "V4[,V6]", value_parser = widest)]
    widest: Option<(u8, Option<u8>)>,
    /// It may add rules for so long at most, and none that never expires
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    longest: Option<Duration>,
    /// It may add or renew so many rules a minute
    #[arg(long, value_name = "COUNT")]
    adds_per_minute: Option<u32>,
    /// Its token ends after this time; so does one that replaces it
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expires: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PolicyArg {
    Drop,
    Ignore,
}

impl LimitArgs {
    /// The limits, None if there are none.
    pub(crate) fn limits(&self) -> Option<ClientLimits> {
        let Self {
            policy,
            tag,
            set,
            widest,
            longest,
            adds_per_minute,
            expires,
        } = self;
        let policies = [
            (PolicyArg::Drop, Policy::Drop),
            (PolicyArg::Ignore, Policy::Ignore),
        ];
        let policies = policies.into_iter().filter(|(arg, _)| policy.contains(arg));
        let limits = ClientLimits {
            policies: (!policy.is_empty()).then(|| policies.map(|(_, policy)| policy).collect()),
            tags: (!tag.is_empty()).then(|| tag.clone()),
            sets: (!set.is_empty()).then(|| set.clone()),
            widest_ipv4: widest.map(|(v4, _)| v4),
            widest_ipv6: widest.and_then(|(_, v6)| v6),
            longest: longest.map(|time| time.as_secs()),
            adds_per_minute: *adds_per_minute,
            token_lifetime: expires.map(|time| time.as_secs()),
        };
        (limits != ClientLimits::default()).then_some(limits)
    }
}

fn widest(text: &str) -> Result<(u8, Option<u8>), String> {
    let number = |text: &str, most| {
        let text = text.trim().trim_start_matches('/');
        let prefix: Option<u8> = text.parse().ok().filter(|prefix| *prefix <= most);
        prefix.ok_or_else(|| format!("{text:?} is no prefix length up to {most}, as in 24,48"))
    };
    match text.split_once(',') {
        None => Ok((number(text, 32)?, None)),
        Some((v4, v6)) => Ok((number(v4, 32)?, Some(number(v6, 128)?))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn policies_are_separated_by_commas_or_repeated() {
        let policies = |arguments: &[&str]| {
            let words = ["add"].iter().chain(arguments);
            let parsed = Command::try_parse_from(words).ok()?;
            parsed.limits.limits()?.policies
        };
        let both = Some(vec![Policy::Drop, Policy::Ignore]);
        assert_eq!(policies(&["--policy", "drop,ignore"]), both);
        assert_eq!(policies(&["--policy=ignore", "--policy=drop"]), both);
        assert_eq!(policies(&["--policy", "drop"]), Some(vec![Policy::Drop]));
        assert_eq!(policies(&["--policy", "drop,"]), None);
    }

    #[test]
    fn prefixes_of_one_family_or_both() {
        assert_eq!(widest("24"), Ok((24, None)));
        assert_eq!(widest("24,48"), Ok((24, Some(48))));
        assert_eq!(widest("/24, /48"), Ok((24, Some(48))));
        for bad in ["", "33", "24,129", "24,", "24,48,1", "x"] {
            assert!(widest(bad).is_err(), "{bad}");
        }
    }
}
