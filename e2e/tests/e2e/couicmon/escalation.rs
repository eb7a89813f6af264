//! Bans that become longer and wider: the ladder for who comes back, a whole network once enough of it offends.

use std::path::Path;

use couic_e2e::{HOST_V4, Monitor, until};
use couic_testkit::{LONG, unix_now};
use tempfile::TempDir;

use super::{OFFENDER, SCAN, VISITOR, ask, banned, crowded, only, servers::nginx, until_dropped};

/// Bans at the fifth missing page, for so long.
fn missing(dir: &Path, ban: &str) -> String {
    format!(
        "[source.web]\nfile = \"{}/access.log\"\nformat = \"combined\"\n\
         [jail.missing]\nsource = \"web\"\nstatus = [404]\nrate = \"5 per 1h\"\nban = \"{ban}\"\n",
        dir.display()
    )
}

#[test]
fn an_offender_that_comes_back_is_banned_for_longer() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some(_nginx) = nginx(&lab, dir.path(), "") else {
        return;
    };
    let daemon = lab.monitored_daemon().start();
    let config = missing(dir.path(), "2s") + "[ladder]\nfactor = 600\n";
    let monitor = Monitor::start(&lab, &daemon, dir.path(), &config);
    let _ = ask(&lab, OFFENDER, &SCAN[..8], &[]);
    until("the daemon has the ban", LONG, || {
        (monitor.figure("couicmon_applied_bans_total") >= 1.0).then_some(())
    });
    until("the short ban is over", LONG, || {
        (banned(&daemon).is_empty() && lab.ping_from(HOST_V4, Some(OFFENDER))).then_some(())
    });
    let _ = ask(&lab, OFFENDER, &SCAN[8..16], &[]);
    until_dropped(&lab, OFFENDER);
    let rules = daemon.api().get("/v1/drop");
    let left = rules[0]["expiration"].as_f64().unwrap() - unix_now();
    assert!((300.0..=1_200.0).contains(&left), "{left}: {rules}");
}

#[test]
fn a_network_of_offenders_is_dropped_as_a_whole_unless_a_visitor_shares_it() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some(_nginx) = nginx(&lab, dir.path(), "") else {
        return;
    };
    let daemon = lab.monitored_daemon().start();
    let config =
        missing(dir.path(), "10m") + "[widen]\nafter = 4\nshare = 0.6\n[guard]\nshare = 1.0\n";
    let _monitor = Monitor::start(&lab, &daemon, dir.path(), &config);
    // As many of the second network behave as offend.
    let behaving = ["203.0.113.50", VISITOR, "203.0.113.11", "203.0.113.12"];
    for source in behaving {
        assert_eq!(ask(&lab, source, &["/good"], &[]), [200]);
    }
    for last in 1..=4 {
        let sources = [format!("203.0.113.{last}"), format!("198.51.100.{last}")];
        for source in &sources {
            let _ = ask(&lab, source, &SCAN[..8], &[]);
            until_dropped(&lab, source);
        }
    }
    // One that has never asked for anything.
    until_dropped(&lab, "198.51.100.200");
    for source in behaving {
        assert_eq!(ask(&lab, source, &["/good"], &[]), [200]);
    }
    let single: Vec<String> = (1..=4).map(|last| format!("203.0.113.{last}")).collect();
    let single: Vec<&str> = single.iter().map(String::as_str).collect();
    let second: Vec<String> = banned(&daemon)
        .into_iter()
        .filter(|cidr| cidr.starts_with("203."))
        .collect();
    assert_eq!(second, only(&single).into_iter().collect::<Vec<_>>());
    assert!(banned(&daemon).contains("198.51.100.0/24"));
}
