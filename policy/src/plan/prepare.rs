//! A new world for the kernel: its compile and the way there, both within what the maps can hold.

use std::fmt;

use super::{Capacities, Observed, Plan, PlanError, diff};
use crate::compile::{CompileError, Compiled, Input, compile_within};

/// How many damaged records one change may come upon before somebody should look.
const REPAIRS: u32 = 64;

/// Why a world cannot be enforced. Nothing is to be changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrepareError {
    Compile(CompileError),
    Plan(PlanError),
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compile(error) => error.fmt(f),
            Self::Plan(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PrepareError {}

/// Compiles a world within the budget of these capacities and plans the change to it. A record that is not what its
/// number says gets another number. Where the maps have no room to keep the sets of `previous` complete meanwhile, the
/// change is made without: what only they allow drops until the endpoints have left them.
///
/// # Errors
/// As [`compile_within`] and [`diff`].
pub fn prepare(
    input: &Input<'_>,
    observed: &Observed,
    previous: Option<&Compiled>,
    capacities: &Capacities,
) -> Result<(Compiled, Plan), PrepareError> {
    match repaired(input, observed, previous, capacities) {
        Err(PrepareError::Plan(PlanError::Full { .. })) if previous.is_some() => {
            repaired(input, observed, None, capacities)
        }
        prepared => prepared,
    }
}

fn repaired(
    input: &Input<'_>,
    observed: &Observed,
    previous: Option<&Compiled>,
    capacities: &Capacities,
) -> Result<(Compiled, Plan), PrepareError> {
    let mut ids = observed.ids.clone();
    let mut repairs = 0;
    loop {
        let compiled = compile_within(input, &ids, previous, &capacities.budget()).map_err(PrepareError::Compile)?;
        match diff(observed, &compiled.desired, capacities) {
            Ok(plan) => return Ok((compiled, plan)),
            Err(PlanError::Corrupt { id }) if repairs < REPAIRS => ids.distrust(id),
            Err(error) => return Err(PrepareError::Plan(error)),
        }
        repairs += 1;
    }
}
