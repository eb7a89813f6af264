//! Finds what a request asks for, after the checks that hold for all: host, session, and for changes origin, form token
//! and role.

use std::{net::IpAddr, sync::Arc, time::Instant};

use couic_httpd::Known;
use warp::http::{HeaderName, Method, StatusCode, header, request::Parts};

use super::{
    Page,
    access::User,
    act::{self, Action, Actor},
    assets,
    form::{self, Form},
    login,
    origin::{self, Peer},
    panels::{self, figures::Scope},
    reply::{self, Answer},
    session::Session,
    view::{self, Frame},
};
use crate::config::Role;

/// A request with what is known of its sender.
pub(super) struct Visit<'r> {
    pub(super) user: &'r User,
    pub(super) session: Session,
    pub(super) peer: Peer,
    pub(super) cookies: Vec<&'r str>,
    /// The path and query, to come back to.
    pub(super) here: String,
}

/// Answers a request. `body` is that of a POST.
pub(super) async fn answer(page: &Arc<Page>, parts: &Parts, body: &[u8], peer: IpAddr) -> Answer {
    let answer = checked(page, parts, body, peer).await;
    let mut answer = reply::finished(answer);
    if parts.method == Method::HEAD {
        *answer.body_mut() = http_body_util::Full::default();
    }
    answer
}

async fn checked(page: &Arc<Page>, parts: &Parts, body: &[u8], peer: IpAddr) -> Answer {
    let headers = &parts.headers;
    let peer = Peer::of(peer, headers, &page.settings);
    if !origin::is_our_host(headers, &page.settings) {
        let message = "This page has no such name. Open it by its address, or add the name to page.hosts in the \
                       configuration of couic-report.";
        return failure(StatusCode::MISDIRECTED_REQUEST, message);
    }
    let is_post = parts.method == Method::POST;
    if !is_post && parts.method != Method::GET && parts.method != Method::HEAD {
        return failure(StatusCode::METHOD_NOT_ALLOWED, "This method is not served.");
    }
    let path = parts.uri.path();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    if let (false, ["assets", digest, name]) = (is_post, segments.as_slice()) {
        return assets::answer(digest, name, headers).unwrap_or_else(missing);
    }
    if is_post && !origin::is_own(headers, peer.secure) {
        let message = "This form was not sent by this page, so nothing was done. Behind a reverse proxy, it must pass \
                       on Host and set X-Forwarded-Proto.";
        return failure(StatusCode::FORBIDDEN, message);
    }
    let form = Form::parse(if is_post {
        body
    } else {
        parts.uri.query().unwrap_or_default().as_bytes()
    });
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies: Vec<&str> = cookies.filter_map(|line| line.to_str().ok()).collect();
    let here = match parts.uri.path_and_query() {
        _ if is_post => form.get("back").unwrap_or("/"),
        path => path.map_or("/", |path| path.as_str()),
    };
    let here = here.to_owned();
    if segments == ["login"] && is_post {
        return login::enter(page, &form, peer);
    }
    let session = page.sessions.find(&cookies, peer.secure, Instant::now());
    let user = session
        .as_ref()
        .and_then(|session| page.users.get(session.user));
    let (Some(session), Some(user)) = (session, user) else {
        return login::ask(headers, is_post, &segments, &here);
    };
    let visit = Visit {
        user,
        session,
        peer,
        cookies,
        here,
    };
    let mut answer = if is_post {
        change(page, &visit, &segments, &form).await
    } else {
        show(page, &visit, &segments, &form).await
    };
    answer.extensions_mut().insert(Known);
    answer
}

async fn show(page: &Arc<Page>, visit: &Visit<'_>, segments: &[&str], query: &Form) -> Answer {
    let ok = StatusCode::OK;
    match segments {
        [""] => {
            let mut scope = Scope::of(query);
            scope.firewall = None;
            shown(panels::figures::show(page, visit, scope).await.as_ref())
        }
        ["firewalls"] => match Scope::of(query) {
            scope if scope.firewall.is_some() => {
                shown(panels::figures::show(page, visit, scope).await.as_ref())
            }
            _ => reply::html(ok, &panels::firewalls::show(page, visit).await),
        },
        ["firewalls", name] => {
            let name = Form::parse(format!("name={name}").as_bytes());
            let name = name.get("name").unwrap_or_default();
            reply::see(&form::link("/firewalls", &[("name", name)]))
        }
        ["address"] => reply::html(ok, &panels::address::show(page, visit, query).await),
        ["changes"] => reply::html(ok, &panels::changes::show(page, visit, query).await),
        ["notifiers"] => reply::html(ok, &panels::notifiers::show(page, visit).await),
        ["settings"] => reply::html(ok, &panels::settings::show(page, visit).await),
        ["part", "figures"] => {
            let part = panels::figures::part(page, Scope::of(query)).await;
            shown(part.map(|figures| view::FiguresPart { figures }).as_ref())
        }
        ["part", "alarms"] => {
            let mut frame = panels::banner(page, visit).await;
            // The forms in it lead back to the page around it.
            frame.here = form::local_path(query.get("here")).to_owned();
            reply::html(ok, &view::AlarmsPart { frame })
        }
        ["api", "series"] => match panels::figures::plot(page, query).await {
            Some(plot) => reply::json(&plot),
            None => missing(),
        },
        ["login"] => reply::see("/"),
        ["robots.txt"] => reply::with(
            ok,
            "text/plain; charset=utf-8",
            "User-agent: *\nDisallow: /\n",
        ),
        _ => missing(),
    }
}

async fn change(page: &Arc<Page>, visit: &Visit<'_>, segments: &[&str], form: &Form) -> Answer {
    if !visit
        .session
        .owns(form.get("form_token").unwrap_or_default())
    {
        let message = "This form is of another login, so nothing was done. Open the page again, and repeat it.";
        return failure(StatusCode::FORBIDDEN, message);
    }
    let secure = visit.peer.secure;
    let action = match segments {
        ["logout"] => {
            let cookie = page.sessions.end(&visit.cookies, secure);
            return reply::and(reply::see("/"), header::SET_COOKIE, &cookie);
        }
        ["act", name] => Action::named(name),
        _ => None,
    };
    let Some(action) = action else {
        return missing();
    };
    if visit.user.role < Role::Act {
        let message =
            "You may look, but not change rules: your role is view. A user with role act may.";
        return failure(StatusCode::FORBIDDEN, message);
    }
    let Some(daemon) = form.get("firewall").and_then(|name| page.fleet.get(name)) else {
        let message = "The page has no token of this firewall: it is not in [[page.firewalls]].";
        return failure(StatusCode::NOT_FOUND, message);
    };
    let actor = Actor {
        user: visit.user,
        ip: visit.peer.ip,
    };
    let notice = act::run(action, form, daemon, actor).await;
    page.sessions.leave(&visit.cookies, secure, notice);
    reply::see(form::local_path(form.get("back")))
}

fn shown(template: Option<&impl askama::Template>) -> Answer {
    template.map_or_else(missing, |template| reply::html(StatusCode::OK, template))
}

fn missing() -> Answer {
    failure(StatusCode::NOT_FOUND, "There is nothing at this address.")
}

/// A page that says what failed. It names nobody and nothing, since anybody may get it.
pub(super) fn failure(status: StatusCode, message: impl Into<String>) -> Answer {
    let reason = status.canonical_reason().unwrap_or("error");
    let frame = Frame {
        title: format!("{} {reason}", status.as_u16()),
        ..Frame::default()
    };
    let message = message.into();
    reply::html(status, &view::Failure { frame, message })
}

/// Makes a script load the whole page anew, which then shows the login.
pub(super) const REFRESH: HeaderName = HeaderName::from_static("hx-refresh");
