//! A decision as the LAPI tells it, and what is taken of it.

use std::{borrow::Cow, net::IpAddr};

use couic_common::Cidr;
use serde::Deserialize;

use crate::{
    Config, Scope, duration,
    names::{Names, Reason, Tag},
};

/// Why a decision is not taken. Counted, and each logged once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Skip {
    /// It is no ban, such as `captcha`.
    Type,
    /// It is for something else than an address or a network, or that scope is not wanted.
    Scope,
    /// Its origin or scenario is not wanted.
    Filtered,
    /// It is only simulated.
    Simulated,
    /// Its network is wider than allowed.
    Wide,
    /// It cannot be read.
    Malformed,
    /// It has ended.
    Ended,
}

impl Skip {
    /// The name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Scope => "scope",
            Self::Filtered => "filtered",
            Self::Simulated => "simulated",
            Self::Wide => "wide",
            Self::Malformed => "malformed",
            Self::Ended => "ended",
        }
    }

    /// Whether the operator should hear of it: it is no intention.
    pub(crate) const fn is_problem(self) -> bool {
        matches!(self, Self::Wide | Self::Malformed)
    }
}

/// The wire form. Further fields are for others.
#[derive(Debug, Deserialize)]
pub(crate) struct Decision<'a> {
    #[serde(default)]
    id: i64,
    #[serde(borrow, default)]
    pub(crate) origin: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) scenario: Cow<'a, str>,
    #[serde(borrow)]
    scope: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    #[serde(borrow)]
    duration: Cow<'a, str>,
    #[serde(default)]
    simulated: Option<bool>,
}

/// Which decision of which network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) cidr: Cidr,
    pub(crate) id: i64,
}

/// A ban that is in force at the LAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ban {
    pub(crate) id: Id,
    /// When it ends, Unix seconds by the clock of this machine.
    pub(crate) until: u64,
    pub(crate) tag: Tag,
    pub(crate) reason: Reason,
}

/// Whether a ban is meant, and of which network. The end does not matter.
pub(crate) fn target(decision: &Decision<'_>, config: &Config) -> Result<Id, Skip> {
    if !decision.kind.eq_ignore_ascii_case("ban") {
        return Err(Skip::Type);
    }
    let scopes = [("ip", Scope::Ip), ("range", Scope::Range)];
    let scope = scopes
        .into_iter()
        .find(|(name, _)| decision.scope.eq_ignore_ascii_case(name));
    let Some((_, scope)) = scope.filter(|(_, scope)| config.scopes.contains(scope)) else {
        return Err(Skip::Scope);
    };
    if decision.simulated == Some(true) {
        return Err(Skip::Simulated);
    }
    if !wanted(decision, config) {
        return Err(Skip::Filtered);
    }
    let cidr = network(&decision.value, scope, config).ok_or(Skip::Malformed)?;
    Ok(Id {
        cidr,
        id: decision.id,
    })
}

/// Reads a decision that is in force at `now`, Unix seconds.
pub(crate) fn ban(
    decision: &Decision<'_>,
    config: &Config,
    names: &mut Names,
    now: u64,
) -> Result<Ban, Skip> {
    let id = target(decision, config)?;
    let widest = match id.cidr {
        Cidr::V4(_) => config.widest_ipv4,
        Cidr::V6(_) => config.widest_ipv6,
    };
    if id.cidr.prefix() < widest {
        return Err(Skip::Wide);
    }
    let left = duration::seconds(&decision.duration).ok_or(Skip::Malformed)?;
    let left = u64::try_from(left).ok().filter(|left| *left > 0);
    Ok(Ban {
        id,
        until: now.saturating_add(left.ok_or(Skip::Ended)?),
        tag: names.tag_of(decision),
        reason: names.reason_of(decision),
    })
}

/// The LAPI was asked for the same; one that filters differently, or a decision beside them, is not taken.
fn wanted(decision: &Decision<'_>, config: &Config) -> bool {
    let is_of = |wanted: &String| {
        let list = wanted.strip_prefix("lists:");
        decision.origin == wanted.as_str()
            || decision.origin == "lists" && list == Some(&*decision.scenario)
    };
    (config.origins.is_empty() || config.origins.iter().any(is_of))
        && (config.scenarios.is_empty()
            || config
                .scenarios
                .iter()
                .any(|part| decision.scenario.contains(part.as_str())))
}

/// Imports store networks in scope `Ip`, so the value decides what it is; a lone IPv6 address may stand for its network.
fn network(value: &str, scope: Scope, config: &Config) -> Option<Cidr> {
    let value = value.trim();
    if let Ok(address) = value.parse::<IpAddr>() {
        let host = Cidr::host(address);
        return match (host, scope) {
            (Cidr::V6(_), Scope::Ip) => Cidr::new(address, config.ipv6_prefix).ok(),
            _ => Some(host),
        };
    }
    // An address with a length, nothing else: ranges from A to B are no values of the LAPI.
    let (address, length) = value.split_once('/')?;
    let length = length
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| length.parse().ok())??;
    Cidr::new(address.parse().ok()?, length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str, config: &Config) -> Result<(String, u64, String), Skip> {
        let text = format!(
            r#"{{"id":7,"origin":"CAPI","scenario":"a/ssh-bf","scope":"Ip","type":"ban","value":"1.2.3.4","duration":"1h"{more}}}"#
        );
        // The last of two equal keys counts in this test.
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let text = value.to_string();
        let mut names = Names::default();
        let ban = ban(
            &serde_json::from_str(&text).unwrap(),
            config,
            &mut names,
            1_000,
        )?;
        assert_eq!(ban.id.id, 7);
        let tag = names.tag_name(ban.tag).to_string();
        Ok((ban.id.cidr.to_string(), ban.until, tag))
    }

    fn cidr(value: &str, scope: &str, config: &Config) -> Result<String, Skip> {
        read(&format!(r#","value":"{value}","scope":"{scope}""#), config).map(|ban| ban.0)
    }

    #[test]
    fn addresses_and_networks_of_either_scope() {
        let config = Config::default();
        for (value, scope, expected) in [
            ("1.2.3.4", "Ip", "1.2.3.4/32"),
            ("2001:db8::1", "Ip", "2001:db8::1/128"),
            ("10.9.0.0/16", "Range", "10.9.0.0/16"),
            ("7.7.7.7/24", "Range", "7.7.7.0/24"),
            ("31.0.0.4", "range", "31.0.0.4/32"),
            // `cscli decisions import` stores so what its file calls a range.
            ("20.0.1.0/24", "Ip", "20.0.1.0/24"),
            ("2001:db8::5/48", "Range", "2001:db8::/48"),
            ("::ffff:8.8.8.8", "Ip", "8.8.8.8/32"),
        ] {
            assert_eq!(
                cidr(value, scope, &config).as_deref(),
                Ok(expected),
                "{value}"
            );
        }
        for bad in [
            "",
            "x",
            "1.2.3.300",
            "1.2.3.4/33",
            "1.2.3.4/+8",
            "1.2.3.4/",
            "/8",
            "1.2.3.4-1.2.3.9",
            "fe80::1%eth0",
            "1.2.3.4/24/8",
        ] {
            assert_eq!(cidr(bad, "Ip", &config), Err(Skip::Malformed), "{bad}");
        }
        let config = Config {
            ipv6_prefix: 64,
            ..config
        };
        assert_eq!(
            cidr("2001:db8::1", "Ip", &config).as_deref(),
            Ok("2001:db8::/64")
        );
        assert_eq!(
            cidr("2001:db8::1/128", "Range", &config).as_deref(),
            Ok("2001:db8::1/128")
        );
        assert_eq!(
            cidr("::ffff:8.8.8.8", "Ip", &config).as_deref(),
            Ok("8.8.8.8/32")
        );
    }

    #[test]
    fn what_is_not_taken_has_a_reason() {
        let config = Config::default();
        for (more, why) in [
            (r#","type":"captcha""#, Skip::Type),
            (r#","scope":"AS","value":"64500""#, Skip::Scope),
            (r#","scope":"Country","value":"FR""#, Skip::Scope),
            (r#","simulated":true"#, Skip::Simulated),
            (r#","value":"0.0.0.0/0","scope":"Range""#, Skip::Wide),
            (r#","value":"2001::/8","scope":"Range""#, Skip::Wide),
            (r#","duration":"soon""#, Skip::Malformed),
            (r#","duration":"-3s""#, Skip::Ended),
            (r#","duration":"0s""#, Skip::Ended),
        ] {
            assert_eq!(read(more, &config), Err(why), "{more}");
        }
        assert_eq!(
            read(r#","type":"Ban","simulated":false"#, &config)
                .unwrap()
                .1,
            4_600
        );
        let wide = read(r#","value":"10.0.0.0/8","scope":"Range""#, &config);
        assert_eq!(wide.unwrap().0, "10.0.0.0/8");
    }

    #[test]
    fn origins_scenarios_and_scopes_may_be_chosen() {
        let config = Config {
            origins: vec!["cscli".into(), "lists:firehol".into()],
            scenarios: vec!["ssh".into(), "fire".into()],
            scopes: vec![Scope::Ip],
            ..Config::default()
        };
        assert_eq!(read("", &config), Err(Skip::Filtered));
        let taken = read(r#","origin":"cscli""#, &config).unwrap();
        assert_eq!(taken.2, "cs-cscli");
        let other = r#","origin":"cscli","scenario":"a/http-bf""#;
        assert_eq!(read(other, &config), Err(Skip::Filtered));
        let list = r#","origin":"lists","scenario":"firehol""#;
        assert_eq!(read(list, &config).unwrap().2, "cs-lists-firehol");
        let range = r#","origin":"cscli","scope":"Range","value":"10.0.0.0/8""#;
        assert_eq!(read(range, &config), Err(Skip::Scope));
    }
}
