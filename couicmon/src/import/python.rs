//! A regex of Python with the tags of fail2ban as one of an automaton.
//!
//! What an automaton cannot do (look-around, back references, conditions, several lines) is named, never approximated.
//! All groups but `<HOST>` become groups without capture.

use std::{borrow::Cow, fmt::Write as _};

/// Why a regex cannot be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Untranslatable {
    #[error("a look-ahead or look-behind")]
    LookAround,
    #[error("a back reference")]
    BackReference,
    #[error("a condition on a group")]
    Condition,
    #[error("an atomic group")]
    Atomic,
    #[error("several lines that belong together")]
    Lines,
    #[error("no address (<HOST>, <ADDR>) in the line itself")]
    NoAddress,
    #[error("more than one address")]
    Addresses,
    #[error("an identity that is not an address (<F-ID>)")]
    Identity,
    #[error("an escape that only Python has")]
    Escape,
    #[error("an alternative at its top that the prefix of the filter does not reach")]
    Alternative,
    #[error("a group or set without end")]
    Unclosed,
}

/// What `<HOST>` becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    /// The address that is banned.
    Captured,
    /// An address: expressions that only ignore ban nobody.
    Any,
}

const ANY_ADDRESS: &str = "(?:[0-9a-fA-F.:]+)";

/// Translates; `[]`, which is what remains where fail2ban cut a date out, becomes a date in brackets.
pub(super) fn translate(regex: &str, host: Host) -> Result<String, Untranslatable> {
    let regex = one_address(regex);
    let mut out = Translation {
        rest: &regex,
        out: String::with_capacity(regex.len() * 2),
        host,
        hosts: 0,
    };
    while !out.rest.is_empty() {
        out.step()?;
    }
    match (host, out.hosts) {
        (Host::Captured, 0) => Err(Untranslatable::NoAddress),
        (Host::Captured, 2..) => Err(Untranslatable::Addresses),
        _ => Ok(out.out),
    }
}

/// `(?:IPv6:<IP6>|<IP4>)` is one address with something before it.
fn one_address(regex: &str) -> Cow<'_, str> {
    const EITHER: &str = "<IP6>|<IP4>)";
    let Some(end) = regex.find(EITHER) else {
        return regex.into();
    };
    let mut depth = 0;
    let opening = regex[..end].rmatch_indices(['(', ')']).find(|(_, paren)| {
        depth += if *paren == "(" { 1 } else { -1 };
        depth == 1
    });
    let Some((start, _)) = opening.filter(|(at, _)| regex[*at..].starts_with("(?:")) else {
        return regex.into();
    };
    let (before, prefix) = (&regex[..start], &regex[start + 3..end]);
    let after = one_address(&regex[end + EITHER.len()..]);
    format!("{before}(?:{prefix})?<HOST>{after}").into()
}

struct Translation<'a> {
    rest: &'a str,
    out: String,
    host: Host,
    hosts: u32,
}

impl<'a> Translation<'a> {
    fn step(&mut self) -> Result<(), Untranslatable> {
        if self.skip(r"\[\]") {
            self.out += r"\[[^\]]*\]";
            return Ok(());
        }
        match self.next() {
            Some('\\') => self.escape(false),
            Some('[') => self.set(),
            Some('(') => self.group(),
            Some('<') => self.tag(),
            Some('{') => {
                self.repetition();
                Ok(())
            }
            Some('}') => {
                self.out += r"\}";
                Ok(())
            }
            Some(c) => {
                self.out.push(c);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn skip(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// The text up to one that ends it, without it.
    fn until(&mut self, end: char) -> Result<&'a str, Untranslatable> {
        let found = self.rest.split_once(end);
        let (text, rest) = found.ok_or(Untranslatable::Unclosed)?;
        self.rest = rest;
        Ok(text)
    }

    fn escape(&mut self, in_set: bool) -> Result<(), Untranslatable> {
        match self.next().ok_or(Untranslatable::Escape)? {
            'n' if !in_set => return Err(Untranslatable::Lines),
            '1'..='9' if !in_set => return Err(Untranslatable::BackReference),
            'Z' => self.out += r"\z",
            '0' => self.out += r"\x00",
            c @ ('d' | 'D' | 'w' | 'W' | 's' | 'S' | 'b' | 'B' | 'A' | 'n' | 'r' | 't' | 'f'
            | 'v' | 'a' | 'x' | 'u') => {
                self.out.push('\\');
                self.out.push(c);
            }
            c if c.is_ascii_alphanumeric() => return Err(Untranslatable::Escape),
            // An escaped < is one, where an automaton has the start of a word.
            c @ ('<' | '>' | ' ' | '/' | '"' | '\'' | ',' | ';' | ':' | '!' | '_' | '=' | '@') => {
                self.out.push(c);
            }
            c if c.is_ascii() => {
                self.out.push('\\');
                self.out.push(c);
            }
            c => self.out.push(c),
        }
        Ok(())
    }

    /// A set, in which an automaton has sets and operators of its own.
    fn set(&mut self) -> Result<(), Untranslatable> {
        self.out.push('[');
        if self.skip("^") {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            match self.next().ok_or(Untranslatable::Unclosed)? {
                ']' if !first => break,
                '\\' => self.escape(true)?,
                c @ ('[' | ']' | '&' | '~') => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                c => self.out.push(c),
            }
            first = false;
        }
        self.out.push(']');
        Ok(())
    }

    fn group(&mut self) -> Result<(), Untranslatable> {
        self.out.push('(');
        if !self.skip("?") {
            return Ok(());
        }
        let is = |text: &str| self.rest.starts_with(text);
        if is("=") || is("!") || is("<=") || is("<!") {
            return Err(Untranslatable::LookAround);
        }
        if is("P=") {
            return Err(Untranslatable::BackReference);
        }
        if is("(") {
            return Err(Untranslatable::Condition);
        }
        if is(">") {
            return Err(Untranslatable::Atomic);
        }
        if self.skip("#") {
            self.until(')')?;
            self.out.pop();
        } else if self.skip("P<") {
            self.until('>')?;
            self.out += "?:";
        } else {
            self.flags()?;
        }
        Ok(())
    }

    /// `?:`, `?i:` or `?i)`, without the flags for text of Python.
    fn flags(&mut self) -> Result<(), Untranslatable> {
        let mut flags = String::new();
        loop {
            match self.next().ok_or(Untranslatable::Unclosed)? {
                c @ ('i' | 'm' | 's' | 'x' | '-') => flags.push(c),
                'a' | 'L' | 'u' => {}
                ')' if flags.is_empty() => {
                    self.out.pop();
                    return Ok(());
                }
                c @ (':' | ')') => {
                    let _ = write!(self.out, "?{flags}{c}");
                    return Ok(());
                }
                _ => return Err(Untranslatable::Escape),
            }
        }
    }

    /// A brace is text where it is no repetition; `{,3}` is Python's own.
    fn repetition(&mut self) {
        let count = self.rest.split_once('}').map_or("", |(count, _)| count);
        let (least, most) = count.split_once(',').unwrap_or((count, count));
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if count.is_empty() || count == "," || !is_number(least) || !is_number(most) {
            self.out += r"\{";
            return;
        }
        self.out += if least.is_empty() { "{0" } else { "{" };
        self.out += count;
        self.out.push('}');
        self.rest = &self.rest[count.len() + 1..];
    }

    fn tag(&mut self) -> Result<(), Untranslatable> {
        let name = self.rest.split_once('>').map_or("", |(name, _)| name);
        match name {
            "HOST" | "ADDR" | "IP4" | "IP6" | "F-IP4/" | "F-IP6/" | "F-ADDR/" => self.address(),
            "SUBNET" | "F-SUBNET/" => {
                self.address();
                self.out += r"(?:/\d+)?";
            }
            "CIDR" | "F-CIDR/" => self.out += r"\d+",
            "DNS" | "F-DNS/" => self.out += r"[\w\-.^_]*\w",
            "F-PORT/" => self.out += r"\w+",
            "F-ID/" | "F-ID" => return Err(Untranslatable::Identity),
            "SKIPLINES" => return Err(Untranslatable::Lines),
            _ if is_own(name) => self.out += "(?:",
            _ if name.strip_prefix('/').is_some_and(is_own) => self.out.push(')'),
            _ => {
                self.out.push('<');
                return Ok(());
            }
        }
        self.rest = &self.rest[name.len() + 1..];
        Ok(())
    }

    fn address(&mut self) {
        self.hosts += 1;
        self.out += match self.host {
            Host::Captured => "<HOST>",
            Host::Any => ANY_ADDRESS,
        };
    }
}

/// `F-USER` and what else names a part of the line.
fn is_own(name: &str) -> bool {
    let is_upper = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"_-".contains(&b);
    name.strip_prefix("F-")
        .is_some_and(|name| !name.is_empty() && name.bytes().all(is_upper))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(regex: &str) -> Result<String, Untranslatable> {
        translate(regex, Host::Captured)
    }

    #[test]
    fn groups_lose_their_names_and_tags_become_groups() {
        for (python, expected) in [
            (r"^a <HOST>$", r"^a <HOST>$"),
            (r"(?P<x>a)(b)(?:c) <ADDR>", r"(?:a)(b)(?:c) <HOST>"),
            (
                r"<F-USER>\S+|.*?</F-USER> <HOST>:<F-PORT/>",
                r"(?:\S+|.*?) <HOST>:\w+",
            ),
            (r"<NOSRV> \<W\> <HOST>", r"<NOSRV> <W> <HOST>"),
            (r"((?i)LOGIN|(?u)x) <HOST>", r"((?i)LOGIN|x) <HOST>"),
            (
                r"\[(?:(?:IPv6:)?<IP6>|<IP4>)\]",
                r"\[(?:(?:IPv6:)?)?<HOST>\]",
            ),
            (r"a(?#why)b <HOST>\Z", r"ab <HOST>\z"),
        ] {
            assert_eq!(of(python).as_deref(), Ok(expected), "{python}");
        }
    }

    #[test]
    fn sets_and_braces_mean_the_same() {
        for (python, expected) in [
            (r"[^[]*\[<HOST>\]", r"[^\[]*\[<HOST>\]"),
            (r"[^]]+[]a&&b~] <HOST>", r"[^\]]+[\]a\&\&b\~] <HOST>"),
            (
                r"\d{,3}{{(?:\d+,){3}} {x <HOST>",
                r"\d{0,3}\{\{(?:\d+,){3}\} \{x <HOST>",
            ),
            (r"\'\/\,\; <HOST>", r"'/,; <HOST>"),
        ] {
            assert_eq!(of(python).as_deref(), Ok(expected), "{python}");
        }
    }

    #[test]
    fn an_empty_pair_of_brackets_is_where_the_date_was() {
        assert_eq!(of(r"^<HOST> \[\] x").unwrap(), r"^<HOST> \[[^\]]*\] x");
    }

    #[test]
    fn what_no_automaton_can_do_is_named() {
        use Untranslatable as U;
        for (python, why) in [
            (r"(?!x)<HOST>", U::LookAround),
            (r"(?<=x)<HOST>", U::LookAround),
            (r"(?P<q>.)(?P=q)<HOST>", U::BackReference),
            (r"(.)\1<HOST>", U::BackReference),
            (r"(?P<q>.)(?(q)a|b)<HOST>", U::Condition),
            (r"a\nb <HOST>", U::Lines),
            (r"a<SKIPLINES><HOST>", U::Lines),
            (r"a", U::NoAddress),
            (r"<HOST> <HOST>", U::Addresses),
            (r"<F-ID>x</F-ID>", U::Identity),
            (r"[a<HOST>", U::Unclosed),
        ] {
            assert_eq!(of(python), Err(why), "{python}");
        }
    }

    #[test]
    fn expressions_to_ignore_need_no_address() {
        let ignore = |regex| translate(regex, Host::Any);
        assert_eq!(ignore("x").unwrap(), "x");
        assert_eq!(ignore("^<ADDR>").unwrap(), "^(?:[0-9a-fA-F.:]+)");
    }

    proptest! {
        #[test]
        fn any_text_is_translated_or_refused(text in r"[\[\]()?P<>=!:|{},\\a-e0-9^$.*+-]{0,30}", any in ".{0,20}") {
            let _ = (of(&text), of(&any));
        }
    }
}
