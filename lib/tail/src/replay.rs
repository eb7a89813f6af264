//! Reading a whole file once, plain or compressed with gzip, in constant memory.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    sync::Arc,
};

use flate2::bufread::MultiGzDecoder;

use crate::{Figures, Sink, When, figures::Counters, lines::Lines, output::Output};

const CHUNK: usize = 256 << 10;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How far a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Bytes of the file, compressed ones if it is.
    pub done: u64,
    /// Its size when it was opened; `None` for standard input and pipes.
    pub total: Option<u64>,
}

/// Hands over all lines of a file as [`When::Live`]; `-` is standard input. Compressed ones are known by their first bytes,
/// and may have several members. `progress` is called after each chunk of 256 KiB.
///
/// # Errors
/// Those of the system; `InvalidData` or `UnexpectedEof` for a damaged compressed file, when the lines before have been
/// handed over.
pub fn read_file(
    path: &Path,
    sink: &mut dyn Sink,
    progress: &mut dyn FnMut(Read),
) -> io::Result<Figures> {
    if path == Path::new("-") {
        return read_from(io::stdin().lock(), "stdin", None, sink, progress);
    }
    let file = File::open(path)?;
    let is = file.metadata()?;
    let total = is.is_file().then_some(is.len());
    read_from(file, &path.to_string_lossy(), total, sink, progress)
}

fn read_from(
    input: impl io::Read,
    name: &str,
    total: Option<u64>,
    sink: &mut dyn Sink,
    progress: &mut dyn FnMut(Read),
) -> io::Result<Figures> {
    let counters = Arc::new(Counters::default());
    let mut output = Output::new(Box::new(sink), Arc::clone(&counters));
    let stream = output.open(name);
    let mut lines = Lines::default();
    let mut input = BufReader::with_capacity(CHUNK, input);
    let done = Cell::new(0);
    let compressed = input.fill_buf()?.starts_with(&GZIP);
    let counted = Counted { input, done: &done };
    let mut input: Box<dyn io::Read + '_> = if compressed {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(
            CHUNK, counted,
        )))
    } else {
        Box::new(counted)
    };
    let mut buffer = vec![0; CHUNK];
    let result = loop {
        match input.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(read) => {
                let chunk = buffer.get(..read).unwrap_or_default();
                output.chunk(stream, &mut lines, chunk, When::Live);
                progress(Read {
                    done: done.get(),
                    total,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    output.finish(stream, &mut lines, result.is_ok(), When::Live);
    output.close(stream);
    result.map(|()| counters.figures())
}

/// Counts the bytes that come through.
struct Counted<'a, R> {
    input: R,
    done: &'a Cell<u64>,
}

impl<R: io::Read> io::Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.done.set(self.done.get() + read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, path::PathBuf};

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::testing::{Got, Seen};

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(content: &[u8]) -> (Got, io::Result<Figures>, Vec<Read>) {
        let dir = tempfile::tempdir().unwrap();
        let path: PathBuf = dir.path().join("log");
        fs::write(&path, content).unwrap();
        let (mut seen, mut told) = (Seen::default(), Vec::new());
        let result = read_file(&path, &mut seen, &mut |read| told.push(read));
        (seen.get(), result, told)
    }

    #[test]
    fn plain_and_compressed_files_give_the_same_lines_and_end_at_their_size() {
        let text: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
        let halves = text.split_at(text.len() / 2);
        let members = [gzip(halves.0.as_bytes()), gzip(halves.1.as_bytes())].concat();
        let expected: Vec<&str> = text.lines().collect();
        for content in [text.as_bytes(), &gzip(text.as_bytes()), &members] {
            let (got, result, told) = read(content);
            assert_eq!(got.live, expected);
            assert_eq!(result.unwrap().bytes, text.len() as u64);
            let size = content.len() as u64;
            assert_eq!(
                told.last(),
                Some(&Read {
                    done: size,
                    total: Some(size)
                })
            );
            assert!(told.is_sorted_by_key(|read| read.done));
        }
    }

    #[test]
    fn a_damaged_file_gives_the_lines_before_the_damage_and_an_error() {
        let mut whole = gzip(&b"line\n".repeat(100_000));
        whole.truncate(whole.len() - 9);
        let (got, result, _) = read(&whole);
        assert!(result.is_err());
        assert!(got.live.len() > 10_000 && got.live.iter().all(|line| line == "line"));
    }

    #[test]
    fn a_last_line_without_newline_is_whole_and_a_missing_file_an_error() {
        let (got, result, _) = read(b"one\ntwo");
        assert_eq!(got.live, ["one", "two"]);
        assert_eq!(result.unwrap().lines, 2);
        let missing = read_file(
            Path::new("/nonexistent/x"),
            &mut Seen::default(),
            &mut |_| {},
        );
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
