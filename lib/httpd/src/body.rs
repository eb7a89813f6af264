//! Reads request bodies: bounded each and in total, and in the time that a client may stall.

use std::{fmt::Display, pin::Pin, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};

/// How much memory an announced length reserves without data. More is reserved as data comes.
const TRUSTED: usize = 1024 * 1024;

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
    /// The client has sent nothing for this long.
    #[error("nothing more of the body came for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The connection failed, for this reason.
    #[error("the body broke off: {0}")]
    Broken(String),
}

/// Limits of bodies.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// The largest body, in bytes. Below 4 GiB.
    pub max: usize,
    /// The maximum of all bodies together, in bytes.
    pub budget: usize,
    /// How long a client may stall within a body.
    pub silence: Duration,
    /// `Some`: a body reserves all of its length before it is read, and waits this long for it. `None`: a body in several
    /// chunks reserves memory as it comes, and is refused when there is none; a single chunk needs none.
    pub wait: Option<Duration>,
}

/// Reads bodies on one budget.
#[derive(Debug)]
pub struct BodyReader {
    limits: BodyLimits,
    room: Arc<Semaphore>,
}

impl BodyReader {
    /// A reader whose whole budget is free.
    #[must_use]
    pub fn new(limits: BodyLimits) -> Self {
        let room = Arc::new(Semaphore::new(limits.budget));
        Self { limits, room }
    }

    /// Reads a body. Its memory counts against the budget until the last clone of the result is dropped.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn read<S: Chunks>(
        &self,
        mut body: Pin<&mut S>,
        announced: Option<u64>,
    ) -> Result<Bytes, BodyError> {
        let BodyLimits { max, silence, .. } = self.limits;
        if announced.is_some_and(|length| length > max as u64) {
            return Err(BodyError::TooLarge(max));
        }
        let announced = announced.and_then(|length| usize::try_from(length).ok());
        let mut whole = if let Some(wait) = self.limits.wait {
            let share = self.wait(announced.unwrap_or(max), wait).await?;
            Whole::new(share, announced.unwrap_or(0))
        } else {
            let Some(first) = next_chunk(body.as_mut(), silence).await? else {
                return Ok(Bytes::new());
            };
            let Some(second) = next_chunk(body.as_mut(), silence).await? else {
                return if first.len() > max {
                    Err(BodyError::TooLarge(max))
                } else {
                    // Not copied.
                    Ok(first)
                };
            };
            let room = announced.unwrap_or(0).min(TRUSTED);
            let room = room.max(first.len() + second.len());
            let mut whole = Whole::new(self.take(room)?, room);
            self.push(&mut whole, &first)?;
            self.push(&mut whole, &second)?;
            whole
        };
        while let Some(chunk) = next_chunk(body.as_mut(), silence).await? {
            self.push(&mut whole, &chunk)?;
        }
        Ok(Bytes::from_owner(whole))
    }

    async fn wait(&self, room: usize, limit: Duration) -> Result<OwnedSemaphorePermit, BodyError> {
        let acquired = Arc::clone(&self.room).acquire_many_owned(permits(room));
        match time::timeout(limit, acquired).await {
            Ok(Ok(share)) => Ok(share),
            _ => Err(BodyError::NoRoom(self.limits.budget)),
        }
    }

    fn take(&self, room: usize) -> Result<OwnedSemaphorePermit, BodyError> {
        let share = Arc::clone(&self.room).try_acquire_many_owned(permits(room));
        share.map_err(|_| BodyError::NoRoom(self.limits.budget))
    }

    fn push(&self, whole: &mut Whole, chunk: &[u8]) -> Result<(), BodyError> {
        let (max, length) = (self.limits.max, whole.bytes.len() + chunk.len());
        if length > max {
            return Err(BodyError::TooLarge(max));
        }
        let share = whole.share.num_permits();
        if length > share {
            let room = length.max(2 * share).min(max);
            whole.share.merge(self.take(room - share)?);
            whole.bytes.reserve(room - whole.bytes.len());
        }
        whole.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

/// One permit is a byte.
fn permits(room: usize) -> u32 {
    u32::try_from(room).unwrap_or(u32::MAX)
}

/// A body that is being put together, with its share of the budget.
struct Whole {
    bytes: BytesMut,
    share: OwnedSemaphorePermit,
}

impl Whole {
    fn new(share: OwnedSemaphorePermit, capacity: usize) -> Self {
        let bytes = BytesMut::with_capacity(capacity);
        Self { bytes, share }
    }
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
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
