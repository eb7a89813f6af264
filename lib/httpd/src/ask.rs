//! The other side of a control socket: a command that asks the running program.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// The largest answer.
const MAX_BYTES: u64 = 4 << 20;

/// A question to a program of this machine.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The program, for messages.
    pub program: &'a str,
    /// Its control socket.
    pub socket: &'a Path,
    /// How long it may be silent.
    pub patience: Duration,
}

/// There is no answer, or a refusal.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The program does not run, or does not answer.
    #[error("{}: {hint} ({source})", socket.display())]
    Io {
        /// The socket.
        socket: PathBuf,
        /// What to look at.
        hint: String,
        /// Why.
        source: io::Error,
    },
    /// It answered with something else than success.
    #[error("{}: {program} answered {status}: {message}", socket.display())]
    Refused {
        /// The socket.
        socket: PathBuf,
        /// The program.
        program: String,
        /// The status.
        status: String,
        /// The sentence that it told, or the whole body.
        message: String,
    },
}

impl Ask<'_> {
    /// The body of the answer to `METHOD PATH`, which must have neither spaces nor line ends.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn send(&self, request: &str) -> Result<String, AskError> {
        let text = self.talk(request).map_err(|source| AskError::Io {
            socket: self.socket.to_owned(),
            hint: self.hint(&source),
            source,
        })?;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).unwrap_or_default();
        match status.starts_with('2') {
            true => Ok(body.to_owned()),
            false => Err(AskError::Refused {
                socket: self.socket.to_owned(),
                program: self.program.to_owned(),
                status: status.to_owned(),
                message: message(body),
            }),
        }
    }

    fn talk(&self, request: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(self.socket)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        let head = format!(
            "{request} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.program
        );
        stream.write_all(head.as_bytes())?;
        let mut text = String::new();
        stream.take(MAX_BYTES).read_to_string(&mut text)?;
        Ok(text)
    }

    fn hint(&self, error: &io::Error) -> String {
        let program = self.program;
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
                "is {program} running? See systemctl status {program}; the path of its socket is `control` in its configuration"
            ),
            io::ErrorKind::PermissionDenied => {
                "only root, its user and its group may ask".to_owned()
            }
            _ => "no answer".to_owned(),
        }
    }
}

fn message(body: &str) -> String {
    let read = serde_json::from_str::<serde_json::Value>(body).ok();
    let message = read.as_ref().and_then(|body| body["message"].as_str());
    message.unwrap_or(body).replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use std::{io::BufRead, io::BufReader, os::unix::net::UnixListener, thread};

    use super::*;

    /// Answers one request.
    fn asked(dir: &Path, reply: &'static str) -> (String, Result<String, AskError>) {
        let path = dir.join("socket");
        drop(std::fs::remove_file(&path));
        let listener = UnixListener::bind(&path).unwrap();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
            asked
        });
        let answer = ask(&path).send("GET /v1/top?n=7");
        (served.join().unwrap(), answer)
    }

    fn ask(socket: &Path) -> Ask<'_> {
        Ask {
            program: "couicmon",
            socket,
            patience: Duration::from_secs(5),
        }
    }

    #[test]
    fn an_answer_is_read_and_who_may_not_ask_or_asks_in_vain_is_told() {
        let dir = std::env::temp_dir().join(format!("couic-ask-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (asked_for, answer) = asked(&dir, "HTTP/1.1 200 OK\r\nx: y\r\n\r\n{}");
        assert_eq!(asked_for, "GET /v1/top?n=7 HTTP/1.1\r\n");
        assert_eq!(answer.unwrap(), "{}");
        let (_, refused) = asked(&dir, "HTTP/1.1 403 Forbidden\r\n\r\n{\"message\":\"no\"}");
        let error = refused.unwrap_err().to_string();
        assert!(error.ends_with("couicmon answered 403: no"), "{error}");
        let error = ask(&dir.join("none"))
            .send("GET /")
            .unwrap_err()
            .to_string();
        assert!(error.contains("is couicmon running?"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
