//! Which jails of a source a line hits: all conditions of all jails at once, cheapest first.
//!
//! Statuses, methods and logins are looked up as masks of jails. Only jails that are left have their paths, hosts,
//! agents, literals and regexes looked at, each kind of all jails in one automaton. [`Filter::why_not`] says the same,
//! one after another; a property test compares them.

use std::net::IpAddr;

use super::{
    Filter, Mask,
    globs::{Paths, host_matches},
    literals::Literals,
    regexes::Regexes,
    status::STATUSES,
    text,
};
use crate::{Event, Login, Needs};

const LOGINS: [Option<Login>; 4] = [
    None,
    Some(Login::Accepted),
    Some(Login::Failed),
    Some(Login::Abandoned),
];

/// The most jails and login rules of one source.
pub(crate) const MAX_FILTERS: usize = Mask::BITS as usize;

/// The conditions of all jails of a source.
pub(crate) struct Scan {
    /// The name of the source.
    pub(crate) name: String,
    /// For each bit its conditions, and the number of the jail; None for rules that tell of logins.
    pub(crate) filters: Vec<(Filter, Option<usize>)>,
    /// The bits that tell of logins.
    pub(crate) logins: Mask,
    /// The bits whose regexes capture the address.
    pub(crate) capturing: Mask,
    by_status: Vec<Mask>,
    by_method: Vec<(Vec<u8>, Mask)>,
    any_method: Mask,
    by_login: [Mask; LOGINS.len()],
    paths: (Mask, Paths),
    hosts: Mask,
    agents: (Mask, Literals),
    contains: (Mask, Literals),
    regexes: (Mask, Option<Regexes>),
    buffer: Vec<u8>,
}

impl Scan {
    /// # Errors
    /// If the automata of all jails together become too large; for the operator.
    pub(crate) fn new(name: &str, filters: Vec<(Filter, Option<usize>)>) -> Result<Self, String> {
        let mask = |has: &dyn Fn(&Filter) -> bool| -> Mask {
            let bits = filters.iter().enumerate();
            bits.filter(|(_, (filter, _))| has(filter))
                .fold(0, |mask, (bit, _)| mask | 1 << bit)
        };
        let mut methods: Vec<&String> = filters.iter().flat_map(|(f, _)| &f.methods).collect();
        methods.sort_unstable();
        methods.dedup();
        let by_method = methods.into_iter().map(|method| {
            let method = method.clone().into_bytes();
            let with = mask(&|f: &Filter| f.has_method(&method));
            (method, with)
        });
        let collect = |of: &dyn Fn(&Filter) -> &Vec<String>| -> Vec<(String, Mask)> {
            let bits = filters.iter().enumerate();
            bits.flat_map(|(bit, (f, _))| of(f).iter().map(move |t| (t.clone(), 1 << bit)))
                .collect()
        };
        let literals = |of: &dyn Fn(&Filter) -> &Vec<String>| {
            let texts = collect(of).into_iter();
            let bytes: Vec<(Vec<u8>, Mask)> = texts.map(|(t, m)| (t.into_bytes(), m)).collect();
            Literals::anywhere(&bytes)
        };
        let too_large = |error| format!("the literals are too large together: {error}");
        let with_regex = mask(&|f| !f.regexes.is_empty() || !f.ignore.is_empty());
        Ok(Self {
            name: name.into(),
            logins: mask_of(&filters, |(_, jail)| jail.is_none()),
            capturing: mask(&|f| f.captures()),
            by_status: (0..STATUSES as u16)
                .map(|status| mask(&|f| f.has_status(status)))
                .collect(),
            by_method: by_method.collect(),
            any_method: mask(&|f| f.methods.is_empty()),
            by_login: LOGINS.map(|login| mask(&|f| f.has_login(login))),
            paths: (
                mask(&|f| !f.paths.is_empty()),
                Paths::new(collect(&|f| &f.paths)).map_err(too_large)?,
            ),
            hosts: mask(&|f| !f.hosts.is_empty()),
            agents: (
                mask(&|f| !f.agents.is_empty()),
                literals(&|f| &f.agents).map_err(too_large)?,
            ),
            contains: (
                mask(&|f| !f.contains.is_empty()),
                literals(&|f| &f.contains).map_err(too_large)?,
            ),
            regexes: (with_regex, Regexes::new(&filters)?),
            buffer: Vec::new(),
            filters,
        })
    }

    /// The bits that the event hits.
    #[inline]
    pub(crate) fn hits(&mut self, event: &Event<'_>) -> Mask {
        let mut left = self.at_once(event);
        if left == 0 {
            return 0;
        }
        let (with, paths) = &self.paths;
        if left & with != 0 {
            left &= !with | paths.find(&event.path, left & with);
        }
        if left & self.hosts != 0 {
            left &= !self.hosts | self.of_host(&event.host, left & self.hosts);
        }
        let (with, agents) = &self.agents;
        if left & with != 0 {
            left &= !with | agents.find(&event.agent, left & with);
        }
        let (with_text, literals) = &self.contains;
        let (with_regex, regexes) = &mut self.regexes;
        if left & (*with_text | *with_regex) == 0 {
            return left;
        }
        let text = text(event, &mut self.buffer);
        if left & with_text != 0 {
            left &= !with_text | literals.find(text, left & with_text);
        }
        if left & *with_regex != 0
            && let Some(regexes) = regexes
        {
            left &= !*with_regex | regexes.find(text);
        }
        left
    }

    /// What its jails look at; `distinct` says of which jails they count values of the request.
    pub(crate) fn needs(&self, distinct: impl Fn(usize) -> bool) -> Needs {
        let reading = mask_of(&self.filters, |(filter, jail)| {
            filter.reads_request() || jail.is_some_and(&distinct)
        });
        let of_status = |status| self.by_status.get(usize::from(status)).copied();
        Needs::new(|status| of_status(status).unwrap_or(reading) & reading != 0)
    }

    /// What statuses, methods and logins leave.
    #[inline]
    fn at_once(&self, event: &Event<'_>) -> Mask {
        let status = self.by_status.get(usize::from(event.status));
        let status = status.or_else(|| self.by_status.first());
        let method = self.by_method.iter().find(|(m, _)| m == event.method);
        let login = match event.login {
            None => 0,
            Some(Login::Accepted) => 1,
            Some(Login::Failed) => 2,
            Some(Login::Abandoned) => 3,
        };
        status.copied().unwrap_or(0)
            & method.map_or(self.any_method, |(_, mask)| *mask)
            & self.by_login[login]
    }

    fn of_host(&self, host: &[u8], wanted: Mask) -> Mask {
        bits(wanted)
            .filter(|bit| {
                let filter = self.filters.get(*bit);
                filter.is_some_and(|(filter, _)| host_matches(&filter.hosts, host))
            })
            .fold(0, |mask, bit| mask | 1 << bit)
    }

    /// The address that the regexes of a bit capture in the event, which must be the one of the last
    /// [`hits`](Self::hits).
    pub(crate) fn captured(&mut self, bit: usize, event: &Event<'_>) -> Option<IpAddr> {
        let text = text(event, &mut self.buffer);
        self.regexes.1.as_mut()?.captured(bit, text)
    }
}

pub(super) fn mask_of<T>(list: &[T], has: impl Fn(&T) -> bool) -> Mask {
    let bits = list.iter().enumerate();
    bits.filter(|(_, item)| has(item))
        .fold(0, |mask, (bit, _)| mask | 1 << bit)
}

/// The bits of a mask.
pub(crate) fn bits(mut mask: Mask) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests;
