//! The protocol of parent and child: frames of a length in four bytes, little endian, and a body.
//!
//! The parent does not trust the child, which runs the plugin's code: frames are bounded, and their content is validated. They
//! go over pipes and not over a [`Channel`](couic_privsep::Channel), so that the child cannot send descriptors.

use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{PluginInfo, PluginStats};
use couic_plugin_api::outcome::Outcome;

/// Largest frame of a child: messages are much shorter.
pub(super) const FROM_CHILD: usize = 256 << 10;
/// Largest frame of a parent.
pub(super) const FROM_PARENT: usize = 64 << 20;

/// How the child creates its instance. The plugin itself is an inherited descriptor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) copy: i32,
    pub(super) path: std::path::PathBuf,
    pub(super) name: String,
    pub(super) config: String,
    pub(super) create_timeout_ms: u64,
    pub(super) max_in_flight: usize,
}

/// An order of the parent.
#[derive(Debug, PartialEq)]
pub(super) enum Order {
    Notify {
        token: u64,
        attempt: u32,
        timeout_ms: u64,
        event: Vec<u8>,
    },
    Cancel {
        token: u64,
    },
}

/// A message of the child.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Started(PluginInfo),
    Refused(String),
    Done {
        token: u64,
        outcome: Outcome,
        stats: PluginStats,
    },
    Log {
        level: u32,
        text: String,
    },
}

const NOTIFY: u8 = 1;
const CANCEL: u8 = 2;
/// Kind, token, attempt, timeout.
const NOTIFY_HEAD: usize = 1 + 8 + 4 + 8;

impl Order {
    /// Not as JSON: the event would have to be escaped.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Notify {
                token,
                attempt,
                timeout_ms,
                event,
            } => {
                let mut body = Vec::with_capacity(NOTIFY_HEAD + event.len());
                body.push(NOTIFY);
                body.extend(token.to_le_bytes());
                body.extend(attempt.to_le_bytes());
                body.extend(timeout_ms.to_le_bytes());
                body.extend(event);
                body
            }
            Self::Cancel { token } => {
                let mut body = vec![CANCEL];
                body.extend(token.to_le_bytes());
                body
            }
        }
    }

    pub(super) fn decode(body: &[u8]) -> io::Result<Self> {
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "an invalid order");
        let (&kind, rest) = body.split_first().ok_or_else(broken)?;
        let (token, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let token = u64::from_le_bytes(*token);
        match kind {
            NOTIFY => {
                let (attempt, rest) = rest.split_first_chunk().ok_or_else(broken)?;
                let (timeout_ms, event) = rest.split_first_chunk().ok_or_else(broken)?;
                Ok(Self::Notify {
                    token,
                    attempt: u32::from_le_bytes(*attempt),
                    timeout_ms: u64::from_le_bytes(*timeout_ms),
                    event: event.to_vec(),
                })
            }
            CANCEL if rest.is_empty() => Ok(Self::Cancel { token }),
            _ => Err(broken()),
        }
    }
}

/// Writes one frame.
pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    // One write, so that the reader wakes up once if it fits into the pipe.
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend(length.to_le_bytes());
    frame.extend(body);
    to.write_all(&frame).await?;
    to.flush().await
}

/// Reads one frame; `None` at the end.
pub(super) async fn receive(
    from: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    };
    let length = u32::from_le_bytes(length) as usize;
    if length > limit {
        let text = format!("a frame of {length} bytes, more than {limit}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok(Some(body))
}

/// Reads one frame of JSON; `None` at the end.
pub(super) async fn receive_json<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> io::Result<Option<T>> {
    let Some(body) = receive(from, limit).await? else {
        return Ok(None);
    };
    let value = serde_json::from_slice(&body)?;
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_round_trip() {
        for order in [
            Order::Notify {
                token: 7,
                attempt: 2,
                timeout_ms: 30_000,
                event: b"{}".to_vec(),
            },
            Order::Notify {
                token: u64::MAX,
                attempt: 0,
                timeout_ms: 0,
                event: Vec::new(),
            },
            Order::Cancel { token: 7 },
        ] {
            assert_eq!(Order::decode(&order.encode()).unwrap(), order);
        }
    }

    #[test]
    fn a_cut_order_is_an_error() {
        let whole = Order::Notify {
            token: 7,
            attempt: 2,
            timeout_ms: 3,
            event: Vec::new(),
        }
        .encode();
        for end in 0..whole.len() {
            assert!(Order::decode(&whole[..end]).is_err(), "{end}");
        }
        assert!(Order::decode(&[9; 40]).is_err());
        assert!(Order::decode(&[CANCEL; 10]).is_err());
    }

    #[tokio::test]
    async fn frames_are_bounded_and_may_end() {
        let mut bytes = Vec::new();
        send(&mut bytes, b"abc").await.unwrap();
        let mut whole = &bytes[..];
        assert_eq!(receive(&mut whole, 3).await.unwrap().unwrap(), b"abc");
        assert!(receive(&mut whole, 3).await.unwrap().is_none());
        assert!(receive(&mut &bytes[..], 2).await.is_err());
        assert!(receive(&mut &bytes[..6], 3).await.is_err());
    }
}
