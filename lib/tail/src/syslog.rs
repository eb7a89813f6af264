//! Syslog over datagrams. One datagram is one message, whatever is in it: a newline is a client's text, and splitting there
//! would let it write lines of its own.
//!
//! Datagrams are taken in 64 at once. What the kernel drops when its buffer is full is counted (`SO_RXQ_OVFL`).

use std::{
    fs::{self, Permissions},
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::UnixDatagram,
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::{
        socket::{
            ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt,
            sockopt::{RcvBuf, RxqOvfl},
        },
        stat::{Mode, fchmod},
    },
};

use crate::{
    MAX_LINE, Options, Stop, StreamId, When, figures::count, lines::Piece, output::Output,
};

/// Datagrams taken in at once.
const BATCH: usize = 64;

/// A socket that receives messages.
pub(crate) struct Syslog {
    socket: OwnedFd,
    output: Output<'static>,
    stream: StreamId,
    buffer: Vec<u8>,
    /// Datagrams dropped since the socket was made, as told last; wraps.
    dropped: u32,
    /// The Unix socket to remove at the end.
    path: Option<PathBuf>,
}

impl Syslog {
    pub(crate) fn udp(
        address: SocketAddr,
        options: &Options,
        output: Output<'static>,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        let name = socket
            .local_addr()
            .map_or(address, |bound| bound)
            .to_string();
        Self::new(socket.into(), &name, options, output)
    }

    /// Makes the socket with its mode. A socket that nobody listens on any more is replaced.
    pub(crate) fn unix(
        path: &Path,
        options: &Options,
        output: Output<'static>,
    ) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = bind_unix(path, options.unix_mode)?;
        let mut new = Self::new(socket, &path.to_string_lossy(), options, output)?;
        new.path = Some(path.to_owned());
        Ok(new)
    }

    fn new(
        socket: OwnedFd,
        name: &str,
        options: &Options,
        mut output: Output<'static>,
    ) -> io::Result<Self> {
        setsockopt(&socket, RcvBuf, &options.receive_buffer)?;
        setsockopt(&socket, RxqOvfl, &1)?;
        let stream = output.open(name);
        Ok(Self {
            socket,
            output,
            stream,
            // One byte more than a line tells which are longer. 8 MiB of zeroes, of which only what datagrams fill takes
            // memory.
            buffer: vec![0; BATCH * (MAX_LINE + 1)],
            dropped: 0,
            path: None,
        })
    }

    /// Until asked to stop.
    pub(crate) fn run(&mut self, stop: &Stop) -> io::Result<()> {
        while !stop.is_asked() {
            let [ready] = stop.wait([self.socket.as_fd()], Duration::MAX)?;
            if ready {
                self.receive()?;
            }
        }
        self.output.close(self.stream);
        Ok(())
    }

    /// Takes in what has come, at most one batch.
    fn receive(&mut self) -> io::Result<()> {
        // New each time: the kernel writes the lengths of what it returned into the headers, and the next call would
        // leave no room for the count of dropped ones.
        let mut headers =
            MultiHeaders::<SockaddrStorage>::preallocate(BATCH, Some(cmsg_space!(u32)));
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = self
            .buffer
            .chunks_mut(MAX_LINE + 1)
            .map(|chunk| [IoSliceMut::new(chunk)])
            .collect();
        let socket = self.socket.as_raw_fd();
        let received = recvmmsg(
            socket,
            &mut headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        );
        let received = match received {
            Ok(received) => received,
            // ECONNREFUSED and the like are of other datagrams.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for message in received {
            for control in message.cmsgs()? {
                if let ControlMessageOwned::RxqOvfl(dropped) = control {
                    let more = dropped.wrapping_sub(self.dropped);
                    self.dropped = dropped;
                    count(&self.output.counters.lost, u64::from(more));
                }
            }
            let text = message.iovs().next().unwrap_or_default();
            hand_over(&mut self.output, self.stream, text);
        }
        self.output.flush();
        Ok(())
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // At worst the next start replaces it.
            let _ = fs::remove_file(path);
        }
    }
}

fn hand_over(output: &mut Output<'_>, stream: StreamId, datagram: &[u8]) {
    count(&output.counters.bytes, datagram.len() as u64);
    let ends = |byte: &u8| matches!(byte, 0 | b'\n' | b'\r');
    let length = datagram
        .iter()
        .rposition(|byte| !ends(byte))
        .map_or(0, |last| last + 1);
    let text = datagram.get(..length).unwrap_or_default();
    match text.split_at_checked(MAX_LINE) {
        Some((head, rest)) if !rest.is_empty() => {
            output.message(stream, Piece::Cut(head), rest.len() as u64, When::Live);
        }
        _ if text.is_empty() => {}
        _ => output.message(stream, Piece::Line(text), 0, When::Live),
    }
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is = match fs::symlink_metadata(path) {
        Ok(is) => is,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !is.file_type().is_socket() {
        let why = "something that is no socket has this name: move it away";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    match UnixDatagram::unbound()?.connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(()) => {
            let why = "another program receives there";
            Err(io::Error::new(io::ErrorKind::AddrInUse, why))
        }
    }
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
    let flags = SockFlag::SOCK_CLOEXEC;
    let made = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    // Before it has a name, so that nobody else can connect for a moment; the umask may clear bits of it.
    fchmod(&made, Mode::from_bits_truncate(mode))?;
    bind(made.as_raw_fd(), &UnixAddr::new(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{figures::Figures, testing::Seen};

    fn options() -> Options {
        Options::new(PathBuf::from("/nonexistent"))
    }

    fn figures(syslog: &Syslog) -> Figures {
        syslog.output.counters.figures()
    }

    #[test]
    fn each_datagram_is_one_message_and_newlines_in_it_are_text() {
        let (seen, output) = Seen::output();
        let (from, socket) = UnixDatagram::pair().unwrap();
        let mut syslog = Syslog::new(socket.into(), "unix", &options(), output).unwrap();
        let long = vec![b'x'; MAX_LINE + 9];
        let sent: [&[u8]; 6] = [
            b"<13>one\n\0",
            b"<13>two\n<13>forged",
            b"",
            b"\n",
            &long,
            &long[..MAX_LINE],
        ];
        for datagram in sent {
            from.send(datagram).unwrap();
            syslog.receive().unwrap();
        }
        let got = seen.get();
        assert_eq!(got.live[..2], ["<13>one", "<13>two\n<13>forged"]);
        assert_eq!(got.live[2].len(), MAX_LINE);
        assert_eq!(got.cut.len(), 1);
        assert_eq!(got.cut[0].len(), MAX_LINE);
        let figures = figures(&syslog);
        assert_eq!((figures.lines, figures.cut_lines, figures.lost), (4, 1, 0));
    }

    #[test]
    fn what_the_kernel_drops_is_counted_also_after_quiet_batches() {
        let (seen, output) = Seen::output();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        let small = Options {
            receive_buffer: 4_096,
            ..options()
        };
        let mut syslog = Syslog::new(socket.into(), "udp", &small, output).unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        let drain = |syslog: &mut Syslog| {
            let mut before = u64::MAX;
            while std::mem::replace(&mut before, figures(syslog).lines) != figures(syslog).lines {
                syslog.receive().unwrap();
            }
        };
        let mut sent = 0;
        for burst in [1, 1, 500, 1, 500, 1] {
            for _ in 0..burst {
                from.send_to(b"line", to).unwrap();
            }
            sent += burst;
            drain(&mut syslog);
        }
        let figures = figures(&syslog);
        assert!(figures.lost > 500, "{figures:?}");
        assert_eq!(figures.lines + figures.lost, sent);
        assert_eq!(seen.get().live.len() as u64, figures.lines);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_one_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let make = || Syslog::unix(&path, &options(), Seen::output().1);
        drop(UnixDatagram::bind(&path).unwrap());
        let (seen, output) = Seen::output();
        let mut first = Syslog::unix(&path, &options(), output).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o660);
        let second = make().err().unwrap();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        let stop = Stop::new().unwrap();
        let asked = stop.clone();
        let source = std::thread::spawn(move || first.run(&asked));
        UnixDatagram::unbound()
            .unwrap()
            .send_to(b"<13>line\n", &path)
            .unwrap();
        seen.wait_for(|seen| seen.live == ["<13>line"]);
        stop.stop();
        source.join().unwrap().unwrap();
        assert!(!path.exists(), "removed at the end");
        fs::write(&path, "a file").unwrap();
        let third = make().err().unwrap();
        assert_eq!(third.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"a file");
    }
}
