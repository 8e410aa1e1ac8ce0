//! What the agent says about itself: one writer, the loop, and any number of readers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use common::abi::TenantId;
use jiff::Timestamp;
use policy::compile::{Compiled, NodeView};
use policy::model::PodKey;
use serde::Serialize;

use crate::kernel::Rewriting;
use crate::watch::Snapshot;

/// The agent at one moment. A new one is published whenever something in it has changed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The Node's name.
    pub node: String,
    pub enforcement: Enforcement,
    /// Where calls are judged that the node rewrites.
    pub rewriting: Rewriting,
    pub endpoints: Vec<EndpointStatus>,
    /// Veths that are left alone, addresses that several claim, others that enforce here: a sentence each.
    pub findings: Vec<String>,
    /// Veths without an endpoint that drop everything: `findings` says which, and why.
    pub barred: usize,
    pub policies: Vec<PolicyCount>,
    /// The newest change of the maps.
    pub publication: Option<Publication>,
    /// Records in the maps that somebody else had changed, since the agent started.
    pub drift_repaired: u64,
    /// What could not be done, with the remedy; it is tried again.
    pub error: Option<String>,
    /// What the numbers in events and counters stand for.
    #[serde(skip)]
    pub enforced: Option<Arc<Enforced>>,
}

/// How far the agent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Enforcement {
    /// What was enforced before still is, and pods that are new here drop.
    AwaitingSync {
        missing: Vec<String>,
    },
    Enforcing,
    /// The last world is enforced; the API server has been silent since then.
    Stale {
        since: Timestamp,
    },
}

/// A pod's veth.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    pub id: u32,
    pub ifindex: u32,
    pub veth: String,
    pub addresses: Vec<IpAddr>,
    pub pod: Option<PodKey>,
    /// By the name that people read; `None` for the platform's own.
    pub tenant: Option<String>,
    pub state: EndpointState,
    /// When the veth was first seen.
    pub since: Timestamp,
    /// From then to both programs on it; `None` where an earlier agent put them there.
    pub attach_delay: Option<Duration>,
    /// Why it is not enforced.
    pub problem: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    Enforced,
    /// Its pod is not known yet, or cannot be told: it has the default verdict.
    Pending,
    Failed,
}

impl EndpointState {
    pub const ALL: [Self; 3] = [Self::Enforced, Self::Pending, Self::Failed];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Pending => "pending",
            Self::Failed => "failed",
        }
    }
}

/// Policies of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyCount {
    pub kind: &'static str,
    pub enforced: usize,
    /// They cannot be understood, and fail closed.
    pub rejected: usize,
}

/// A change of the maps.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Publication {
    pub at: Timestamp,
    pub operations: usize,
    pub compile: Duration,
    pub apply: Duration,
    /// From the API server's event to the maps; `None` where a veth was the reason.
    pub delay: Option<Duration>,
}

/// The world that is enforced, and what it compiled to.
#[derive(Clone, Debug)]
pub struct Enforced {
    pub snapshot: Arc<Snapshot>,
    pub node: NodeView,
    pub compiled: Arc<Compiled>,
}

impl Status {
    /// An agent that has just started.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            enforcement: Enforcement::AwaitingSync { missing: vec!["the agent has just started".to_owned()] },
            rewriting: Rewriting::AtVeth { because: "the agent has just started".to_owned() },
            endpoints: Vec::new(),
            findings: Vec::new(),
            barred: 0,
            policies: Vec::new(),
            publication: None,
            drift_repaired: 0,
            error: None,
            enforced: None,
        }
    }

    /// A tenant by the name that people read; `None` for the platform, and for a number that nothing stands behind.
    #[must_use]
    pub fn tenant_name(&self, tenant: TenantId) -> Option<String> {
        self.enforced.as_ref()?.compiled.desired.provenance.tenants.get(&tenant).cloned()
    }

    /// How many endpoints are in a state.
    #[must_use]
    pub fn count(&self, state: EndpointState) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.state == state).count()
    }
}
