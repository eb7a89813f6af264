//! Compressed files that cannot be read.

use std::{fs::File, io::Read as _, path::Path};

/// What files begin with, and what decompresses them.
const KINDS: &[(&[u8], &str)] = &[
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
];

/// The program that decompresses such a file. Pipes are left alone: what is read of them is gone.
pub(super) fn tool(path: &Path) -> Option<&'static str> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut head = Vec::new();
    File::open(path).ok()?.take(6).read_to_end(&mut head).ok()?;
    let kind = KINDS.iter().find(|(start, _)| head.starts_with(start));
    kind.map(|(_, tool)| *tool)
}
