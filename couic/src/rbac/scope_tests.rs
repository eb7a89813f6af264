//! Decisions about rules, against an oracle, and the rate, against a count.

use couic_common::glob_matches;
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

const NOW: u64 = 1_800_000_000;

fn limits() -> ClientLimits {
    ClientLimits {
        policies: Some(vec![Policy::Drop]),
        tags: Some(vec!["mon-*".to_owned()]),
        sets: None,
        widest_ipv4: Some(24),
        widest_ipv6: Some(48),
        longest: Some(7 * 86_400),
        adds_per_minute: Some(60),
        token_lifetime: None,
    }
}

fn scope(limits: &ClientLimits) -> Scope {
    Scope::of(limits, Instant::now()).unwrap()
}

fn rule(cidr: &str, tag: &str, expiration: u64) -> ClaimRequest {
    ClaimRequest {
        cidr: cidr.parse().unwrap(),
        tag: Tag::parse(tag).unwrap(),
        expiration,
    }
}

#[test]
fn each_refusal_says_what_is_allowed_and_what_was_asked() {
    let scope = scope(&limits());
    let week = NOW + 7 * 86_400;
    for (asked, told) in [
        (rule("192.0.2.0/24", "mon-a", week), None),
        (rule("2001:db8::/48", "mon-", week + TOLERANCE), None),
        (
            rule("192.0.0.0/16", "mon-a", week),
            Some("may add /24 at widest: 192.0.0.0/16 is wider"),
        ),
        (
            rule("2001:db8::/47", "mon-a", week),
            Some("may add /48 at widest: 2001:db8::/47 is wider"),
        ),
        (
            rule("192.0.2.7/32", "sshd", week),
            Some("may add and delete rules tagged mon-* only, not sshd"),
        ),
        (
            rule("192.0.2.7/32", "", week),
            Some("may add and delete rules tagged mon-* only, not without a tag"),
        ),
        (
            rule("192.0.2.7/32", "mon-a", 0),
            Some("may add rules for 7d at most: this one never expires"),
        ),
        (
            rule("192.0.2.7/32", "mon-a", NOW + 30 * 86_400),
            Some("may add rules for 7d at most: this one lasts 30d"),
        ),
    ] {
        let refused = scope.add(&asked, NOW).err().map(|r| r.to_string());
        assert_eq!(refused.as_deref(), told, "{asked:?}");
    }
    let far = scope.add(&rule("192.0.2.7/32", "mon-a", u64::MAX), NOW);
    assert!(far.is_err(), "which means never to some programs");
    assert_eq!(scope.policy(Policy::Drop), Ok(()));
    let told = scope.policy(Policy::Ignore).unwrap_err().to_string();
    assert_eq!(told, "may change drop only");
}

#[test]
fn limits_of_the_token_alone_are_no_scope() {
    let limits = ClientLimits {
        token_lifetime: Some(60),
        ..ClientLimits::default()
    };
    assert!(Scope::of(&limits, Instant::now()).is_none());
}

#[test]
fn a_removal_by_pattern_is_narrowed_and_one_by_a_foreign_tag_refused() {
    let scope = scope(&limits());
    let pattern = |text: &str| {
        text.parse::<TagPattern>()
            .unwrap_or_else(|never| match never {})
    };
    let all = scope.within(pattern("*")).unwrap();
    assert!(all.matches(Some("mon-a")) && !all.matches(Some("sshd")) && !all.matches(None));
    assert!(scope.within(pattern("mon-a,mon-b*")).is_ok());
    let told = scope.within(pattern("mon-a,sshd")).unwrap_err();
    assert!(told.to_string().ends_with("only, not sshd"), "{told}");
    let told = scope.within(pattern("untagged")).unwrap_err();
    assert!(
        told.to_string().ends_with("only, not without a tag"),
        "{told}"
    );
}

#[test]
fn the_rate_fills_up_again_and_says_when() {
    let start = Instant::now();
    let scope = Scope::of(&limits(), start).unwrap();
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(scope.take(59, at(0)), Ok(()));
    assert_eq!(scope.take(1, at(0)), Ok(()));
    let wait = scope.take(10, at(0)).unwrap_err();
    let told = "may add 60 rules a minute: try again in 11 s";
    assert_eq!(wait.to_string(), told);
    assert!(scope.take(10, at(9)).is_err());
    assert_eq!(scope.take(10, at(10)), Ok(()));
    // What was not used in a minute is not saved.
    assert_eq!(scope.take(60, at(1_000)), Ok(()));
    assert!(scope.take(1, at(1_000)).is_err());
    let wait = scope.take(61, at(5_000)).unwrap_err();
    assert_eq!(
        wait.to_string(),
        "may add 60 rules a minute: 61 at once are too many"
    );
    assert_eq!(scope.take(0, at(1_000)), Ok(()));
}

#[test]
fn sets_are_closed_but_for_those_that_are_named() {
    let told = |limits: &ClientLimits, set: &str| {
        let may = scope(limits).set(&set.parse().unwrap());
        may.err().map(|refusal| refusal.to_string())
    };
    let none = "has limits, and may change no set";
    assert_eq!(told(&limits(), "feed-tor").as_deref(), Some(none));
    let limits = ClientLimits {
        sets: Some(vec!["feed-*".to_owned(), "tor".to_owned()]),
        ..limits()
    };
    assert_eq!(told(&limits, "feed-tor"), None);
    assert_eq!(told(&limits, "tor"), None);
    for other in ["Feed-tor", "feeds", "tor2", "x-feed-a"] {
        let expected = format!("may change the sets feed-*, tor only, not {other}");
        assert_eq!(told(&limits, other), Some(expected));
    }
    let scope = scope(&limits);
    assert_eq!(scope.width("192.0.2.0/24".parse().unwrap()), Ok(()));
    assert!(scope.width("2001:db8::/47".parse().unwrap()).is_err());
}

/// What the documentation says, word by word.
fn oracle(limits: &ClientLimits, policy: Policy, rule: &ClaimRequest) -> bool {
    let policies = limits.policies.as_deref().unwrap_or(&Policy::ALL);
    let tag = rule.tag.as_ref().map_or("untagged", Tag::as_str);
    let tags = limits.tags.as_ref();
    let tagged = tags.is_none_or(|tags| tags.iter().any(|glob| glob_matches(glob, tag)));
    let host_bits = if rule.cidr.is_ipv4() { 32 } else { 128 } - u32::from(rule.cidr.prefix());
    let most = match (rule.cidr.is_ipv4(), limits.widest_ipv4, limits.widest_ipv6) {
        (true, Some(prefix), _) => 32 - u32::from(prefix),
        (false, _, Some(prefix)) => 128 - u32::from(prefix),
        _ => 128,
    };
    let ends = rule.expiration != 0;
    let in_time = limits.longest.is_none_or(|longest| {
        ends && u128::from(rule.expiration) <= u128::from(NOW) + u128::from(longest) + 60
    });
    policies.contains(&policy) && tagged && host_bits <= most && in_time
}

prop_compose! {
    fn any_limits()(
        policies in option::of(select(vec![vec![Policy::Drop], vec![Policy::Ignore], vec![Policy::Drop, Policy::Ignore]])),
        tags in option::of(vec("[ab*]{1,4}|untagged", 1..4)),
        widest_ipv4 in option::of(0_u8..=32),
        widest_ipv6 in option::of(0_u8..=128),
        longest in option::of(1_u64..200),
    ) -> ClientLimits {
        ClientLimits { policies, tags, sets: None, widest_ipv4, widest_ipv6, longest, adds_per_minute: None, token_lifetime: None }
    }
}

prop_compose! {
    fn any_rule()(
        v4 in any::<bool>(), bits in any::<u128>(), prefix in 0_u8..=128, tag in "[ab]{0,4}",
        expiration in prop_oneof![Just(0), NOW..NOW + 400, Just(u64::MAX)],
    ) -> ClaimRequest {
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let cidr = if v4 {
            Cidr::new(std::net::Ipv4Addr::from(bits as u32).into(), prefix % 33)
        } else {
            // Not within ::ffff:0:0/96, which is IPv4.
            Cidr::new(std::net::Ipv6Addr::from(bits | 1 << 125).into(), prefix)
        };
        ClaimRequest { cidr: cidr.unwrap(), tag: Tag::parse(&tag).unwrap(), expiration }
    }
}

proptest! {
    #[test]
    fn decisions_are_those_of_the_documentation(
        limits in any_limits(), policy in select(vec![Policy::Drop, Policy::Ignore]), rule in any_rule(),
    ) {
        let decided = Scope::of(&limits, Instant::now()).is_none_or(|scope| {
            scope.policy(policy).is_ok() && scope.add(&rule, NOW).is_ok()
        });
        prop_assert_eq!(decided, oracle(&limits, policy, &rule));
    }

    /// What a pattern means within a scope is what both mean, tag by tag.
    #[test]
    fn a_narrowed_pattern_is_the_intersection(
        own in vec("[ab*]{1,4}", 1..4), asked in vec("[ab*]{1,4}", 1..4), tag in option::of("[ab]{1,4}"),
    ) {
        let limits = ClientLimits { tags: Some(own.clone()), ..ClientLimits::default() };
        let pattern: TagPattern = asked.join(",").parse().unwrap_or_else(|never| match never {});
        let text = tag.as_deref().unwrap_or("untagged");
        let means = |globs: &[String]| globs.iter().any(|glob| glob_matches(glob, text));
        match scope(&limits).within(pattern) {
            Ok(narrowed) => {
                prop_assert_eq!(narrowed.matches(tag.as_deref()), means(&own) && means(&asked));
            }
            Err(_) => {
                let is_foreign = |name: &String| {
                    !name.contains('*') && !own.iter().any(|glob| glob_matches(glob, name))
                };
                prop_assert!(asked.iter().any(is_foreign));
            }
        }
    }

    /// Within any minute no more than twice the rate (a full bucket, and what flows in), and never less than asked for
    /// by a client that keeps to it.
    #[test]
    fn the_rate_is_kept(rate in 1_u32..200, steps in vec((0_u64..5_000, 1_usize..20), 1..200)) {
        let start = Instant::now();
        let limits = ClientLimits { adds_per_minute: Some(rate), ..ClientLimits::default() };
        let scope = Scope::of(&limits, start).unwrap();
        let (mut millis, mut taken, mut tokens) = (0_u64, Vec::new(), f64::from(rate));
        for (pause, adds) in steps {
            millis += pause;
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            {
                let flown = f64::from(rate) * pause as f64 / 60_000.0;
                tokens = f64::from(rate).min(tokens + flown);
            }
            let now = start + Duration::from_millis(millis);
            let adds = adds.min(rate as usize);
            let may = scope.take(adds, now).is_ok();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let short = adds as f64 - tokens;
            // The oracle rounds: a difference within a millionth of a rule decides nothing.
            if short.abs() > 1e-6 {
                prop_assert_eq!(may, short < 0.0, "{} of {}", adds, tokens);
            }
            if may {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                { tokens -= adds as f64; }
                taken.push((millis, adds));
            }
        }
        for (at, _) in &taken {
            let within = taken.iter().filter(|(t, _)| (*at..at + 60_000).contains(t));
            let sum: usize = within.map(|(_, adds)| adds).sum();
            prop_assert!(sum <= 2 * rate as usize, "{sum} in a minute");
        }
    }
}
