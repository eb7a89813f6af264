//! Asks the kernel for features by trying them: all objects that are made here are closed again.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use super::link::{BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_QUERY, BPF_TCX_INGRESS, InfoAttr, bpf, new_fd};

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TYPE_XDP: u32 = 6;

/// The loopback interface, which every network namespace has, under this index.
const LOOPBACK: u32 = 1;

/// An instruction: operation, registers (source and destination), offset, immediate value.
const fn instruction(operation: u8, registers: u8, offset: i16, value: i32) -> [u8; 8] {
    let ([low, high], [a, b, c, d]) = (offset.to_le_bytes(), value.to_le_bytes());
    [operation, registers, low, high, a, b, c, d]
}

/// `r0 = XDP_PASS; exit`
const PLAIN: &[[u8; 8]] = &[instruction(0xb7, 0x00, 0, 2), instruction(0x95, 0x00, 0, 0)];

/// The same after an atomic addition that fetches the old value from the stack.
const FETCHING: &[[u8; 8]] = &[
    instruction(0xb7, 0x01, 0, 1),
    instruction(0x7b, 0x1a, -8, 0),
    instruction(0xdb, 0x1a, -8, 1),
    instruction(0xb7, 0x00, 0, 2),
    instruction(0x95, 0x00, 0, 0),
];

/// The head of union `bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct LoadAttr {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
}

/// Whether atomic instructions that fetch are compiled to machine code; yes if nothing is.
pub(super) fn fetches_compiled() -> io::Result<bool> {
    match load(FETCHING) {
        Ok(program) => Ok(is_compiled(&program)? || !is_compiled(&load(PLAIN)?)?),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Err(_) => Ok(false),
    }
}

/// Whether there is TCX, by a query of the loopback interface.
pub(super) fn tcx() -> io::Result<bool> {
    // Interface, kind, flags; the kernel writes to the rest of the record, up to its revision.
    let mut attr = [0_u32; 16];
    attr[..2].copy_from_slice(&[LOOPBACK, BPF_TCX_INGRESS]);
    match bpf(BPF_PROG_QUERY, &mut attr) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(false),
        Err(error) => Err(error),
    }
}

fn load(instructions: &'static [[u8; 8]]) -> io::Result<OwnedFd> {
    let mut attr = LoadAttr {
        kind: BPF_PROG_TYPE_XDP,
        count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
    };
    new_fd(BPF_PROG_LOAD, &mut attr)
}

fn is_compiled(program: &OwnedFd) -> io::Result<bool> {
    // The head of struct bpf_prog_info: type, id, 8 bytes of tag, bytes of machine code.
    let mut info = [0_u32; 8];
    let mut attr = InfoAttr {
        fd: program.as_raw_fd().cast_unsigned(),
        len: 32,
        info: info.as_mut_ptr() as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info[4] > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_answers_as_its_version_says() {
        let version = crate::dataplane::features::version();
        match (fetches_compiled(), tcx()) {
            (Ok(fetches), Ok(tcx)) => {
                let since =
                    |major, minor| version >= couic_common::KernelVersion::new(major, minor);
                assert_eq!(fetches, since(5, 18), "atomic instructions on {version}");
                assert_eq!(tcx, since(6, 6), "TCX on {version}");
            }
            (Err(error), _) | (_, Err(error)) => println!("skipped: bpf(2): {error}"),
        }
    }
}
