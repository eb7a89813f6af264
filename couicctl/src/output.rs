//! Standard output: text, or one JSON document.

use std::io::{self, BufWriter, IsTerminal, Write};

use crate::{failure::Failure, pager::Pager, render::Table};
use serde::Serialize;

/// The destination of results. Buffered until it is full, flushed or finished.
pub(crate) struct Output {
    writer: BufWriter<Box<dyn Write>>,
    json: bool,
    terminal: bool,
    pages: bool,
    pager: Option<Pager>,
}

impl Output {
    pub(crate) fn stdout(json: bool) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self {
            writer: BufWriter::with_capacity(1 << 16, Box::new(stdout)),
            json,
            terminal,
            pages: terminal && !json,
            pager: None,
        }
    }

    /// Without a pager, if `not`.
    pub(crate) fn without_pager(mut self, not: bool) -> Self {
        self.pages &= !not;
        self
    }

    /// Sends what follows through a pager, if stdout is a terminal.
    pub(crate) fn page(&mut self) -> Result<(), Failure> {
        if self.pages && self.pager.is_none() {
            self.flush()?;
            if let Some((pager, input)) = Pager::start() {
                self.writer = BufWriter::with_capacity(1 << 16, Box::new(input));
                self.pager = Some(pager);
            }
        }
        Ok(())
    }

    /// Waits until the operator has left the pager, if there is one.
    pub(crate) fn end_page(&mut self) -> Result<(), Failure> {
        let flushed = self.flush();
        if let Some(pager) = self.pager.take() {
            // Closes the pager's input.
            self.writer = BufWriter::new(Box::new(io::stdout()));
            drop(pager);
        }
        flushed
    }

    /// Says on stderr that there is nothing to list; an empty document, or nothing at all, for programs.
    pub(crate) fn nothing<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        sentence: &str,
    ) -> Result<(), Failure> {
        if self.terminal && !self.json {
            let _ = writeln!(io::stderr(), "{sentence}");
            return Ok(());
        }
        self.show(value, |_| Ok(()))
    }

    /// A JSON array whose elements are written as they come.
    pub(crate) fn array(&mut self) -> Array<'_> {
        Array {
            writer: &mut self.writer,
            count: 0,
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
        self.end_page()
    }
}

/// A JSON array in the form of [`Output::show`], in bounded memory.
pub(crate) struct Array<'a> {
    writer: &'a mut BufWriter<Box<dyn Write>>,
    count: u64,
}

impl Array<'_> {
    /// Writes one element.
    pub(crate) fn push<T: Serialize>(&mut self, element: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(element)?;
        let before = if self.count == 0 { "[" } else { "," };
        let text = text.replace('\n', "\n  ");
        write!(self.writer, "{before}\n  {text}")?;
        self.count += 1;
        Ok(())
    }

    /// Ends it.
    pub(crate) fn end(self) -> Result<(), Failure> {
        let end = if self.count == 0 { "[]" } else { "\n]" };
        Ok(writeln!(self.writer, "{end}")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_in_parts_is_the_same_as_the_whole() {
        for elements in [vec![], vec![json(1)], vec![json(1), json(2)]] {
            let written = Shared::default();
            let mut writer = BufWriter::new(Box::new(written.clone()) as Box<dyn Write>);
            let mut array = Array {
                writer: &mut writer,
                count: 0,
            };
            for element in &elements {
                array.push(element).unwrap();
            }
            array.end().unwrap();
            writer.flush().unwrap();
            let whole = serde_json::to_string_pretty(&elements).unwrap() + "\n";
            assert_eq!(
                String::from_utf8(written.0.borrow().clone()).unwrap(),
                whole
            );
        }
    }

    fn json(n: u64) -> serde_json::Value {
        serde_json::json!({"n": n, "list": [1, {"text": "a\nb"}], "none": []})
    }

    #[derive(Clone, Default)]
    struct Shared(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
