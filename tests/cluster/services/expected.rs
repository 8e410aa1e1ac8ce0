//! What each cell of the table must say.

use crate::world::{BACKEND_NODE, Behind, Way};

/// Where the agents judge calls that nodes rewrite.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    AfterDnat,
    AtVeth,
}

impl Stage {
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfterDnat => "behind the rewriting",
            Self::AtVeth => "at the veth",
        }
    }

    pub const fn config(self) -> &'static str {
        match self {
            Self::AfterDnat => "datapath: {afterDnat: auto}\n",
            Self::AtVeth => "datapath: {afterDnat: off}\n",
        }
    }

    /// What `bulkhead status` says of it.
    pub const fn told(self) -> &'static str {
        match self {
            Self::AfterDnat => "judged as what calls become",
            Self::AtVeth => "judged at the pod's veth",
        }
    }
}

/// A column of the table.
pub struct Case {
    pub title: &'static str,
    pub sender: &'static str,
    pub behind: Behind,
}

pub const CASES: [Case; 5] = [
    Case { title: "same tenant", sender: "plain", behind: Behind::Good },
    Case { title: "other tenant", sender: "plain", behind: Behind::Foreign },
    Case { title: "policy allows", sender: "picky", behind: Behind::Good },
    Case { title: "policy forbids", sender: "picky", behind: Behind::Bad },
    Case { title: "mixed", sender: "picky", behind: Behind::Mixed },
];

/// The outcome of many calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Each is answered by the pods behind.
    Answers,
    /// Each drops, for this reason alone.
    Drops(&'static str),
    /// Those that are led to `good` are answered; the others drop, for this reason alone. There are some of both.
    EachByItself(&'static str),
}

const FORBIDDEN: Expected = Expected::Drops("default_deny");

/// The outcome of a client's calls from a node.
pub fn expected(stage: Stage, (node, way): (u32, Way), case: &Case) -> Expected {
    let is_picky = case.sender == "picky";
    match case.behind {
        Behind::Foreign => Expected::Drops("tenant_isolation"),
        _ if is_picky && must_be_allowed_itself(stage, node, way) => FORBIDDEN,
        Behind::Good => Expected::Answers,
        Behind::Bad => FORBIDDEN,
        Behind::Mixed => mixed(stage, way),
    }
}

/// Nobody promises the sender's node that the address is rewritten, and no policy of `picky` names it.
fn must_be_allowed_itself(stage: Stage, node: u32, way: Way) -> bool {
    match way {
        // Another node's kubelet may not have started the pod yet: then it is a port of that node.
        Way::HostPort => node != BACKEND_NODE,
        Way::ExternalIp => stage == Stage::AtVeth,
        _ => false,
    }
}

fn mixed(stage: Stage, way: Way) -> Expected {
    match way {
        // The client picks the pod.
        Way::Headless | Way::HostPort => Expected::EachByItself("default_deny"),
        // Another node picks the pod, and none but the sender's knows what the sender may do.
        Way::OtherNodePort => FORBIDDEN,
        _ if stage == Stage::AfterDnat => Expected::EachByItself("default_deny"),
        _ => Expected::Drops("service_undecided"),
    }
}
