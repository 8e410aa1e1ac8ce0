//! Carrying out a plan: one interpreter, operation after operation, in the plan's order.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use common::abi::{Backends, Endpoint, Mac, PortRow, Profile, Ranked};
use policy::compile::Desired;
use policy::plan::{Op, Plan, diff};

use super::Maps;

/// How long nothing is overwritten that a program may still be reading: far longer than one runs.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

impl Maps {
    /// Carries out a plan that was made from what [`Maps::observe`] returned.
    ///
    /// # Errors
    /// A write fails, three times. What was enforced still is: a plan's order makes every prefix of it safe.
    pub fn apply(&mut self, plan: &Plan) -> Result<()> {
        for op in &plan.ops {
            self.carry_out(op)?;
        }
        Ok(())
    }

    /// Compares all that the kernel holds with what it should hold, and repairs it. Returns what had to be done:
    /// nothing, where nobody else wrote to the maps since the last plan.
    ///
    /// # Errors
    /// A `policy::plan::PlanError`, and nothing has been changed; or a map cannot be read or written.
    pub fn reconcile(&mut self, desired: &Desired) -> Result<Plan> {
        let plan = diff(&self.observe()?, desired, &self.capacities()?)?;
        self.apply(&plan)?;
        Ok(plan)
    }

    /// Carries out one operation; a program may be reading what it removes, so that the caller has to see to the order
    /// and to grace periods.
    ///
    /// # Errors
    /// The write fails, three times.
    pub(crate) fn carry_out(&mut self, op: &Op) -> Result<()> {
        self.write(op).with_context(|| format!("cannot {op}"))
    }

    fn write(&mut self, op: &Op) -> Result<()> {
        match *op {
            Op::SetId { id, digest } => self.set_id(id, digest),
            Op::SetPort { row, value } => self.set_port(row, &value),
            Op::SetProfile { index, profile } => self.set_profile(index, &profile),
            Op::SetRule { key, program } => self.set_rule(key, program),
            Op::SetBackends { number, backends } => self.set_backends(number, &backends),
            Op::SetDelegate { key, backend } => self.set_delegate(key, backend),
            Op::SetService { key, lead } => self.set_service(key, lead),
            Op::SetTunnels { word, ports } => self.set_tunnels(word, ports),
            Op::SetPeer { address, peer } => self.set_peer(address, peer),
            Op::SetRange { range, peer } => self.set_range(range, peer),
            Op::SetEndpoint { slot, endpoint } | Op::Publish { slot, endpoint } => self.set_endpoint(slot, &endpoint),
            Op::SetLocal { address, slot } => self.set_local(address, slot),
            Op::RemoveLocal { address } => self.remove_local(address),
            Op::SetInterface { ifindex, interface } => self.set_interface(ifindex, interface),
            Op::RaiseEpoch { epoch } => self.set_epoch(epoch),
            Op::Grace => {
                thread::sleep(GRACE);
                Ok(())
            }
            Op::RemoveId { id } => self.remove_id(id),
            Op::RemovePort { row } => self.set_port(row, &NO_ROW),
            Op::RemoveProfile { index } => self.set_profile(index, &Profile::default()),
            Op::RemoveBackends { number } => self.set_backends(number, &Backends::UNKNOWN),
            Op::RemoveDelegate { key } => self.remove_delegate(key),
            Op::RemoveService { key } => self.remove_service(key),
            Op::RemoveRule { key } => self.remove_rule(key),
            Op::RemovePeer { address } => self.remove_peer(address),
            Op::RemoveRange { range } => self.remove_range(range),
            Op::RemoveEndpoint { slot } => self.set_endpoint(slot, &NO_ENDPOINT),
            Op::RemoveInterface { ifindex } => self.remove_interface(ifindex),
        }
    }
}

/// What an array holds where nothing was ever written.
const NO_ROW: PortRow = PortRow { last: 0, admin: Ranked(0), lower: Ranked(0), admin_rule: 0, lower_rule: 0, _zero: 0 };

const NO_ENDPOINT: Endpoint =
    Endpoint { profile: 0, id: 0, ifindex: 0, v4: [0; 4], mac: Mac::NONE, flags: 0, adopt_until: 0, v6: [0; 16] };
