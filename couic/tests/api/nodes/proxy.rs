//! A node behind a proxy with a body limit of its own.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use couic_common::PeerState;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{UnixListener, UnixStream},
};

use super::{Node, client, until};

/// Two nodes that list each other, `b` behind a proxy that `way` puts in front of its socket.
fn pair(way: impl Fn(PathBuf) -> PathBuf) -> (Node, Node) {
    let (mut a, mut b) = (Node::new(&["b"]), Node::new(&["a"]));
    let to_b = client(&way(b.socket.clone()), b.token("a"));
    let to_a = client(&a.socket, a.token("b"));
    a.talk_to(vec![to_b]);
    b.talk_to(vec![to_a]);
    until("they answer", || {
        a.peer(0).state == PeerState::InSync && b.peer(0).state == PeerState::InSync
    });
    (a, b)
}

/// A proxy that refuses bodies larger than `most` with a 413 in HTML.
fn narrow(upstream: PathBuf, most: usize, refused: Arc<AtomicUsize>) -> PathBuf {
    let path = upstream.with_file_name("narrow");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(relay(stream, upstream.clone(), most, Arc::clone(&refused)));
        }
    });
    path
}

async fn relay(mut stream: UnixStream, upstream: PathBuf, most: usize, refused: Arc<AtomicUsize>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    let length = text
        .lines()
        .find_map(|l| l.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    if length > most {
        refused.fetch_add(1, Ordering::SeqCst);
        let page = "<html>413</html>";
        let answer = format!(
            "HTTP/1.1 413 Request Entity Too Large\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{page}",
            page.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
        // Until the sender has read it.
        let _ = copy(&mut stream, &mut tokio::io::sink()).await;
        return;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let head = text.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1);
    let mut there = UnixStream::connect(&upstream).await.unwrap();
    there.write_all(head.as_bytes()).await.unwrap();
    there.write_all(&body).await.unwrap();
    let _ = copy(&mut there, &mut stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_adapt_to_the_body_limit_of_a_proxy() {
    let refused = Arc::<AtomicUsize>::default();
    let way = |socket| narrow(socket, 20_000, Arc::clone(&refused));
    let (a, b) = pair(way);
    a.add(0..5_000);
    until("all have arrived", || b.count() == 5_000);
    assert!(refused.load(Ordering::SeqCst) > 0, "nothing was too large");
    b.add(5_000..10_000);
    until("and back", || a.count() == 10_000);
}
