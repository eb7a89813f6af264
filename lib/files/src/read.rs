//! Reading files whose names other processes may have exchanged.
//!
//! Guarantees: neither a FIFO nor a device nor an endless file can hang or exhaust the process, and no symbolic link leads
//! out of the directory that the caller means.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2},
    sys::stat::Mode,
};

/// Reads a regular file of at most `most` bytes. A symbolic link is not followed.
///
/// # Errors
/// `NotFound`, `FileTooLarge`, `InvalidInput` if it is no regular file; otherwise the system's.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => link("a symbolic link, which is not followed"),
            _ => error,
        })?;
    read_bounded(regular(file)?, most)
}

/// Opens a regular file in a directory. A symbolic link is followed as long as it stays in the directory.
///
/// # Errors
/// `NotFound`; `InvalidInput` if it is no regular file, or a link that leads elsewhere; otherwise the system's.
pub fn open_beneath(dir: &Path, name: &str) -> io::Result<File> {
    let dir = File::open(dir)?;
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let opened = match openat2(&dir, name, how) {
        // Container runtimes with an old list of system calls.
        Err(Errno::ENOSYS | Errno::EPERM) => without_links(&dir, name, flags),
        Err(Errno::EXDEV) => Err(link("a symbolic link that leads out of its directory")),
        other => other.map_err(io::Error::from),
    };
    regular(File::from(opened?))
}

fn without_links(dir: impl AsFd, name: &str, flags: OFlag) -> io::Result<std::os::fd::OwnedFd> {
    match openat(dir, name, flags | OFlag::O_NOFOLLOW, Mode::empty()) {
        Err(Errno::ELOOP) => Err(link(
            "a symbolic link, and this system has no openat2(2) to follow it safely",
        )),
        other => other.map_err(io::Error::from),
    }
}

/// The content of an open file.
///
/// # Errors
/// `FileTooLarge` beyond `most` bytes; otherwise the system's.
pub fn read_bounded(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let message = format!("larger than {most} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        ErrorKind::InvalidInput,
        "not a regular file",
    ))
}

fn link(problem: &str) -> io::Error {
    let advice = "put the file itself there";
    io::Error::new(ErrorKind::InvalidInput, format!("{problem}: {advice}"))
}

/// A file's name as a message shows it: without control characters, and short.
#[must_use]
pub fn shown_name(name: &std::ffi::OsStr) -> String {
    const LONGEST: usize = 80;
    let text = String::from_utf8_lossy(name.as_bytes());
    let mut short: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use nix::unistd::mkfifo;

    use super::*;

    fn problem<T>(result: io::Result<T>) -> String {
        result.map(drop).unwrap_err().to_string()
    }

    #[test]
    fn fifos_devices_links_and_endless_files_are_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "text").unwrap();
        assert_eq!(read_regular(&at("file"), 4).unwrap(), b"text");
        mkfifo(&at("fifo"), Mode::S_IRUSR).unwrap();
        symlink(at("file"), at("link")).unwrap();
        assert!(problem(read_regular(&at("file"), 3)).contains("larger than 3 bytes"));
        assert_eq!(problem(read_regular(&at("fifo"), 4)), "not a regular file");
        assert_eq!(
            problem(read_regular(Path::new("/dev/zero"), 4)),
            "not a regular file"
        );
        assert_eq!(problem(read_regular(dir.path(), 4)), "not a regular file");
        assert!(problem(read_regular(&at("link"), 4)).contains("not followed"));
        let missing = read_regular(&at("missing"), 4).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn links_are_followed_within_their_directory_alone() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("..data")).unwrap();
        fs::write(at("..data/list"), "text").unwrap();
        fs::write(outside.path().join("list"), "secret").unwrap();
        symlink("..data/list", at("within")).unwrap();
        symlink(outside.path().join("list"), at("absolute")).unwrap();
        symlink("../list", at("above")).unwrap();
        symlink(outside.path(), at("folder")).unwrap();
        symlink("/proc/self/fd/0", at("magic")).unwrap();
        mkfifo(&at("fifo"), Mode::S_IRUSR).unwrap();
        let within = open_beneath(dir.path(), "within").unwrap();
        assert_eq!(read_bounded(within, 9).unwrap(), b"text");
        for name in ["absolute", "above", "folder/list", "magic"] {
            let told = problem(open_beneath(dir.path(), name));
            assert!(
                told.contains("leads out of its directory"),
                "{name}: {told}"
            );
        }
        assert_eq!(
            problem(open_beneath(dir.path(), "fifo")),
            "not a regular file"
        );
        // As where openat2 is missing.
        let folder = File::open(dir.path()).unwrap();
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
        let told = problem(without_links(&folder, "within", flags));
        assert!(told.contains("openat2"), "{told}");
    }
}
