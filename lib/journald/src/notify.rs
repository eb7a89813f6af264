//! systemd as the supervisor of a program: sd_notify(3).

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use tracing::warn;

/// The longest status, in bytes.
const LONGEST: usize = 500;

/// systemd, if it has started this process as a unit of `Type=notify`.
#[derive(Debug)]
pub struct Notify(Option<UnixDatagram>);

impl Notify {
    /// Call it before this process is confined: afterwards it may not reach the socket.
    #[must_use]
    pub fn find() -> Self {
        let Ok(name) = env::var("NOTIFY_SOCKET") else {
            return Self(None);
        };
        let connected = connect(&name)
            .inspect_err(|error| warn!("cannot notify systemd that this is ready: {error}"));
        Self(connected.ok())
    }

    /// Whether systemd waits for notifications, and so starts this process again if it fails.
    #[must_use]
    pub const fn is_supervised(&self) -> bool {
        self.0.is_some()
    }

    /// All is at work.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}\n", one_line(status)));
    }

    /// A reload has begun.
    pub fn reloading(&self) {
        self.send("RELOADING=1\nSTATUS=reloading\n");
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=sending what is held\n");
    }

    fn send(&self, what: &str) {
        if let Some(Err(error)) = self.0.as_ref().map(|socket| socket.send(what.as_bytes())) {
            warn!("cannot notify systemd: {error}");
        }
    }
}
fn one_line(text: &str) -> String {
    let text = text.replace(char::is_control, " ");
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}

fn connect(name: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match name.strip_prefix('@') {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(name)?,
    }
    // A start must not wait for a supervisor that does not read.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_have_the_format_of_systemd() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notify = Notify(Some(connect(path.to_str().unwrap()).unwrap()));
        let heard = || {
            let mut buffer = [0; 2_000];
            let got = systemd.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..got].to_vec()).unwrap()
        };
        notify.ready("reading 2 sources\nX=1");
        assert_eq!(heard(), "READY=1\nSTATUS=reading 2 sources X=1\n");
        notify.reloading();
        assert!(heard().starts_with("RELOADING=1\n"));
        notify.stopping();
        assert!(heard().starts_with("STOPPING=1\n"));
        notify.ready(&"é".repeat(LONGEST));
        assert!(heard().len() < LONGEST + 30);
        // More than a socket buffers, without a reader.
        (0..10_000).for_each(|_| drop(notify.0.as_ref().unwrap().send(b"x")));
    }
}
