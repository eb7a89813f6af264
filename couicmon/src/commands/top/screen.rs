//! The terminal: q, Esc and Ctrl-C end, and it is left as it was found, however this process ends.

use std::{
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

use crossterm::{
    cursor::MoveTo,
    event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    queue,
    terminal::{self, Clear, ClearType},
};
use nix::sys::signal::{SigSet, Signal};

/// What ends a program from outside.
const SIGNALS: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

/// A terminal whose keys are read.
pub(super) struct Screen {
    /// Without a terminal to read from, signals end the program as usual.
    keys: bool,
}

/// Columns and rows.
pub(super) fn size() -> (u16, u16) {
    terminal::size().unwrap_or((80, 24))
}

impl Screen {
    pub(super) fn open() -> Self {
        let keys = terminal::enable_raw_mode().is_ok();
        if keys {
            restored_at_signals();
        }
        Self { keys }
    }

    /// Draws lines, each cut at the edge.
    pub(super) fn draw(&mut self, text: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let (columns, _) = size();
        let mut screen = Vec::new();
        queue!(screen, MoveTo(0, 0), Clear(ClearType::All))?;
        for line in String::from_utf8_lossy(text).lines() {
            // A raw terminal does not go back to the first column by itself.
            let line: String = line.chars().take(columns.into()).collect();
            write!(screen, "{line}\r\n")?;
        }
        out.write_all(&screen)?;
        out.flush()
    }

    /// Waits so long, or until a key is pressed that ends it.
    pub(super) fn ends_within(&mut self, time: Duration) -> io::Result<bool> {
        if !self.keys {
            thread::sleep(time);
            return Ok(false);
        }
        let until = Instant::now() + time;
        while event::poll(until.saturating_duration_since(Instant::now()))? {
            if ends(&event::read()?) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.keys {
            restore();
        }
    }
}

fn ends(event: &Event) -> bool {
    let Event::Key(KeyEvent {
        code,
        modifiers,
        kind: KeyEventKind::Press,
        ..
    }) = event
    else {
        return false;
    };
    let control = modifiers.contains(KeyModifiers::CONTROL);
    match code {
        KeyCode::Esc => true,
        KeyCode::Char('q' | 'Q') => !control,
        KeyCode::Char('c') => control,
        _ => false,
    }
}

/// An error has nobody to be told to.
fn restore() {
    drop(terminal::disable_raw_mode());
}

/// A thread of its own waits for them: nothing else here has threads, and they inherit that signals are blocked.
fn restored_at_signals() {
    let set: SigSet = SIGNALS.into_iter().collect();
    if set.thread_block().is_err() {
        return;
    }
    thread::spawn(move || {
        if let Ok(signal) = set.wait() {
            restore();
            std::process::exit(128 + signal as i32);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_escape_and_control_c_end_it_and_nothing_else() {
        let key = |code, modifiers| ends(&Event::Key(KeyEvent::new(code, modifiers)));
        assert!(key(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(key(KeyCode::Esc, KeyModifiers::NONE));
        assert!(key(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!key(KeyCode::Char('c'), KeyModifiers::NONE));
        assert!(!key(KeyCode::Enter, KeyModifiers::NONE));
        assert!(!ends(&Event::Resize(80, 24)));
    }
}
