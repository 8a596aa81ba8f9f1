//! What is done once a minute: letting go of raw mail that is kept no longer, and watching the room that is left.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Config;
use crate::queue::{self, Queue};
use crate::stop::{Phase, Stop};
use crate::telemetry::event;
use crate::telemetry::progress::Progress;

const EVERY: Duration = Duration::from_mins(1);

/// A round that takes longer than this after the last one is overdue: the store's writer hangs.
const PROMISE: Duration = Duration::from_mins(5);

/// The name of the task.
pub(super) const NAME: &str = "housekeeping";

/// What it works on.
#[derive(Debug, Clone)]
pub(super) struct Housekeeping {
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) queue: Queue,
    pub(super) progress: Progress,
}

impl Housekeeping {
    /// Works until `stop` is reached.
    pub(super) async fn run(self, stop: Stop) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut enough = true;
        loop {
            self.progress.beat(NAME, PROMISE);
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.reached(Phase::Drain) => return,
            }
            if let Err(error) = self.round(&mut enough).await {
                tracing::error!(event = event::STORE_ERROR, op = "housekeeping", %error, "The store failed.");
            }
        }
    }

    async fn round(&self, enough: &mut bool) -> Result<(), queue::Error> {
        let (keep_raw, dead_letter_keep) = {
            let config = self.config.borrow();
            (config.store.keep_raw.0, config.queue.dead_letter_keep.0)
        };
        self.queue.purge(keep_raw, dead_letter_keep).await?;
        let room = self.queue.room().await?;
        let (free_bytes, raw_bytes) = (room.free_bytes, room.raw_bytes);
        if *enough && !room.enough {
            tracing::error!(event = event::STORE_LOW_SPACE, free_bytes, raw_bytes, "Intake stops until there is room.");
        } else if !*enough && room.enough {
            tracing::info!(event = event::STORE_LOW_SPACE, free_bytes, raw_bytes, "There is room again.");
        }
        *enough = room.enough;
        Ok(())
    }
}
