//! Lists: order, filters, pages, NDJSON.

use serde_json::{Value, json};

use crate::support::{Reply, TestApi, start};

async fn filled(count: u32) -> TestApi {
    let test = start();
    let jobs: Vec<Value> = (0..count)
        .map(|i| {
            let tag = if i % 2 == 0 { "even" } else { "odd" };
            let cidr = format!("10.{}.{}.{}/32", i >> 16, i >> 8 & 255, i & 255);
            json!({"action": "add", "entry": {"cidr": cidr, "tag": tag}})
        })
        .collect();
    test.post("/v1/drop/batch", &Value::Array(jobs))
        .await
        .is(200);
    test
}

fn cidrs(reply: &Reply) -> Vec<String> {
    let of = |entry: &Value| entry["cidr"].as_str().unwrap().to_owned();
    reply.json().as_array().unwrap().iter().map(of).collect()
}

#[tokio::test]
async fn an_empty_list_is_an_empty_array() {
    let test = start();
    let reply = test.get("/v1/drop").await.is(200);
    assert_eq!(reply.body, b"[]");
    let lines = test
        .ask("GET", "/v1/drop")
        .header("accept", "application/x-ndjson");
    let reply = warp_lines(lines.send().await);
    assert!(reply.is_empty());
}

fn warp_lines(reply: Reply) -> Vec<Value> {
    assert_eq!(reply.headers["content-type"], "application/x-ndjson");
    let text = String::from_utf8(reply.body).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn lists_are_ordered_by_family_address_and_prefix() {
    let test = start();
    for cidr in [
        "::/0",
        "10.0.0.0/16",
        "9.0.0.0/8",
        "10.0.0.0/8",
        "2001:db8::/32",
    ] {
        test.add("ignore", cidr, None).await;
    }
    let listed = cidrs(&test.get("/v1/ignore").await.is(200));
    assert_eq!(
        listed,
        [
            "9.0.0.0/8",
            "10.0.0.0/8",
            "10.0.0.0/16",
            "::/0",
            "2001:db8::/32"
        ]
    );
}

#[tokio::test]
async fn lists_longer_than_a_page_are_complete() {
    for count in [1023, 1024, 1025, 2048, 5000] {
        let test = filled(count).await;
        let reply = test.get("/v1/drop").await.is(200);
        let listed = cidrs(&reply);
        assert_eq!(listed.len(), count as usize);
        assert!(listed.windows(2).all(|w| {
            let parse = |t: &String| t.parse::<couic_common::Cidr>().unwrap();
            parse(&w[0]) < parse(&w[1])
        }));
        let asked = test
            .ask("GET", "/v1/drop")
            .header("accept", "application/x-ndjson");
        let lines = warp_lines(asked.send().await.is(200));
        assert_eq!(Value::Array(lines), reply.json());
    }
}

#[tokio::test]
async fn limit_and_after_page_through() {
    let test = filled(2500).await;
    let whole = cidrs(&test.get("/v1/drop").await.is(200));
    for limit in [1, 700, 1024, 1025, 2499, 2500, 9999] {
        let mut collected: Vec<String> = Vec::new();
        let mut after = String::new();
        while collected.len() < whole.len() && (limit > 1 || collected.len() < 3) {
            let page = cidrs(
                &test
                    .get(&format!("/v1/drop?limit={limit}{after}"))
                    .await
                    .is(200),
            );
            assert_eq!(page.len(), limit.min(whole.len() - collected.len()));
            after = format!("&after={}", page.last().unwrap().replace('/', "%2F"));
            collected.extend(page);
        }
        assert_eq!(collected, whole[..collected.len()], "limit {limit}");
    }
    let rest = cidrs(&test.get("/v1/drop?after=10.0.9.194/32").await.is(200));
    assert_eq!(rest, ["10.0.9.195/32"]);
    // A cursor does not have to exist.
    let behind = test.get("/v1/drop?after=::/0").await.is(200);
    assert_eq!(behind.body, b"[]");
}

#[tokio::test]
async fn tags_filter() {
    let test = filled(2500).await;
    test.add("drop", "11.0.0.0/8", None).await;
    for (query, count) in [
        ("tag=even", 1250),
        ("tag=e*", 1250),
        ("tag=even,odd", 2500),
        ("tag=*", 2501),
        ("tag=untagged", 1),
        ("tag=nobody", 0),
        ("tag=Even", 0),
        ("tag=odd&limit=7", 7),
        ("tag=odd&limit=1100", 1100),
        ("unknown=1", 2501),
    ] {
        let listed = cidrs(&test.get(&format!("/v1/drop?{query}")).await.is(200));
        assert_eq!(listed.len(), count, "{query}");
    }
}

#[tokio::test]
async fn bad_queries_are_400() {
    let test = start();
    for query in [
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=1.5",
        "after=x",
        "after=1.2.3.4",
        "after=",
    ] {
        test.get(&format!("/v1/drop?{query}"))
            .await
            .error(400, "bad_request");
    }
    // Each alternative is matched against each tag, so their number is limited.
    let many = format!("/v1/drop?tag={}", ["*a*b"; 65].join(","));
    test.get(&many).await.error(400, "bad_request");
    test.delete(&many).await.error(400, "bad_request");
    let most = format!("/v1/drop?tag={}", ["*a*b"; 64].join(","));
    test.get(&most).await.is(200);
    let long = format!("/v1/drop?tag={}", "*a*b,".repeat(1000));
    test.get(&long).await.error(400, "bad_request");
    let reply = test.ask("DELETE", &format!("{long}x")).send().await;
    reply.error(400, "bad_request");
}
