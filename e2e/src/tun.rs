//! A tun device: a link whose packets begin with the IP header, as a tunnel's do, with the far end in this process.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    net::IpAddr,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    time::Duration,
};

use couic_testkit::{Netns, until};

use crate::frame::checksum;

/// `linux/if_tun.h`; `_IOW('T', 202, int)` and `_IOW('T', 205, int)`.
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETLINK: libc::c_ulong = 0x4004_54cd;
const IFF_TUN_NO_PI: u16 = 0x1001;
/// `ARPHRD_NONE` of linux/if_arp.h, the default of a tun device.
pub const LINK_NONE: u16 = 0xfffe;
/// `ARPHRD_CAN`.
pub const LINK_CAN: u16 = 280;

/// The device's own addresses.
const HERE_V4: [u8; 4] = [192, 0, 2, 65];
const HERE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0x65, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// A source that is in no rule of a test.
const INNOCENT: &str = "198.18.0.1";
/// The deadline of an expected answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The far end. The device is removed when this is dropped.
#[derive(Debug)]
pub struct Tun {
    file: File,
    round: u16,
}

/// An echo request, or the identity of its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Echo {
    to: IpAddr,
    round: u16,
    nth: u16,
}

impl Tun {
    /// Creates a device in the namespace, up, with an IPv4 and an IPv6 address and default routes. None, with the reason
    /// printed, if the kernel has no tun devices.
    ///
    /// # Panics
    /// If the device cannot be set up.
    #[must_use]
    pub fn new(netns: &Netns, name: &str) -> Option<Self> {
        let file = match netns.enter(|| open(name)) {
            Ok(file) => file,
            Err(error) => {
                println!("skipped: no tun device: {error}");
                return None;
            }
        };
        netns.enter(|| {
            let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
            fs::write(&path, "0").unwrap_or_else(|error| panic!("{path}: {error}"));
        });
        netns.run("ip", &["link", "set", name, "up"]);
        netns.run("ip", &["addr", "add", "192.0.2.65/32", "dev", name]);
        let v6 = "2001:db8:65::1/128";
        netns.run("ip", &["-6", "addr", "add", v6, "dev", name, "nodad"]);
        netns.run("ip", &["route", "add", "default", "dev", name]);
        netns.run("ip", &["-6", "route", "add", "default", "dev", name]);
        Some(Self { file, round: 0 })
    }

    /// Changes the link type of the device, which must be down.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn set_type(&self, link_type: u16) {
        let argument = libc::c_ulong::from(link_type);
        // SAFETY: the request takes a number, no pointer.
        let done = unsafe { libc::ioctl(self.file.as_raw_fd(), TUNSETLINK, argument) };
        assert_eq!(done, 0, "TUNSETLINK: {}", io::Error::last_os_error());
    }

    /// Sends an echo request from each source, and returns whether there was a reply. The last one is from a source that
    /// is in no rule: once it is answered, no more replies to the others follow.
    ///
    /// # Panics
    /// If a source is no address, or the last one is not answered within a minute.
    pub fn answers(&mut self, sources: &[&str]) -> Vec<bool> {
        self.round += 1;
        let round = self.round;
        let all = sources.iter().chain([&INNOCENT]).zip(0..);
        let sent: Vec<Echo> = all
            .map(|(source, nth)| {
                let to = source.parse().expect("an address");
                Echo { to, round, nth }
            })
            .collect();
        for echo in &sent {
            self.send(&echo.request());
        }
        let (last, asked) = sent.split_last().expect("at least the last");
        let mut got = Vec::new();
        until("the last one is answered", PATIENCE, || {
            while let Some(packet) = self.receive() {
                got.extend(reply(&packet));
            }
            got.contains(last).then_some(())
        });
        asked.iter().map(|echo| got.contains(echo)).collect()
    }

    /// Injects a packet, which starts with its IP header.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn send(&mut self, packet: &[u8]) {
        let sent = self.file.write(packet).expect("write a packet");
        assert_eq!(sent, packet.len());
    }

    /// The next packet from the host, if any.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut packet = vec![0; 1 << 16];
        match self.file.read(&mut packet) {
            Ok(len) => {
                packet.truncate(len);
                Some(packet)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("read a packet: {error}"),
        }
    }
}

fn open(name: &str) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    // struct ifreq: the name, then the flags.
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&IFF_TUN_NO_PI.to_ne_bytes());
    // SAFETY: the request reads and writes one struct ifreq, which is as long.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

impl Echo {
    fn request(&self) -> Vec<u8> {
        let word = |n: u16| n.to_be_bytes();
        let mut echo = vec![0; 8];
        echo[4..6].copy_from_slice(&word(self.round));
        echo[6..].copy_from_slice(&word(self.nth));
        match self.to {
            IpAddr::V4(source) => {
                let mut header = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0];
                header.extend(source.octets());
                header.extend(HERE_V4);
                let sum = checksum(&header);
                header[10..12].copy_from_slice(&word(sum));
                echo[0] = 8;
                let sum = checksum(&echo);
                echo[2..4].copy_from_slice(&word(sum));
                [header, echo].concat()
            }
            IpAddr::V6(source) => {
                echo[0] = 128;
                let addresses = [source.octets(), HERE_V6].concat();
                // The checksum includes the addresses, the length and the protocol.
                let pseudo = [&addresses[..], &[0, 0, 0, 8, 0, 0, 0, 58], &echo].concat();
                let sum = checksum(&pseudo);
                echo[2..4].copy_from_slice(&word(sum));
                [&[0x60, 0, 0, 0, 0, 8, 58, 64], &addresses[..], &echo].concat()
            }
        }
    }
}

/// The request that a packet answers, if it is an echo reply.
fn reply(packet: &[u8]) -> Option<Echo> {
    let word = |at: usize| Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?));
    let (to, at) = match packet.first()? >> 4 {
        4 => (IpAddr::from(*packet.get(16..)?.first_chunk::<4>()?), 20),
        6 => (IpAddr::from(*packet.get(24..)?.first_chunk::<16>()?), 40),
        _ => return None,
    };
    let is_reply = matches!(
        (packet.get(at)?, to),
        (0, IpAddr::V4(_)) | (129, IpAddr::V6(_))
    );
    let (round, nth) = (word(at + 4)?, word(at + 6)?);
    is_reply.then_some(Echo { to, round, nth })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_valid_and_replies_are_recognized() {
        for source in ["203.0.113.5", "2001:db8:7::1"] {
            let to: IpAddr = source.parse().unwrap();
            let echo = Echo {
                to,
                round: 3,
                nth: 7,
            };
            let mut packet = echo.request();
            assert_eq!(reply(&packet), None, "it is a request");
            // The reply: swapped addresses, the type of a reply.
            let (from, len, at) = if to.is_ipv4() {
                (12, 4, 20)
            } else {
                (8, 16, 40)
            };
            if to.is_ipv4() {
                assert_eq!(checksum(&packet[..20]), 0);
            }
            let (source, destination) = packet[from..from + 2 * len].split_at_mut(len);
            source.swap_with_slice(destination);
            packet[at] = if to.is_ipv4() { 0 } else { 129 };
            assert_eq!(reply(&packet), Some(echo));
            assert_eq!(reply(&packet[..at + 6]), None);
        }
        assert_eq!(reply(&[]), None);
    }
}
