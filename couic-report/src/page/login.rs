//! The login: a form with one field.

use std::time::Instant;

use tracing::{info, warn};
use warp::http::{HeaderMap, StatusCode, header};

use super::{
    Page,
    form::{Form, local_path},
    origin::{self, Peer},
    reply::{self, Answer},
    route::REFRESH,
    view::{self, Frame},
};
use crate::config::LONGEST_TOKEN;

/// What a request without a session gets: the login, by way of which it comes back.
pub(super) fn ask(headers: &HeaderMap, is_post: bool, segments: &[&str], here: &str) -> Answer {
    match segments {
        // Of these a script asks; nobody would see a login in their place.
        ["part" | "api", ..] => {
            let answer = reply::with(
                StatusCode::UNAUTHORIZED,
                "text/plain; charset=utf-8",
                "log in\n",
            );
            reply::and(answer, REFRESH, "true")
        }
        // Browsers leave the cookie out when a link in a chat is followed, but not when this page asks again.
        _ if !is_post && origin::is_followed_link(headers) => {
            let next = local_path(Some(here)).to_owned();
            reply::html(StatusCode::OK, &view::Follow { next })
        }
        ["login"] => form(StatusCode::OK, "/", None),
        _ if is_post => {
            let mistake = "You were logged out, so nothing was done. Log in, and repeat it.";
            let next = local_path(Some(here));
            form(StatusCode::UNAUTHORIZED, next, Some(mistake.to_owned()))
        }
        _ => form(StatusCode::UNAUTHORIZED, local_path(Some(here)), None),
    }
}

/// Checks the form. A wrong token costs time from the sixth on.
pub(super) fn enter(page: &Page, sent: &Form, peer: Peer) -> Answer {
    let now = Instant::now();
    let next = local_path(sent.get("next"));
    if let Some(pause) = page.users.pause(peer.ip, now) {
        let seconds = pause.as_secs() + 1;
        let mistake = format!("Too many wrong tokens from your address: try again in {seconds} s.");
        let answer = form(StatusCode::TOO_MANY_REQUESTS, next, Some(mistake));
        return reply::and(answer, header::RETRY_AFTER, &seconds.to_string());
    }
    let token = sent.get("token").unwrap_or_default();
    let found = (token.len() <= LONGEST_TOKEN)
        .then(|| page.users.login(token, peer.ip, now))
        .flatten();
    let Some((index, user)) = found.and_then(|index| Some((index, page.users.get(index)?))) else {
        warn!("page: a login from {} failed: wrong token", peer.ip);
        let mistake = "This token is not known here.".to_owned();
        return form(StatusCode::UNAUTHORIZED, next, Some(mistake));
    };
    info!("page: {} logged in from {}", user.name, peer.ip);
    let cookie = page.sessions.start(index, peer.secure, now);
    reply::and(reply::see(next), header::SET_COOKIE, &cookie)
}

fn form(status: StatusCode, next: &str, mistake: Option<String>) -> Answer {
    let frame = Frame {
        title: "Log in".to_owned(),
        ..Frame::default()
    };
    let next = next.to_owned();
    reply::html(
        status,
        &view::Login {
            frame,
            next,
            mistake,
        },
    )
}
