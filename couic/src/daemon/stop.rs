//! Shutdown: subscribers stop, changes reach the disk, the filter stays or is detached, the socket is removed last.

use tokio::runtime::Runtime;

use super::{start::Running, state, subscribers::stop_reporting};

impl Running {
    /// Stops every part in order, and logs whether the filter stays.
    pub(super) fn stop(self, runtime: &Runtime) {
        let Self {
            peering,
            mut repeaters,
            rules,
            filter,
            reporting,
            traffic,
            changes,
            socket,
            lock,
            reload_state: _,
        } = self;
        if let Some(peering) = peering {
            runtime.block_on(peering.stop());
        }
        repeaters.stop();
        // While health can still be asked.
        if let Some(meter) = traffic {
            meter.lock().report();
        }
        state::close(&rules.firewall);
        if filter.stop() {
            tracing::info!("the filter stays attached; couic detach detaches it");
        } else {
            tracing::info!(target: "couic::audit", action = "detached", "the filter is detached: packets pass unfiltered");
        }
        if let Some(reporting) = reporting {
            stop_reporting(runtime, reporting);
        }
        changes.close();
        drop(socket);
        drop(lock);
    }
}
