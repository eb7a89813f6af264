//! TLS against a server whose CA the system does not trust.

use std::sync::Arc;

use couic_client::{Client, ClientError, Endpoint};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::support::TOKEN;

const CA: &[u8] = include_bytes!("fixtures/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("fixtures/server.pem");
const KEY: &[u8] = include_bytes!("fixtures/server.key");
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]";

/// Serves one connection. Returns the head of the request, or None if the handshake failed.
async fn serve(address: &str) -> (u16, tokio::task::JoinHandle<Option<String>>) {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(tcp).await.ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        stream.write_all(ANSWER).await.unwrap();
        stream.shutdown().await.unwrap();
        String::from_utf8(head).ok()
    });
    (port, served)
}

#[tokio::test]
async fn a_trusted_authority_by_name_and_by_address() {
    for host in ["localhost", "127.0.0.1"] {
        let (port, served) = serve("127.0.0.1").await;
        let client = Client::builder(Endpoint::tls(host, port))
            .token(TOKEN.parse().unwrap())
            .extra_ca(CA)
            .build()
            .unwrap();
        assert_eq!(client.clients().await.unwrap(), []);
        let head = served.await.unwrap().unwrap();
        assert!(head.starts_with("GET /v1/client HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("authorization: Bearer {TOKEN}")));
    }
}

#[tokio::test]
async fn an_unknown_authority_gets_no_token() {
    let (port, served) = serve("127.0.0.1").await;
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
    assert_eq!(served.await.unwrap(), None);
}

#[tokio::test]
async fn a_wrong_name_gets_no_token() {
    let (port, served) = serve("127.0.0.2").await;
    let client = Client::builder(Endpoint::tls("127.0.0.2", port))
        .token(TOKEN.parse().unwrap())
        .extra_ca(CA)
        .build()
        .unwrap();
    let text = client.clients().await.unwrap_err().to_string();
    assert!(text.contains("not valid for name"), "{text}");
    assert_eq!(served.await.unwrap(), None);
}
