//! The request on whose behalf a thread changes rules: its id and origin, for the audit log.
//!
//! A property of the thread, not an argument: a request changes rules through a dozen calls, libraries and all, and each
//! event carries it without one of them knowing.

use std::{
    cell::RefCell,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use couic_common::ClientName;

/// A request, as the audit log identifies it.
#[derive(Debug)]
pub struct Request {
    /// Its id: printable ASCII without quotes and backslashes.
    pub id: String,
    /// The user and the process at the other end of the socket.
    pub peer: Option<(u32, Option<i32>)>,
    /// The address that a proxy in front of the socket forwards.
    pub forwarded: Option<IpAddr>,
    /// The client, once it is known.
    pub client: OnceLock<ClientName>,
    answered: AtomicBool,
}

thread_local!(static CURRENT: RefCell<Option<Arc<Request>>> = const { RefCell::new(None) });

impl Request {
    /// A request that is not answered yet.
    #[must_use]
    pub const fn new(
        id: String,
        peer: Option<(u32, Option<i32>)>,
        forwarded: Option<IpAddr>,
    ) -> Self {
        Self {
            id,
            peer,
            forwarded,
            client: OnceLock::new(),
            answered: AtomicBool::new(false),
        }
    }

    /// To be called after its last change.
    pub fn answer(&self) {
        self.answered.store(true, Ordering::Release);
    }

    /// Whether it changes nothing any more.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }

    /// The request on whose behalf this thread works.
    #[must_use]
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Works on behalf of a request. None is for work that nobody asked for.
    pub fn on_behalf<T>(request: Option<&Arc<Self>>, work: impl FnOnce() -> T) -> T {
        /// Also if `work` panics.
        struct Restore(Option<Arc<Request>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _before = Restore(CURRENT.replace(request.cloned()));
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_works_for_one_request_at_a_time_and_for_none_after() {
        let request = |id: &str| Arc::new(Request::new(id.to_owned(), None, None));
        let id = || Request::current().map(|request| request.id.clone());
        let (outer, inner) = (request("outer"), request("inner"));
        Request::on_behalf(Some(&outer), || {
            Request::on_behalf(Some(&inner), || assert_eq!(id().as_deref(), Some("inner")));
            Request::on_behalf(None, || assert_eq!(id(), None));
            let panicked = std::panic::catch_unwind(|| {
                Request::on_behalf(Some(&inner), || panic!("a handler"));
            });
            assert!(panicked.is_err());
            assert_eq!(id().as_deref(), Some("outer"));
        });
        assert_eq!(id(), None);
        outer.answer();
        assert!(outer.is_answered() && !inner.is_answered());
    }
}
