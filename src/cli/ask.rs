//! Asking the hub: the one way from a question to its answer.

use super::context::Context;
use super::error::CliError;
use crate::app::queries::Query;

impl Context {
    /// Reads the hub as it is now and has `query` answered from it.
    ///
    /// # Errors
    /// As the query, or when the hub cannot be reached.
    pub(super) fn ask<Q: Query>(&mut self, query: &Q) -> Result<Q::Answer, CliError> {
        let now = self.now();
        self.read(Q::HEARTBEATS, |snapshot| Ok(query.run(snapshot, now)?))
    }
}
