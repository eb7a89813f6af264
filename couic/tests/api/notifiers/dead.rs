//! Dead letters: read by page, replayed, discarded.

use serde_json::json;

use super::{Place, delivered, place, refused};
use crate::support::Reply;

/// Five dead letters, and their keys.
async fn five_dead() -> (Place, Vec<u64>) {
    let place = place();
    place.siem.ends(refused(400));
    for n in 0..5 {
        place.tell(&format!("letter {n}"));
    }
    place.until(|siem| siem["dead_letters"] == 5).await;
    let all = place.dead("").await.is(200).json();
    let all = all.as_array().unwrap().iter();
    let keys = all.map(|letter| letter["key"].as_u64().unwrap()).collect();
    (place, keys)
}

impl Place {
    async fn dead(&self, query: &str) -> Reply {
        let path = format!("/v1/notifiers/siem/dead{query}");
        self.test.get(&path).await
    }

    async fn discard(&self, query: &str) -> Reply {
        let path = format!("/v1/notifiers/siem/dead{query}");
        self.test.delete(&path).await
    }
}

#[tokio::test]
async fn dead_letters_are_read_by_page() {
    let (place, keys) = five_dead().await;
    let all = place.dead("").await.is(200).json();
    let first = &all[0];
    assert_eq!(
        (&first["text"], &first["severity"], &first["reason"]),
        (
            &json!("letter 0"),
            &json!("orange"),
            &json!("the server answered 400")
        )
    );
    let two = place.dead(&format!("?limit=2&after={}", keys[1])).await;
    assert_eq!(two.is(200).json(), json!([all[2], all[3]]));
    let none = place.dead(&format!("?after={}", keys[4])).await;
    assert_eq!(none.is(200).json(), json!([]));
    for bad in ["?limit=0", "?limit=1001", "?limit=x", "?after=-1"] {
        place.dead(bad).await.error(400, "bad_request");
    }
}

#[tokio::test]
async fn dead_letters_are_replayed_and_discarded_one_by_one_or_all() {
    let (place, keys) = five_dead().await;
    let (first, second) = (format!("?key={}", keys[0]), format!("?key={}", keys[1]));
    let gone = place.discard(&first).await.is(200).json();
    assert_eq!(gone, json!({"discarded": 1}));
    place.discard(&first).await.error(404, "not_found");
    for bad in ["", "?kye=1", "?key=", "?key=ALL"] {
        place.discard(bad).await.error(400, "bad_request");
    }
    place.siem.ends(delivered());
    let replay = format!("siem/replay{second}");
    let one = place.post(&replay).await.is(200).json();
    assert_eq!(one, json!({"replayed": 1}));
    place.post(&replay).await.error(404, "not_found");
    let wrong = place.post("siem/replay?key=x").await;
    wrong.error(400, "bad_request");
    let rest = place.post("siem/replay").await.is(200).json();
    assert_eq!(rest, json!({"replayed": 3}));
    let siem = place.until(|siem| siem["delivered"] == 4).await;
    assert_eq!(
        (&siem["dead_letters"], &siem["dead"]),
        (&json!(0), &json!(5))
    );
    let none = place.discard("?key=all").await.is(200).json();
    assert_eq!(none, json!({"discarded": 0}));
}
