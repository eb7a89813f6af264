//! A stand-in for a Discord channel: receives one message, prints it roughly as Discord renders it, and exits.
//!
//! `cargo run -p couic-report --example chat` prints its URL, for `[discord] webhook_url`: a preview of messages
//! without a channel. `make demo` shows its summary with it.

use std::time::Duration;

use couic_testkit::{Reply, StandIn};
use serde_json::Value;

// A connection without a complete request is ignored.
const DAYS: Duration = Duration::from_secs(1_000_000);

fn main() {
    let chat = StandIn::tcp(|_| Reply::status(204).with("connection", "close"));
    println!("{}", chat.url("/api/webhooks/1/token"));
    let message = chat.next(DAYS).json();
    print!("{}", shown(&message));
    // The answer is out by then.
    let _ = chat.finish();
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
