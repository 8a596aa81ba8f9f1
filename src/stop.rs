//! The end of the daemon as its tasks see it: run, then drain, then now.

use tokio::sync::watch;

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// No end in sight.
    Run,
    /// Take no new work; finish what is under way.
    Drain,
    /// The grace is over: record what is under way as it stands, and return.
    Now,
}

/// What a task holds. Clones see the same end.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<Phase>);

/// What the daemon holds. Dropping it means [`Phase::Now`].
#[derive(Debug)]
pub struct Stopper(watch::Sender<Phase>);

/// A new pair.
#[must_use]
pub fn pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(Phase::Run);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Moves on to `phase`; never back.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }
}

impl Stop {
    /// How far the end has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if self.0.has_changed().is_err() { Phase::Now } else { *self.0.borrow() }
    }

    /// Returns when `phase` (or a later one) is reached. Safe to drop and call again.
    pub async fn reached(&self, phase: Phase) {
        // An error means that the daemon's half is gone: that is the last phase.
        drop(self.0.clone().wait_for(|now| *now >= phase).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_advance() {
        let (stopper, stop) = pair();
        assert_eq!(stop.phase(), Phase::Run);
        stopper.advance(Phase::Now);
        stopper.advance(Phase::Drain);
        assert_eq!(stop.phase(), Phase::Now);
        stop.reached(Phase::Drain).await;
    }

    #[tokio::test]
    async fn a_lost_daemon_is_the_end() {
        let (stopper, stop) = pair();
        drop(stopper);
        stop.reached(Phase::Now).await;
        assert_eq!(stop.phase(), Phase::Now);
    }
}
