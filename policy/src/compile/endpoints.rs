//! Local endpoints: their records, the words of their interfaces, and what is published for them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use common::abi::{Address, DirectionRules, Endpoint, Interface, Mac, Profile, TenantId};

use super::ids::Digest;
use super::meter::Meter;
use super::numbering::Numbering;
use super::shares::Shares;
use super::subjects::Subject;
use super::{Binding, CompileError, Input, Tables};
use crate::model::{Config, UnknownEndpoints};

/// Fills the tables of interfaces, endpoints and profiles.
pub(super) struct Endpoints<'a> {
    pub(super) input: Input<'a>,
    pub(super) sets: &'a BTreeMap<Digest, DirectionRules>,
    pub(super) tenant_numbers: &'a [TenantId],
    pub(super) meter: &'a Meter<'a>,
    pub(super) shares: &'a Shares,
}

impl Endpoints<'_> {
    pub(super) fn fill(
        &self,
        subjects: &[Subject<'_>],
        numbering: &mut Numbering<'_>,
        tables: &mut Tables,
    ) -> Result<(), CompileError> {
        for &ifindex in &self.input.node.bridges {
            tables.interfaces.insert(ifindex, Interface::bridge(ifindex));
        }
        for subject in subjects {
            let binding = subject.binding;
            let profile = self.profile(subject);
            let index = numbering.profile(&profile)?;
            tables.profiles.insert(index, profile);
            let record = record(binding, index, self.flags(subject));
            if tables.endpoints.insert(binding.slot, record).is_some() {
                return Err(CompileError::SharedBinding { what: "slot", number: binding.slot });
            }
            tables.locals.extend(binding.addresses.iter().map(|address| (Address::from(*address), binding.slot)));
            let interface = Interface::endpoint(binding.ifindex, binding.slot);
            if tables.interfaces.insert(binding.ifindex, interface).is_some() {
                return Err(CompileError::SharedBinding { what: "interface", number: binding.ifindex });
            }
        }
        Ok(())
    }

    fn flags(&self, subject: &Subject<'_>) -> u64 {
        let config = self.input.config;
        match &subject.pod {
            None if config.unknown_endpoints == UnknownEndpoints::Drop => Endpoint::PENDING,
            Some(known) if config.routers.iter().any(|routers| routers.include(known.pod)) => Endpoint::ROUTER,
            _ => 0,
        }
    }

    fn profile(&self, subject: &Subject<'_>) -> Profile {
        let Some(pod) = &subject.pod else {
            return unknown(self.input.config);
        };
        if self.shares.is_shut(self.meter, &pod.pod.namespace) {
            return Profile::default();
        }
        let rules = pod.sets.map(|set| set.map_or(Some(DirectionRules::default()), |set| self.sets.get(&set).copied()));
        // A set that was not compiled would leave the pod open: a profile that is not written drops.
        let [Some(egress), Some(ingress)] = rules else { return Profile::default() };
        Profile {
            rules: [egress, ingress],
            tenant: pod.membership.tenant.map_or(TenantId::PLATFORM, |tenant| self.tenant_numbers[tenant]),
            mode: pod.membership.mode as u16,
            agent_port: pod.membership.tenant.map_or(0, |_| self.input.config.agent_port),
            written: 1,
        }
    }
}

/// What is published for a pod that is not known: it may be any tenant's.
pub(super) fn unknown(config: &Config) -> Profile {
    Profile { written: 1, agent_port: config.agent_port, ..Profile::default() }
}

/// What the kernel holds of a binding.
pub(super) fn record(binding: &Binding, profile: u32, flags: u64) -> Endpoint {
    let mut record = Endpoint {
        profile: u64::from(profile),
        id: binding.id,
        ifindex: binding.ifindex,
        v4: [0; 4],
        mac: Mac::new(binding.mac),
        flags,
        adopt_until: binding.adopt_until,
        v6: [0; 16],
    };
    for address in &binding.addresses {
        match address {
            IpAddr::V4(v4) => record.v4 = v4.octets(),
            IpAddr::V6(v6) => record.v6 = v6.octets(),
        }
    }
    record
}
