//! Forms: an address, a duration, a tag. A mistake is told beside the field, before anything is sent.

use couic_common::{Cidr, Policy, Tag};

use super::{Effect, LONGEST};
use crate::{
    duration,
    top::act::{Action, tag_of},
};

/// What a form is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::top) enum FormKind {
    Ban,
    Allow,
    Unban,
    Why,
}

/// Fields to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::top) struct Form {
    pub(in crate::top) kind: FormKind,
    /// Labels and texts.
    pub(in crate::top) fields: Vec<(&'static str, String)>,
    /// The field that is being typed.
    pub(in crate::top) at: usize,
    pub(in crate::top) error: Option<String>,
}

impl Form {
    pub(super) fn new(kind: FormKind, address: String) -> Self {
        let filled = !address.is_empty();
        let mut fields = vec![("Address", address)];
        if matches!(kind, FormKind::Ban | FormKind::Allow) {
            fields.push(("Duration", "1h".to_owned()));
            fields.push(("Tag", String::new()));
        }
        Self {
            kind,
            at: usize::from(filled && fields.len() > 1),
            fields,
            error: None,
        }
    }

    pub(in crate::top) const fn title(&self) -> &'static str {
        match self.kind {
            FormKind::Ban => "Ban",
            FormKind::Allow => "Allow: never drop",
            FormKind::Unban => "Unban",
            FormKind::Why => "Why",
        }
    }

    /// Whether it changes rules.
    pub(in crate::top) const fn changes(&self) -> bool {
        !matches!(self.kind, FormKind::Why)
    }

    pub(super) fn typed(&mut self, c: char) {
        let (_, text) = &mut self.fields[self.at];
        if !c.is_control() && text.len() < LONGEST {
            text.push(c);
        }
        self.error = None;
    }

    pub(super) fn erase(&mut self, all: bool) {
        let (_, text) = &mut self.fields[self.at];
        if all {
            text.clear();
        } else {
            text.pop();
        }
        self.error = None;
    }

    /// To another field.
    pub(super) const fn turn(&mut self, by: usize) {
        self.at = (self.at + by) % self.fields.len();
    }

    /// To the next field; from the last, the effect of the form.
    pub(super) fn enter(&mut self) -> Option<Effect> {
        if self.at + 1 < self.fields.len() && self.check(self.at).is_ok() {
            self.at += 1;
            return None;
        }
        match self.action() {
            Ok(action) => Some(Effect::Do(action)),
            Err((field, error)) => {
                self.at = field;
                self.error = Some(error);
                None
            }
        }
    }

    fn text(&self, field: usize) -> &str {
        self.fields.get(field).map_or("", |(_, text)| text.trim())
    }

    fn check(&self, field: usize) -> Result<(), String> {
        let text = self.text(field);
        match field {
            0 => Cidr::parse_lenient(text)
                .map(drop)
                .map_err(|e| e.to_string()),
            1 => duration::lifetime(text).map(drop),
            _ => Tag::parse(text).map(drop).map_err(|e| e.to_string()),
        }
    }

    /// The action, or the field that is wrong and why.
    fn action(&self) -> Result<Action, (usize, String)> {
        for field in 0..self.fields.len() {
            self.check(field).map_err(|error| (field, error))?;
        }
        let cidr = Cidr::parse_lenient(self.text(0)).map_err(|e| (0, e.to_string()))?;
        let add = |policy| {
            Ok(Action::Add {
                policy,
                cidr,
                lifetime: duration::lifetime(self.text(1)).map_err(|e| (1, e))?,
                tag: tag_of(self.text(2)),
            })
        };
        match self.kind {
            FormKind::Ban => add(Policy::Drop),
            FormKind::Allow => add(Policy::Ignore),
            FormKind::Unban => Ok(Action::Delete {
                policy: Policy::Drop,
                cidr,
            }),
            FormKind::Why => Ok(Action::Why(cidr.addr())),
        }
    }
}
