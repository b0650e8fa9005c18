//! Why the process is or is not ready, by part.
//!
//! Written by the policy source and by the drain; read by the HTTP probes and by gRPC health, so
//! that both always say the same.

use tokio::sync::watch;

/// The parts that together make the process ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// A policy set is in force.
    pub has_policies: bool,
    /// The process was told to stop and answers what is still on its way.
    pub is_draining: bool,
}

impl Parts {
    pub fn is_ready(self) -> bool {
        self.has_policies && !self.is_draining
    }

    /// Each part's name with `ok` or the reason why it is not.
    pub fn named(self) -> [(&'static str, &'static str); 2] {
        [
            ("policies", if self.has_policies { "ok" } else { "no policy set is in force yet" }),
            ("serving", if self.is_draining { "draining: told to stop" } else { "ok" }),
        ]
    }
}

#[derive(Clone, Debug)]
pub struct Readiness {
    parts: watch::Sender<Parts>,
}

impl Default for Readiness {
    fn default() -> Self {
        let (parts, _) = watch::channel(Parts { has_policies: false, is_draining: false });
        Self { parts }
    }
}

impl Readiness {
    pub fn policies_in_force(&self) {
        self.parts.send_modify(|parts| parts.has_policies = true);
    }

    pub fn draining(&self) {
        self.parts.send_modify(|parts| parts.is_draining = true);
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
    fn ready_means_policies_in_force_and_not_draining() {
        let readiness = Readiness::default();
        assert!(!readiness.parts().is_ready());
        readiness.policies_in_force();
        assert!(readiness.parts().is_ready());
        readiness.draining();
        assert!(!readiness.parts().is_ready());
    }
}
