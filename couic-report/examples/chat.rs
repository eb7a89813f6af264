//! A stand-in for a Discord channel: receives one message, prints it roughly as Discord renders it, and exits.
//!
//! `cargo run -p couic-report --example chat` prints its URL, for `[discord] webhook_url`: a preview of messages
//! without a channel. `make demo` shows its summary with it.

use std::{
    error::Error,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
};

use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}/api/webhooks/1/token", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        // A connection without a complete request is ignored.
        if let Ok(message) = take(&stream) {
            print!("{}", shown(&message));
            return Ok(());
        }
    }
}

/// Reads one request and accepts it.
fn take(mut stream: &TcpStream) -> Result<Value, Box<dyn Error>> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err("an early end".into());
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    let message = serde_json::from_slice(&body)?;
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")?;
    Ok(message)
}

/// The embeds, each with a bar in its colour.
fn shown(message: &Value) -> String {
    let mut out = String::new();
    for embed in list(message, "embeds") {
        let color = embed["color"].as_u64().unwrap_or_default();
        let [_, red, green, blue] = (color as u32).to_be_bytes();
        let mut line = |text: &str| {
            out.push_str(&format!("\x1b[38;2;{red};{green};{blue}m┃\x1b[0m {text}\n"));
        };
        line(&format!("\x1b[1m{}\x1b[0m", plain(&embed["title"])));
        for field in list(embed, "fields") {
            line(&format!(
                "{:<16}{}",
                plain(&field["name"]),
                plain(&field["value"])
            ));
        }
        line(&plain(&embed["footer"]["text"]));
    }
    out
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Removes Discord's backslash escapes.
fn plain(text: &Value) -> String {
    let mut chars = text.as_str().unwrap_or_default().chars();
    let mut out = String::new();
    while let Some(c) = chars.next() {
        let shown = if c == '\\' { chars.next() } else { Some(c) };
        // Control characters could move the terminal's cursor.
        out.extend(shown.filter(|c| !c.is_control()));
    }
    out
}
