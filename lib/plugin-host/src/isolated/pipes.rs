//! The three pipes of a plugin's process: orders in, answers out, and what it prints.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    net::unix::pipe,
    sync::mpsc,
};

use super::frame::{self, Answer, Order};
use crate::{loaded::LogSink, text::clean};

/// The last line that a process has printed.
#[derive(Clone, Default)]
pub(super) struct LastWords(Arc<Mutex<String>>);

pub(super) async fn write(mut stdin: pipe::Sender, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        if frame::send(&mut stdin, &order.encode()).await.is_err() {
            return;
        }
    }
}

pub(super) async fn read(stdout: pipe::Receiver, answers: mpsc::Sender<io::Result<Answer>>) {
    let mut stdout = BufReader::new(stdout);
    while let Some(answer) = frame::receive_json(&mut stdout, frame::FROM_CHILD)
        .await
        .transpose()
    {
        let broken = answer.is_err();
        if answers.send(answer).await.is_err() || broken {
            return;
        }
    }
}

/// Logs what the process prints, line by line, and remembers the last one.
pub(super) async fn listen(stderr: impl AsyncRead + Unpin, last: LastWords, log: Arc<LogSink>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    // A line that does not end is taken in pieces.
    while let Ok(1..) = (&mut stderr).take(4096).read_until(b'\n', &mut line).await {
        let text = clean(&String::from_utf8_lossy(&line));
        line.clear();
        if !text.is_empty() {
            log(3, &text);
            *last.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
    }
}

impl LastWords {
    pub(super) fn add_to(&self, text: String) -> String {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if words.is_empty() {
            text
        } else {
            format!("{text}; it said last: {words}")
        }
    }
}
