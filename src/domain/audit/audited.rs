//! What the audit asks of the records of a table.
//!
//! Each table answers beside the rules for its records; a table without rules of its own is still
//! read whole, with records that cannot be read or stand twice told.

use super::made::Made;
use crate::domain::finding::Finding;
use crate::domain::high_water::HighWater;
use crate::domain::pause::Pause;
use crate::domain::table::{Row, Table};

/// A record that can be judged.
pub trait Audited: Row {
    /// What is wrong with it by itself.
    fn judge(&self, _found: &mut Vec<Finding>) {}

    /// What is wrong with the live table as a whole and its archives, beside each record by itself.
    fn judge_all(_live: &Table<Self>, _archives: &[Table<Self>], _found: &mut Vec<Finding>) {}

    /// What is wrong with what one commit made of a record; `None` of one that is new.
    fn judge_step(_before: Option<&Self>, _after: &Self, _made: Made, _found: &mut Vec<Finding>) {}

    /// What is wrong with the loss of a record that is in no archive either.
    fn judge_gone(_before: &Self, _made: Made, _found: &mut Vec<Finding>) {}
}

impl Audited for HighWater {}
impl Audited for Pause {}
