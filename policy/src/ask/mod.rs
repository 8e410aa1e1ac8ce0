//! Questions about a compiled world: `matrix`, `explain`, `simulate` (CONTRACT.md §4). They are answered by the compiled rules
//! and the same `judge` that the kernel programs run.

mod called;
mod change;
mod end;
mod engine;
mod explain;
mod lint;
mod lookup;
mod manifest;
mod matrix;
mod port;
mod record;
mod rows;
mod simulate;
mod steps;

pub use change::{Change, Proposal};
pub use end::{End, Party};
pub use engine::{AskError, Engine};
pub use explain::{Explanation, Steps};
pub use lint::{LINT_RULES, LintFinding, LintRule, Severity};
pub use matrix::{Matrix, MatrixQuery};
pub use port::FlowPort;
pub use record::{DirectionRecord, Record, Said};
pub use simulate::{Difference, Simulation};
pub use steps::{Outcome, Step};
