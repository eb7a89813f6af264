//! Whether a request's body was read: a client whose body was not may still be sending it when it is answered.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

/// A body that remembers its end.
pub(super) struct Watched {
    body: Incoming,
    unread: Arc<AtomicBool>,
}

impl Watched {
    /// The body, and what is true as long as some of it is not read.
    pub(super) fn new(body: Incoming) -> (Self, Arc<AtomicBool>) {
        let unread = Arc::new(AtomicBool::new(!body.is_end_stream()));
        let watched = Self {
            body,
            unread: Arc::clone(&unread),
        };
        (watched, unread)
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.unread.store(false, Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
