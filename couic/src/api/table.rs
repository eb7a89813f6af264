//! Finding the operation that a request asks for.
//!
//! The table in `routes` says all there is to say about a route; this is what reads it. It alone decides between 404
//! (no such path) and 405 (no such method on that path), before anything else is looked at.

use std::{array, future::Future, pin::Pin, sync::LazyLock};

use couic_common::Cidr;
use warp::http::{Method, StatusCode};

use super::{
    answer::Outcome,
    body::Body,
    call::{Call, Params, decoded},
    error::Fault,
    openapi::Doc,
    routes,
};
use crate::rbac::Right;

/// No route has more parts than this.
const MAX_PARTS: usize = 4;

/// A path and what is served on it.
pub(super) struct Path {
    /// As in OpenAPI documents: `/v1/{policy}/peer`. Where two patterns fit a path, the first one in the table counts.
    pub(super) pattern: &'static str,
    pub(super) operations: &'static [Operation],
}

/// What a method does on a path.
pub(super) struct Operation {
    pub(super) verb: Verb,
    pub(super) access: Access,
    pub(super) run: Run,
    /// Whether it can be undone, where the request wants that.
    pub(super) confirmable: bool,
    pub(super) doc: Doc,
}

/// The methods that routes use. `HEAD` is served wherever `GET` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

/// Who may.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    /// Any caller, without a token.
    Open,
    /// Every client.
    Any,
    /// Clients whose group has all of these rights.
    Rights(&'static [Right]),
}

/// How the work is done.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// At once; microseconds.
    Inline(fn(&Call) -> Outcome),
    /// With the body, at once where it is short.
    Body(fn(&Call, &Body) -> Outcome),
    /// Where waiting for a disk or the kernel is allowed.
    Blocking(fn(&Call) -> Outcome),
    /// With the body, where waiting is allowed.
    BlockingBody(fn(&Call, &Body) -> Outcome),
    /// While others are served: for what waits for the network.
    Async(fn(Call) -> Pin<Box<dyn Future<Output = Outcome> + Send>>),
    /// While the body comes in.
    Batch,
}

impl Verb {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Get),
            Method::POST => Some(Self::Post),
            Method::PUT => Some(Self::Put),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Word(&'static str),
    Policy,
    Ip,
    Prefix,
    Set,
    Client,
    Notifier,
    Confirmation,
}

impl Part {
    fn of(text: &'static str) -> Self {
        match text {
            "{policy}" => Self::Policy,
            "{ip}" => Self::Ip,
            "{prefix}" => Self::Prefix,
            "{set}" => Self::Set,
            "{client}" => Self::Client,
            "{notifier}" => Self::Notifier,
            "{confirmation}" => Self::Confirmation,
            word => Self::Word(word),
        }
    }

    fn fits(self, text: &str) -> bool {
        match self {
            Self::Word(word) => word == text || (text.contains('%') && decoded(text) == word),
            _ => true,
        }
    }
}

struct Compiled {
    parts: Vec<Part>,
    path: &'static Path,
}

/// The table by number of parts.
static COMPILED: LazyLock<[Vec<Compiled>; MAX_PARTS + 1]> = LazyLock::new(|| {
    let mut table: [Vec<Compiled>; MAX_PARTS + 1] = array::from_fn(|_| Vec::new());
    for path in routes::paths() {
        let parts: Vec<Part> = split(path.pattern).map(Part::of).collect();
        table[parts.len()].push(Compiled { parts, path });
    }
    table
});

/// The parts of a path. One slash at the end is without effect.
fn split(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path).split('/')
}

/// A path that is served.
pub(super) struct Found<'a> {
    pub(super) path: &'static Path,
    pattern: &'static [Part],
    parts: [&'a str; MAX_PARTS],
}

/// The path that a request means.
pub(super) fn find(path: &str) -> Option<Found<'_>> {
    let mut parts = [""; MAX_PARTS];
    let mut count = 0;
    for part in split(path) {
        *parts.get_mut(count)? = part;
        count += 1;
    }
    let fits = |c: &&Compiled| {
        c.parts
            .iter()
            .zip(parts)
            .all(|(part, text)| part.fits(text))
    };
    let found = COMPILED[count].iter().find(fits)?;
    let Compiled {
        parts: pattern,
        path,
    } = found;
    Some(Found {
        path,
        pattern,
        parts,
    })
}

impl Found<'_> {
    /// The operation that the method means.
    ///
    /// # Errors
    /// 405 with the methods that are served.
    pub(super) fn operation(&self, method: &Method) -> Result<&'static Operation, Fault> {
        let verb = Verb::of(method);
        let mut operations = self.path.operations.iter();
        operations
            .find(|operation| Some(operation.verb) == verb)
            .ok_or_else(|| not_served(self.path))
    }

    /// What the variable parts say.
    ///
    /// # Errors
    /// 400 where one cannot be; 404 for a name that nothing can have.
    pub(super) fn params(&self) -> Result<Params, Fault> {
        let mut params = Params::default();
        for (part, text) in self.pattern.iter().zip(self.parts) {
            match part {
                Part::Word(_) => {}
                part => read(*part, &decoded(text), &mut params)?,
            }
        }
        Ok(params)
    }
}

fn read(part: Part, text: &str, params: &mut Params) -> Result<(), Fault> {
    match part {
        Part::Word(_) => {}
        Part::Policy => {
            let policy = text.parse();
            let policy = policy.map_err(|e| Fault::bad_request(format!("in the path: {e}")))?;
            params.policy = Some(policy);
        }
        Part::Ip => {
            let ip = text.parse();
            let wrong = |_| Fault::bad_request("in the path: not an IPv4 or IPv6 address");
            params.ip = Some(ip.map_err(wrong)?);
        }
        Part::Prefix => params.cidr = Some(cidr(params, text)?),
        Part::Set => {
            let wrong = |e| Fault::not_found(format!("there is no such set: {e}"));
            params.set = Some(text.parse().map_err(wrong)?);
        }
        Part::Client => {
            let wrong = |e| Fault::not_found(format!("there is no such client: {e}"));
            params.client = Some(text.parse().map_err(wrong)?);
        }
        Part::Notifier => {
            let wrong = |e| Fault::not_found(format!("there is no such notifier: {e}"));
            params.notifier = Some(text.parse().map_err(wrong)?);
        }
        Part::Confirmation => {
            let wrong = |e| Fault::not_found(format!("there is no such change: {e}"));
            params.confirmation = Some(text.parse().map_err(wrong)?);
        }
    }
    Ok(())
}

/// The CIDR of an address that was read and a prefix length. Judged as in bodies: no sign, no leading zero.
fn cidr(params: &Params, prefix: &str) -> Result<Cidr, Fault> {
    let ip = params.ip.map(|ip| ip.to_string()).unwrap_or_default();
    format!("{ip}/{prefix}")
        .parse()
        .map_err(|e| Fault::bad_request(format!("in the path: {e}")))
}

fn not_served(path: &Path) -> Fault {
    let mut methods = Vec::new();
    for operation in path.operations {
        methods.push(operation.verb.as_str());
        if operation.verb == Verb::Get {
            methods.push("HEAD");
        }
    }
    let methods = methods.join(", ");
    let message = format!("the method is not served on this path: use {methods}");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut fault = Fault::new(status, couic_common::ErrorCode::NotImplemented, message);
    fault.allow = Some(methods);
    fault
}

#[cfg(test)]
mod tests;
