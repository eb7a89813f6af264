//! Values in the words of the configuration: networks, names.

use std::net::IpAddr;

use couic_settings::Section;
use ipnetwork::IpNetwork;

/// An address, or a network; host bits are cleared.
pub(super) fn network(text: &str) -> Option<IpNetwork> {
    let found = match text.parse::<IpAddr>() {
        Ok(address) => IpNetwork::from(address),
        Err(_) => text.parse::<IpNetwork>().ok()?,
    };
    IpNetwork::new(found.network(), found.prefix()).ok()
}

/// Networks of a key with one or several. None after a mistake.
pub(super) fn networks(section: &mut Section<'_>, key: &'static str) -> Option<Vec<IpNetwork>> {
    let words = section.words(key)?;
    let found: Vec<_> = words
        .iter()
        .map(|(text, line)| {
            network(text).or_else(|| {
                let message =
                    format!("{text:?} is not an address or a network, as in \"10.0.0.0/8\"");
                section.mistake(Some(*line), key, message)
            })
        })
        .collect();
    found.into_iter().collect()
}

/// Whether a name of a source or a jail fits tags, metrics and file names.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    (1..=32).contains(&name.len()) && name.chars().all(fits)
}

/// The same with a message.
pub(super) fn check_name(section: &Section<'_>, name: &str) -> Option<()> {
    if is_name(name) {
        return Some(());
    }
    let message = format!("the name {name:?} must be 1 to 32 of a-z, 0-9, '-' and '_'");
    section.mistake(None, "name", message)
}

/// The texts of a key with one or several.
pub(super) fn texts(section: &mut Section<'_>, key: &'static str) -> Option<Vec<String>> {
    let words = section.words(key)?;
    Some(words.into_iter().map(|(text, _)| text).collect())
}
