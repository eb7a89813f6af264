//! Where the date is. fail2ban cuts it out of the line before its expressions see the rest; ours see the whole line, so
//! the expression of the date goes where the date was.

/// What fail2ban finds without a `datepattern`.
const ANY: &str = concat!(
    // ISO 8601, and without separators; MySQL's.
    r"(?:\d{4}[-/.]?\d\d[-/.]?\d\d(?:T|  ?)[ \d]?\d:?\d\d:?\d\d(?:[.,]\d+)?(?:\s*(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?",
    r"|\d{6}  ?[ \d]?\d:\d\d:\d\d",
    // syslog, asctime, Tomcat; monit writes the zone first.
    r"|(?:[A-Z]{3,5} |[+-]\d\d:?\d\d )?(?:[A-Z][a-z]{2} )?[A-Z][a-z]{2} [ \d]?\d,?(?: \d{4},?)?",
    r" [ \d]?\d:\d\d:\d\d(?:\.\d+)?(?: [AP]M)?(?: \d{4})?",
    // 23/Jan/2026:21:59:59 +0000, 23-01-26 21:59:59, Jan-23-26 21:59:59.
    r"|(?:\d\d?|[A-Z][a-z]{2})[-/](?:\d\d?|[A-Z][a-z]{2})[-/]\d\d(?:\d\d)?[ :]?[ \d]?\d:\d\d:\d\d(?:\.\d+)?(?: [+-]\d{4})?",
    r"|<\d\d/\d\d/\d\d@\d\d:\d\d:\d\d>|\d{10,11}(?:\.\d{3,6})?|\d\d:\d\d:\d\d(?:\.\d+)?|@[0-9a-f]{24})",
);

const EPOCH: &str = r"\d{10,11}(?:\.\d{3,6})?";

/// An expression of fail2ban for whole lines of a file: with the date, if it looks at the start of the line.
pub(super) fn with_date(regex: &str, patterns: &[String]) -> String {
    let rest = regex.trim_start_matches('^');
    if rest.len() == regex.len() {
        return regex.to_owned();
    }
    let text = rest.trim_start_matches(r"\s*");
    if text.starts_with("<HOST>") || text.starts_with("<ADDR>") {
        // In logs of requests, where the date is in brackets behind the address.
        return regex.to_owned();
    }
    match brackets(rest) {
        Some(Brackets::Always) => regex.to_owned(),
        Some(Brackets::Perhaps) => format!("^{}?{rest}", at_start(patterns)),
        None if patterns.first().is_some_and(|p| is_within(p)) => {
            format!("^{}", rest.replacen("  ", &format!(" {ANY} "), 1))
        }
        None => format!("^{}{rest}", at_start(patterns)),
    }
}

enum Brackets {
    Always,
    Perhaps,
}

/// Whether the line had its date in brackets: `[]` is what remains.
fn brackets(regex: &str) -> Option<Brackets> {
    let (_, after) = regex.split_once(r"\[\]")?;
    let after = after
        .trim_start_matches(r"\s")
        .trim_start_matches(['+', '*']);
    Some(if after.starts_with(")?") || after.starts_with('|') {
        Brackets::Perhaps
    } else {
        Brackets::Always
    })
}

/// The dates with which a line may start.
fn at_start(patterns: &[String]) -> String {
    let starts = patterns.iter().filter(|p| !is_within(p));
    let all: Option<Vec<String>> = starts.map(|p| pattern(p)).collect();
    match all {
        // One that stands for all makes the others superfluous.
        Some(own) if !own.is_empty() => format!("(?:{})", own.join("|")),
        _ => ANY.to_owned(),
    }
}

/// Whether only a part of what a pattern matches is the date, as in `^[^\[]*\[({DATE})`.
fn is_within(pattern: &str) -> bool {
    let mut groups = pattern.match_indices('(').map(|(at, _)| at);
    groups.any(|at| !pattern[..at].ends_with('\\') && !pattern[at + 1..].starts_with('?'))
}

/// The expression of a date pattern; `None` = any date.
fn pattern(pattern: &str) -> Option<String> {
    let text = pattern
        .trim_start_matches("{^LN-BEG}")
        .trim_start_matches('^');
    let text = without_names(text);
    if text.is_empty() || text == "{DATE}" {
        return None;
    }
    if text.eq_ignore_ascii_case("epoch") {
        return Some(EPOCH.into());
    }
    if text == "TAI64N" {
        return Some("@[0-9a-f]{24}".into());
    }
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('%') {
        out += &rest[..at];
        let code = rest[at + 1..].trim_start_matches("Ex");
        let mut chars = code.chars();
        out += code_regex(chars.next()?, rest[at + 1..].starts_with("Exy"))?;
        rest = chars.as_str();
    }
    out += rest;
    Some(out.replace("{DATE}", ANY).replace("{EPOCH}", EPOCH))
}

fn code_regex(code: char, short_year: bool) -> Option<&'static str> {
    Some(match code {
        'Y' => r"\d{4}",
        'y' if short_year => r"\d\d(?:\d\d)?",
        'y' | 'M' | 'S' => r"\d\d",
        'm' | 'd' | 'H' | 'k' | 'I' => r"[ \d]?\d",
        'f' => r"\d+",
        'z' => r"(?:Z|UTC|GMT|[+-]\d\d:?\d\d)",
        'Z' => "[A-Z]{3,5}",
        'a' | 'b' => "[A-Z][a-z]{2}",
        'A' | 'B' => "[A-Z][a-z]+",
        'p' => "[AP]M",
        'j' => r"\d{3}",
        's' => EPOCH,
        _ => return None,
    })
}

/// `(?P<_sep>[-/])%m(?P=_sep)` asks for the same character twice; either will do.
fn without_names(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(start) = text.find("(?P<") {
        let body = text[start + 4..]
            .split_once('>')
            .map(|(name, body)| (name.to_owned(), body));
        let Some((name, body)) = body.and_then(|(n, b)| Some((n, b.split_once(')')?.0.to_owned())))
        else {
            break;
        };
        let whole = format!("(?P<{name}>{body})");
        text = text
            .replace(&whole, &body)
            .replace(&format!("(?P={name})"), &body);
        if text.contains(&whole) {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use regex_automata::meta::Regex;

    use super::*;

    fn matches(regex: &str, patterns: &[&str], line: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        let regex = with_date(regex, &patterns);
        let regex = regex
            .replace("<HOST>", "(?:[0-9a-f.:]+)")
            .replace(r"\[\]", r"\[[^\]]*\]");
        Regex::new(&regex).unwrap().is_match(line)
    }

    #[test]
    fn lines_start_with_any_date_that_fail2ban_knows() {
        for date in [
            "2026-01-23T21:59:59.981746+01:00",
            "2026-01-23 21:59:59",
            "2026/01/23  8:59:59",
            "2026-01-23 21:59:59,981 Z",
            "20260123T215959",
            "260123 11:46:11",
            "Jan 23 21:59:59",
            "Jan  3 21:59:59",
            "Sun Jan 23 21:59:59.011 2026",
            "Sun Jan 23 2026 21:59:59.011",
            "PDT Apr 16 21:05:29",
            "Jan 23, 2026 9:59:59 PM",
            "23/01/2026 21:59:59",
            "23-01-26 21:59:59",
            "23/Jan/2026:21:59:59 +0000",
            "26-Jul-2026 15:20:52.252",
            "Apr-27-13 02:33:06",
            "<09/16/08@05:03:30>",
            "1769205599.123",
            "21:59:59",
            "@4000000043d4afe52f6bcb84",
        ] {
            let line = format!("{date} x: 192.0.2.1");
            assert!(matches("^ x: <HOST>$", &[], &line), "{date}");
            assert!(matches("^ x: <HOST>$", &["{^LN-BEG}"], &line), "{date}");
            assert!(
                !matches("^ x: <HOST>$", &[], &format!("{date} y x: 192.0.2.1")),
                "{date}"
            );
        }
        assert!(!matches("^ x: <HOST>$", &[], "y x: 192.0.2.1"));
    }

    #[test]
    fn a_pattern_of_its_own_is_the_only_one() {
        let patterns = [r"^%Y-%m-%d %H:%M:%S"];
        assert!(matches(
            r"^\|<HOST>",
            &patterns,
            "2026-01-23 21:59:59|192.0.2.1"
        ));
        assert!(!matches(
            r"^\|<HOST>",
            &patterns,
            "23/01/2026 21:59:59|192.0.2.1"
        ));
        let same = [r"{^LN-BEG}%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?"];
        assert!(matches(
            "^ <HOST>",
            &same,
            "2026/01/23 21:59:59,1 192.0.2.1"
        ));
        assert!(matches(
            "^ <HOST>",
            &["^t=%Y-%m-%dT%H:%M:%S%z"],
            "t=2026-01-23T21:59:59+0100 192.0.2.1"
        ));
        assert!(matches(
            r"^\s+<HOST>",
            &["{^LN-BEG}Epoch"],
            "1769205599.123   192.0.2.1"
        ));
    }

    #[test]
    fn a_date_in_brackets_is_where_the_brackets_are() {
        let error = r"^\[\] \[error\] <HOST>";
        assert!(matches(
            error,
            &[],
            "[Fri Jan 23 21:59:59 2026] [error] 192.0.2.1"
        ));
        let access = r#"^<HOST> - \S+ \[\] "[^"]*" 400"#;
        let line = r#"192.0.2.1 - - [23/Jan/2026:21:59:59 +0000] "GET" 400"#;
        assert!(matches(access, &[r"^[^\[]*\[({DATE})"], line));
        let perhaps = r"^(?:\[\])?\s*(?:\S+ )?x: <HOST>";
        for line in [
            "[1769205599] x: 192.0.2.1",
            "Jan 23 21:59:59 host x: 192.0.2.1",
        ] {
            assert!(matches(perhaps, &[], line), "{line}");
        }
    }

    #[test]
    fn expressions_that_look_anywhere_need_no_date() {
        assert_eq!(with_date(r"\/<HOST> Port", &[]), r"\/<HOST> Port");
    }
}
