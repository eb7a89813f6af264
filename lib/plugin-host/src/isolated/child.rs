//! The process of an isolated plugin.
//!
//! It refuses to run with privileges, and is one process, whatever the plugin does: it can create and signal no other
//! (`single`), so that nothing of a plugin outlives it. Its pipes are moved away from 0 and 1, so that a plugin that prints cannot break
//! the protocol: its output is logged. It ends with the parent, whatever the plugin does meanwhile.

use std::{
    collections::HashMap,
    fs, io,
    os::fd::{AsFd as _, FromRawFd as _, OwnedFd},
    rc::Rc,
    time::{Duration, Instant},
};

use couic_privsep::{Role, hide_memory};
use nix::unistd::dup2_stdout;
use tokio::{
    net::unix::pipe,
    sync::{mpsc, oneshot},
    task::LocalSet,
};

use super::{
    frame::{self, Answer, Order, Start},
    single::stay_single,
};
use crate::{
    LoadError, PluginFile, Reason,
    loaded::{Flight, Instance, Setup},
    log::Budget,
};
use couic_plugin_api::{NotifyError, outcome::Outcome};

/// A process that runs one isolated plugin, started by a [`ChildCommand`](super::ChildCommand).
pub const PLUGIN_HOST: Role = Role {
    name: "plugin-host",
    run,
};

/// How long an instance may take to end when the parent closes.
const GOODBYE: Duration = Duration::from_secs(2);

/// The whole life of an isolated plugin's process.
fn run(orders: OwnedFd) -> io::Result<()> {
    let answers = prepare()?;
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build()?;
    LocalSet::new().block_on(&runtime, live(orders, answers))
}

/// Checks that this process is unprivileged, and takes its pipe for answers.
fn prepare() -> io::Result<OwnedFd> {
    let status = fs::read_to_string("/proc/self/status")?;
    if let Some(line) = privileged(&status) {
        let text = format!("refuses to run a plugin with privileges: {line}");
        return Err(io::Error::other(text));
    }
    // From other processes of the same user.
    hide_memory()?;
    if let Err(error) = stay_single() {
        // For the log. An old kernel is no reason to deliver nothing.
        eprintln!(
            "couic plugin-host: may start other processes, without a filter of system calls: {error}"
        );
    }
    let answers = io::stdout().as_fd().try_clone_to_owned()?;
    dup2_stdout(io::stderr())?;
    Ok(answers)
}

/// The line of `/proc/self/status` that shows a privilege.
fn privileged(status: &str) -> Option<&str> {
    status.lines().find(|line| {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("Uid:") => words.any(|uid| uid == "0"),
            Some("CapInh:" | "CapPrm:" | "CapEff:" | "CapAmb:") => {
                words.any(|set| set.bytes().any(|digit| digit != b'0'))
            }
            Some("NoNewPrivs:") => words.next() != Some("1"),
            _ => false,
        }
    })
}

type Answers = mpsc::UnboundedSender<Answer>;

async fn live(orders: OwnedFd, answers: OwnedFd) -> io::Result<()> {
    let mut orders = pipe::Receiver::from_owned_fd(orders)?;
    let (sender, inbox) = mpsc::unbounded_channel();
    let writer = tokio::task::spawn_local(write(pipe::Sender::from_owned_fd(answers)?, inbox));
    let Some(start) = frame::receive_json::<Start>(&mut orders, frame::FROM_PARENT).await? else {
        return Ok(());
    };
    match create(start, &sender).await {
        Ok(instance) => obey(&mut orders, instance, sender).await,
        Err(error) => {
            let why = match error.reason {
                Reason::Create(why) => why,
                other => other.to_string(),
            };
            let _ = sender.send(Answer::Refused(why));
            drop(sender);
            let _ = tokio::time::timeout(GOODBYE, writer).await;
            Ok(())
        }
    }
}

/// Fails if the parent is gone; then the orders end, too.
async fn write(mut to: pipe::Sender, mut inbox: mpsc::UnboundedReceiver<Answer>) -> io::Result<()> {
    while let Some(answer) = inbox.recv().await {
        frame::send(&mut to, &serde_json::to_vec(&answer)?).await?;
    }
    Ok(())
}

async fn create(start: Start, answers: &Answers) -> Result<Instance, LoadError> {
    // SAFETY: the parent passes this descriptor for this purpose, and names it once.
    let copy = unsafe { OwnedFd::from_raw_fd(start.copy) };
    let file = PluginFile::from_copy(copy, start.path)?;
    let (logs, budget) = (answers.clone(), Budget::default());
    let setup = Setup {
        name: start.name,
        config: start.config,
        create_timeout: Duration::from_millis(start.create_timeout_ms),
        max_in_flight: start.max_in_flight,
        own_process: true,
        log: Box::new(move |level, text| {
            if budget.take(Instant::now()).0 {
                let _ = logs.send(Answer::Log {
                    level,
                    text: text.to_owned(),
                });
            }
        }),
    };
    let instance = Instance::create(file, setup).await?;
    let _ = answers.send(Answer::Started(instance.info().clone()));
    Ok(instance)
}

/// Executes the parent's orders until it closes.
async fn obey(orders: &mut pipe::Receiver, instance: Instance, answers: Answers) -> io::Result<()> {
    let instance = Rc::new(instance);
    let mut cancels: HashMap<u64, oneshot::Sender<()>> = HashMap::new();
    while let Some(body) = frame::receive(orders, frame::FROM_PARENT).await? {
        match Order::decode(&body)? {
            Order::Notify {
                token,
                attempt,
                timeout_ms,
                event,
            } => {
                let timeout = Duration::from_millis(timeout_ms);
                let flight = instance.begin(event, attempt, timeout);
                let (cancel, cancelled) = oneshot::channel();
                cancels.retain(|_, cancel| !cancel.is_closed());
                cancels.insert(token, cancel);
                let (instance, answers) = (Rc::clone(&instance), answers.clone());
                tokio::task::spawn_local(async move {
                    let outcome = fly(flight, cancelled).await;
                    let stats = instance.stats();
                    let _ = answers.send(Answer::Done {
                        token,
                        outcome,
                        stats,
                    });
                });
            }
            Order::Cancel { token } => {
                if let Some(cancel) = cancels.remove(&token) {
                    let _ = cancel.send(());
                }
            }
        }
    }
    if let Ok(instance) = Rc::try_unwrap(instance) {
        instance.close(GOODBYE).await;
    }
    Ok(())
}

/// Waits for the outcome without a timeout: the parent has one.
async fn fly(flight: Result<Flight, NotifyError>, cancelled: oneshot::Receiver<()>) -> Outcome {
    let mut flight = match flight {
        Ok(flight) => flight,
        Err(error) => return error.into(),
    };
    tokio::select! {
        outcome = flight.outcome() => return outcome,
        Ok(()) = cancelled => flight.cancel(),
    }
    flight.outcome().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_are_found() {
        let good = "Name:\tx\nUid:\t65534\t65534\t65534\t65534\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
                    CapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
        assert_eq!(privileged(good), None);
        for (from, to) in [
            ("65534\t65534\t65534\t65534", "0\t0\t0\t0"),
            ("65534\nCapInh", "0\nCapInh"),
            ("CapPrm:\t0000000000000000", "CapPrm:\t0000000000000400"),
            ("CapAmb:\t0000000000000000", "CapAmb:\t8000000000000000"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
        ] {
            let bad = good.replace(from, to);
            assert!(bad != good && privileged(&bad).is_some(), "{to}");
        }
    }
}
