//! The operator's side of the screen: focus, selection, filter, dialogs, and what keys make of them. A state machine
//! without I/O: a key gives an [`Effect`] at most.

mod dialog;
mod form;

use couic_common::{Cidr, Policy};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    act::{Action, Outcome},
    look::Tone,
    model::{Model, TagSort},
    rows::{self, Key, Panel, subject},
};

pub(super) use dialog::Dialog;
pub(super) use form::{Form, FormKind};

/// What a key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Quit,
    Suspend,
    /// Draw everything anew.
    Redraw,
    Do(Action),
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct Ui {
    pub(super) focus: Panel,
    pub(super) zoom: bool,
    pub(super) tags: TagSort,
    pub(super) filter: String,
    pub(super) dialog: Option<Dialog>,
    /// What happened last.
    pub(super) message: Option<(Tone, String)>,
    /// Seconds until a change is undone.
    pub(super) within: u64,
    selected: [Option<Key>; 4],
}

/// The longest text that can be typed.
const LONGEST: usize = 128;

impl Ui {
    pub(super) fn new(within: u64) -> Self {
        Self {
            focus: Panel::Tags,
            zoom: false,
            tags: TagSort::default(),
            filter: String::new(),
            dialog: None,
            message: None,
            within,
            selected: Default::default(),
        }
    }

    /// Whether the filter lets a tag through.
    pub(super) fn matches_tag(&self, tag: &str) -> bool {
        self.filter.is_empty() || tag.contains(&self.filter)
    }

    /// Whether the filter lets a rule through: it covers the address of the filter, lies within its network, or has its
    /// text.
    pub(super) fn matches_cidr(&self, cidr: Cidr) -> bool {
        match Cidr::parse_lenient(&self.filter) {
            Ok(wanted) => cidr.contains(wanted.addr()) || wanted.contains(cidr.addr()),
            Err(_) => cidr.to_string().contains(&self.filter),
        }
    }

    /// The filter as a pattern over tags for the daemon, if it can only be meant as one.
    pub(super) fn tag_pattern(&self) -> Option<String> {
        let filter = &self.filter;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let is_tag = filter.chars().all(fits)
            && filter.contains(|c: char| matches!(c, 'g'..='z' | 'G'..='Z' | '_' | '-'));
        if filter == couic_common::UNTAGGED {
            return Some(filter.clone());
        }
        is_tag.then(|| format!("*{filter}*"))
    }

    /// The selected row of a panel.
    pub(super) fn selected(&self, panel: Panel) -> Option<&Key> {
        self.selected[panel as usize].as_ref()
    }

    /// Takes a key. `now`: Unix seconds by the daemon's clock.
    pub(super) fn key(&mut self, key: KeyEvent, model: &mut Model, now: u64) -> Option<Effect> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Some(Effect::Quit),
            KeyCode::Char('z') if control => return Some(Effect::Suspend),
            KeyCode::Char('l') if control => return Some(Effect::Redraw),
            _ => {}
        }
        self.message = None;
        if let Some(dialog) = self.dialog.take() {
            return self.in_dialog(dialog, key, control);
        }
        if control {
            return None;
        }
        self.plain(key.code, model, now)
    }

    fn plain(&mut self, code: KeyCode, model: &mut Model, now: u64) -> Option<Effect> {
        match code {
            KeyCode::Char('q') => return self.quit(model),
            KeyCode::Char('?') => self.dialog = Some(Dialog::help()),
            KeyCode::Char('/') => self.dialog = Some(Dialog::Filter(self.filter.clone())),
            KeyCode::Char('z') => self.zoom = !self.zoom,
            KeyCode::Char('s') => self.sort(model),
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.turn(1),
            KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => self.turn(3),
            KeyCode::Down | KeyCode::Char('j') => self.step(1, model, now),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1, model, now),
            KeyCode::PageDown => self.step(10, model, now),
            KeyCode::PageUp => self.step(-10, model, now),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN, model, now),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX, model, now),
            KeyCode::Esc => self.back(),
            KeyCode::Enter => return self.enter(model, now),
            KeyCode::Char('b') => self.ban(),
            KeyCode::Char('a') => {
                self.form(FormKind::Allow, self.chosen(model).map(|(_, cidr)| cidr));
            }
            KeyCode::Char('u') => self.unban(model),
            KeyCode::Char('p') => self.dialog = Some(Dialog::panic(!is_panic(model))),
            KeyCode::Char('c') => return self.confirm(model),
            KeyCode::Char('x') => self.undo(model),
            _ => {}
        }
        None
    }

    fn quit(&mut self, model: &Model) -> Option<Effect> {
        let own = model.own();
        if own.is_empty() {
            return Some(Effect::Quit);
        }
        let text = format!(
            "{} not confirmed, and will be undone. Quit?",
            own.join(", ")
        );
        self.dialog = Some(Dialog::Sure(text, Effect::Quit));
        None
    }

    fn turn(&mut self, by: usize) {
        self.focus = Panel::ALL[(self.focus as usize + by) % Panel::ALL.len()];
    }

    fn step(&mut self, by: isize, model: &Model, now: u64) {
        let rows = rows::rows(self.focus, model, self, now);
        let selected = self.selected(self.focus);
        let at = selected.and_then(|key| rows.iter().position(|row| row.key == *key));
        let Some(last) = rows.len().checked_sub(1) else {
            return;
        };
        let next = match at {
            // The first step selects the first row, whatever the distance but to the end.
            None if by == isize::MAX => last,
            None => 0,
            Some(at) => at.saturating_add_signed(by).min(last),
        };
        self.selected[self.focus as usize] = Some(rows[next].key.clone());
    }

    /// Undoes the last narrowing of the view.
    fn back(&mut self) {
        if self.selected(self.focus).is_some() {
            self.selected[self.focus as usize] = None;
        } else if self.zoom {
            self.zoom = false;
        } else {
            self.filter.clear();
        }
    }

    fn sort(&mut self, model: &mut Model) {
        match self.focus {
            Panel::Tags => self.tags = self.tags.next(),
            Panel::Rules => model.rules.sort_next(),
            Panel::Changes | Panel::State => {
                self.say(Tone::Dim, "Tags and rules can be sorted; Tab goes there.");
            }
        }
    }

    fn say(&mut self, tone: Tone, text: impl Into<String>) {
        self.message = Some((tone, text.into()));
    }

    /// The rule or address of the selected row, if it still has one.
    fn chosen(&self, model: &Model) -> Option<(Option<Policy>, Cidr)> {
        subject(self.selected(self.focus)?, model)
    }

    fn enter(&mut self, model: &Model, now: u64) -> Option<Effect> {
        if let Some((_, cidr)) = self.chosen(model) {
            return Some(Effect::Do(Action::Why(cidr.addr())));
        }
        match self.selected(self.focus).cloned() {
            Some(Key::Tag(tag)) => {
                self.filter = tag;
                self.focus = Panel::Rules;
            }
            Some(key @ (Key::Line(_) | Key::Change(..))) => {
                let rows = rows::rows(self.focus, model, self, now);
                let row = rows.into_iter().find(|row| row.key == key)?;
                let text = row.cells.join("  ");
                self.dialog = Some(Dialog::text(self.focus.name(), vec![text]));
            }
            _ => match rows::address(&self.filter) {
                Some(ip) => return Some(Effect::Do(Action::Why(ip))),
                None => self.form(FormKind::Why, None),
            },
        }
        None
    }

    fn form(&mut self, kind: FormKind, cidr: Option<Cidr>) {
        let address = cidr.or_else(|| Cidr::parse_lenient(&self.filter).ok());
        let address = address.map(rows::brief).unwrap_or_default();
        self.dialog = Some(Dialog::Form(Form::new(kind, address)));
    }

    fn ban(&mut self) {
        self.form(FormKind::Ban, None);
    }

    fn unban(&mut self, model: &Model) {
        let Some((policy, cidr)) = self.chosen(model) else {
            return self.form(FormKind::Unban, None);
        };
        let policy = policy.unwrap_or(Policy::Drop);
        let text = format!("Delete {policy} {}?", rows::brief(cidr));
        let action = Action::Delete { policy, cidr };
        self.dialog = Some(Dialog::Sure(text, Effect::Do(action)));
    }

    fn confirm(&mut self, model: &Model) -> Option<Effect> {
        let pending = model.pending(std::time::Instant::now());
        let own: Vec<_> = pending
            .iter()
            .map(|(change, _)| change.id)
            .filter(|id| model.is_own(*id))
            .collect();
        if !own.is_empty() {
            return Some(Effect::Do(Action::Confirm(own)));
        }
        match pending.first() {
            Some((change, _)) => {
                let text = format!(
                    "Confirm {} of client {}: {}?",
                    change.id, change.client, change.summary
                );
                let action = Action::Confirm(vec![change.id]);
                self.dialog = Some(Dialog::Sure(text, Effect::Do(action)));
            }
            None => self.say(Tone::Dim, "No change awaits confirmation."),
        }
        None
    }

    fn undo(&mut self, model: &Model) {
        let pending = model.pending(std::time::Instant::now());
        let Some((change, _)) = pending.first() else {
            return self.say(Tone::Dim, "No change awaits confirmation.");
        };
        let text = format!(
            "Undo {} of client {} now: {}?",
            change.id, change.client, change.summary
        );
        let action = Action::Undo(change.id);
        self.dialog = Some(Dialog::Sure(text, Effect::Do(action)));
    }

    /// Takes what became of an action.
    pub(super) fn outcome(&mut self, outcome: Outcome, model: &mut Model) {
        let Outcome {
            said,
            awaits,
            settled,
            added,
            removed,
            shown,
        } = outcome;
        for (id, what) in awaits {
            model.awaits(id, what);
        }
        model.settled(&settled);
        if let Some((policy, entry)) = added {
            model.rules.added(policy, entry);
        }
        if let Some((policy, cidr)) = removed {
            model.rules.removed(policy, cidr);
        }
        match said {
            Some(Ok(text)) => self.say(Tone::Good, text),
            Some(Err(text)) => {
                let lines = text.lines().map(str::to_owned).collect();
                self.dialog = Some(Dialog::text("Refused", lines));
            }
            None => {}
        }
        if let Some((title, lines)) = shown {
            self.dialog = Some(Dialog::text(&title, lines));
        }
    }
}

/// Whether the panic switch is on.
pub(super) fn is_panic(model: &Model) -> bool {
    let health = model.health.as_ref();
    health.is_some_and(|health| health.panic_since.is_some())
}

#[cfg(test)]
mod tests;
