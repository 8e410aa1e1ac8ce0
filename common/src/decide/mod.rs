//! Flow and tables to verdict.

mod judge;

pub use judge::{Judgement, Question, Rules, Verdict, judge};
