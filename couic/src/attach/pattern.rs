//! The entries of `ifaces`: plain names, and patterns in which `*` matches any characters and `?` matches one.
//!
//! A pattern never matches the loopback interface, which must be named.

use couic_common::glob_matches;

use super::Interface;

/// An entry of `ifaces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(String);

/// An interface that `ifaces` selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    /// The interface.
    pub(crate) interface: &'a Interface,
    /// Whether a plain name selects it, not only a pattern.
    pub(crate) named: bool,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As in the configuration.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Whether it is a plain name.
    pub(crate) fn is_name(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    fn means(&self, interface: &Interface) -> bool {
        if self.is_name() {
            return self.0 == interface.name;
        }
        !interface.loopback && glob_matches(&self.0, &interface.name)
    }
}

/// The interfaces that `ifaces` selects, in its order, each once.
pub(crate) fn select<'a>(patterns: &[Pattern], interfaces: &'a [Interface]) -> Vec<Wanted<'a>> {
    let mut wanted: Vec<Wanted<'a>> = Vec::new();
    for pattern in patterns {
        let named = pattern.is_name();
        for interface in interfaces.iter().filter(|i| pattern.means(i)) {
            match wanted
                .iter_mut()
                .find(|w| w.interface.index == interface.index)
            {
                Some(seen) => seen.named |= named,
                None => wanted.push(Wanted { interface, named }),
            }
        }
    }
    wanted
}

/// The names and patterns without an interface.
pub(crate) fn unmatched<'a>(
    patterns: &'a [Pattern],
    interfaces: &'a [Interface],
) -> impl Iterator<Item = &'a Pattern> {
    let none = |pattern: &&Pattern| !interfaces.iter().any(|i| pattern.means(i));
    patterns.iter().filter(none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use couic_netlink::LinkLayer;

    fn interface(index: u32, name: &str) -> Interface {
        Interface {
            index,
            name: name.to_owned(),
            loopback: name == "lo",
            layer: LinkLayer::Ethernet,
            xdp: None,
        }
    }

    #[test]
    fn patterns_match() {
        for (pattern, name, expected) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth?", "eth0", true),
            ("eth?", "eth", false),
            ("eth*", "eth", true),
            ("*.100", "bond0.100", true),
            ("v*h*0", "veth10", true),
            ("v*h*0", "veth1", false),
            ("*", "x", true),
            ("*", "lo", false),
            ("lo", "lo", true),
        ] {
            let means = Pattern::new(pattern).means(&interface(1, name));
            assert_eq!(means, expected, "{pattern} {name}");
        }
    }

    #[test]
    fn each_interface_is_selected_once_and_a_name_outweighs_a_pattern() {
        let all = [
            interface(1, "lo"),
            interface(2, "eth0"),
            interface(3, "veth7"),
        ];
        let patterns: Vec<_> = ["*", "eth0", "wan?"].map(Pattern::new).into();
        let wanted = select(&patterns, &all);
        let shown: Vec<_> = wanted
            .iter()
            .map(|w| (w.interface.name.as_str(), w.named))
            .collect();
        assert_eq!(shown, [("eth0", true), ("veth7", false)]);
        let missing: Vec<_> = unmatched(&patterns, &all).map(Pattern::text).collect();
        assert_eq!(missing, ["wan?"]);
    }
}
