//! Links of XDP and TCX through bpf(2) itself, for the attacher process, which then needs no library.
//!
//! A link is a kernel object that ties one program to one interface (XDP: Linux 5.9, TCX: 6.6). It goes with its last
//! holder: a process, systemd, or a file in a bpf filesystem. Replacing its program is one atomic step for packets.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use couic_common::XdpMode;

// enum bpf_cmd of linux/bpf.h.
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_OBJ_GET: libc::c_int = 7;
pub(super) const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
pub(super) const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_LINK_UPDATE: libc::c_int = 29;
const BPF_LINK_DETACH: libc::c_int = 34;

// enum bpf_attach_type.
const BPF_XDP: u32 = 37;
pub(super) const BPF_TCX_INGRESS: u32 = 46;
// enum bpf_link_type.
const BPF_LINK_TYPE_XDP: u32 = 6;
const BPF_LINK_TYPE_TCX: u32 = 11;
/// Before all other programs there.
const BPF_F_BEFORE: u32 = 1 << 3;

/// The hook of a program in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Alone, and first.
    Xdp,
    /// At the ingress of the traffic control layer, in a row with others.
    Tcx,
}

impl From<XdpMode> for Hook {
    fn from(mode: XdpMode) -> Self {
        match mode {
            XdpMode::Native | XdpMode::Generic | XdpMode::Offloaded => Self::Xdp,
            XdpMode::Tcx => Self::Tcx,
        }
    }
}

/// A link as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// The interface's index; 0 if the interface is gone or the link was detached.
    pub index: u32,
    /// The kernel's number for the program.
    pub program: u32,
    /// Its hook.
    pub hook: Hook,
}

/// The attach type and its flags: XDP_FLAGS_* of linux/if_link.h, BPF_F_* of linux/bpf.h.
fn kind_of(mode: XdpMode) -> [u32; 2] {
    match mode {
        XdpMode::Generic => [BPF_XDP, 1 << 1],
        XdpMode::Native => [BPF_XDP, 1 << 2],
        XdpMode::Offloaded => [BPF_XDP, 1 << 3],
        // One that ends the row with its verdict would keep packets from those behind it.
        XdpMode::Tcx => [BPF_TCX_INGRESS, BPF_F_BEFORE],
    }
}

/// Attaches a program. For XDP, fails with `EBUSY` if another one is attached.
pub fn create(program: BorrowedFd<'_>, index: u32, mode: XdpMode) -> io::Result<OwnedFd> {
    let [kind, flags] = kind_of(mode);
    new_fd(BPF_LINK_CREATE, &mut [raw(program), index, kind, flags])
}

/// The numbers of the programs that an interface has by TCX at ingress, in their order.
pub fn tcx_programs(index: u32) -> io::Result<Vec<u32>> {
    let mut ids = vec![0u32; MOST_PROGRAMS as usize];
    let mut attr = QueryAttr {
        index,
        kind: BPF_TCX_INGRESS,
        flags: [0; 2],
        ids: ids.as_mut_ptr() as u64,
        count: [MOST_PROGRAMS, 0],
        more: [0; 4],
    };
    bpf(BPF_PROG_QUERY, &mut attr)?;
    ids.truncate(attr.count[0] as usize);
    Ok(ids)
}

/// Puts another program in the place of the link's: each packet sees the one or the other.
pub fn update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = [raw(link), raw(program), 0, 0];
    bpf(BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// Detaches the program, even if there are other holders of the link.
pub fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    bpf(BPF_LINK_DETACH, &mut [raw(link)]).map(drop)
}

/// Makes a file of a bpf filesystem hold the link.
pub fn pin(link: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = PathAttr {
        path: path.as_ptr() as u64,
        fd: raw(link),
        flags: 0,
    };
    bpf(BPF_OBJ_PIN, &mut attr).map(drop)
}

/// The link that a file of a bpf filesystem holds.
pub fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = PathAttr {
        path: path.as_ptr() as u64,
        fd: 0,
        flags: 0,
    };
    new_fd(BPF_OBJ_GET, &mut attr)
}

/// Asks the kernel about a link; an error of kind `InvalidData` if the descriptor is no link of XDP or TCX.
pub fn info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = RawLinkInfo::default();
    let mut attr = InfoAttr {
        fd: raw(link),
        len: u32::try_from(size_of::<RawLinkInfo>()).map_err(io::Error::other)?,
        info: (&raw mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    // Other objects than links have other records, of which only the first word is compared.
    let hook = match (info.kind, info.attach_type) {
        (BPF_LINK_TYPE_XDP, _) => Hook::Xdp,
        (BPF_LINK_TYPE_TCX, BPF_TCX_INGRESS) => Hook::Tcx,
        _ => {
            let text = "the descriptor is not a link of XDP or TCX";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
    };
    Ok(LinkInfo {
        index: info.index,
        program: info.program,
        hook,
    })
}

/// The kernel's number for a program. Other objects have numbers, too, but cannot be attached.
pub fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = RawProgramInfo::default();
    let mut attr = InfoAttr {
        fd: raw(program),
        len: u32::try_from(size_of::<RawProgramInfo>()).map_err(io::Error::other)?,
        info: (&raw mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info.id)
}

/// The kernel takes no more at one hook (`BPF_MPROG_MAX`).
const MOST_PROGRAMS: u32 = 64;

/// The part of union `bpf_attr` for `BPF_PROG_QUERY`, as Linux 6.6 has it; the kernel writes to most of it.
#[repr(C)]
struct QueryAttr {
    index: u32,
    kind: u32,
    flags: [u32; 2],
    ids: u64,
    /// And padding.
    count: [u32; 2],
    /// Flags and links of programs, which are not asked for, and the revision of the row.
    more: [u64; 4],
}

/// The first fields of `struct bpf_prog_info`: the kernel fills in no more than there is room for.
#[repr(C)]
#[derive(Default)]
struct RawProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
}

/// `struct bpf_link_info`, its union as links of XDP and TCX use it. The kernel fills in as much as it knows.
#[repr(C)]
#[derive(Default)]
struct RawLinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    padding: u32,
    index: u32,
    /// TCX only.
    attach_type: u32,
    /// Of later kernels.
    more: [u32; 26],
}

/// The part of union `bpf_attr` for BPF_OBJ_PIN and BPF_OBJ_GET.
#[repr(C)]
struct PathAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

/// The part of union `bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
pub(super) struct InfoAttr {
    pub(super) fd: u32,
    pub(super) len: u32,
    pub(super) info: u64,
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

pub(super) fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: pointer and size describe one live T, laid out as the command's part of union bpf_attr; the rest of the
    // union counts as zero. The targets of pointers in it outlive the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<T>(),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(done)
}

pub(super) fn new_fd<T>(command: libc::c_int, attr: &mut T) -> io::Result<OwnedFd> {
    let fd = libc::c_int::try_from(bpf(command, attr)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, close-on-exec, for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use super::*;

    #[test]
    fn what_is_no_link_is_refused() {
        let file = File::open("/dev/null").unwrap();
        assert!(info(file.as_fd()).is_err());
        assert!(program_id(file.as_fd()).is_err());
        assert!(detach(file.as_fd()).is_err());
        assert!(update(file.as_fd(), file.as_fd()).is_err());
        for mode in [XdpMode::Generic, XdpMode::Tcx] {
            assert!(create(file.as_fd(), 1, mode).is_err());
        }
        assert!(tcx_programs(i32::MAX.cast_unsigned()).is_err());
        let dir = tempfile::tempdir().unwrap();
        assert!(pin(file.as_fd(), &dir.path().join("x")).is_err());
        assert!(pinned(&dir.path().join("x")).is_err());
        assert!(!dir.path().join("x").exists());
    }
}
