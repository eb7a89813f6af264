//! AF_PACKET sockets (packet(7)): whole frames in and out, bypassing the IP stack.

use std::{
    ffi::CString,
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use couic_testkit::Netns;

/// A raw socket on one interface.
#[derive(Debug)]
pub(crate) struct PacketSocket(OwnedFd);

/// Linux 4.20, `linux/if_packet.h`.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

impl PacketSocket {
    /// A socket that only sends.
    pub(crate) fn sender(netns: &Netns, iface: &str) -> Self {
        netns.enter(|| Self::open(iface, 0)).expect("a raw socket")
    }

    /// A socket that receives incoming frames after XDP, with a timeout of 50 ms.
    pub(crate) fn receiver(netns: &Netns, iface: &str) -> Self {
        let everything = u16::try_from(libc::ETH_P_ALL).expect("an EtherType");
        let socket = netns
            .enter(|| Self::open(iface, everything))
            .expect("a raw socket");
        let wait = libc::timeval {
            tv_sec: 0,
            tv_usec: 50_000,
        };
        socket.set(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1i32);
        socket.set(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &wait);
        socket.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &(8 << 20));
        socket
    }

    fn open(iface: &str, protocol: u16) -> io::Result<Self> {
        let name = CString::new(iface)?;
        // SAFETY: plain system calls; the name is a C string that outlives the call.
        let (index, fd) = unsafe {
            let protocol = libc::c_int::from(protocol.to_be());
            (
                libc::if_nametoindex(name.as_ptr()),
                libc::socket(
                    libc::AF_PACKET,
                    libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                    protocol,
                ),
            )
        };
        if index == 0 || fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just created, and has no other owner.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        // SAFETY: all-zero is a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).expect("small");
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = i32::try_from(index).expect("small");
        let len = u32::try_from(size_of_val(&address)).expect("small");
        // SAFETY: address and length describe one live sockaddr_ll.
        let bound = unsafe { libc::bind(fd, (&raw const address).cast(), len) };
        if bound < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(socket)
    }

    fn set<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) {
        let len = u32::try_from(size_of::<T>()).expect("small");
        let value: *const T = value;
        // SAFETY: value and length describe one live T, which the kernel only reads.
        let rc = unsafe { libc::setsockopt(self.0.as_raw_fd(), level, option, value.cast(), len) };
        assert_eq!(rc, 0, "setsockopt {option}: {}", io::Error::last_os_error());
    }

    /// Sends one frame.
    pub(crate) fn send(&self, frame: &[u8]) {
        // SAFETY: pointer and length describe the live slice.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        let error = io::Error::last_os_error();
        assert_eq!(
            usize::try_from(sent).ok(),
            Some(frame.len()),
            "send: {error}"
        );
    }

    /// Sends one frame, if there is room for it.
    pub(crate) fn try_send(&self, frame: &[u8]) -> bool {
        // SAFETY: pointer and length describe the live slice.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        sent >= 0
    }

    /// Receives one frame; None on a timeout.
    pub(crate) fn receive<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let fd = self.0.as_raw_fd();
        // SAFETY: pointer and length describe the live buffer.
        let got = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let got = usize::try_from(got).ok()?;
        buffer.get(..got)
    }

    /// How many frames the kernel could not queue since the last call: received frames are incomplete then.
    pub(crate) fn lost(&self) -> u32 {
        let mut stats = [0u32; 2];
        let mut len: libc::socklen_t = 8;
        let (fd, out) = (self.0.as_raw_fd(), stats.as_mut_ptr());
        // SAFETY: tpacket_stats is two u32, and len says so.
        let rc = unsafe {
            libc::getsockopt(
                fd,
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                out.cast(),
                &raw mut len,
            )
        };
        assert_eq!(rc, 0, "PACKET_STATISTICS: {}", io::Error::last_os_error());
        stats[1]
    }
}
