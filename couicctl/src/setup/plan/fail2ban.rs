//! fail2ban's part of the plan: the actions, a token for the one in fail2ban's process, and the jails.

use super::Plan;
use crate::{
    failure::Failure,
    setup::{
        host::{Fail2ban, Host},
        step::Step,
    },
};

/// The actions, as shipped: the one that starts couicctl for each ban, and the one in fail2ban's process.
const ACTION: &str = include_str!("../../../../config/fail2ban/couic.conf");
const PYTHON: &str = include_str!("../../../../config/fail2ban/couic.py");

/// What the latter takes for its socket and token if it is told of no others.
const SOCKET: &str = "/var/run/couic/couic.sock";
const TOKEN: &str = "/etc/couic/fail2ban.token";

impl Plan {
    pub(super) fn fail2ban(&mut self, host: &Host) -> Result<(), Failure> {
        let found = &host.fail2ban;
        if !found.installed {
            return Err(Failure::Usage(
                "fail2ban is not installed: there is no fail2ban-client in the search path".into(),
            ));
        }
        let before = self.steps.len();
        let mut file = |name: &str, text: &str, about: &str| {
            self.steps.push(Step::File {
                path: found.dir.join(name),
                text: text.to_owned(),
                owner: None,
                about: about.to_owned(),
            });
        };
        if !found.has_action {
            file("action.d/couic.conf", ACTION, "a fail2ban action");
        }
        if !found.has_python {
            let about = "the fail2ban action in its process";
            file("action.d/couic.py", PYTHON, about);
        }
        match &found.jail {
            None => {
                let about = "let all jails of fail2ban ban with Couic";
                file("jail.d/couic.local", &jails(host), about);
                self.fail2ban_client(host);
            }
            Some(text) if text.contains("couic.py") => self.fail2ban_client(host),
            Some(_) => self.notes.push(format!(
                "{} has fail2ban start couicctl for each ban. banaction = couic.py costs a fraction of that: delete the file and run couicctl setup again",
                found.dir.join("jail.d/couic.local").display()
            )),
        }
        if found.runs && self.steps.len() > before {
            self.steps.push(Step::Fail2ban);
        }
        Ok(())
    }

    /// A client that may only drop, unless its token is there and not refused.
    fn fail2ban_client(&mut self, host: &Host) {
        let Fail2ban {
            token,
            has_token,
            has_client,
            is_refused,
            ..
        } = &host.fail2ban;
        let shown = token.display();
        if *has_token && !is_refused {
            return;
        }
        if *has_token && *has_client {
            let token = token.clone();
            self.steps.push(Step::Fail2banToken { token });
        } else if *has_client {
            self.notes.push(format!(
                "the client fail2ban exists, and its token is not in {shown}, where fail2ban reads it: couicctl clients rotate fail2ban --token-file {shown}"
            ));
        } else if host.daemon.runs || self.steps.contains(&Step::Start) {
            let token = token.clone();
            self.steps.push(Step::Fail2banClient { token });
        } else {
            self.notes.push(format!(
                "fail2ban keeps its bans until the daemon runs and has a token for it: couicctl clients add -n fail2ban -g clientrw --policy drop --token-file {shown}"
            ));
        }
    }
}

/// The jails' part of the fail2ban configuration.
fn jails(host: &Host) -> String {
    let (socket, token) = (&host.daemon.installed.socket, &host.fail2ban.token);
    let mut options = Vec::new();
    if socket.as_os_str() != SOCKET {
        options.push(format!("socket=\"{}\"", socket.display()));
    }
    if token.as_os_str() != TOKEN {
        options.push(format!("token_file=\"{}\"", token.display()));
    }
    let options = match options.join(", ") {
        none if none.is_empty() => none,
        some => format!("[{some}]"),
    };
    format!(
        "# Written by couicctl setup: bans of all jails become rules of Couic. Remove this file to undo that.\n\
         [DEFAULT]\nbanaction = couic.py{options}\nbanaction_allports = couic.py{options}\n"
    )
}
