//! The size of the terminal.

/// Columns and rows of the terminal that standard output is, if it is one and knows them.
pub(crate) fn size() -> Option<(usize, usize)> {
    // SAFETY: all bytes zero is a valid `winsize`.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: TIOCGWINSZ writes one `winsize` to the address, which is valid for it.
    let done = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    let found = (usize::from(size.ws_col), usize::from(size.ws_row));
    (done == 0 && found.0 > 0).then_some(found)
}
