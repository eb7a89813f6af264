//! Standard output: text, or one JSON document.

use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

use crate::{failure::Failure, render::Table};

/// The destination of results. Buffered until it is full, flushed or finished.
pub(crate) struct Output {
    writer: BufWriter<Box<dyn Write>>,
    json: bool,
    terminal: bool,
}

impl Output {
    pub(crate) fn stdout(json: bool) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self {
            writer: BufWriter::with_capacity(1 << 16, Box::new(stdout)),
            json,
            terminal,
        }
    }

    /// Whether `--json` was given.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether stdout is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// With `--json` one JSON document, otherwise the text that `text` writes.
    pub(crate) fn show<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        if self.json {
            serde_json::to_writer_pretty(&mut self.writer, value)?;
            writeln!(self.writer)?;
        } else {
            text(&mut self.writer)?;
        }
        Ok(())
    }

    /// With `--json` one JSON document, otherwise the table.
    pub(crate) fn table<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        table: impl FnOnce() -> Table,
    ) -> Result<(), Failure> {
        self.show(value, |out| table().write(out))
    }

    /// For output in several parts.
    pub(crate) fn writer(&mut self) -> &mut dyn Write {
        &mut self.writer
    }

    /// Flushes the buffer.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.writer.flush()?)
    }

    /// Flushes the buffer, so that a write error is not lost.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }
}
