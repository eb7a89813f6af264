//! One request per route: method, path, query, token, body.

use couic_client::{
    ListQuery, Release,
    common::{
        Cidr, ClientName, EntryRequest, Group, GuardRequest, NotifierName, NotifierState,
        PeerAction, PeerJob, Policy, SetBody, SetName, SetUpdate, Verdict,
    },
};
use couic_testkit::{Reply, StandIn};
use serde_json::json;

use crate::{TOKEN, client};

const ENTRY: &str = r#"{"creation":7,"cidr":"10.0.0.0/8","tag":null,"expiration":0,"later":1}"#;
const STATS: &str = r#"{"drop_cidr_count":2,"ignore_cidr_count":1,"xdp":{
    "XDP_ABORTED":{"rx_packets":0,"rx_bytes":0},"XDP_DROP":{"rx_packets":5,"rx_bytes":300},
    "XDP_PASS":{"rx_packets":1,"rx_bytes":60},"XDP_TX":{"rx_packets":0,"rx_bytes":0},
    "XDP_REDIRECT":{"rx_packets":0,"rx_bytes":0}}"#;

fn request(cidr: &str) -> EntryRequest {
    EntryRequest {
        cidr: cidr.into(),
        expiration: 9,
        tag: Some("a".into()),
        metadata: None,
        force: true,
        guard: Some(GuardRequest {
            protect: vec!["192.0.2.1".parse().unwrap()],
            lift: Vec::new(),
        }),
        ttl: None,
        longer: false,
    }
}

#[tokio::test]
async fn entries() {
    let daemon = StandIn::unix(|seen| match seen.line() {
        "GET /v1/drop" | "GET /v1/drop?tag=a*%2Cb+c&limit=5&after=2001%3Adb8%3A%3A%2F32" => {
            Reply::json(200, format!("[{ENTRY}]"))
        }
        "POST /v1/ignore" => Reply::json(201, ENTRY),
        "GET /v1/drop/2001:db8::/32" => Reply::json(200, ENTRY),
        "DELETE /v1/drop/10.0.0.0/8" => Reply::json(204, ""),
        "DELETE /v1/drop?tag=scan-*" => Reply::json(200, r#"{"removed":3}"#),
        "POST /v1/drop/peer" => Reply::json(201, String::from_utf8(seen.body.clone()).unwrap()),
        other => panic!("{other}"),
    });
    let client = client(&daemon);
    let net: Cidr = "10.0.0.0/8".parse().unwrap();
    let v6: Cidr = "2001:db8::/32".parse().unwrap();

    let all = client.entries(Policy::Drop, &ListQuery::default()).await;
    assert_eq!(all.unwrap()[0].cidr, net);
    let query = ListQuery {
        tag: Some("a*,b c".into()),
        limit: Some(5),
        after: Some(v6),
        owners: false,
    };
    assert_eq!(client.entries(Policy::Drop, &query).await.unwrap().len(), 1);
    let added = client.add(Policy::Ignore, &request("10.1.2.3/8")).await;
    assert_eq!(added.unwrap().creation, 7);
    assert_eq!(client.entry(Policy::Drop, v6).await.unwrap().cidr, net);
    client.delete(Policy::Drop, net).await.unwrap();
    let removed = client.delete_by_tag(Policy::Drop, "scan-*").await.unwrap();
    assert_eq!(removed.removed, 3);
    let job = PeerJob {
        action: PeerAction::Remove,
        entry: request("10.0.0.0/8"),
    };
    let peered = client.peer(Policy::Drop, std::slice::from_ref(&job)).await;
    assert_eq!(peered.unwrap(), [job]);

    let seen = daemon.requests();
    let bearer = format!("Bearer {TOKEN}");
    assert!(
        seen.iter()
            .all(|s| s.header("authorization") == Some(&bearer))
    );
    assert_eq!(
        seen[2].json(),
        json!({"cidr": "10.1.2.3/8", "expiration": 9, "tag": "a", "force": true,
               "guard": {"protect": ["192.0.2.1"]}})
    );
    assert_eq!(seen[2].header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn owners_are_asked_for_and_told() {
    let owner = r#"{"kind":"client","name":"f2b","tag":"sshd","expiration":9}"#;
    let daemon = StandIn::unix(move |seen| match seen.line() {
        "GET /v1/drop?owners=true" => Reply::json(200, "[]"),
        "GET /v1/drop/10.0.0.0/8?owners=true" => {
            let entry = format!(r#"{},"owners":[{owner}]}}"#, &ENTRY[..ENTRY.len() - 1]);
            Reply::json(200, entry)
        }
        "DELETE /v1/drop/10.0.0.0/8?tag=long" => {
            Reply::json(204, "").with("couic-held-by", format!("[{owner}]"))
        }
        "DELETE /v1/drop/10.0.0.0/8?all_owners=true" => Reply::json(204, ""),
        "DELETE /v1/drop?tag=a*&all_owners=true" => {
            Reply::json(200, r#"{"removed":3,"released":2}"#)
        }
        other => panic!("{other}"),
    });
    let client = client(&daemon);
    let net: Cidr = "10.0.0.0/8".parse().unwrap();
    let query = ListQuery {
        owners: true,
        ..ListQuery::default()
    };
    client.entries(Policy::Drop, &query).await.unwrap();
    let entry = client.entry_with_owners(Policy::Drop, net).await.unwrap();
    assert_eq!(entry.owners[0].who(), "client f2b");
    let release = |tag: Option<&str>, all_owners| Release {
        tag: tag.map(str::to_owned),
        all_owners,
        reason: None,
    };
    let (long, all) = (release(Some("long"), false), release(None, true));
    let left = client.release(Policy::Drop, net, &long).await;
    assert_eq!(left.unwrap(), entry.owners);
    let left = client.release(Policy::Drop, net, &all).await;
    assert_eq!(left.unwrap(), []);
    let tagged = release(Some("a*"), true);
    let done = client.release_by_tag(Policy::Drop, &tagged).await;
    assert_eq!(done.unwrap().released, 2);
}

#[tokio::test]
async fn sets() {
    let daemon = StandIn::unix(|seen| match seen.line() {
        "GET /v1/sets/drop" => Reply::json(200, r#"[{"name":"a","entry_count":1,"file_size":9}]"#),
        "POST /v1/sets/drop" => Reply::json(201, "whatever"),
        "PUT /v1/sets/drop/a" => Reply::json(200, ""),
        "GET /v1/sets/drop/a" => Reply::json(200, r#"{"name":"a","entries":["10.0.0.0/8"]}"#),
        "DELETE /v1/sets/drop/a" => Reply::json(200, r#"{"deleted":true,"reload_required":true}"#),
        "POST /v1/sets/reload" => Reply::json(201, r#"{"reload_status":"OK"}"#),
        other => panic!("{other}"),
    });
    let client = client(&daemon);
    let name: SetName = "a".parse().unwrap();
    let entries = vec!["10.0.0.0/8".to_owned()];
    let new = SetBody {
        name: "a".into(),
        entries: entries.clone(),
        force: false,
        guard: None,
    };
    let update = SetUpdate {
        name: None,
        entries,
        force: true,
        guard: Some(GuardRequest::default()),
    };
    let policy = Policy::Drop;

    assert_eq!(client.sets(policy).await.unwrap()[0].file_size, 9);
    client.create_set(policy, &new).await.unwrap();
    client.replace_set(policy, &name, &update).await.unwrap();
    let set = client.set(policy, &name).await.unwrap();
    assert_eq!(set.entries, ["10.0.0.0/8"]);
    assert!(
        client
            .delete_set(policy, &name, false)
            .await
            .unwrap()
            .reload_required
    );
    assert_eq!(client.reload_sets().await.unwrap().reload_status, "OK");

    let body = json!({"name": "a", "entries": ["10.0.0.0/8"]});
    assert_eq!(daemon.requests()[1].json(), body);
    let body = json!({"entries": ["10.0.0.0/8"], "force": true, "guard": {"protect": []}});
    assert_eq!(daemon.requests()[2].json(), body);
    assert!(daemon.requests()[5].body.is_empty());
}

#[tokio::test]
async fn clients() {
    let info = format!(r#"{{"name":"web","group":"clientrw","token":"{TOKEN}"}}"#);
    let daemon = StandIn::tcp(move |seen| match seen.line() {
        "GET /v1/client" => Reply::json(200, format!("[{info}]")),
        "POST /v1/client" => Reply::json(201, info.as_str()),
        "GET /v1/client/web" => Reply::json(200, info.as_str()),
        "DELETE /v1/client/web" => Reply::json(204, ""),
        other => panic!("{other}"),
    });
    let client = client(&daemon);
    let name: ClientName = "web".parse().unwrap();

    assert_eq!(client.clients().await.unwrap()[0].group, Group::ClientRw);
    let made = client.create_client(&name, Group::ClientRw).await.unwrap();
    assert_eq!(made.token.unwrap().to_string(), TOKEN);
    assert_eq!(client.client(&name).await.unwrap().name, name);
    client.delete_client(&name).await.unwrap();
    assert_eq!(
        daemon.requests()[1].json(),
        json!({"name": "web", "group": "clientrw"})
    );
}

#[tokio::test]
async fn figures() {
    let daemon = StandIn::tcp(|seen| match seen.line() {
        "GET /v1/stats" => Reply::json(200, format!("{STATS}}}")),
        "GET /v1/stats/tags/ignore" => Reply::json(
            200,
            r#"{"tags":{"untagged":{"rx_packets":1,"rx_bytes":2}}}"#,
        ),
        "GET /v1/metrics" => Reply::json(
            200,
            format!(r#"{STATS},"drop_tags":{{}},"ignore_tags":{{}}}}"#),
        ),
        "GET /v1/metrics?format=prometheus" => {
            Reply::text(200, "application/openmetrics-text", "# EOF\n")
        }
        "GET /v1/openapi.json" => Reply::json(200, r#"{"openapi":"3.1.0"}"#),
        "GET /v1/lookup/2001:db8::7" => Reply::json(
            200,
            format!(
                r#"{{"ip":"2001:db8::7","verdict":"drop","decided_by":{{"policy":"drop",{},"also_covered_by":[]}}"#,
                &ENTRY[1..]
            ),
        ),
        other => panic!("{other}"),
    });
    let client = client(&daemon);

    assert_eq!(client.stats().await.unwrap().xdp.xdp_drop.rx_bytes, 300);
    let tags = client.tag_stats(Policy::Ignore).await.unwrap().tags;
    assert_eq!(tags["untagged"].rx_packets, 1);
    assert_eq!(client.metrics().await.unwrap().stats.drop_cidr_count, 2);
    assert_eq!(client.metrics_text().await.unwrap(), "# EOF\n");
    assert_eq!(client.openapi().await.unwrap()["openapi"], "3.1.0");
    let lookup = client.lookup("2001:db8::7".parse().unwrap()).await.unwrap();
    assert_eq!(lookup.verdict, Verdict::Drop);
    assert_eq!(lookup.decided_by.unwrap().entry.creation, 7);
}

#[tokio::test]
async fn health_is_asked_without_token_and_down_is_an_answer() {
    const DOWN: &str = r#"{"status":"down","version":"2","interfaces":[],"set_problems":[]}"#;
    let daemon = StandIn::always(503, DOWN);
    let health = client(&daemon).health().await.unwrap();
    assert_eq!(health.version, "2");
    assert_eq!(daemon.only().header("authorization"), None);
}

#[tokio::test]
async fn notifiers() {
    const INFO: &str = r#"{"name":"siem","plugin":"webhook","mode":null,"state":"rate_limited","problems":[],
        "last_error":null,"last_success":null,"next_attempt_secs":3,"queue_events":2,"queue_bytes":300,
        "oldest_age_secs":9,"dead_letters":0,"enqueued":2,"delivered":0,"failed_attempts":4,"attempts":{"retry":4},
        "dropped":0,"merged":0,"dead":0,"restarts":0,"spool":null}"#;
    let daemon = StandIn::unix(|seen| match seen.line() {
        "GET /v1/notifiers" => Reply::json(200, format!("[{INFO}]")),
        "GET /v1/notifiers/siem" | "POST /v1/notifiers/siem/resume" => Reply::json(200, INFO),
        "POST /v1/notifiers/siem/test" => Reply::json(
            200,
            r#"{"name":"siem","delivered":false,"outcome":"busy","http_status":null,"message":"x","took_ms":1}"#,
        ),
        "GET /v1/notifiers/siem/dead?limit=5&after=3" => Reply::json(200, "[]"),
        "POST /v1/notifiers/siem/replay" => Reply::json(200, r#"{"replayed":3}"#),
        "POST /v1/notifiers/siem/replay?key=4" => Reply::json(200, r#"{"replayed":1}"#),
        "DELETE /v1/notifiers/siem/dead?key=all" => Reply::json(200, r#"{"discarded":7}"#),
        "DELETE /v1/notifiers/siem/dead?key=4" => Reply::json(200, r#"{"discarded":1}"#),
        other => panic!("{other}"),
    });
    let client = client(&daemon);
    let siem: NotifierName = "siem".parse().unwrap();
    assert_eq!(client.notifiers().await.unwrap()[0].name, siem);
    let info = client.notifier(&siem).await.unwrap();
    assert_eq!((info.state, info.mode), (NotifierState::RateLimited, None));
    assert_eq!(client.resume_notifier(&siem).await.unwrap(), info);
    let test = client.test_notifier(&siem).await.unwrap();
    assert_eq!((test.delivered, test.outcome.as_str()), (false, "busy"));
    let dead = client.dead_letters(&siem, Some(3), 5).await.unwrap();
    assert!(dead.is_empty());
    for (key, replayed, discarded) in [(None, 3, 7), (Some(4), 1, 1)] {
        let done = client.replay_dead_letters(&siem, key).await.unwrap();
        assert_eq!(done.replayed, replayed);
        let done = client.discard_dead_letters(&siem, key).await.unwrap();
        assert_eq!(done.discarded, discarded);
    }
}
