//! Panics of notifiers become errors: at the call, and in every poll of the returned future. For hosts; what
//! [`export_notifier!`](crate::export_notifier) exports catches them already.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use crate::NotifyError;

/// The message of a panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

fn panicked(payload: &(dyn Any + Send)) -> NotifyError {
    NotifyError::Panic {
        message: panic_text(payload),
    }
}

/// Runs what `start` returns. After a panic the future is not polled again.
///
/// # Errors
/// [`NotifyError::Panic`] with the panic's message, or the future's own error.
pub async fn catch<T, F>(start: impl FnOnce() -> F) -> Result<T, NotifyError>
where
    F: Future<Output = Result<T, NotifyError>>,
{
    let started = catch_unwind(AssertUnwindSafe(start));
    let mut future = pin!(started.map_err(|payload| panicked(&*payload))?);
    poll_fn(|context| {
        let poll = AssertUnwindSafe(|| future.as_mut().poll(context));
        catch_unwind(poll).unwrap_or_else(|payload| Poll::Ready(Err(panicked(&*payload))))
    })
    .await
}
