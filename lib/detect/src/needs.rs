//! Which lines need their request taken apart: for most, the status says that no jail would look at it.

use crate::rules::STATUSES;

/// What the jails of a source look at, for [`Format::parse_for`](crate::Format::parse_for).
#[derive(Clone, Debug)]
pub struct Needs {
    /// Of lines of each status the request.
    requests: Box<[bool; STATUSES]>,
}

impl Needs {
    pub(crate) fn new(request: impl Fn(u16) -> bool) -> Self {
        let mut requests = Box::new([false; STATUSES]);
        for (status, needed) in (0..).zip(requests.iter_mut()) {
            *needed = request(status);
        }
        Self { requests }
    }

    /// Whether method, path, query and host of a line with this status are looked at.
    #[inline]
    pub(crate) fn request(&self, status: u16) -> bool {
        let needed = self.requests.get(usize::from(status));
        needed.copied().unwrap_or(true)
    }
}
