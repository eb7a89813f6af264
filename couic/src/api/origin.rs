//! Who sent a request, and under which id: what the audit log says of it.

use std::{
    future::{Future, poll_fn},
    net::IpAddr,
    pin::pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use couic_common::REQUEST_ID_HEADER;
use couic_firewall::rules::Request;
use tokio::net::UnixStream;
use uuid::Uuid;
use warp::http::HeaderMap;

/// The longest id that is taken from a request, in bytes.
const LONGEST: usize = 64;

/// The process at the other end of the socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnixPeer {
    pub(super) uid: u32,
    pub(super) pid: Option<i32>,
}

impl UnixPeer {
    pub(super) fn of(stream: &UnixStream) -> Option<Self> {
        let peer = stream.peer_cred().ok()?;
        Some(Self {
            uid: peer.uid(),
            pid: peer.pid(),
        })
    }
}

/// The request with these headers.
pub(super) fn request(headers: &HeaderMap, peer: Option<UnixPeer>) -> Arc<Request> {
    let given = headers.get(REQUEST_ID_HEADER);
    let given = given.and_then(|value| value.to_str().ok().filter(|id| is_usable(id)));
    let id = given.map_or_else(new_id, str::to_owned);
    let peer = peer.map(|peer| (peer.uid, peer.pid));
    Arc::new(Request::new(id, peer, forwarded(headers)))
}

/// A short token that needs no escaping anywhere.
fn is_usable(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@,".contains(&byte);
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(plain)
}

/// 16 hexadecimal digits: a count, from a random beginning, that does not look like one.
fn new_id() -> String {
    static BEGIN: LazyLock<u64> = LazyLock::new(|| Uuid::new_v4().as_u64_pair().0);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = BEGIN.wrapping_add(COUNT.fetch_add(1, Relaxed));
    // Odd, so that no two counts have the same product.
    format!("{:016x}", count.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The address that the proxy in front of the socket saw: it adds the last one.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back();
    let last = last.or_else(|| headers.get("x-real-ip"))?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

/// Has a future work on behalf of a request, whichever thread polls it.
pub(super) async fn on_behalf<T>(request: &Arc<Request>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| Request::on_behalf(Some(request), || work.as_mut().poll(context))).await
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn a_plain_id_is_taken_and_any_other_replaced() {
        let id = |given: &str| request(&headers("x-request-id", &[given]), None).id.clone();
        for good in ["a", "7f3a-9", "nginx/1:2.3+4=@,_", &"x".repeat(LONGEST)] {
            assert_eq!(id(good), good);
        }
        for bad in ["", "a b", "a\"b", "a\\b", "é", &"x".repeat(LONGEST + 1)] {
            let made = id(bad);
            assert!(
                made.len() == 16 && made.bytes().all(|b| b.is_ascii_hexdigit()),
                "{bad}"
            );
        }
        assert_ne!(id(""), id(""));
    }

    #[test]
    fn the_proxys_address_is_the_last_one() {
        let address = |name, values: &[&str]| forwarded(&headers(name, values));
        let expected = "203.0.113.7".parse().ok();
        assert_eq!(
            address("x-forwarded-for", &["10.0.0.1", "1.2.3.4, 203.0.113.7"]),
            expected
        );
        assert_eq!(address("x-real-ip", &["203.0.113.7"]), expected);
        assert_eq!(address("x-forwarded-for", &["unknown"]), None);
        assert_eq!(address("x-other", &["203.0.113.7"]), None);
    }
}
