//! Compiled rules, laid out for millions of questions.

use std::collections::HashMap;

use common::abi::{PortRow, ProgramRef, RuleKey};
use common::decide::Rules;

use crate::compile::Tables;

#[derive(Debug)]
pub(super) struct Lookup {
    rules: HashMap<RuleKey, ProgramRef>,
    /// By row; a world that was compiled from nothing leaves few gaps.
    ports: Vec<Option<PortRow>>,
}

impl Lookup {
    pub fn of(tables: &Tables) -> Self {
        let rows = tables.ports.keys().next_back().map_or(0, |last| *last as usize + 1);
        let mut ports = vec![None; rows];
        for (index, row) in &tables.ports {
            if let Some(place) = ports.get_mut(*index as usize) {
                *place = Some(*row);
            }
        }
        Self { rules: tables.rules.iter().map(|(key, program)| (*key, *program)).collect(), ports }
    }
}

impl Rules for Lookup {
    fn rule(&self, key: &RuleKey) -> Option<ProgramRef> {
        self.rules.get(key).copied()
    }

    fn port_row(&self, row: u32) -> Option<&PortRow> {
        self.ports.get(row as usize)?.as_ref()
    }
}
