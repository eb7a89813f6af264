//! Random changes against a simple oracle: whatever was accepted, no needed address ends up dropped at any time.

use proptest::prelude::*;

use super::*;

/// Times at which verdicts are asked: between all expirations that are used.
const TIMES: [u64; 4] = [NOW + 5, NOW + 15, NOW + 25, NOW + 1_000];

#[derive(Clone, Debug)]
enum Step {
    Add(Policy, Cidr, u64),
    Remove(Policy, Cidr),
}

/// Networks around the needed 192.0.2.2.
fn network() -> impl Strategy<Value = Cidr> {
    (0_u8..4, 28_u8..=32).prop_map(|(last, len)| cidr(&format!("192.0.2.{last}/{len}")))
}

fn step() -> impl Strategy<Value = Step> {
    let policy = || prop::sample::select(vec![Policy::Drop, Policy::Ignore]);
    let until = prop::sample::select(vec![0, NOW + 10, NOW + 20, NOW + 30]);
    prop_oneof![
        3 => (policy(), network(), until).prop_map(|(p, c, u)| Step::Add(p, c, u)),
        1 => (policy(), network()).prop_map(|(p, c)| Step::Remove(p, c)),
    ]
}

/// Rules with their ends: the whole model.
type Model = std::collections::BTreeMap<(bool, Cidr), u64>;

fn is_dropped(model: &Model, ip: IpAddr, at: u64) -> bool {
    let covers = |is_drop| {
        let mut rules = model
            .iter()
            .filter(|((drop, cidr), _)| *drop == is_drop && cidr.contains(ip));
        rules.any(|(_, until)| *until == 0 || *until > at)
    };
    covers(true) && !covers(false)
}

proptest! {
    #[test]
    fn no_needed_address_is_dropped_by_accepted_changes(steps in prop::collection::vec(step(), 1..60)) {
        let needs: &[(Rail, &str)] = &[(Rail::Host, "192.0.2.2")];
        let guard = Guard::with_source(true, Rails::default(), Box::new(Host(needs, Arc::default())));
        let (firewall, actor) = (firewall(), client());
        let needed: IpAddr = "192.0.2.2".parse().unwrap();
        let mut model = Model::new();
        for step in steps {
            let check = guard.for_request(None);
            let (policy, cidr, after) = match step {
                Step::Add(policy, cidr, until) => (policy, cidr, Some(until)),
                Step::Remove(policy, cidr) => (policy, cidr, None),
            };
            let key = RuleKey::new(policy, cidr);
            let (change, job) = match after {
                Some(expiration) => (
                    Change::Add(key, &ClaimScope::OWN, &actor, expiration),
                    Job::Add(ClaimRequest { cidr, tag: None, expiration }, None),
                ),
                None => (
                    Change::Remove(key, &ClaimScope::OWN, &actor),
                    Job::Remove(cidr, ClaimScope::OWN, None),
                ),
            };
            let mut next = model.clone();
            match after {
                Some(until) => next.insert((policy == Policy::Drop, cidr), until),
                None => next.remove(&(policy == Policy::Drop, cidr)),
            };
            let harm = TIMES.iter().any(|at| is_dropped(&next, needed, *at));
            let accepted = check.judge(&firewall, &[change]).is_ok();
            prop_assert_eq!(accepted, !harm, "{:?} over {:?}", change, model);
            if accepted {
                firewall.apply(policy, vec![job], &actor);
                model = next;
            }
        }
    }
}
