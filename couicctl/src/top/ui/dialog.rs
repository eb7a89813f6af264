//! What lies over the panels: forms, questions, texts, and the filter that is being typed.

use crossterm::event::{KeyCode, KeyEvent};

use super::{Effect, Form, LONGEST, Ui};
use crate::top::act::Action;

/// The keys.
const HELP: &[&str] = &[
    "Tab, arrows, h j k l   between panels and rows; PgUp, PgDn, g, G",
    "/                      filter by tag or address; Esc clears it",
    "s                      sort by something else",
    "z                      this panel alone, and back",
    "Enter                  why: verdict, rules and owners of an address;",
    "                       on a tag, its rules",
    "b                      ban an address",
    "u                      delete the selected rule, or unban an address",
    "a                      allow an address: it is never dropped",
    "c                      confirm your changes",
    "x                      undo a change that awaits confirmation",
    "p                      panic: let every packet pass, or end that",
    "Ctrl-L  redraw    Ctrl-Z  suspend    q, Ctrl-C  quit",
    "",
    "b, u and a ask for the guard rails, as couicctl drop and ignore do. What",
    "they change is undone by the daemon unless you confirm it with c in time.",
];

/// Something over the panels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::top) enum Dialog {
    Form(Form),
    /// A question, and what follows from yes.
    Sure(String, Effect),
    /// The switch: a word has to be typed.
    Panic {
        on: bool,
        typed: String,
        wrong: bool,
    },
    /// The filter before it is changed; it is changed while it is typed.
    Filter(String),
    Text {
        title: String,
        lines: Vec<String>,
        scroll: u16,
    },
}

impl Dialog {
    pub(super) fn help() -> Self {
        Self::text("Keys", HELP.iter().map(|line| (*line).to_owned()).collect())
    }

    pub(super) fn text(title: &str, lines: Vec<String>) -> Self {
        Self::Text {
            title: title.to_owned(),
            lines,
            scroll: 0,
        }
    }

    pub(super) const fn panic(on: bool) -> Self {
        Self::Panic {
            on,
            typed: String::new(),
            wrong: false,
        }
    }

    /// The word to type to operate the switch.
    pub(in crate::top) const fn word(on: bool) -> &'static str {
        if on { "panic on" } else { "panic off" }
    }
}

impl Ui {
    /// Takes a key while a dialog is open. The dialog stays open if it is put back.
    pub(super) fn in_dialog(
        &mut self,
        mut dialog: Dialog,
        key: KeyEvent,
        control: bool,
    ) -> Option<Effect> {
        let effect = match &mut dialog {
            Dialog::Form(form) => {
                if key.code == KeyCode::Esc {
                    return None;
                }
                in_form(form, key.code, control)
            }
            Dialog::Sure(_, effect) => {
                return match key.code {
                    KeyCode::Enter | KeyCode::Char('y') => Some(effect.clone()),
                    KeyCode::Esc | KeyCode::Char('n' | 'q') => None,
                    _ => {
                        self.dialog = Some(dialog);
                        None
                    }
                };
            }
            Dialog::Panic { on, typed, wrong } => {
                if key.code == KeyCode::Esc {
                    return None;
                }
                in_panic(*on, typed, wrong, key.code, control)
            }
            Dialog::Filter(before) => return self.in_filter(before.clone(), key.code, control),
            Dialog::Text { scroll, lines, .. } => {
                let last = u16::try_from(lines.len()).unwrap_or(u16::MAX);
                match key.code {
                    KeyCode::Down | KeyCode::Char('j') => *scroll = (*scroll + 1).min(last),
                    KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
                    KeyCode::PageDown => *scroll = scroll.saturating_add(10).min(last),
                    KeyCode::PageUp => *scroll = scroll.saturating_sub(10),
                    _ => return None,
                }
                None
            }
        };
        if effect.is_none() {
            self.dialog = Some(dialog);
        }
        effect
    }

    fn in_filter(&mut self, before: String, code: KeyCode, control: bool) -> Option<Effect> {
        match code {
            KeyCode::Enter => return None,
            KeyCode::Esc => {
                self.filter = before;
                return None;
            }
            code => edit(&mut self.filter, code, control),
        }
        self.dialog = Some(Dialog::Filter(before));
        None
    }
}

fn in_form(form: &mut Form, code: KeyCode, control: bool) -> Option<Effect> {
    let fields = form.fields.len();
    match code {
        KeyCode::Enter => return form.enter(),
        KeyCode::Tab | KeyCode::Down => form.turn(1),
        KeyCode::BackTab | KeyCode::Up => form.turn(fields - 1),
        KeyCode::Backspace => form.erase(false),
        KeyCode::Char('u') if control => form.erase(true),
        KeyCode::Char(c) if !control => form.typed(c),
        _ => {}
    }
    None
}

fn in_panic(
    on: bool,
    typed: &mut String,
    wrong: &mut bool,
    code: KeyCode,
    control: bool,
) -> Option<Effect> {
    if code == KeyCode::Enter {
        *wrong = typed != Dialog::word(on);
        return (!*wrong).then_some(Effect::Do(Action::Panic(on)));
    }
    *wrong = false;
    edit(typed, code, control);
    None
}

fn edit(text: &mut String, code: KeyCode, control: bool) {
    match code {
        KeyCode::Backspace => drop(text.pop()),
        KeyCode::Char('u') if control => text.clear(),
        KeyCode::Char(c) if !control && !c.is_control() && text.len() < LONGEST => text.push(c),
        _ => {}
    }
}
