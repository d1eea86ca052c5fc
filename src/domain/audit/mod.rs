//! What must hold in a hub: in one state of its documents, and from one commit to the next.
//!
//! [`state`] judges what lies in a hub now; [`judge_step`] judges what one commit made of a table
//! before it. Both judge results and not the code that brought them about: whoever wrote them, a
//! command of ours, a script or a hand. They are pure and hold no state, so that whoever walks
//! through a history, real or simulated, can keep the tables it has read and hand them in.
//!
//! The rules are written down a second time here on purpose. An auditor that asked the code it
//! audits would find nothing.

mod audited;
mod job;
mod lock;
mod made;
mod message;
mod needs;
mod server;
pub mod state;
mod step;

pub use audited::Audited;
pub use job::never_claimed;
pub use made::Made;
pub use step::{Change, judge_step};

#[cfg(test)]
mod tests;
