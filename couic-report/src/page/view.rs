//! What the templates show. Everything is text by then; askama escapes it, but for the charts, which are numbers only.

use askama::Template;

use super::{
    act::{LASTS, WITHIN},
    assets,
    chart::Chart,
    form::link,
    session::Notice,
};

/// What surrounds every page of a session.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) title: String,
    /// The section of the navigation that the page belongs to.
    pub(super) section: &'static str,
    pub(super) user: String,
    pub(super) role: &'static str,
    pub(super) can_act: bool,
    pub(super) form_token: String,
    /// This page, for forms that lead back to it.
    pub(super) here: String,
    pub(super) notice: Option<Notice>,
    pub(super) alarms: Vec<String>,
    pub(super) pending: Vec<PendingRow>,
    /// The time of the page.
    pub(super) now: String,
}

impl Frame {
    fn asset(&self, name: &str) -> String {
        assets::path(name)
    }

    /// Where the part at the top of the page is refreshed from.
    fn alarms_part(&self) -> String {
        link("/part/alarms", &[("here", &self.here)])
    }
}

/// A change that waits for its confirmation.
#[derive(Debug)]
pub(super) struct PendingRow {
    pub(super) firewall: String,
    pub(super) id: String,
    pub(super) summary: String,
    pub(super) left: u64,
}

/// A link that may be the current page.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) name: &'static str,
    pub(super) link: String,
    pub(super) current: bool,
}

/// A state in a word, and its class: `good`, `fair`, `bad` or `none`.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) word: String,
    pub(super) class: &'static str,
    /// What is wrong, in sentences.
    pub(super) problems: Vec<String>,
}

#[derive(Debug)]
pub(super) struct WallRow {
    pub(super) name: String,
    pub(super) link: String,
    pub(super) state: State,
    pub(super) heard: String,
    pub(super) rules: String,
    pub(super) adds: String,
    pub(super) dropped: String,
    /// Dropped packets over time.
    pub(super) spark: String,
}

#[derive(Debug)]
pub(super) struct TagRow {
    pub(super) tag: String,
    pub(super) link: String,
    pub(super) adds: String,
    pub(super) packets: String,
    pub(super) bytes: String,
}

#[derive(Debug)]
pub(super) struct SourceRow {
    pub(super) cidr: String,
    pub(super) link: String,
    pub(super) adds: String,
    pub(super) tag: String,
    pub(super) place: String,
}

#[derive(Debug)]
pub(super) struct SummaryRow {
    pub(super) until: String,
    pub(super) total: String,
    pub(super) colour: &'static str,
    pub(super) state: &'static str,
}

#[derive(Debug)]
pub(super) struct NotifierRow {
    pub(super) name: String,
    pub(super) plugin: String,
    pub(super) state: State,
    pub(super) waiting: String,
    pub(super) dead: String,
    pub(super) success: String,
    pub(super) error: String,
}

/// The figures of one firewall or of all, which are refreshed in place.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// The address of this part alone.
    pub(super) part: String,
    pub(super) as_of: String,
    pub(super) span: &'static str,
    /// Of one firewall its name.
    pub(super) firewall: String,
    pub(super) walls: Vec<WallRow>,
    pub(super) has_traffic: bool,
    pub(super) charts: Vec<Chart>,
    pub(super) tags: Vec<TagRow>,
    pub(super) sources: Vec<SourceRow>,
    pub(super) has_places: bool,
    pub(super) summaries: Vec<SummaryRow>,
    pub(super) notifiers: Vec<NotifierRow>,
    /// Facts of one firewall: its version, interfaces, rules and limits.
    pub(super) facts: Vec<(String, String)>,
}

#[derive(Debug, Template)]
#[template(path = "now.html")]
pub(super) struct Now {
    pub(super) frame: Frame,
    pub(super) ranges: Vec<Choice>,
    pub(super) figures: Figures,
}

#[derive(Debug, Template)]
#[template(path = "figures.html")]
pub(super) struct FiguresPart {
    pub(super) figures: Figures,
}

#[derive(Debug, Template)]
#[template(path = "alarms.html")]
pub(super) struct AlarmsPart {
    pub(super) frame: Frame,
}

/// A rule that covers an address.
#[derive(Debug)]
pub(super) struct RuleRow {
    pub(super) policy: &'static str,
    pub(super) cidr: String,
    pub(super) decides: bool,
    pub(super) tag: String,
    pub(super) who: String,
    pub(super) reason: String,
    pub(super) added: String,
    pub(super) ends: String,
    pub(super) hits: String,
}

/// What a firewall does with an address.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) firewall: String,
    pub(super) link: String,
    /// `dropped`, `passes`, `not known`.
    pub(super) word: &'static str,
    pub(super) class: &'static str,
    /// Why, in sentences.
    pub(super) because: Vec<String>,
    pub(super) rules: Vec<RuleRow>,
    /// Whether the daemon itself answered, and so may be asked to change its rules.
    pub(super) is_asked: bool,
    pub(super) has_hits: bool,
}

#[derive(Debug)]
pub(super) struct ChangeRow {
    pub(super) at: String,
    pub(super) firewall: String,
    pub(super) action: &'static str,
    pub(super) policy: &'static str,
    pub(super) cidr: String,
    pub(super) link: String,
    pub(super) tag: String,
    pub(super) who: String,
    pub(super) reason: String,
    pub(super) ends: String,
}

#[derive(Debug, Template)]
#[template(path = "address.html")]
pub(super) struct Address {
    pub(super) frame: Frame,
    /// What was typed.
    pub(super) typed: String,
    pub(super) mistake: Option<String>,
    /// The address, if one was given.
    pub(super) ip: String,
    pub(super) country: String,
    pub(super) network: String,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) changes: Vec<ChangeRow>,
    pub(super) truncated: bool,
    pub(super) all_changes: String,
    pub(super) has_daemons: bool,
}

impl Address {
    fn lasts(&self) -> &'static [(u64, &'static str)] {
        &LASTS
    }

    fn within(&self) -> u64 {
        WITHIN
    }
}

#[derive(Debug, Template)]
#[template(path = "changes.html")]
pub(super) struct Changes {
    pub(super) frame: Frame,
    pub(super) tag: String,
    pub(super) firewall: String,
    pub(super) address: String,
    pub(super) mistake: Option<String>,
    pub(super) firewalls: Vec<String>,
    pub(super) changes: Vec<ChangeRow>,
    /// Remarks on what is not shown.
    pub(super) remarks: Vec<String>,
    /// The next page, if there is one.
    pub(super) older: String,
    /// The first page, unless this is it.
    pub(super) newest: String,
}

#[derive(Debug, Template)]
#[template(path = "firewalls.html")]
pub(super) struct Walls {
    pub(super) frame: Frame,
    pub(super) walls: Vec<WallRow>,
}

#[derive(Debug, Template)]
#[template(path = "notifiers.html")]
pub(super) struct Notifiers {
    pub(super) frame: Frame,
    pub(super) notifiers: Vec<NotifierRow>,
    pub(super) problems: Vec<String>,
    pub(super) summaries: Vec<SummaryRow>,
}

#[derive(Debug, Template)]
#[template(path = "settings.html")]
pub(super) struct Settings {
    pub(super) frame: Frame,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) problems: Vec<String>,
}

#[derive(Debug, Template)]
#[template(path = "login.html")]
pub(super) struct Login {
    pub(super) frame: Frame,
    pub(super) next: String,
    pub(super) mistake: Option<String>,
}

/// A page that a browser replaces at once by one of its own request, with the cookie.
#[derive(Debug, Template)]
#[template(path = "follow.html")]
pub(super) struct Follow {
    pub(super) next: String,
}

#[derive(Debug, Template)]
#[template(path = "error.html")]
pub(super) struct Failure {
    pub(super) frame: Frame,
    pub(super) message: String,
}
