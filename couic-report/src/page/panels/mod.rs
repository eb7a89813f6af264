//! What each page shows, from the history, the journal, the notifiers and the daemons.

pub(super) mod address;
pub(super) mod changes;
pub(super) mod figures;
pub(super) mod firewalls;
pub(super) mod notifiers;
pub(super) mod settings;

use std::sync::Arc;

use couic_common::{HealthStatus, unix_seconds};

use super::{
    Page,
    access::User,
    daemon::Seen,
    route::Visit,
    text,
    view::{Frame, PendingRow},
};
use crate::config::Role;
pub(super) use settings::facts;

/// Does work that reads files, or waits for who does, on a thread for that. None if it panicked.
async fn aside<T: Send + 'static>(
    page: &Arc<Page>,
    work: impl FnOnce(&Page) -> T + Send + 'static,
) -> Option<T> {
    let page = Arc::clone(page);
    tokio::task::spawn_blocking(move || work(&page)).await.ok()
}

/// What surrounds a page: who is logged in, what is wrong, what waits for a confirmation.
pub(super) async fn frame(
    page: &Page,
    visit: &Visit<'_>,
    section: &'static str,
    title: impl Into<String>,
) -> Frame {
    let User { name, role, .. } = visit.user;
    Frame {
        title: title.into(),
        section,
        user: name.clone(),
        role: role.as_str(),
        notice: page.sessions.notice(&visit.cookies, visit.peer.secure),
        now: text::when(unix_seconds()),
        ..banner(page, visit).await
    }
}

/// The frame of a part that is refreshed: without the notice, which belongs to a page.
pub(super) async fn banner(page: &Page, visit: &Visit<'_>) -> Frame {
    let seen = page.fleet.seen().await;
    Frame {
        can_act: visit.user.role >= Role::Act,
        form_token: visit.session.form_token.clone(),
        here: visit.here.clone(),
        alarms: alarms(page, &seen),
        pending: pending(&seen),
        ..Frame::default()
    }
}

/// What is so wrong that every page says it.
fn alarms(page: &Page, seen: &[Seen]) -> Vec<String> {
    let mut alarms = Vec::new();
    for Seen { name, health, .. } in seen {
        let Ok(health) = health else { continue };
        if let Some(since) = health.panic_since {
            alarms.push(format!(
                "PANIC IS ON at {name} since {} UTC: every packet passes. couicctl panic off puts the rules back \
                 in force.",
                text::when(since)
            ));
        } else if health.status == HealthStatus::Down {
            let open = health.interfaces.iter().filter(|i| !i.attached);
            let open: Vec<&str> = open.map(|i| i.name.as_str()).collect();
            alarms.push(format!(
                "{name} does not filter {}: couicctl doctor says why.",
                open.join(", ")
            ));
        }
    }
    if let Some(failure) = page.journal.overview().failure {
        alarms.push(format!(
            "Reports are refused, because the state cannot be written ({failure}): free space in the state folder."
        ));
    }
    alarms
}

fn pending(seen: &[Seen]) -> Vec<PendingRow> {
    let mut rows = Vec::new();
    for one in seen {
        let age = one.at.elapsed().as_secs();
        for change in &one.pending {
            rows.push(PendingRow {
                firewall: one.name.clone(),
                id: change.id.to_string(),
                summary: change.summary.clone(),
                left: change.left.saturating_sub(age),
            });
        }
    }
    rows
}
