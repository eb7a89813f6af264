//! Writers of log lines that escape as the real ones do, for what clients may send. Used by tests and by the fuzz target,
//! hence only the standard library.

/// What a client sends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// The target of the request, or all of its line.
    pub(crate) target: Vec<u8>,
    pub(crate) user: Vec<u8>,
    pub(crate) host: Vec<u8>,
    pub(crate) referer: Vec<u8>,
    pub(crate) agent: Vec<u8>,
    /// `X-Forwarded-For` as the client sends it.
    pub(crate) forwarded: Vec<u8>,
}

/// A line, and how to open its format: `[docker:|cri:|syslog:]NAME` or `fields:LOG_FORMAT`.
pub(crate) struct Written {
    pub(crate) format: String,
    pub(crate) line: Vec<u8>,
}

/// Layouts in which text of clients stands wherever it may.
const LAYOUTS: &[&str] = &[
    r#"$remote_addr - $remote_user [$time_local] "$request" $status 12 "$http_referer" "$http_user_agent" "$http_x_forwarded_for""#,
    r#""$host" "$http_user_agent" $remote_addr "$request" $status"#,
    "$host $status $remote_addr",
    "$http_user_agent\t$remote_user\t$remote_addr\t$http_x_forwarded_for\t$status\t$request",
    r#"$remote_addr $http_referer [$time_local] $status"#,
    r#"{"a":"$http_user_agent","remote_addr":"$remote_addr","x":"$http_x_forwarded_for","r":"$request"}"#,
];

/// One line for each format, from `peer`, which appends nothing to the header of proxies that `sent` holds.
pub(crate) fn lines(sent: &Sent, peer: &str) -> Vec<Written> {
    let mut all = Vec::new();
    let mut push = |format: &str, line: Vec<u8>| {
        all.push(Written {
            format: format.to_owned(),
            line,
        });
    };
    for (escape, raw) in [
        (nginx as fn(&[u8]) -> Vec<u8>, false),
        (apache, false),
        (nginx, true),
    ] {
        let combined = access(sent, peer, escape, raw);
        push("combined", combined.clone());
        push("common", combined.clone());
        push("vhost_combined", [b"h.example:443 ", &*combined].concat());
        push("docker:combined", docker(&combined));
        push(
            "cri:combined",
            [b"2026-12-01T06:25:02Z stdout F ", &*combined].concat(),
        );
        for header in [
            "<190>Dec  1 06:25:01 h nginx: ",
            "Dec  1 06:25:01 nginx: ",
            "<190>1 2026-12-01T06:25:01Z h nginx - - - ",
        ] {
            push("syslog:combined", [header.as_bytes(), &*combined].concat());
        }
    }
    push("haproxy", haproxy(sent, peer));
    push(
        "haproxy",
        [b"Dec  1 06:25:01 lb haproxy[1]: ", &*haproxy(sent, peer)].concat(),
    );
    let caddy = caddy(sent, peer);
    push("docker:caddy-json", docker(&caddy));
    push("caddy-json", caddy);
    push("traefik-json", traefik(sent, peer));
    push("nginx-json", nginx_json(sent, peer));
    for layout in LAYOUTS {
        push(&format!("fields:{layout}"), layout_line(layout, sent, peer));
    }
    all
}

/// Messages of sshd with the text `client` in the place of a user's name, or of a banner, reason or certificate.
pub(crate) fn sshd_lines(client: &[u8], peer: &str) -> Vec<Written> {
    const MESSAGES: &[&str] = &[
        "Failed password for invalid user USER from PEER port 4711 ssh2",
        "Failed none for invalid user USER from PEER port 4711 ssh2",
        "Failed publickey for invalid user USER from PEER port 4711 ssh2: RSA SHA256:abc",
        "Failed publickey for invalid user USER from PEER port 4711 ssh2: RSA-CERT SHA256:abc ID USER (serial 0) CA RSA SHA256:def",
        "Failed publickey for root from PEER port 4711 ssh2: RSA-CERT SHA256:abc ID USER (serial 0) CA RSA SHA256:def",
        "Invalid user USER from PEER port 4711",
        "Invalid user USER from PEER",
        "error: maximum authentication attempts exceeded for invalid user USER from PEER port 4711 ssh2 [preauth]",
        "Connection closed by invalid user USER PEER port 4711 [preauth]",
        "Connection reset by invalid user USER PEER port 4711 [preauth]",
        "Disconnected from invalid user USER PEER port 4711 [preauth]",
        "Disconnecting invalid user USER PEER port 4711: Too many authentication failures [preauth]",
        "Disconnecting invalid user USER PEER port 4711: Change of username or service not allowed: (USER,x) -> (USER,x) [preauth]",
        "Disconnecting authenticating user root PEER port 4711: Change of username or service not allowed: (root,x) -> (USER,x) [preauth]",
        "Received disconnect from PEER port 4711:11: USER [preauth]",
        "Received disconnect from PEER: 11: USER",
        "Unable to negotiate with PEER port 4711: no matching key exchange method found. Their offer: USER [preauth]",
        "Bad protocol version identification 'USER' from PEER port 4711",
        "error: PAM: Authentication failure for illegal user USER from PEER",
        "input_userauth_request: invalid user USER [preauth]",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=PEER  user=USER",
    ];
    let user: Vec<u8> = vis(client).into_iter().take(100).collect();
    let mut all = Vec::new();
    for message in MESSAGES {
        let message = fill(message, &[("USER", &user), ("PEER", peer.as_bytes())]);
        for header in [
            "",
            "Dec  1 06:25:01 h sshd[4711]: ",
            "<38>Dec  1 06:25:01 sshd-session[4711]: ",
        ] {
            let line = [header.as_bytes(), &*message].concat();
            all.push(Written {
                format: "cri:sshd".to_owned(),
                line: [b"2026-12-01T06:25:02Z stderr F ", &*line].concat(),
            });
            all.push(Written {
                format: "sshd".to_owned(),
                line,
            });
        }
        let line = [b"message repeated 2 times: [ ", &*message, b"]"].concat();
        all.push(Written {
            format: "sshd".to_owned(),
            line,
        });
    }
    all
}

/// Replaces words once, from left to right, never in what was put in.
fn fill(text: &str, words: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    'next: while let Some(char) = rest.chars().next() {
        for (word, value) in words {
            if let Some(behind) = rest.strip_prefix(word) {
                out.extend_from_slice(value);
                rest = behind;
                continue 'next;
            }
        }
        out.extend_from_slice(char.to_string().as_bytes());
        rest = &rest[char.len_utf8()..];
    }
    out
}

fn request(sent: &Sent, raw: bool) -> Vec<u8> {
    if raw {
        return sent.target.clone();
    }
    [b"GET ", &*sent.target, b" HTTP/1.1"].concat()
}

fn access(sent: &Sent, peer: &str, escape: fn(&[u8]) -> Vec<u8>, raw: bool) -> Vec<u8> {
    let text = r#"PEER - USER [01/Dec/2026:06:25:01 +0000] "REQUEST" 404 12 "REFERER" "AGENT""#;
    fill(
        text,
        &[
            ("PEER", peer.as_bytes()),
            ("USER", &escape(&sent.user)),
            ("REQUEST", &escape(&request(sent, raw))),
            ("REFERER", &escape(&sent.referer)),
            ("AGENT", &escape(&sent.agent)),
        ],
    )
}

fn layout_line(layout: &str, sent: &Sent, peer: &str) -> Vec<u8> {
    fill(
        layout,
        &[
            ("$remote_addr", peer.as_bytes()),
            ("$remote_user", &nginx(&sent.user)),
            ("$time_local", b"01/Dec/2026:06:25:01 +0000"),
            ("$request", &nginx(&request(sent, false))),
            ("$status", b"404"),
            ("$host", &nginx(&sent.host)),
            ("$http_referer", &nginx(&sent.referer)),
            ("$http_user_agent", &nginx(&sent.agent)),
            ("$http_x_forwarded_for", &nginx(&sent.forwarded)),
        ],
    )
}

fn haproxy(sent: &Sent, peer: &str) -> Vec<u8> {
    let text = r#"PEER:33317 [01/Dec/2026:06:25:01.655] http-in~ static/srv1 10/0/30/69/109 404 2750 - - ---- 1/1/1/1/0 0/0 {HOST|AGENT} {} "REQUEST""#;
    fill(
        text,
        &[
            ("PEER", peer.as_bytes()),
            ("HOST", &hash(&sent.host, b"\"#{|}")),
            ("AGENT", &hash(&sent.agent, b"\"#{|}")),
            ("REQUEST", &hash(&request(sent, false), b"\"#")),
        ],
    )
}

fn caddy(sent: &Sent, peer: &str) -> Vec<u8> {
    let text = r#"{"level":"info","ts":1796106301.5,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"PEER","remote_port":"1","client_ip":"6.6.6.6","method":"GET","host":"HOST","uri":"TARGET","headers":{"X-Forwarded-For":["FORWARDED"],"User-Agent":["AGENT"],"Referer":["REFERER"],"Remote_ip":["REFERER"]}},"user_id":"USER","status":404}"#;
    json_fill(text, sent, peer)
}

fn traefik(sent: &Sent, peer: &str) -> Vec<u8> {
    let text = r#"{"ClientAddr":"PEER:5","ClientHost":"FORWARDED","ClientUsername":"USER","DownstreamStatus":404,"RequestHost":"HOST","RequestMethod":"GET","RequestPath":"TARGET","StartUTC":"2026-12-01T06:25:01Z","request_User-Agent":"AGENT","request_Referer":"REFERER","request_X-Forwarded-For":"FORWARDED","time":"2026-12-01T06:25:02Z"}"#;
    let peer = if peer.contains(':') {
        format!("[{peer}]")
    } else {
        peer.to_owned()
    };
    json_fill(text, sent, &peer)
}

fn nginx_json(sent: &Sent, peer: &str) -> Vec<u8> {
    let text = r#"{"http_user_agent":"AGENT","time_iso8601":"2026-12-01T06:25:01+00:00","remote_addr":"PEER","remote_user":"USER","request":"GET TARGET HTTP/1.1","status":"404","http_referer":"REFERER","host":"HOST","http_x_forwarded_for":"FORWARDED"}"#;
    json_fill(text, sent, peer)
}

fn json_fill(text: &str, sent: &Sent, peer: &str) -> Vec<u8> {
    fill(
        text,
        &[
            ("PEER", peer.as_bytes()),
            ("USER", &json(&sent.user)),
            ("HOST", &json(&sent.host)),
            ("TARGET", &json(&sent.target)),
            ("REFERER", &json(&sent.referer)),
            ("AGENT", &json(&sent.agent)),
            ("FORWARDED", &json(&sent.forwarded)),
        ],
    )
}

fn docker(line: &[u8]) -> Vec<u8> {
    [
        b"{\"log\":\"",
        &*json(line),
        b"\\n\",\"stream\":\"stdout\",\"time\":\"2026-12-01T06:25:02.5Z\"}",
    ]
    .concat()
}

/// nginx, `escape=default`.
fn nginx(text: &[u8]) -> Vec<u8> {
    if text.is_empty() {
        return b"-".to_vec();
    }
    let escape = |byte: &u8| match byte {
        b'"' | b'\\' | 0..0x20 | 0x7f.. => format!("\\x{byte:02X}").into_bytes(),
        byte => vec![*byte],
    };
    text.iter().flat_map(escape).collect()
}

/// Apache, `ap_escape_logitem`.
fn apache(text: &[u8]) -> Vec<u8> {
    if text.is_empty() {
        return b"-".to_vec();
    }
    let escape = |byte: &u8| match byte {
        b'"' => b"\\\"".to_vec(),
        b'\\' => b"\\\\".to_vec(),
        b'\n' => b"\\n".to_vec(),
        b'\t' => b"\\t".to_vec(),
        0..0x20 | 0x7f.. => format!("\\x{byte:02x}").into_bytes(),
        byte => vec![*byte],
    };
    text.iter().flat_map(escape).collect()
}

/// HAProxy.
fn hash(text: &[u8], special: &[u8]) -> Vec<u8> {
    let escape = |byte: &u8| {
        if special.contains(byte) || !(0x20..0x7f).contains(byte) {
            format!("#{byte:02X}").into_bytes()
        } else {
            vec![*byte]
        }
    };
    text.iter().flat_map(escape).collect()
}

/// JSON, as nginx writes it: bytes that are not UTF-8 stay.
fn json(text: &[u8]) -> Vec<u8> {
    let escape = |byte: &u8| match byte {
        b'"' => b"\\\"".to_vec(),
        b'\\' => b"\\\\".to_vec(),
        b'\n' => b"\\n".to_vec(),
        0..0x20 => format!("\\u{byte:04X}").into_bytes(),
        byte => vec![*byte],
    };
    text.iter().flat_map(escape).collect()
}

/// sshd, strnvis with octal escapes; its strings end at a NUL.
fn vis(text: &[u8]) -> Vec<u8> {
    let escape = |byte: &u8| match byte {
        b'\\' => b"\\\\".to_vec(),
        0..0x20 | 0x7f.. => format!("\\{byte:03o}").into_bytes(),
        byte => vec![*byte],
    };
    text.iter()
        .take_while(|byte| **byte != 0)
        .flat_map(escape)
        .collect()
}
