//! The handle of a consumer.

use std::sync::Arc;

use couic_inject::Injector;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{Config, CrowdSecError, Status, lapi::Lapi, worker::Worker};

/// Brings the decisions of one LAPI into the rules of one daemon.
#[derive(Debug)]
pub struct Consumer {
    config: Config,
    injector: Arc<Injector>,
    status: Mutex<Status>,
}

impl Consumer {
    /// Checks the configuration and reads the credentials. The injector may serve others, but nothing else may use tags
    /// that begin with `cs-`.
    ///
    /// # Errors
    /// [`CrowdSecError`] names every mistake.
    pub fn new(config: Config, injector: Arc<Injector>) -> Result<Self, CrowdSecError> {
        let mistakes = config.mistakes();
        if !mistakes.is_empty() {
            return Err(CrowdSecError::Config(mistakes));
        }
        Lapi::new(&config)?;
        Ok(Self::unchecked(config, injector))
    }

    pub(crate) fn unchecked(config: Config, injector: Arc<Injector>) -> Self {
        Self {
            config,
            injector,
            status: Mutex::default(),
        }
    }

    /// Works until `stop` is true, or its sender gone. What was decided last may still wait in the injector then.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let publish = |status: Status| *self.status.lock() = status;
        let mut worker = Worker::new(&self.config, &self.injector);
        let work = async {
            loop {
                let pause = worker.turn().await;
                publish(worker.status());
                worker.rest(pause, &publish).await;
            }
        };
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// The state at present.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }
}
