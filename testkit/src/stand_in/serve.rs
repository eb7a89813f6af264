//! Serves one connection of a stand-in.

use std::{
    io::{self, Read, Write},
    sync::atomic::Ordering,
    thread,
};

use super::{
    Reply, Request,
    record::Shared,
    reply::{answer, half},
};
use crate::{
    message::{Message, header},
    stream::Stream,
};

/// The largest request: a larger one is a bug of the test.
const MAX_REQUEST: usize = 64 << 20;

/// Serves without TLS.
pub(super) fn plain(mut stream: Stream, shared: &Shared) -> io::Result<()> {
    let below = stream.try_clone()?;
    serve(&mut stream, &below, shared)
}

/// Serves `stream`; `below` is the underlying connection.
fn serve(stream: &mut (impl Read + Write), below: &Stream, shared: &Shared) -> io::Result<()> {
    let mut unread = Vec::new();
    while let Some(request) = read_request(stream, &mut unread)? {
        let last = header(&request.head, "connection") == Some("close");
        let mut reply = shared.record(request);
        while let Reply::After(time, then) = reply {
            thread::sleep(time);
            reply = *then;
        }
        match reply {
            Reply::Answer {
                status,
                headers,
                body,
            } => stream.write_all(&answer(status, &headers, &body))?,
            Reply::Raw(bytes) => return stream.write_all(&bytes),
            Reply::Reset => return below.reset_on_close(),
            Reply::Hang | Reply::After(..) => return drain(stream),
            Reply::Close => return Ok(()),
            Reply::HangInBody(status) => {
                stream.write_all(&half(status))?;
                return drain(stream);
            }
            Reply::Gigabyte(status) => return gigabyte(stream, status, shared),
        }
        if last {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads until the client closes.
fn drain(stream: &mut impl Read) -> io::Result<()> {
    io::copy(stream, &mut io::sink()).map(|_| ())
}

fn gigabyte(stream: &mut impl Write, status: u16, shared: &Shared) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 1000000000\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let chunk = vec![b'x'; 1_000_000];
    for _ in 0..1_000 {
        stream.write_all(&chunk)?;
        shared.sent.fetch_add(1_000_000, Ordering::SeqCst);
    }
    Ok(())
}

/// The next request of a connection; `None` at its end.
fn read_request(stream: &mut impl Read, unread: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        if let Some(found) = Message::find(unread) {
            let head = String::from_utf8_lossy(&unread[..found.head]).into_owned();
            let body = found.body_of(unread);
            unread.drain(..found.end);
            return Ok(Some(Request { head, body }));
        }
        let read = stream.read(&mut buffer)?;
        if read == 0 || unread.len() > MAX_REQUEST {
            return Ok(None);
        }
        unread.extend_from_slice(&buffer[..read]);
    }
}

/// Serves over TLS with a certificate and its key in PEM.
#[cfg(feature = "tls")]
pub(super) fn with_tls(
    certificate: &[u8],
    key: &[u8],
) -> impl Fn(Stream, &Shared) -> io::Result<()> + Send + Sync + 'static {
    use std::sync::Arc;

    use rustls::{
        ServerConfig, ServerConnection, StreamOwned,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    };

    let certificate = CertificateDer::from_pem_slice(certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(key).expect("a private key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate with its key");
    let config = Arc::new(config);
    move |stream, shared| {
        let below = stream.try_clone()?;
        let session = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, stream);
        let served = serve(&mut stream, &below, shared);
        stream.conn.send_close_notify();
        stream.flush().and(served)
    }
}
