//! Standard input: a stream with an end, and without checkpoints.

use std::{io, os::fd::AsFd, time::Duration};

use nix::{errno::Errno, unistd::read};

use crate::{Stop, When, lines::Lines, output::Output};

const CHUNK: usize = 64 << 10;

/// Reads until the end, or until asked to stop.
pub(crate) fn run(input: impl AsFd, mut output: Output<'_>, stop: &Stop) -> io::Result<()> {
    let stream = output.open("stdin");
    let mut lines = Lines::default();
    let mut buffer = vec![0; CHUNK];
    let ended = loop {
        if stop.is_asked() {
            break false;
        }
        let [ready] = stop.wait([input.as_fd()], Duration::MAX)?;
        if !ready {
            continue;
        }
        match read(input.as_fd(), &mut buffer) {
            Ok(0) => break true,
            Ok(n) => output.chunk(
                stream,
                &mut lines,
                buffer.get(..n).unwrap_or_default(),
                When::Live,
            ),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    };
    output.finish(stream, &mut lines, ended, When::Live);
    output.close(stream);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::testing::Seen;

    #[test]
    fn everything_is_read_to_the_end_and_the_last_line_needs_no_newline() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (seen, output) = Seen::output();
        let stop = Stop::new().unwrap();
        let source = std::thread::spawn(move || run(reader, output, &stop));
        writer.write_all(b"one\ntw").unwrap();
        seen.wait_for(|seen| seen.live == ["one"]);
        writer.write_all(b"o\nthree").unwrap();
        drop(writer);
        source.join().unwrap().unwrap();
        assert_eq!(seen.get().live, ["one", "two", "three"]);
        assert_eq!(seen.get().open, 0);
    }

    #[test]
    fn a_stop_ends_it_while_nothing_comes() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (seen, output) = Seen::output();
        let stop = Stop::new().unwrap();
        let asked = stop.clone();
        let source = std::thread::spawn(move || run(reader, output, &asked));
        writer.write_all(b"one\ntw").unwrap();
        seen.wait_for(|seen| seen.live == ["one"]);
        stop.stop();
        source.join().unwrap().unwrap();
        assert_eq!(seen.get().cut, ["tw"]);
    }
}
