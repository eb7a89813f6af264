//! Reads request bodies: bounded each, of each client, and in total, and in the time that a client may take.
//!
//! Memory is given for what came, not for what was announced, so that a client cannot hold any by promises.

use std::{fmt::Display, pin::Pin, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::time::{self, Instant};

use crate::budget::{BodyOwner, Budget, Room};

/// The slowest body, in bytes a second: what came later than that ends the request.
const MIN_RATE: u64 = 16 * 1024;

/// A request body as it arrives.
pub trait Chunks: Stream<Item = Result<Self::Chunk, Self::Error>> + Send {
    /// A piece of it.
    type Chunk: Buf + Send;
    /// Why it broke off.
    type Error: Display;
}

impl<S, B, E> Chunks for S
where
    S: Stream<Item = Result<B, E>> + Send,
    B: Buf + Send,
    E: Display,
{
    type Chunk = B;
    type Error = E;
}

/// A body was not read. The rest of the request cannot be read either: the answer ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It has more bytes than this maximum.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The bodies of all connections take this many bytes.
    #[error("the bodies of requests in progress take {0} bytes, which is the most")]
    NoRoom(usize),
    /// The bodies of this client's other requests take this many bytes, its share.
    #[error("the bodies of this client's requests in progress take {0} bytes, which is its share")]
    ShareTaken(usize),
    /// The client has sent nothing for this long.
    #[error("nothing more of the body came for {} s", .0.as_secs())]
    Stalled(Duration),
    /// It came slower than [`BodyReader::read`] waits for.
    #[error("the body came slower than {} KiB a second", MIN_RATE / 1024)]
    TooSlow,
    /// The connection failed, for this reason.
    #[error("the body broke off: {0}")]
    Broken(String),
}

/// Limits of bodies.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// The largest body, in bytes.
    pub max: usize,
    /// Bytes of each body that count against nothing: the number of connections bounds them.
    pub free: usize,
    /// The maximum of all bodies together, in bytes.
    pub budget: usize,
    /// The maximum of all bodies of one client that is not trusted.
    pub share: usize,
    /// The part of the budget that only trusted clients take.
    pub reserve: usize,
    /// How long a client may stall within a body, and how much later than 16 KiB a second the body may come.
    pub silence: Duration,
    /// `Some`: a body reserves all of its length once more than `free` came, and waits this long for it. `None`: it
    /// reserves memory as it comes, and is refused when there is none.
    pub wait: Option<Duration>,
}

/// Reads bodies on one budget.
#[derive(Debug)]
pub struct BodyReader {
    limits: BodyLimits,
    budget: Arc<Budget>,
}

impl BodyReader {
    /// A reader whose whole budget is free.
    #[must_use]
    pub fn new(limits: BodyLimits) -> Self {
        let budget = Budget::new(limits);
        Self { limits, budget }
    }

    /// No memory yet, for a body that its reader takes apart while it comes: what it keeps counts like a body.
    #[must_use]
    pub fn room(&self, owner: BodyOwner) -> Room {
        Room::new(&self.budget, owner)
    }

    /// Reads a body. Its memory counts against the budget until the last clone of the result is dropped.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn read<S: Chunks>(
        &self,
        mut body: Pin<&mut S>,
        announced: Option<u64>,
        owner: BodyOwner,
    ) -> Result<Bytes, BodyError> {
        let BodyLimits { max, silence, .. } = self.limits;
        if announced.is_some_and(|length| length > max as u64) {
            return Err(BodyError::TooLarge(max));
        }
        let announced = announced.and_then(|length| usize::try_from(length).ok());
        let mut pace = Pace::new(silence);
        let Some(first) = pace.next_chunk(body.as_mut()).await? else {
            return Ok(Bytes::new());
        };
        let mut whole = Whole {
            bytes: BytesMut::new(),
            room: Room::new(&self.budget, owner),
        };
        let Some(second) = pace.next_chunk(body.as_mut()).await? else {
            if first.len() > max {
                return Err(BodyError::TooLarge(max));
            }
            // Not copied.
            return Ok(first);
        };
        self.push(&mut whole, &first, announced).await?;
        self.push(&mut whole, &second, announced).await?;
        while let Some(chunk) = pace.next_chunk(body.as_mut()).await? {
            self.push(&mut whole, &chunk, announced).await?;
        }
        Ok(Bytes::from_owner(whole))
    }

    async fn push(
        &self,
        whole: &mut Whole,
        chunk: &[u8],
        announced: Option<usize>,
    ) -> Result<(), BodyError> {
        let (max, length) = (self.limits.max, whole.bytes.len() + chunk.len());
        if length > max {
            return Err(BodyError::TooLarge(max));
        }
        if length > self.limits.free.max(whole.room.bytes()) {
            let room = match self.limits.wait {
                None => length.max(2 * whole.bytes.len()).min(max),
                Some(_) => announced.unwrap_or(max).max(length),
            };
            whole.room.grow(room).await?;
            whole.bytes.reserve(room - whole.bytes.len());
        }
        whole.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

/// A body that is being put together, with its room in the budget.
struct Whole {
    bytes: BytesMut,
    room: Room,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The time that a whole body may take: one that trickles would hold its memory and connection for as long as it likes.
#[derive(Debug)]
pub struct Pace {
    silence: Duration,
    start: Instant,
    came: u64,
}

impl Pace {
    /// From now on. The client may stall for `silence`.
    #[must_use]
    pub fn new(silence: Duration) -> Self {
        Self {
            silence,
            start: Instant::now(),
            came: 0,
        }
    }

    /// The next chunk of the body, `None` at its end.
    ///
    /// # Errors
    /// [`BodyError::Stalled`], [`BodyError::TooSlow`], [`BodyError::Broken`].
    pub async fn next_chunk<S: Chunks>(
        &mut self,
        body: Pin<&mut S>,
    ) -> Result<Option<Bytes>, BodyError> {
        let whole = self.silence + Duration::from_millis(self.came * 1000 / MIN_RATE);
        let left = whole.saturating_sub(self.start.elapsed());
        let chunk = next_chunk(body, self.silence.min(left)).await;
        match chunk {
            Err(BodyError::Stalled(_)) if left < self.silence => Err(BodyError::TooSlow),
            Ok(Some(chunk)) => {
                self.came += chunk.len() as u64;
                Ok(Some(chunk))
            }
            other => other,
        }
    }
}

/// The next chunk of a body, `None` at its end. The client may stall for `silence`.
///
/// # Errors
/// [`BodyError::Stalled`], [`BodyError::Broken`].
pub async fn next_chunk<S: Chunks>(
    mut body: Pin<&mut S>,
    silence: Duration,
) -> Result<Option<Bytes>, BodyError> {
    // Mostly the chunk has arrived: no timer then.
    let item = match body.next().now_or_never() {
        Some(item) => item,
        None => time::timeout(silence, body.next())
            .await
            .map_err(|_| BodyError::Stalled(silence))?,
    };
    match item {
        None => Ok(None),
        Some(Ok(mut chunk)) => Ok(Some(chunk.copy_to_bytes(chunk.remaining()))),
        Some(Err(error)) => Err(BodyError::Broken(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
