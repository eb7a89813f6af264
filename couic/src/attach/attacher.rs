//! The serving process's side of the attacher: starting it, requests, health.

mod current;
mod launch;
mod reader;
mod setup;
mod stop;

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

pub use self::{
    current::CurrentInterface,
    setup::{AttacherError, LinkStore, Setup},
};
use self::{
    launch::{choose_place, send_setup, spawn, start_request},
    reader::{AttacherState, Report, spawn_reader},
};
use couic_privsep::Channel;

use super::{
    lock::{AttacherLock, WorkLock},
    orphan::process_state,
    pins::Place,
    wire::{Message, Request},
};
use couic_firewall::dataplane::XdpProgram;

/// For the answer to a probe. A driver may take seconds to attach.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The process, and its last report.
pub struct Attacher {
    line: Channel,
    pid: u32,
    /// The IDs of the programs that it attaches.
    programs: Vec<u32>,
    place: Place,
    state: Arc<AttacherState>,
    answers: Mutex<mpsc::Receiver<Message>>,
    reader: Option<JoinHandle<()>>,
    unsaved: Option<String>,
}

impl Attacher {
    /// Starts the process, which confines itself before this returns. Call it while this process still has the
    /// capabilities that the attacher needs, also to create its pin directory.
    ///
    /// # Errors
    /// [`AttacherError`].
    pub fn start(
        setup: &Setup,
        lock: &WorkLock,
        store: Option<Arc<dyn LinkStore>>,
        stored: Vec<(String, OwnedFd)>,
    ) -> Result<Self, AttacherError> {
        let attacher_lock = AttacherLock::acquire(&setup.working_dir, &setup.owner, lock)?;
        let (place, unsaved) = choose_place(setup.stay, store.is_some());
        if let Some(text) = &unsaved {
            tracing::warn!("{text}");
        }
        let (line, process) = spawn().map_err(AttacherError::Start)?;
        let pid = process.id();
        attacher_lock.record(pid);
        send_setup(&line, start_request(setup, place), &attacher_lock, stored)
            .map_err(AttacherError::Start)?;
        let state = Arc::new(AttacherState::of(process));
        let (reader, answers) = spawn_reader(&line, &state, store).map_err(AttacherError::Start)?;
        let attacher = Self {
            line,
            pid,
            programs: Vec::new(),
            place,
            state,
            answers: Mutex::new(answers),
            reader: Some(reader),
            unsaved,
        };
        match attacher.answer()? {
            Message::Ready => Ok(attacher),
            Message::Refused(why) => Err(AttacherError::Refused(why)),
            _ => Err(attacher.state.end()),
        }
    }

    /// Sends it the programs: the only ones that it ever attaches, and nothing before [`Attacher::attach_all`].
    ///
    /// # Errors
    /// [`AttacherError`].
    pub fn send_programs(&mut self, program: &XdpProgram) -> Result<(), AttacherError> {
        for (role, id, descriptor) in program.descriptors().map_err(AttacherError::Start)? {
            self.programs.push(id);
            let request = Request::Program { role, id };
            let sent = self.line.send(&request, Some(descriptor.as_fd()));
            sent.map_err(|_| self.state.end())?;
        }
        self.request(&Request::Verified)
    }

    /// Its process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Attaches the program to all interfaces, replacing that of the previous daemon.
    ///
    /// # Errors
    /// [`AttacherError`]; the previous program is still attached then.
    pub fn attach_all(&self) -> Result<(), AttacherError> {
        self.request(&Request::Attach)?;
        match self.answer()? {
            Message::Attached => Ok(()),
            Message::Refused(why) => Err(AttacherError::Refused(why)),
            _ => Err(self.state.end()),
        }
    }

    fn request(&self, request: &Request) -> Result<(), AttacherError> {
        self.line.send(request, None).map_err(|_| self.state.end())
    }

    /// Waits for an answer, without a limit: a driver may take seconds per interface, and a start that gave up would leave
    /// the interfaces of slow drivers without a filter. That it waits is logged.
    fn answer(&self) -> Result<Message, AttacherError> {
        let answers = self.answers.lock();
        let answer = answers.recv_timeout(PROBE_TIMEOUT).or_else(|error| {
            if error == RecvTimeoutError::Timeout {
                let (pid, state) = (self.pid, process_state(self.pid));
                tracing::warn!(
                    "the start waits for the attacher (process {pid}, {state}): a driver may take that long; run kill -CONT \
                     {pid} if it was stopped"
                );
            }
            answers.recv()
        });
        answer.map_err(|_| self.state.end())
    }

    /// Every interface that should be filtered.
    #[must_use]
    pub fn interfaces(&self) -> Vec<CurrentInterface> {
        let states = self.state.report.lock().states.clone();
        let current = |state| CurrentInterface::of(state, &self.programs);
        states.into_iter().map(current).collect()
    }

    /// Requests a check of all interfaces now.
    pub fn check(&self) {
        if self.state.unanswered().is_none() {
            // On error the attacher has exited, which ends the daemon.
            let _ = self.request(&Request::Check);
        }
    }

    /// Probes the process; a missing answer is among [`Attacher::problems`] after [`PROBE_TIMEOUT`]. At most one probe
    /// is pending, so that the socket's buffer never fills.
    pub fn probe(&self) {
        let mut probed = self.state.probed.lock();
        if probed.is_none() {
            *probed = Some(Instant::now());
            drop(probed);
            let _ = self.request(&Request::Probe);
            return;
        }
        drop(probed);
        if let Some(text) = self.hung()
            && !self.state.logged.swap(true, Ordering::Relaxed)
        {
            tracing::error!("{text}");
        }
    }

    /// The problem of an attacher that does not answer.
    fn hung(&self) -> Option<String> {
        let waited = self.state.unanswered()?.as_secs();
        let pid = self.pid();
        Some(format!(
            "the attacher (process {pid}) has not answered for {waited} s: what is attached goes on filtering, but interfaces that appear or lose the program are not attached; run kill -CONT {pid} if it was stopped, else kill -9 {pid}, which ends couic, and start couic again"
        ))
    }

    /// Problems other than those of single interfaces.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let Report {
            mut problems,
            unsaved,
            ..
        } = self.state.report.lock().clone();
        problems.extend(unsaved.or_else(|| self.unsaved.clone()));
        problems.extend(self.hung());
        problems
    }

    /// How often an attachment differed from the configuration: repaired, and not.
    #[must_use]
    pub fn differences(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.state.repaired), read(&self.state.left))
    }

    /// Waits for the process to exit unexpectedly.
    pub fn ended(&self) -> impl Future<Output = AttacherError> + Send + 'static {
        let state = Arc::clone(&self.state);
        async move {
            state.ended.notified().await;
            state.end()
        }
    }
}
