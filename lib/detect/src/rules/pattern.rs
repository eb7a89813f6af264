//! Regexes of the operator: automata only, bounded at load, in time linear in the text.
//!
//! `<HOST>` (or `<ADDR>`, as fail2ban writes it) stands for an address and captures it, where the format gives none. As
//! in fail2ban, the first match counts. Parts of a line are an attacker's text (user names, agents), so a regex should
//! be anchored: `^…<HOST>…$`, without `.*` in front of `<HOST>`; [`Pattern::warning`] tells of those that are not. An
//! address that is part of a longer word, as in `192.0.2.1.example.org`, is none.

use std::net::IpAddr;

use regex_automata::{
    meta::{BuildError, Cache, Regex},
    util::{captures::Captures, syntax},
};

/// The longest regex, in bytes.
const MAX_BYTES: usize = 4_096;
/// The most memory of the automaton of one regex, in bytes; all regexes of a source together have [`MAX_SET_SIZE`].
const MAX_SIZE: usize = 1 << 20;
const MAX_SET_SIZE: usize = 16 << 20;
const GROUP: &str = "couic_addr";
const ADDRESS: &str = r"\[?(?P<couic_addr>\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{0,39}(?:\d{1,3}(?:\.\d{1,3}){3})?)\]?";
/// Tags of fail2ban that have no counterpart.
const OTHER_TAGS: [&str; 8] = [
    "<F-",
    "</F-",
    "<DNS>",
    "<CIDR>",
    "<SUBNET>",
    "<IP4>",
    "<IP6>",
    "<SKIPLINES>",
];

/// A checked regex.
#[derive(Clone)]
pub(crate) struct Pattern {
    /// As it is configured.
    pub(crate) text: String,
    regex: Regex,
    translated: String,
    slot: Option<usize>,
}

impl Pattern {
    /// Checks a regex.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!(
                "the regex has {} bytes, at most {MAX_BYTES} are allowed",
                text.len()
            ));
        }
        if let Some(tag) = OTHER_TAGS.iter().find(|tag| text.contains(**tag)) {
            return Err(format!(
                "{tag} of fail2ban is not known: only <HOST> and <ADDR> are"
            ));
        }
        if text.matches("<HOST>").count() + text.matches("<ADDR>").count() > 1 {
            return Err("<HOST> twice: write two regexes".into());
        }
        let translated = text.replace("<HOST>", ADDRESS).replace("<ADDR>", ADDRESS);
        let regex = build(&[&translated], MAX_SIZE).map_err(|error| explained(text, &error))?;
        if regex.is_match("") {
            return Err(format!(
                "{text:?} matches an empty text, so it says nothing about a line"
            ));
        }
        let group = regex
            .group_info()
            .to_index(regex_automata::PatternID::ZERO, GROUP);
        Ok(Self {
            text: text.into(),
            slot: group,
            regex,
            translated,
        })
    }

    /// Whether it captures the address.
    pub(crate) fn captures(&self) -> bool {
        self.slot.is_some()
    }

    /// What an attacker could make of the regex.
    pub(crate) fn warning(&self) -> Option<String> {
        let before = self.text.split("<HOST>").next().unwrap_or_default();
        let before = before.split("<ADDR>").next().unwrap_or_default();
        let open = !self.text.starts_with('^') && !self.text.ends_with('$');
        let greedy = before.contains(".*") || before.contains(".+");
        (self.captures() && (open || greedy)).then(|| {
            format!(
                "{:?}: a client that can write part of the line can have another address banned; anchor it \
                 as ^…<HOST>…$ and have no .* before <HOST>",
                self.text
            )
        })
    }

    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// For [`Capturer::address`].
    pub(crate) fn capturer(&self) -> Option<Capturer> {
        Some(Capturer {
            slot: self.slot?,
            cache: self.regex.create_cache(),
            captures: self.regex.create_captures(),
            regex: self.regex.clone(),
        })
    }
}

/// One automaton of many regexes.
///
/// # Errors
/// If they are too large together.
pub(crate) fn all(patterns: &[&Pattern]) -> Result<Regex, String> {
    let texts: Vec<&str> = patterns.iter().map(|p| p.translated.as_str()).collect();
    build(&texts, MAX_SET_SIZE)
        .map_err(|error| format!("the regexes of the source are too large together: {error}"))
}

/// Texts are bytes: classes are those of ASCII, which keeps automata small.
fn build(texts: &[&str], size: usize) -> Result<Regex, Box<BuildError>> {
    let many = texts.len() > 1;
    let kind = if many {
        regex_automata::MatchKind::All
    } else {
        regex_automata::MatchKind::LeftmostFirst
    };
    let config = Regex::config()
        .match_kind(kind)
        .utf8_empty(false)
        .nfa_size_limit(Some(size))
        .onepass_size_limit(Some(size))
        .dfa(false);
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    let mut builder = Regex::builder();
    builder.configure(config).syntax(syntax);
    builder.build_many(texts).map_err(Box::new)
}

fn explained(text: &str, error: &BuildError) -> String {
    if ["(?=", "(?!", "(?<=", "(?<!"]
        .iter()
        .any(|look| text.contains(look))
    {
        return format!(
            "{text:?} looks around ((?=…), (?!…), (?<=…), (?<!…)): regexes are automata, which cannot; what must \
             not count goes into ignore_regex"
        );
    }
    if error.size_limit().is_some() {
        return format!("{text:?} needs more than {MAX_SIZE} bytes as an automaton: shorten it");
    }
    match error.syntax_error() {
        Some(syntax) => {
            let told = syntax.to_string();
            let told = told.lines().last().unwrap_or_default();
            format!("{text:?}: {}", told.trim_start_matches("error: "))
        }
        None => format!("{text:?}: {error}"),
    }
}

/// A regex with `<HOST>` and the memory to run it.
pub(crate) struct Capturer {
    regex: Regex,
    slot: usize,
    cache: Cache,
    captures: Captures,
}

impl Capturer {
    /// The address that the regex captures in a text.
    pub(crate) fn address(&mut self, text: &[u8]) -> Option<IpAddr> {
        let input = regex_automata::Input::new(text);
        self.regex
            .search_captures_with(&mut self.cache, &input, &mut self.captures);
        let span = self.captures.get_group(self.slot)?;
        let before = span.start.checked_sub(1).and_then(|at| text.get(at));
        let mut after = text.get(span.end..)?.iter();
        let goes_on = match after.next() {
            Some(b'.') => after.next().is_some_and(|b| in_word(*b)),
            next => next.is_some_and(|b| in_word(*b)),
        };
        if goes_on || before.is_some_and(|b| in_word(*b) || *b == b'.') {
            return None;
        }
        std::str::from_utf8(text.get(span.range())?)
            .ok()?
            .parse()
            .ok()
    }
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(regex: &str, text: &str) -> Option<String> {
        let mut capturer = Pattern::new(regex).unwrap().capturer().unwrap();
        Some(capturer.address(text.as_bytes())?.to_string())
    }

    #[test]
    fn host_captures_an_address() {
        let regex = r"^bad login of \S+ from <HOST>( port \d+)?$";
        for addr in ["192.0.2.7", "2001:db8::7", "::1", "::ffff:192.0.2.7"] {
            let text = format!("bad login of eve from {addr} port 22");
            assert_eq!(address(regex, &text).as_deref(), Some(addr));
        }
        let text = "bad login of eve from [2001:db8::7]";
        assert_eq!(
            address(&regex.replace("HOST", "ADDR"), text).as_deref(),
            Some("2001:db8::7")
        );
        assert_eq!(
            address(r"client <HOST>:\d+", "client 192.0.2.7:443").as_deref(),
            Some("192.0.2.7")
        );
        assert_eq!(
            address("from <HOST>", "from 192.0.2.7.").as_deref(),
            Some("192.0.2.7")
        );
    }

    #[test]
    fn part_of_a_word_is_no_address() {
        for text in [
            "from 192.0.2.7.evil.example",
            "from 192.0.2.7-evil",
            "from 192.0.2.1234",
            "from 999.0.2.7",
            "from x192.0.2.7",
            "from 2001:db8::7.evil.example",
            "from 2001:db8::7g",
        ] {
            assert_eq!(address("from .?<HOST>", text), None, "{text}");
        }
    }

    #[test]
    fn an_anchored_regex_takes_no_injected_address() {
        let regex = r"^Failed password for .{0,64} from <HOST> port \d+ ssh2$";
        let text =
            "Failed password for x from 198.51.100.1 port 1 ssh2 from 192.0.2.7 port 22 ssh2";
        assert_eq!(address(regex, text).as_deref(), Some("192.0.2.7"));
        assert!(Pattern::new(regex).unwrap().warning().is_none());
        assert!(Pattern::new("from <HOST>").unwrap().warning().is_some());
        assert!(Pattern::new("^.*<HOST>$").unwrap().warning().is_some());
        assert!(Pattern::new("no address").unwrap().warning().is_none());
    }

    #[test]
    fn what_is_refused_is_explained() {
        let large = "a".repeat(10 << 20);
        for (regex, part) in [
            (large.as_str(), "10485760 bytes"),
            (r"(?!x)y", "ignore_regex"),
            (r"(?<=x)y", "automata"),
            (r"(x)\1", "backreferences are not supported"),
            ("(", "unclosed group"),
            ("x*", "empty text"),
            (r"(\w{500}){500}", "shorten"),
            ("<HOST> <ADDR>", "twice"),
            ("<F-USER>x</F-USER>", "<F-"),
        ] {
            let message = Pattern::new(regex).err().unwrap_or_default();
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    proptest! {
        #[test]
        fn captures_are_addresses_of_the_text(text in "[0-9a-f.: \\[\\]x]{0,40}") {
            let mut capturer = Pattern::new("<HOST>").unwrap().capturer().unwrap();
            if let Some(addr) = capturer.address(text.as_bytes()) {
                let ends = |n: usize| n + 1..=text.len();
                let mut parts = (0..text.len()).flat_map(|start| ends(start).map(move |end| (start, end)));
                let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
                let whole = |(start, end): (usize, usize)| {
                    let (before, after) = (&text[..start], &text[end..]);
                    let goes_on = after.strip_prefix('.').unwrap_or(after).chars().next();
                    text[start..end].parse() == Ok(addr)
                        && !word(before.chars().last())
                        && !before.ends_with('.')
                        && !word(goes_on)
                };
                prop_assert!(parts.any(whole), "{} in {:?}", addr, text);
            }
        }
    }
}
