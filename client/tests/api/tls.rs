//! TLS against a server whose CA the system does not trust.

use couic_client::{Client, ClientError, Endpoint};
use couic_testkit::{Reply, StandIn};

use crate::TOKEN;

const CA: &[u8] = include_bytes!("fixtures/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("fixtures/server.pem");
const KEY: &[u8] = include_bytes!("fixtures/server.key");

fn serve(address: &str) -> (u16, StandIn) {
    let daemon = StandIn::tls(address, (CERTIFICATE, KEY), |_| Reply::json(200, "[]"));
    (daemon.address.unwrap().port(), daemon)
}

#[tokio::test]
async fn a_trusted_authority_by_name_and_by_address() {
    for host in ["localhost", "127.0.0.1"] {
        let (port, daemon) = serve("127.0.0.1");
        let client = Client::builder(Endpoint::tls(host, port))
            .token(TOKEN.parse().unwrap())
            .extra_ca(CA)
            .build()
            .unwrap();
        assert_eq!(client.clients().await.unwrap(), []);
        let asked = daemon.only();
        assert_eq!(asked.line(), "GET /v1/client");
        let token = format!("Bearer {TOKEN}");
        assert_eq!(asked.header("authorization"), Some(&*token));
    }
}

#[tokio::test]
async fn an_unknown_authority_gets_no_token() {
    let (port, daemon) = serve("127.0.0.1");
    let client = Client::builder(Endpoint::tls("localhost", port))
        .token(TOKEN.parse().unwrap())
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            println!("skipped: this machine has no trust store: {error}");
            return;
        }
    };
    let error = client.clients().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("certificate") && text.contains("TLS failed"),
        "{text}"
    );
    assert!(daemon.finish().is_empty());
}

#[tokio::test]
async fn a_wrong_name_gets_no_token() {
    let (port, daemon) = serve("127.0.0.2");
    let client = Client::builder(Endpoint::tls("127.0.0.2", port))
        .token(TOKEN.parse().unwrap())
        .extra_ca(CA)
        .build()
        .unwrap();
    let text = client.clients().await.unwrap_err().to_string();
    assert!(text.contains("not valid for name"), "{text}");
    assert!(daemon.finish().is_empty());
}
