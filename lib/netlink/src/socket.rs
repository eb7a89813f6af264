//! Netlink sockets.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

pub(crate) fn socket(protocol: libc::c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: the descriptor is new and has no other owner.
    unsafe {
        let fd = libc::socket(libc::AF_NETLINK, kind, protocol);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

pub(crate) fn send(socket: &OwnedFd, request: &[u8]) -> io::Result<()> {
    let (buffer, len) = (request.as_ptr().cast(), request.len());
    // SAFETY: pointer and length describe one live buffer.
    let sent = unsafe { libc::send(socket.as_raw_fd(), buffer, len, 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

pub(crate) fn receive(socket: &OwnedFd, flags: libc::c_int) -> io::Result<Vec<u8>> {
    let mut answer = vec![0u8; 64 << 10];
    let (buffer, len) = (answer.as_mut_ptr().cast(), answer.len());
    // SAFETY: pointer and length describe one live buffer.
    let got = unsafe { libc::recv(socket.as_raw_fd(), buffer, len, flags) };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    answer.truncate(got);
    Ok(answer)
}
