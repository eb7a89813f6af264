//! Which fields the lines of a format can have: jails that ask for others never hit.

use super::{Format, Kind, access::Access, json_keys::Field};

impl Format {
    /// Whether a line of this format can have the field; a whole request line has method, path and query.
    #[must_use]
    pub fn has(&self, field: Field) -> bool {
        use Field::{Agent, Forwarded, Host, Message, Method, Path, Peer, Query, Request, User};
        let of_request = matches!(field, Request | Method | Path | Query);
        match &self.kind {
            Kind::Access(access) => match field {
                Forwarded | Message => false,
                Host => *access == Access::VhostCombined,
                Agent => *access != Access::Common,
                _ => true,
            },
            Kind::Haproxy => !matches!(field, Forwarded | Host | Agent | User),
            Kind::Json(keys) => keys.has(field) || (of_request && keys.has(Request)),
            Kind::Layout(layout) => layout.has(field) || (of_request && layout.has(Request)),
            Kind::Sshd => matches!(field, Peer | User | Message | Field::Time),
            Kind::Text => field == Message,
        }
    }

    /// Whether it tells of logins: [`Event::login`](crate::Event::login).
    #[must_use]
    pub const fn knows_logins(&self) -> bool {
        matches!(self.kind, Kind::Sshd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_has_the_fields_that_its_lines_give() {
        let line =
            br#"192.0.2.1 - bob [01/Dec/2026:06:25:01 +0000] "GET /a?b HTTP/1.1" 404 1 "-" "curl""#;
        let mut format = Format::named("combined").unwrap();
        let event = format.clone();
        assert!(event.has(Field::Agent) && event.has(Field::User) && event.has(Field::Query));
        let event = format.parse(line).unwrap();
        assert_eq!((&*event.agent, &*event.user), (&b"curl"[..], &b"bob"[..]));
        assert!(event.forwarded.is_empty() && event.host.is_empty());
        for (format, field, has) in [
            (Format::named("combined"), Field::Forwarded, false),
            (Format::named("combined"), Field::Host, false),
            (Format::named("vhost_combined"), Field::Host, true),
            (Format::named("common"), Field::Agent, false),
            (Format::named("nginx-main"), Field::Forwarded, true),
            (Format::named("nginx-main"), Field::Path, true),
            (Format::named("haproxy"), Field::Status, true),
            (Format::named("haproxy"), Field::Agent, false),
            (Format::named("caddy-json"), Field::Forwarded, true),
            (Format::named("caddy-json"), Field::Message, false),
            (Format::named("sshd"), Field::Status, false),
            (Format::named("sshd"), Field::User, true),
            (Format::named("plain"), Field::Peer, false),
            (
                Format::fields("$remote_addr $status").ok(),
                Field::Method,
                false,
            ),
            (
                Format::fields("$remote_addr $status").ok(),
                Field::Status,
                true,
            ),
        ] {
            let format = format.unwrap();
            assert_eq!(format.has(field), has, "{format:?} {field:?}");
        }
        assert!(Format::named("sshd").unwrap().knows_logins());
    }
}
