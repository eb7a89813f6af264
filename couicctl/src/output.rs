//! Standard output: text for people, or one JSON document.

use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

use crate::{failure::Failure, render::Table};

/// Where results go. Nothing is on the way to the reader until it is full or [`Output::finish`] is called.
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

    /// Whether somebody looks at it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// One JSON document, where `--json` was given; else what `text` writes.
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

    /// One JSON document, where `--json` was given; else the table.
    pub(crate) fn table<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        table: impl FnOnce() -> Table,
    ) -> Result<(), Failure> {
        self.show(value, |out| table().write(out))
    }

    /// For what is written piece by piece.
    pub(crate) fn writer(&mut self) -> &mut dyn Write {
        &mut self.writer
    }

    /// Sends what is pending on its way.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.writer.flush()?)
    }

    /// Sends what is pending on its way. An error here is the last chance to see it.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }
}
