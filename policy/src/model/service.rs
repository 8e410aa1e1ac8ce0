//! Services, as far as questions about policy need them: which pods they lead to, on which ports.

use super::{Labels, Pod, Protocol};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    /// Of its own namespace's pods; empty where somebody else says where it leads.
    pub selector: Labels,
    pub ports: Vec<ServicePort>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    pub protocol: Protocol,
    /// What clients call.
    pub port: u16,
    pub target: TargetPort,
}

/// Where a backend listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    Number(u16),
    /// Of a container's port; of two with the name, the first.
    Named(String),
}

impl Service {
    #[must_use]
    pub fn selects(&self, pod: &Pod) -> bool {
        let has = |(key, value): (&String, &String)| pod.labels.get(key) == Some(value);
        !self.selector.is_empty() && pod.namespace == self.namespace && self.selector.iter().all(has)
    }
}

impl ServicePort {
    /// Where that pod listens; `None` where it has no port of the name.
    #[must_use]
    pub fn on(&self, pod: &Pod) -> Option<u16> {
        match &self.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Named(name) => {
                let mut ports = pod.ports.iter();
                let is = ports.find(|port| port.protocol == self.protocol && port.name.as_ref() == Some(name));
                is.map(|port| port.port)
            }
        }
    }
}
