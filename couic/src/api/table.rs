//! Finds the operation of a request in the route table.
//!
//! Only this module decides between 404 (no such path) and 405 (no such method on that path), before any other check.

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

/// The most segments of a route.
const MAX_PARTS: usize = 4;

/// A path and its operations.
pub(super) struct Path {
    /// As in OpenAPI documents: `/v1/{policy}/peer`. If two patterns match a path, the first one in the table wins.
    pub(super) pattern: &'static str,
    pub(super) operations: &'static [Operation],
}

/// A method on a path.
pub(super) struct Operation {
    pub(super) verb: Verb,
    pub(super) access: Access,
    pub(super) run: Run,
    /// Whether it accepts `Couic-Confirm-Within`.
    pub(super) confirmable: bool,
    /// Whether it asks for the limits of the client, which one with limits may not use otherwise unless it reads.
    pub(super) scoped: bool,
    pub(super) doc: Doc,
}

/// The methods that routes use. `HEAD` is served like `GET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

/// Who may call an operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    /// Any caller, without a token.
    Open,
    /// Every client.
    Any,
    /// Clients whose group has all of these rights.
    Rights(&'static [Right]),
}

/// How a handler runs.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// On the connection's thread; takes microseconds.
    Inline(fn(&Call) -> Outcome),
    /// With the body, on the connection's thread if it is short.
    Body(fn(&Call, &Body) -> Outcome),
    /// On a blocking thread: may wait for a disk or the kernel.
    Blocking(fn(&Call) -> Outcome),
    /// With the body, on a blocking thread.
    BlockingBody(fn(&Call, &Body) -> Outcome),
    /// Asynchronously: waits for the network.
    Async(fn(Call) -> Pin<Box<dyn Future<Output = Outcome> + Send>>),
    /// While the body is received.
    Batch,
    /// With the body, on a blocking thread; a list is read while it is received.
    SetList,
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

/// A segment of a pattern.
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

/// The segments of a path. One slash at the end is ignored.
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

/// The path that matches a request's.
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
    /// The operation for a method.
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

    /// Parses the variables.
    ///
    /// # Errors
    /// 400 for an invalid value; 404 for an invalid name.
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
            let wrong = |e| Fault::bad_request(format!("in the path: {e}"));
            params.ip = Some(Cidr::parse_address(text).map_err(wrong)?);
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

/// The CIDR of a parsed address and a prefix length. Validated as in bodies: no sign, no leading zero.
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
