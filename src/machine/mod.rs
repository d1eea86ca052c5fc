//! The machine: each effect behind one door, and the machine as a value.
//!
//! Clock, environment, files, the local lock, child processes, system facts and signals. Only
//! this layer reads the time or the environment or starts a process. It knows nothing of hubs.
//!
//! [`Machine`] is what code is handed that may run in the simulator. The functions of the modules are doors to
//! the real machine and to no other: for what is never simulated.

pub mod asked;
pub mod bounded;
pub mod clock;
pub mod contained;
pub mod digest;
pub mod disk;
pub mod environment;
pub mod facts;
pub mod failpoint;
pub mod file_lock;
pub mod files;
pub mod folder;
pub mod guard;
pub mod held;
pub mod notice;
pub mod open_files;
pub mod outlet;
pub mod process;
pub mod random;
pub mod signals;
pub mod simulated;
pub mod threads;
mod value;
pub mod ward;
pub mod zone;

pub use simulated::Simulated;
pub use value::{Deadline, Machine};
