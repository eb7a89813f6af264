//! A server for tests that misbehaves on demand. It speaks to raw sockets, so that it can do what no library would.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A larger request is a fault of the test.
const MAX_REQUEST: usize = 64 << 20;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers.
    Answer {
        /// The status.
        status: u16,
        /// Headers beside the length.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: String,
    },
    /// Resets the connection (RST).
    Reset,
    /// Reads the request and never answers.
    Hang,
    /// Closes without an answer.
    Close,
    /// Promises a body and closes in the middle of it.
    HalfBody(u16),
    /// Answers and never finishes the body.
    HangInBody(u16),
    /// Sends a body of a gigabyte, as far as somebody reads it.
    Gigabyte(u16),
}

/// An answer without headers and body.
#[must_use]
pub fn status(status: u16) -> Reply {
    Reply::Answer {
        status,
        headers: Vec::new(),
        body: String::new(),
    }
}

/// An answer with one header.
#[must_use]
pub fn with_header(status: u16, name: &'static str, value: &str) -> Reply {
    Reply::Answer {
        status,
        headers: vec![(name, value.to_owned())],
        body: String::new(),
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Request line and headers, in lower case.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
    /// What was done with it.
    pub reply: Reply,
}

struct Shared {
    script: Mutex<VecDeque<Reply>>,
    after: Reply,
    requests: watch::Sender<Vec<Request>>,
    sent: AtomicU64,
}

impl Shared {
    /// Requests are in the order of their replies, whichever connections they came on.
    fn record(&self, (head, body): (String, Vec<u8>)) -> Reply {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = script.pop_front().unwrap_or_else(|| self.after.clone());
        let request = Request {
            head,
            body,
            reply: reply.clone(),
        };
        self.requests.send_modify(|all| all.push(request));
        reply
    }
}

/// A running stand-in. It ends when it is dropped.
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl StandIn {
    /// Listens on a free port of the loopback. Plays the script, then `after` for ever.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start(script: impl IntoIterator<Item = Reply>, after: Reply) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            script: Mutex::new(script.into_iter().collect()),
            after,
            requests: watch::Sender::default(),
            sent: AtomicU64::new(0),
        });
        let served = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = Arc::clone(&served);
                // A broken connection is what tests are about.
                tokio::spawn(async move { serve(stream, &served).await.ok() });
            }
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// A URL on it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its address and port.
    #[must_use]
    pub fn address_text(&self) -> String {
        self.address.to_string()
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.borrow().clone()
    }

    /// Waits for so many requests.
    pub async fn wait_requests(&self, count: usize) -> Vec<Request> {
        let mut seen = self.shared.requests.subscribe();
        match seen.wait_for(|all| all.len() >= count).await {
            Ok(all) => all.clone(),
            Err(_) => Vec::new(),
        }
    }

    /// Bytes of gigabyte bodies that were taken from it.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        match shared.record(request) {
            Reply::Answer {
                status,
                headers,
                body,
            } => {
                let mut head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                stream
                    .write_all(format!("{head}\r\n{body}").as_bytes())
                    .await?;
            }
            Reply::Reset => {
                #[expect(
                    deprecated,
                    reason = "a linger of zero blocks nobody: it is how to send RST"
                )]
                stream.set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            Reply::Hang => std::future::pending().await,
            Reply::Close => return Ok(()),
            Reply::HalfBody(status) => {
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 100\r\n\r\nhalf");
                return stream.write_all(head.as_bytes()).await;
            }
            Reply::HangInBody(status) => {
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 100\r\n\r\nhalf");
                stream.write_all(head.as_bytes()).await?;
                std::future::pending::<()>().await;
            }
            Reply::Gigabyte(status) => return gigabyte(&mut stream, status, &shared.sent).await,
        }
    }
    Ok(())
}

async fn gigabyte(stream: &mut TcpStream, status: u16, sent: &AtomicU64) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 1000000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..954 {
        stream.write_all(&chunk).await?;
        sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
    }
    Ok(())
}

/// Head and body of the connection's next request, if there is one.
async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(String, Vec<u8>)>> {
    loop {
        if let Some(request) = split_request(buffer) {
            return Ok(Some(request));
        }
        if buffer.len() > MAX_REQUEST || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Takes a whole request out of the buffer, if there is one.
fn split_request(buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    if buffer.len() < end + length {
        return None;
    }
    let rest = buffer.split_off(end + length);
    let mut request = std::mem::replace(buffer, rest);
    let body = request.split_off(end);
    Some((head, body))
}
