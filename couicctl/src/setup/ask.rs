//! Questions on the terminal. Each has an answer that Enter takes.

use std::io::{self, BufRead, Write};

use couic_common::Cidr;

use super::{Wanted, host::Host, plan};
use crate::{cli::When, failure::Failure};

/// Asks for what no flag has said.
pub(super) fn complete(wanted: &mut Wanted, host: &Host) -> Result<(), Failure> {
    let mut terminal = Terminal {
        input: &mut io::stdin().lock(),
        output: &mut io::stdout(),
    };
    terminal.complete(wanted, host)
}

/// A question for yes or no.
pub(super) fn yes(question: &str, default: bool) -> Result<bool, Failure> {
    let mut terminal = Terminal {
        input: &mut io::stdin().lock(),
        output: &mut io::stdout(),
    };
    terminal.yes(question, default)
}

struct Terminal<'a> {
    input: &'a mut dyn BufRead,
    output: &'a mut dyn Write,
}

impl Terminal<'_> {
    fn complete(&mut self, wanted: &mut Wanted, host: &Host) -> Result<(), Failure> {
        if wanted.interfaces.is_empty() {
            // As without questions: what is configured stays unless another answer is given.
            let config = plan::current(host)?;
            let found = plan::proposed(host, &config).join(" ");
            let all = host.interfaces.iter().filter(|name| *name != "lo");
            let all: Vec<_> = all.map(String::as_str).collect();
            writeln!(self.output, "Interfaces here: {}", all.join(" "))?;
            wanted.interfaces =
                self.interfaces(&found, |name| plan::is_known(name, host, &config))?;
        }
        if wanted.protect.is_empty() {
            let own: Vec<String> = host.protected().map(|cidr| cidr.to_string()).collect();
            writeln!(
                self.output,
                "Never dropped (this host, your SSH session): {}",
                own.join(" ")
            )?;
            wanted.protect = self.networks("More of them: your networks, monitoring, gateway")?;
        }
        if host.fail2ban.installed
            && wanted.fail2ban == When::Auto
            && host.fail2ban.jail.is_none()
            && !self.yes("fail2ban is installed: let it ban with Couic?", true)?
        {
            wanted.fail2ban = When::Never;
        }
        if wanted.report.is_none() {
            let url = self.text(
                "Report rule changes to a webhook (its URL, empty for none)",
                "",
            )?;
            wanted.report = Some(url).filter(|url| !url.is_empty());
        }
        if !wanted.monitoring && !host.daemon.has_monitoring {
            wanted.monitoring = self.yes("Create a token for monitoring?", false)?;
        }
        Ok(())
    }

    fn interfaces(
        &mut self,
        found: &str,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, Failure> {
        loop {
            let answer = self.text("Filter on", found)?;
            let words = answer.split([' ', ',']).filter(|word| !word.is_empty());
            let names: Vec<String> = words.map(str::to_owned).collect();
            match names.iter().find(|name| !is_known(name)) {
                Some(missing) => writeln!(self.output, "  there is no interface {missing}")?,
                None if names.is_empty() => writeln!(self.output, "  name at least one")?,
                None => return Ok(names),
            }
        }
    }

    fn networks(&mut self, question: &str) -> Result<Vec<Cidr>, Failure> {
        loop {
            let answer = self.text(question, "")?;
            let words = answer.split([' ', ',']).filter(|word| !word.is_empty());
            let parsed = words
                .map(|word| Cidr::parse_lenient(word).map_err(|error| format!("{word}: {error}")));
            match parsed.collect::<Result<Vec<_>, _>>() {
                Ok(all) => return Ok(all),
                Err(error) => writeln!(self.output, "  {error}")?,
            }
        }
    }

    fn text(&mut self, question: &str, default: &str) -> Result<String, Failure> {
        if default.is_empty() {
            write!(self.output, "{question}: ")?;
        } else {
            write!(self.output, "{question} [{default}]: ")?;
        }
        self.output.flush()?;
        let mut line = String::new();
        // The end of the input is no answer: without this, questions would repeat for ever.
        if self.input.read_line(&mut line)? == 0 {
            return Err(Failure::Failed("no answer, nothing was changed".into()));
        }
        let answer = line.trim();
        Ok(if answer.is_empty() { default } else { answer }.to_owned())
    }

    fn yes(&mut self, question: &str, default: bool) -> Result<bool, Failure> {
        loop {
            let choices = if default { "Y/n" } else { "y/N" };
            let answer = self.text(&format!("{question} [{choices}]"), "")?;
            match answer.to_ascii_lowercase().as_str() {
                "" => return Ok(default),
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => writeln!(self.output, "  y or n")?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answers: &str, host: &Host, start: Wanted) -> (Result<Wanted, Failure>, String) {
        let (mut wanted, mut output) = (start, Vec::new());
        let mut input = answers.as_bytes();
        let done = Terminal {
            input: &mut input,
            output: &mut output,
        }
        .complete(&mut wanted, host);
        (done.map(|()| wanted), String::from_utf8(output).unwrap())
    }

    fn nothing_said() -> Wanted {
        Wanted {
            interfaces: Vec::new(),
            protect: Vec::new(),
            fail2ban: When::Auto,
            report: None,
            monitoring: false,
            start: true,
        }
    }

    fn host() -> Host {
        let mut host = Host {
            default_interfaces: vec!["eth0".into()],
            interfaces: vec!["lo".into(), "eth0".into(), "eth1".into()],
            own: vec!["192.0.2.1".parse().unwrap()],
            ..Host::default()
        };
        host.fail2ban.installed = true;
        host
    }

    #[test]
    fn enter_takes_what_is_proposed() {
        let (wanted, shown) = asked("\n\n\n\n\n", &host(), nothing_said());
        let wanted = wanted.unwrap();
        assert_eq!(wanted.interfaces, ["eth0"]);
        assert_eq!(
            (wanted.fail2ban, wanted.report, wanted.monitoring),
            (When::Auto, None, false)
        );
        assert!(
            shown.contains("Filter on [eth0]: ") && shown.contains("192.0.2.1/32"),
            "{shown}"
        );
    }

    #[test]
    fn answers_are_taken_and_mistakes_asked_again() {
        let answers = "eth9\neth0, eth1\nhq\n10.0.0.0/8 2001:db8::1\nmaybe\nn\nhttps://h/s\ny\n";
        let (wanted, shown) = asked(answers, &host(), nothing_said());
        let wanted = wanted.unwrap();
        assert_eq!(wanted.interfaces, ["eth0", "eth1"]);
        assert_eq!(wanted.protect.len(), 2);
        assert_eq!((wanted.fail2ban, wanted.monitoring), (When::Never, true));
        assert_eq!(wanted.report.as_deref(), Some("https://h/s"));
        assert!(
            shown.contains("no interface eth9")
                && shown.contains("hq: ")
                && shown.contains("y or n"),
            "{shown}"
        );
    }

    #[test]
    fn enter_keeps_the_interfaces_of_the_configuration() {
        let mut host = host();
        host.config_text = Some("ifaces = [\"eth1\", \"wg0\"]\n".into());
        let (wanted, shown) = asked("\n\n\n\n\n", &host, nothing_said());
        assert_eq!(wanted.unwrap().interfaces, ["eth1", "wg0"]);
        assert!(shown.contains("Filter on [eth1 wg0]: "), "{shown}");
    }

    #[test]
    fn flags_are_not_asked_for_and_the_end_of_the_input_ends_it() {
        let mut said = nothing_said();
        said.interfaces = vec!["eth1".into()];
        said.report = Some("https://h/s".into());
        let (wanted, shown) = asked("\n\n", &host(), said);
        assert!(
            matches!(wanted, Err(Failure::Failed(text)) if text.contains("nothing was changed"))
        );
        assert!(
            !shown.contains("Filter on") && !shown.contains("webhook"),
            "{shown}"
        );
    }
}
