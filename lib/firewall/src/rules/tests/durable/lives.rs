//! Many lives of a daemon, against a model of the rules.

use proptest::prelude::*;

use super::{
    super::oracle::{Held, Model, end, network, run, step},
    *,
};

/// The sets that a model has.
fn sets_of(model: &Model) -> SetCatalog {
    let mut loaded: Vec<crate::rules::reload::LoadedSet> = Vec::new();
    for (RuleKey { policy, cidr }, claims) in model {
        for Held { name, .. } in claims.iter().filter(|held| held.rank == 0) {
            let known = loaded
                .iter_mut()
                .find(|set| set.policy == *policy && set.name.as_str() == name);
            match known {
                Some(set) => set.entries.push(*cidr),
                None => loaded.push(crate::rules::reload::LoadedSet {
                    is_suspect: false,
                    is_cut: false,
                    policy: *policy,
                    name: name.parse().unwrap(),
                    entries: vec![*cidr],
                }),
            }
        }
    }
    SetCatalog(loaded)
}

/// Everything that can be asked about a rule, but for when sets were loaded.
fn seen(house: &House) -> Vec<String> {
    let mut seen = Vec::new();
    for policy in Policy::ALL {
        for mut entry in house.firewall.page(policy, None, usize::MAX, None) {
            if entry
                .tag
                .as_ref()
                .is_some_and(|tag| tag.as_str().ends_with(".couic"))
            {
                entry.creation = 0;
            }
            let mut held = house.firewall.all_claims(RuleKey::new(policy, entry.cidr));
            held.retain(|claim| !claim.owner.is_set());
            seen.push(format!("{policy} {entry:?} {held:?}"));
        }
    }
    let slots = house.plane.rules();
    seen.extend(
        slots
            .iter()
            .map(|(key, rule)| format!("{key:?} {}", rule.deadline)),
    );
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After any changes, and any number of kills and snapshots in between, a restart shows the state before it.
    #[test]
    fn a_restart_changes_nothing(
        lives in prop::collection::vec((prop::collection::vec(step(), 1..30), any::<bool>(), 0_u64..8), 1..5),
    ) {
        // In memory if possible: hundreds of runs would wait for the disk.
        let in_memory = tempfile::tempdir_in("/dev/shm");
        let dir = in_memory.or_else(|_| tempfile::tempdir()).unwrap();
        let mut model = Model::new();
        let (mut house, _) = start_plainly(dir.path(), 1000, ROOM);
        for (steps, snapshot, pause) in lives {
            for step in steps {
                run(&house, &mut model, step);
            }
            if snapshot {
                compact(&house);
            }
            house.clock.advance(pause);
            house.firewall.expire_due();
            let now = house.clock.now();
            end(&mut model, now);
            let before = seen(&house);
            let (next, restored) = start(dir.path(), now, ROOM, &sets_of(&model));
            prop_assert_eq!(restored.kept, 0);
            prop_assert_eq!(seen(&next), before);
            for n in 0..24 {
                let ip = network(n).addr();
                prop_assert_eq!(next.firewall.lookup(ip).verdict, next.plane.packet(ip, 60));
            }
            house = next;
        }
    }
}
