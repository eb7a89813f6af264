//! Periodic work: one thread per task, stopped together.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// Threads that repeat something until [`Repeaters::stop`].
#[derive(Debug, Default)]
pub(super) struct Repeaters {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// True if it is time to stop, false after `period`.
    fn wait(&self, period: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.changed.wait_for(&mut stopped, period);
        }
        *stopped
    }
}

impl Repeaters {
    /// Runs `work` now, and again `period` (monotonic) after each run. A panic is logged by the hook and ends that
    /// round only: a late expiry is better than none.
    ///
    /// # Errors
    /// If the thread cannot be created.
    pub(super) fn every(
        &mut self,
        period: Duration,
        name: &str,
        mut work: impl FnMut() + Send + 'static,
    ) -> io::Result<()> {
        let stop = Arc::clone(&self.stop);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                loop {
                    let _ = catch_unwind(AssertUnwindSafe(&mut work));
                    if stop.wait(period) {
                        return;
                    }
                }
            })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Stops and joins all threads.
    pub(super) fn stop(&mut self) {
        *self.stop.stopped.lock() = true;
        self.stop.changed.notify_all();
        for thread in self.threads.drain(..) {
            // Never an error: panics are caught.
            let _ = thread.join();
        }
    }
}

impl Drop for Repeaters {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use couic_testkit::{LONG, patient};

    use super::*;

    #[test]
    fn repeats_survives_a_panic_and_stops_at_once() {
        let (sender, rounds) = mpsc::channel();
        let mut repeaters = Repeaters::default();
        let mut round = 0;
        repeaters
            .every(Duration::from_millis(1), "test", move || {
                round += 1;
                sender.send(round).unwrap();
                assert!(round != 2, "the second round panics");
            })
            .unwrap();
        assert_eq!(rounds.iter().take(4).collect::<Vec<_>>(), [1, 2, 3, 4]);
        repeaters.stop();
        while rounds.try_recv().is_ok() {}
        assert_eq!(rounds.recv(), Err(mpsc::RecvError), "its thread is gone");
    }

    #[test]
    fn does_not_wait_for_a_long_period() {
        let (sender, done) = mpsc::channel();
        let mut repeaters = Repeaters::default();
        repeaters
            .every(Duration::from_secs(3600), "test", move || {
                sender.send(()).unwrap();
            })
            .unwrap();
        done.recv().unwrap();
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            drop(repeaters);
            ended.send(()).unwrap();
        });
        assert_eq!(end.recv_timeout(patient(LONG)), Ok(()));
    }
}
