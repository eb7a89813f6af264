//! A foreign XDP program on an interface: two instructions, loaded by bpf(2) without any library.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use nix::net::if_::if_nametoindex;

use couic_testkit::Netns;

/// The name under which the kernel lists the program.
pub const FOREIGN_NAME: &str = "foreign_prog";

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
/// `r0 = XDP_PASS; exit`
const PASS_ALL: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];

/// How a program is attached to an interface.
#[derive(Clone, Copy, Debug)]
pub enum AttachedBy {
    /// `BPF_LINK_CREATE`, Linux 5.9, as newer loaders.
    Link,
    /// A netlink request with `IFLA_XDP`, as `ip link set dev X xdp …`.
    Netlink,
}

/// Keeps the program attached, until it is dropped or the interface is removed.
#[derive(Debug)]
pub struct Foreign {
    _program: OwnedFd,
    _link: Option<OwnedFd>,
}

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log: [u32; 4],
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

impl Foreign {
    /// Attaches the program to an interface of the namespace.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[must_use]
    pub fn attach(netns: &Netns, iface: &str, by: AttachedBy) -> Self {
        netns.enter(|| {
            let index = if_nametoindex(iface).expect("the interface");
            let program = load().expect("load the foreign program");
            let link = match by {
                AttachedBy::Link => {
                    Some(link(program.as_raw_fd(), index).expect("BPF_LINK_CREATE"))
                }
                AttachedBy::Netlink => {
                    netlink(program.as_raw_fd(), index).expect("IFLA_XDP");
                    None
                }
            };
            Self {
                _program: program,
                _link: link,
            }
        })
    }
}

fn load() -> io::Result<OwnedFd> {
    let mut prog_name = [0; 16];
    prog_name[..FOREIGN_NAME.len()].copy_from_slice(FOREIGN_NAME.as_bytes());
    bpf(
        BPF_PROG_LOAD,
        &ProgLoad {
            prog_type: BPF_PROG_TYPE_XDP,
            insn_cnt: 2,
            insns: PASS_ALL.as_ptr() as u64,
            license: c"MIT".as_ptr() as u64,
            log: [0; 4],
            kern_version: 0,
            prog_flags: 0,
            prog_name,
        },
    )
}

fn link(program: RawFd, iface: u32) -> io::Result<OwnedFd> {
    let program = program.cast_unsigned();
    bpf(BPF_LINK_CREATE, &[program, iface, BPF_XDP, 0])
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    let attributes: *const T = attributes;
    // SAFETY: pointer and size describe one live T, laid out as the command's part of union bpf_attr; pointers in it
    // point to constants.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// RTM_SETLINK with IFLA_XDP { IFLA_XDP_FD }, and its acknowledgement (rtnetlink(7)).
fn netlink(program: RawFd, iface: u32) -> io::Result<()> {
    let mut message = Vec::new();
    message.extend(44u32.to_ne_bytes());
    message.extend(libc::RTM_SETLINK.to_ne_bytes());
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_ACK).map_err(io::Error::other)?;
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; 4]);
    message.extend(iface.to_ne_bytes());
    message.extend([0; 8]);
    for word in [12u16, libc::IFLA_XDP | 0x8000, 8, 1] {
        message.extend(word.to_ne_bytes());
    }
    message.extend(program.to_ne_bytes());

    let mut answer = [0u8; 64];
    // SAFETY: plain system calls on a socket of our own; pointers and lengths describe live buffers.
    let got = unsafe {
        let fd = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = OwnedFd::from_raw_fd(fd);
        libc::send(fd.as_raw_fd(), message.as_ptr().cast(), message.len(), 0);
        libc::recv(
            fd.as_raw_fd(),
            answer.as_mut_ptr().cast(),
            size_of_val(&answer),
            0,
        )
    };
    if got < 20 {
        return Err(io::Error::last_os_error());
    }
    // NLMSG_ERROR: header of 16 bytes, then minus an errno, 0 for success.
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

/// Detaches every link on an interface, of XDP and of TCX, as `bpftool link detach` does. Returns their number.
///
/// # Panics
/// If the kernel refuses.
#[must_use]
pub fn detach_links(netns: &Netns, iface: &str) -> usize {
    const BPF_LINK_GET_FD_BY_ID: libc::c_int = 30;
    const BPF_LINK_GET_NEXT_ID: libc::c_int = 31;
    const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    let ours = netns.run("ip", &["-d", "-j", "link", "show", "dev", iface]);
    let ours: serde_json::Value = serde_json::from_str(&ours).expect("JSON of ip");
    let program = &ours[0]["xdp"]["prog"]["id"];
    let (mut id, mut detached) = (0u32, 0);
    for link in tcx_links(netns, iface) {
        detached += detach(&link);
    }
    loop {
        // start_id, then next_id, which the kernel writes.
        let mut next = [id, 0, 0];
        if command(BPF_LINK_GET_NEXT_ID, &mut next) < 0 {
            return detached;
        }
        id = next[1];
        let Ok(link) = bpf(BPF_LINK_GET_FD_BY_ID, &[id]) else {
            continue;
        };
        // type, id, prog_id.
        let mut info = [0u32; 32];
        let mut attr = [0u64; 2];
        attr[0] = u64::from(link.as_raw_fd().cast_unsigned()) | 128 << 32;
        attr[1] = info.as_mut_ptr() as u64;
        assert_eq!(
            command(BPF_OBJ_GET_INFO_BY_FD, &mut attr),
            0,
            "the link's info"
        );
        if u64::from(info[2]) == program.as_u64().unwrap_or_default() {
            detached += detach(&link);
        }
    }
}

/// Returns the number of detached links: 1.
fn detach(link: &OwnedFd) -> usize {
    const BPF_LINK_DETACH: libc::c_int = 34;
    let done = command(BPF_LINK_DETACH, &mut [link.as_raw_fd().cast_unsigned()]);
    assert_eq!(done, 0, "BPF_LINK_DETACH: {}", io::Error::last_os_error());
    1
}

/// The TCX ingress links of an interface, in the order of their programs.
///
/// # Panics
/// If the kernel refuses.
#[must_use]
pub fn tcx_links(netns: &Netns, iface: &str) -> Vec<OwnedFd> {
    const BPF_LINK_GET_FD_BY_ID: libc::c_int = 30;
    const BPF_PROG_QUERY: libc::c_int = 16;
    const BPF_TCX_INGRESS: u64 = 46;
    // The kernel returns the links only if the programs are requested, too.
    let (mut programs, mut links) = ([0u32; 64], [0u32; 64]);
    // target_ifindex and attach_type, flags, prog_ids, count, prog_attach_flags, link_ids, link_attach_flags, revision.
    let mut attr = [0u64; 8];
    netns.enter(|| {
        let index = if_nametoindex(iface).expect("the interface");
        attr[0] = u64::from(index) | BPF_TCX_INGRESS << 32;
        (attr[2], attr[3]) = (programs.as_mut_ptr() as u64, 64);
        attr[5] = links.as_mut_ptr() as u64;
        let done = command(BPF_PROG_QUERY, &mut attr);
        assert_eq!(done, 0, "BPF_PROG_QUERY: {}", io::Error::last_os_error());
    });
    let ids = links.into_iter().take_while(|id| *id != 0);
    ids.map(|id| bpf(BPF_LINK_GET_FD_BY_ID, &[id]).expect("the link"))
        .collect()
}

fn command<T>(command: libc::c_int, attributes: &mut T) -> libc::c_long {
    let attributes: *mut T = attributes;
    // SAFETY: pointer and size describe one live T, laid out as the command's part of union bpf_attr; pointers in it
    // point to live buffers.
    unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) }
}
