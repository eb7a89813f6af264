//! What holds for all lines.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::{Answer, BotsConfig};

#[derive(Clone, Debug)]
struct Line {
    client: u8,
    proxy: bool,
    status: u16,
    injected: u8,
    bot: bool,
    login: bool,
    passed: i64,
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let line = (
        0..24_u8,
        prop::bool::weighted(0.1),
        prop::sample::select(&[200_u16, 401, 404][..]),
        100..110_u8,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.02),
        prop_oneof![20 => 0..5_000_i64, 1 => -7_200_000..7_200_000_i64],
    );
    let line = line.prop_map(
        |(client, proxy, status, injected, bot, login, passed)| Line {
            client,
            proxy,
            status,
            injected,
            bot,
            login,
            passed,
        },
    );
    prop::collection::vec(line, 1..400)
}

/// Even ones IPv4, odd ones IPv6, in few networks.
fn client(n: u8) -> IpAddr {
    let text = if n.is_multiple_of(2) {
        format!("192.0.2.{n}")
    } else {
        format!("2001:db8:0:{n:x}::{n}")
    };
    addr(&text)
}

fn covered(decision: &Decision) -> IpNetwork {
    match decision {
        Decision::Ban(ban) | Decision::Shadow(ban) | Decision::Held(ban, _) => ban.cidr,
        Decision::Ask(ask) => ask.ban.cidr,
    }
}

proptest! {
    #[test]
    fn decisions_are_about_the_client_and_never_cover_who_is_ignored(
        lines in lines(),
        ignored in prop::collection::hash_set(0..24_u8, 0..4),
        widen: bool,
    ) {
        let mut config = config(vec![scan(), login()]);
        config.widen = widen.then(WidenConfig::default);
        config.ignore = ignored.iter().map(|n| IpNetwork::from(client(*n))).collect();
        let mut d = detector(&config);
        let web = d.source("web").unwrap();
        let mut now = NOW;
        let mut seen = HashSet::new();
        for line in lines {
            now += line.passed;
            let from = client(line.client);
            let injected = format!("192.0.2.{} from 203.0.113.{}", line.injected, line.injected);
            let agent = if line.bot { "bingbot" } else { injected.as_str() };
            let event = Event {
                forwarded: injected.as_bytes().into(),
                path: b"/login"[..].into(),
                query: injected.as_bytes().into(),
                user: injected.as_bytes().into(),
                agent: agent.as_bytes().into(),
                login: line.login.then_some(Login::Accepted),
                ..request(line.status, "")
            };
            let who = if line.proxy { Client::Proxy(from) } else { Client::Known(from) };
            seen.extend((!line.proxy).then_some(from));
            let mut decisions = d.observe(web, &event, Some(who), injected.as_bytes(), now);
            for n in 0..decisions.len() {
                if let Decision::Ask(ask) = decisions[n].clone() {
                    decisions.extend(d.answer(ask, Answer::Fake, now));
                }
            }
            prop_assert!(decisions.is_empty() || !line.proxy);
            for decision in &decisions {
                let cidr = covered(decision);
                prop_assert!(cidr.contains(from));
                prop_assert!(widen || cidr.prefix() == 32 || cidr.prefix() == 64);
                prop_assert!(ignored.iter().all(|n| !cidr.contains(client(*n))), "{cidr}");
            }
        }
    }

    /// Text that clients write before, in and behind the fields of a line that an anchored regex reads.
    #[test]
    fn an_anchored_regex_never_takes_an_injected_address(
        user in "( from |bad login of |203\\.0\\.113\\.9|x|<HOST>| port 1|\n|\\$){0,6}",
    ) {
        let mut d = detector(&config(vec![plain()]));
        let message = format!("bad login of {user} from 192.0.2.7");
        let decisions: Vec<Decision> = (0..3).flat_map(|_| d.message(&message, NOW)).collect();
        for decision in decisions {
            prop_assert_eq!(covered(&decision).to_string(), "192.0.2.7/32");
        }
    }

    /// A source is banned only if its own lines, counted exactly, are too many; also with a table of 64 cells, sources
    /// without number, and a clock that is set.
    #[test]
    fn never_a_ban_that_an_exact_count_would_not_give(
        lines in prop::collection::vec((0..2_000_u32, prop_oneof![1 => 0..8_u32, 1 => 8..2_000_u32], 0..2_000_i64), 1..1_500),
        set_back in prop::option::of((0..1_000_usize, 2_000..100_000_000_i64)),
    ) {
        let mut config = config(vec![JailConfig { cells: 64, rate: "4 per 20s".into(), ..scan() }]);
        config.guard.siege = true;
        config.bots = BotsConfig { verify: false, ..BotsConfig::default() };
        let mut d = detector(&config);
        let (mut now, mut shift) = (NOW, 0);
        let mut exact: HashMap<u32, (f64, i64)> = HashMap::new();
        for (n, (_, source, passed)) in lines.into_iter().enumerate() {
            now += passed;
            if let Some((at, back)) = set_back && at == n {
                shift = back;
            }
            let from = std::net::Ipv4Addr::from_bits(0x0a00_0000 + source * 65_537).to_string();
            let (level, last) = exact.entry(source).or_insert((0.0, now));
            *level = (*level - (now - *last) as f64 / 5_000.0).max(0.0) + 1.0;
            *last = now;
            let told = d.status(&from, 404, now - shift);
            // What passed between the two lines around the setting of the clock (2 s at most) does not leak.
            prop_assert!(told.is_empty() || *level > 3.0 - 1e-3 - 0.4 * f64::from(shift != 0));
        }
    }
}
