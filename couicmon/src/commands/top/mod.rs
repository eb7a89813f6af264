//! `couicmon top`: talkers and jails of the running couicmon, from its control socket, again each second on a terminal.

mod screen;
mod show;

use std::{
    io::{self, IsTerminal, Write},
    net::IpAddr,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use couic_httpd::Ask;
use serde::Deserialize;

use self::{
    screen::Screen,
    show::{Room, show},
};
use super::Failure;
use crate::{args::Top, config::Config};

const EVERY: Duration = Duration::from_secs(1);
/// The socket is on this machine: a longer silence is a process that hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where no configuration says otherwise.
const SOCKET: &str = "/run/couicmon/control.sock";
/// Talkers without a terminal.
const USUAL: u16 = 20;

/// What the service tells. Fields of later versions are passed over.
#[derive(Debug, Deserialize)]
struct Answer {
    talkers: Vec<Talker>,
    jails: Vec<Jail>,
    sources: Vec<Source>,
    #[serde(default)]
    dominant: Vec<String>,
    #[serde(default)]
    pending_bans: u64,
}

#[derive(Debug, Deserialize)]
struct Talker {
    addr: IpAddr,
    lines: u64,
    over: u64,
    share: f64,
}

#[derive(Debug, Deserialize)]
struct Jail {
    jail: String,
    shadow: bool,
    hits: u64,
    bans: u64,
    shadow_bans: u64,
    held: u64,
    fill: f64,
}

#[derive(Debug, Deserialize)]
struct Source {
    source: String,
    lines: u64,
    unparsed: u64,
    lag_seconds: f64,
    behind_bytes: u64,
}

pub(super) fn run(args: &Top, config: &Path, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    // Its own mistakes are no reason not to look at a service that runs.
    let socket = Config::load(config).map_or_else(|_| SOCKET.into(), |config| config.control);
    if args.json {
        let text = fetch(&socket, args.n.unwrap_or(USUAL))?;
        writeln!(out, "{}", text.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let people = io::stdout().is_terminal();
    if args.once || !people {
        let answer = answer(&socket, args.n.unwrap_or(USUAL))?;
        show(&answer, None, Room { people, rows: None }, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut before: Option<u64> = None;
    let mut screen = Screen::open();
    loop {
        let (_, rows) = screen::size();
        let answer = answer(&socket, args.n.unwrap_or(rows.clamp(1, 1_000)))?;
        let lines = answer.sources.iter().map(|source| source.lines).sum();
        let rate = before.map(|before| lines - before.min(lines));
        before = Some(lines);
        let room = Room {
            people,
            rows: Some(usize::from(rows.saturating_sub(1))),
        };
        let mut frame = Vec::new();
        show(&answer, rate, room, &mut frame)?;
        screen.draw(&frame, out)?;
        if screen.ends_within(EVERY)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn answer(socket: &Path, n: u16) -> Result<Answer, Failure> {
    let text = fetch(socket, n)?;
    serde_json::from_str(&text)
        .map_err(|e| Failure::failed("the answer of couicmon cannot be read", e))
}

/// The body of the answer.
fn fetch(socket: &Path, n: u16) -> Result<String, Failure> {
    let ask = Ask {
        program: "couicmon",
        socket,
        patience: PATIENCE,
    };
    ask.send(&format!("GET /v1/top?n={n}"))
        .map_err(|error| Failure::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::{io::BufRead, io::BufReader, os::unix::net::UnixListener, path::PathBuf, thread};

    use super::*;

    const BODY: &str = r#"{"version":"1","talkers":[{"addr":"192.0.2.1","lines":1200,"over":0,"share":0.6},
        {"addr":"2001:db8::","lines":800,"over":3,"share":0.4}],
        "jails":[{"jail":"scan","shadow":true,"hits":7,"bans":0,"shadow_bans":1,"held":0,"fill":0.01,"pushed_out":0}],
        "sources":[{"source":"web","lines":2000,"unparsed":1,"lag_seconds":0.25,"behind_bytes":0}],
        "dominant":["192.0.2.1 has most lines of web: is it a proxy?"],"pending_bans":5}"#;

    /// Answers one request.
    fn served(reply: String) -> (tempfile::TempDir, PathBuf, thread::JoinHandle<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
            asked
        });
        (dir, path, served)
    }

    #[test]
    fn the_answer_is_shown() {
        let (_dir, path, served) = served(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{BODY}"
        ));
        let answer = answer(&path, 7).unwrap();
        assert_eq!(served.join().unwrap(), "GET /v1/top?n=7 HTTP/1.1\r\n");
        let mut out = Vec::new();
        let room = Room {
            people: true,
            rows: Some(18),
        };
        show(&answer, Some(40), room, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("40 lines a second\n"), "{text}");
        for part in [
            "scan (shadow)     7     0            1",
            "5 bans wait",
            "is it a proxy?",
            "192.0.2.1   1,200  60.0 %",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("2001:db8::   ~800"), "{text}");
        assert!(text.lines().count() <= 18);
    }
}
