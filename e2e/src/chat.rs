//! A stand-in for a chat's webhook: takes every POST and keeps what it says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{Netns, wait::patient};

/// What somebody posted.
#[derive(Clone, Debug)]
pub struct Post {
    /// Request line and headers, in lower case.
    pub head: String,
    /// The body.
    pub body: Value,
}

/// A running stand-in, inside of a namespace. It answers 204, as Discord does.
#[derive(Debug)]
pub struct Chat {
    address: SocketAddr,
    posts: Receiver<Post>,
}

impl Post {
    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().skip(1);
        let mut pairs = headers.filter_map(|line| line.split_once(':'));
        pairs.find_map(|(key, value)| (key == name).then_some(value.trim()))
    }
}

impl Chat {
    /// Listens on a free port of the namespace's loopback.
    ///
    /// # Panics
    /// Where it cannot.
    #[must_use]
    pub fn open(netns: &Netns) -> Self {
        let listener = netns.enter(|| TcpListener::bind("127.0.0.1:0").expect("listen"));
        let address = listener.local_addr().expect("an address");
        let (tell, posts) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                thread::spawn(move || while take(&stream, &tell).is_some() {});
            }
        });
        Self { address, posts }
    }

    /// A webhook of it.
    #[must_use]
    pub fn webhook(&self) -> String {
        format!("http://{}/api/webhooks/1/t0ken", self.address)
    }

    /// The next post.
    ///
    /// # Panics
    /// Where none comes in time.
    #[must_use]
    pub fn next(&self, deadline: Duration) -> Post {
        let next = self.posts.recv_timeout(patient(deadline));
        next.unwrap_or_else(|_| panic!("nothing was posted within {deadline:?}"))
    }

    /// What was posted meanwhile.
    #[must_use]
    pub fn rest(&self) -> Vec<Post> {
        self.posts.try_iter().collect()
    }
}

/// Takes one request of a connection. None at its end.
fn take(stream: &TcpStream, tell: &Sender<Post>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut post = Post {
        head: head.to_ascii_lowercase(),
        body: Value::Null,
    };
    let mut body = vec![0; post.header("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    post.body = serde_json::from_slice(&body).ok()?;
    tell.send(post).ok()?;
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()
}
