//! Log lines of each format, taken apart by hand: no capture regexes, no allocation for a line without escapes.
//!
//! Lines are hostile. Clients write paths, agents, referers, host names, user names, and all of it lands in the log beside
//! the one address that the server wrote. What holds for every format: with a line that a correct writer made, the peer is
//! the address that the writer saw, whatever bytes the client sent. Where a line cannot be read that way it is
//! [`Unparsed`], never guessed. Writers that do not escape (nginx `escape=none`) and names in the place of addresses
//! (Apache `HostnameLookups On`, sshd `UseDNS yes`) are not correct in that sense; names are [`Unparsed::NoAddress`].

mod access;
mod address;
mod clock;
mod container;
mod error;
pub(crate) mod escape;
mod haproxy;
mod has;
mod json_keys;
mod json_text;
mod layout;
mod request;
mod scan;
mod sshd;
mod syslog;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, net::IpAddr};

pub(crate) use self::address::{LOCAL_PEER, address};
use self::{access::Access, clock::Clock, container::Unwrap, json_keys::JsonKeys, layout::Layout};
pub use self::{
    container::Container,
    error::{FormatError, Unparsed},
    json_keys::Field,
};
use crate::{Event, Needs};

/// The names that [`Format::named`] knows.
pub static FORMATS: &[&str] = &[
    "combined",
    "common",
    "vhost_combined",
    "nginx-main",
    "haproxy",
    "caddy-json",
    "traefik-json",
    "nginx-json",
    "sshd",
    "syslog",
    "plain",
];

/// The `log_format main` of the nginx.conf that nginx.org ships.
const NGINX_MAIN: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for""#;

/// How the lines of one stream are read. Keeps a cache and, for containers, the parts of a line: one clone per stream.
#[derive(Clone, Debug)]
pub struct Format {
    kind: Kind,
    reader: Reader,
    syslog: bool,
    container: Option<Unwrap>,
}

#[derive(Clone, Debug)]
enum Kind {
    Access(Access),
    Haproxy,
    Json(JsonKeys),
    Layout(Layout),
    Sshd,
    Text,
}

/// How much of a line there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Line,
    /// Its end is missing.
    Head,
}

/// What all splitters need.
#[derive(Clone, Debug, Default)]
struct Reader {
    clock: Clock,
    unix: bool,
}

impl Format {
    /// One of [`FORMATS`].
    ///
    /// `haproxy` (option httplog), `sshd` and `syslog` take lines with or without a header of syslog. `plain` and
    /// `syslog` have no fields: the event has a `message` and no peer.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (kind, syslog) = match name {
            "combined" => (Kind::Access(Access::Combined), false),
            "common" => (Kind::Access(Access::Common), false),
            "vhost_combined" => (Kind::Access(Access::VhostCombined), false),
            "nginx-main" => return Self::fields(NGINX_MAIN).ok(),
            "haproxy" => (Kind::Haproxy, true),
            "caddy-json" => (Kind::Json(JsonKeys::caddy()?), false),
            "traefik-json" => (Kind::Json(JsonKeys::traefik()?), false),
            "nginx-json" => (Kind::Json(JsonKeys::nginx()?), false),
            "sshd" => (Kind::Sshd, true),
            "syslog" => (Kind::Text, true),
            "plain" => (Kind::Text, false),
            _ => return None,
        };
        Some(Self::new(kind, syslog))
    }

    /// The layout of nginx's own `log_format`, such as `$remote_addr [$time_local] "$request" $status`. Its escape mode
    /// must be `default` or `json`.
    ///
    /// # Errors
    /// [`FormatError`]; above all, text that clients write must be quoted (or between tabs) where an address could be
    /// confused with it.
    pub fn fields(log_format: &str) -> Result<Self, FormatError> {
        Ok(Self::new(Kind::Layout(Layout::compile(log_format)?), false))
    }

    /// A JSON log with keys of your own: `(Field::Path, "request.uri")` is the key `uri` in the object `request`; write
    /// `\.` for a dot in a name. Several keys of a field: the first one that is in the line counts.
    ///
    /// # Errors
    /// [`FormatError`]: without [`Field::Peer`] or [`Field::Message`], or if keys contradict each other.
    pub fn json(keys: &[(Field, &str)]) -> Result<Self, FormatError> {
        Ok(Self::new(Kind::Json(JsonKeys::own(keys)?), false))
    }

    const fn new(kind: Kind, syslog: bool) -> Self {
        Self {
            kind,
            reader: Reader {
                clock: Clock::new(),
                unix: false,
            },
            syslog,
            container: None,
        }
    }

    /// Unwraps the log lines of a container runtime first. See [`lost`](Self::lost).
    #[must_use]
    pub fn within(mut self, container: Container) -> Self {
        self.container = Some(Unwrap::new(container));
        self
    }

    /// Strips a header of syslog (RFC 3164, RFC 5424, rsyslog's files) first, if there is one.
    #[must_use]
    pub const fn behind_syslog(mut self) -> Self {
        self.syslog = true;
        self
    }

    /// Takes lines whose peer is a Unix socket: their peer becomes `0.0.0.0`, which only a
    /// [`Trusted::with_unix`](crate::Trusted::with_unix) resolves. Without this they are [`Unparsed::NoAddress`].
    #[must_use]
    pub const fn accept_unix(mut self) -> Self {
        self.reader.unix = true;
        self
    }

    /// Tells the time of reading (Unix ms) and the offset of local time (seconds east), for times without year or offset.
    /// Call it when a stream is opened and now and then; for a file of the past give the time of its last change.
    pub fn set_clock(&mut self, now_ms: i64, local_offset_s: i32) {
        self.reader.clock.set(now_ms, local_offset_s);
    }

    /// Tells that bytes before the next line were not given to [`parse`](Self::parse): reading begins inside a file, or a
    /// line was skipped since it is too long. For containers this matters: the next line may be the rest of one whose
    /// beginning is unknown, and such a rest begins wherever the client likes. It is left out.
    pub fn lost(&mut self) {
        if let Some(container) = &mut self.container {
            container.lost();
        }
    }

    /// Whether lines may be parts of lines: then [`follow`](Self::follow) spares the first ones.
    #[must_use]
    pub const fn joins(&self) -> bool {
        self.container.is_some()
    }

    /// As [`lost`](Self::lost), but what stands before the next line is known: whole lines, or nothing if it is the first
    /// of all. They are not judged; from them it is known whether the next one begins a line.
    pub fn follow(&mut self, before: &[u8]) {
        if let Some(container) = &mut self.container {
            container.follow(before);
        }
    }

    /// Takes one line apart, with or without its end. Any bytes are fine.
    ///
    /// # Errors
    /// [`Unparsed`]
    pub fn parse<'a>(&'a mut self, line: &'a [u8]) -> Result<Event<'a>, Unparsed> {
        self.read(scan::trim_end(line), Given::Line)
    }

    /// As [`parse`](Self::parse), but what jails do not look at may be left out: method, path, query and host of a line
    /// whose status decides. [`Detector::observe`](crate::Detector::observe) says the same about both. `event` is a fresh
    /// one; events are large, so it is not moved.
    ///
    /// # Errors
    /// [`Unparsed`], of the same lines.
    pub fn parse_for<'a>(
        &'a mut self,
        line: &'a [u8],
        needs: &Needs,
        event: &mut Event<'a>,
    ) -> Result<(), Unparsed> {
        let line = scan::trim_end(line);
        if let Kind::Access(access) = &self.kind
            && !self.syslog
            && self.container.is_none()
        {
            return access.read(event, line, &mut self.reader, Given::Line, Some(needs));
        }
        *event = self.read(line, Given::Line)?;
        Ok(())
    }

    /// Takes apart the head of a line whose rest is not there, as it is too long: otherwise a client would hide behind a
    /// header of 128 KiB. Since the client chooses where the head ends, only what stands before the end for sure is read:
    /// the address, and each field that is complete; `status` may be 0, and a last field may lack its end. Formats that
    /// are read from the right, or have no fields, are [`Unparsed::Malformed`]. Includes [`lost`](Self::lost).
    ///
    /// # Errors
    /// [`Unparsed`]
    pub fn parse_head<'a>(&'a mut self, head: &'a [u8]) -> Result<Event<'a>, Unparsed> {
        self.read(head, Given::Head)
    }

    fn read<'a>(&'a mut self, line: &'a [u8], given: Given) -> Result<Event<'a>, Unparsed> {
        let mut line = line;
        let mut time_ms = None;
        if let Some(container) = &mut self.container {
            (line, time_ms) = match given {
                Given::Line => container.unwrap(line),
                Given::Head => container.unwrap_head(line),
            }?;
        }
        let reader = &mut self.reader;
        let mut header = syslog::Header::none(line);
        if self.syslog {
            header = syslog::split(line, &reader.clock);
        }
        let mut event = match &self.kind {
            Kind::Access(access) => {
                let mut event = Event::default();
                let read = access.read(&mut event, header.message, reader, given, None);
                read.map(|()| event)
            }
            Kind::Haproxy => haproxy::read(header.message, reader),
            Kind::Json(keys) => keys.read(header.message, reader, given),
            Kind::Layout(layout) => layout.read(header.message, reader, given),
            Kind::Sshd | Kind::Text if given == Given::Head => Err(Unparsed::Malformed),
            Kind::Sshd => sshd::read(&header),
            Kind::Text => Ok(Event {
                message: Cow::Borrowed(header.message),
                ..Event::default()
            }),
        }?;
        event.time_ms = event.time_ms.or(header.time_ms).or(time_ms);
        Ok(event)
    }
}

impl Reader {
    /// The peer out of a field that holds nothing but its address, perhaps with a port.
    fn peer(&self, text: &[u8]) -> Result<Option<IpAddr>, Unparsed> {
        match address(text) {
            None if self.unix && address::is_unix(text) => Ok(Some(LOCAL_PEER)),
            None => Err(Unparsed::NoAddress),
            addr => Ok(addr),
        }
    }
}
