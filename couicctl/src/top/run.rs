//! The loop: reports of the reader, keys, outcomes of actions and signals, one after the other; then a frame.

use std::time::{Duration, Instant};

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt;
use tokio::{
    signal::unix::SignalKind,
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use super::{
    act::{Action, Actor, Outcome},
    answer::Report,
    draw::{Now, View, draw},
    fetch::{Fetch, Wish},
    look::{Look, Tone},
    model::Model,
    terminal::Screen,
    ui::{Effect, Ui},
};
use crate::{
    commands::{Context, Interrupt, caught},
    duration::now_ahead,
    failure::Failure,
};

/// Countdowns and ages move each second, also while nothing else happens.
const TICK: Duration = Duration::from_secs(1);

/// All that the loop owns.
struct App {
    model: Model,
    ui: Ui,
    look: Look,
    endpoint: String,
    actor: Actor,
    wish: watch::Sender<Wish>,
    outcomes: mpsc::Sender<Outcome>,
    /// Actions that have no outcome yet.
    busy: usize,
    dirty: bool,
}

/// Shows the screen until it is left. Returns the changes that were not confirmed.
pub(super) async fn run(
    cx: &Context,
    period: Duration,
    within: u64,
    look: Look,
) -> Result<Model, Failure> {
    let mut ends = Interrupt::with_hangup()?;
    let mut stop = caught(SignalKind::from_raw(libc::SIGTSTP))?;
    let (wish, wishes) = watch::channel(Wish::default());
    let (reports_in, mut reports) = mpsc::channel(16);
    let (outcomes_in, mut outcomes) = mpsc::channel(16);
    let mut app = App {
        model: Model::new(period),
        ui: Ui::new(within),
        look,
        endpoint: cx.client.endpoint().to_string(),
        actor: Actor::new(&cx.client, within),
        wish,
        outcomes: outcomes_in,
        busy: 0,
        dirty: true,
    };
    let broken = |e| Failure::Failed(format!("the terminal cannot be used: {e}"));
    let mut screen = Screen::take().map_err(broken)?;
    let reader = tokio::spawn(Fetch::new(cx.client.clone(), period).run(reports_in, wishes));
    let mut keys = EventStream::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drawn = Instant::now();
    loop {
        if app.dirty {
            app.draw(&mut screen).map_err(broken)?;
            drawn = Instant::now();
        }
        tokio::select! {
            report = reports.recv() => match report {
                Some(report) => app.report(report),
                None => break,
            },
            Some(outcome) = outcomes.recv() => app.outcome(outcome),
            event = keys.next() => match event {
                Some(Ok(event)) => match app.event(&event) {
                    Some(Effect::Quit) => break,
                    Some(Effect::Suspend) => screen.suspend().map_err(broken)?,
                    Some(Effect::Redraw) => screen.terminal.clear().map_err(broken)?,
                    Some(Effect::Do(action)) => app.perform(action),
                    None => {}
                },
                // The terminal is gone.
                Some(Err(_)) | None => break,
            },
            () = ends.wait() => break,
            _ = stop.recv() => {
                screen.suspend().map_err(broken)?;
                app.dirty = true;
            }
            _ = ticks.tick() => app.dirty |= drawn.elapsed() >= TICK,
        }
    }
    reader.abort();
    drop(screen);
    Ok(app.model)
}

impl App {
    fn unix(&self) -> u64 {
        now_ahead(self.model.clock_ahead)
    }

    fn draw(&mut self, screen: &mut Screen) -> std::io::Result<()> {
        let now = Now {
            at: Instant::now(),
            unix: self.unix(),
        };
        let view = View {
            model: &self.model,
            ui: &self.ui,
            look: self.look,
            now,
            endpoint: &self.endpoint,
        };
        screen.terminal.draw(|frame| draw(frame, &view))?;
        self.dirty = false;
        Ok(())
    }

    fn report(&mut self, report: Report) {
        self.dirty |= self.model.take(report, Instant::now());
        let news = self.model.news();
        if !news.is_empty() {
            self.ui.message = Some((Tone::Warn, news.join("  ")));
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.busy = self.busy.saturating_sub(1);
        let changed = outcome.shown.is_none();
        self.ui.outcome(outcome, &mut self.model);
        self.dirty = true;
        if changed {
            // What was changed is seen at once.
            self.wish.send_modify(|wish| wish.writes += 1);
        }
    }

    fn event(&mut self, event: &Event) -> Option<Effect> {
        let effect = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                let unix = self.unix();
                self.ui.key(*key, &mut self.model, unix)
            }
            _ => None,
        };
        self.dirty = true;
        let tag = self.ui.tag_pattern();
        if self.wish.borrow().tag != tag {
            self.model.rules.restart();
            self.wish.send_modify(|wish| wish.tag = tag);
        }
        effect
    }

    /// One action at a time: a key that is held down must not become a hundred requests.
    fn perform(&mut self, action: Action) {
        if self.busy > 0 {
            let text = "The last request has no answer yet; press the key again.";
            self.ui.message = Some((Tone::Warn, text.to_owned()));
            return;
        }
        self.busy += 1;
        let (actor, outcomes) = (self.actor.clone(), self.outcomes.clone());
        tokio::spawn(async move {
            let outcome = actor.perform(action).await;
            // Nobody listens after the end.
            let _ = outcomes.send(outcome).await;
        });
    }
}
