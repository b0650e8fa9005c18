//! Why the process is or is not ready, by part.
//!
//! Written by the policy source and by the drain; read by the HTTP probes and by gRPC health, so
//! that both always say the same.

use tokio::sync::watch;

/// How far the process is with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Serving,
    /// Told to stop: everything is answered as before, and the probes say to send no more.
    Leaving,
    /// What is still on its way is answered.
    Draining,
}

/// The parts that together make the process ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// A policy set is in force.
    pub has_policies: bool,
    pub stage: Stage,
}

impl Parts {
    pub fn is_ready(self) -> bool {
        self.has_policies && self.stage == Stage::Serving
    }

    /// Each part's name with `ok` or the reason why it is not.
    pub fn named(self) -> [(&'static str, &'static str); 2] {
        let serving = match self.stage {
            Stage::Serving => "ok",
            Stage::Leaving => "leaving: told to stop, and answers for a moment more",
            Stage::Draining => "draining: told to stop",
        };
        [
            ("policies", if self.has_policies { "ok" } else { "no policy set is in force yet" }),
            ("serving", serving),
        ]
    }
}

#[derive(Clone, Debug)]
pub struct Readiness {
    parts: watch::Sender<Parts>,
}

impl Default for Readiness {
    fn default() -> Self {
        let (parts, _) = watch::channel(Parts { has_policies: false, stage: Stage::Serving });
        Self { parts }
    }
}

impl Readiness {
    pub fn policies_in_force(&self) {
        self.parts.send_modify(|parts| parts.has_policies = true);
    }

    pub fn leaving(&self) {
        self.parts.send_modify(|parts| parts.stage = Stage::Leaving);
    }

    pub fn draining(&self) {
        self.parts.send_modify(|parts| parts.stage = Stage::Draining);
    }

    pub fn parts(&self) -> Parts {
        *self.parts.borrow()
    }

    pub fn subscribe(&self) -> watch::Receiver<Parts> {
        self.parts.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_policies_in_force_and_not_told_to_stop() {
        let readiness = Readiness::default();
        assert!(!readiness.parts().is_ready());
        readiness.policies_in_force();
        assert!(readiness.parts().is_ready());
        readiness.leaving();
        assert!(!readiness.parts().is_ready());
        readiness.draining();
        assert!(!readiness.parts().is_ready());
    }
}
