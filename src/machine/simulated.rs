//! A machine that does not exist: what has to stand in for a real one behind [`super::Machine`].
//!
//! That is how the simulator runs the real code under clocks, random numbers, files and locks of its own.
//! Nothing else ever makes one.

use crate::domain::time::Timestamp;
use std::io;
use std::path::Path;
use std::time::Duration;

/// What stands in for a machine, in whichever thread of the process that was handed it.
pub trait Simulated: Send + Sync {
    /// The wall clock.
    fn wall(&self) -> Timestamp;
    /// The boot clock.
    fn since_boot(&self) -> Duration;
    /// The present boot.
    fn boot_id(&self) -> String;
    /// Lets time pass. Does not return when the process is killed meanwhile.
    fn sleep(&self, span: Duration);
    /// 128 random bits.
    fn draw(&self) -> u128;
    /// The content of a file.
    fn read(&self, path: &Path) -> Option<Vec<u8>>;
    /// Replaces a file; one that is not `flushed` may be lost with the power.
    ///
    /// # Errors
    /// When the disk is full.
    fn write(&self, path: &Path, bytes: Vec<u8>, flushed: bool) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path);
    /// The names of the files in a folder, in order.
    fn list(&self, folder: &Path) -> Vec<String>;
    /// Takes a file lock if it is free.
    fn lock(&self, path: &Path) -> bool;
    /// Whether somebody has it.
    fn is_locked(&self, path: &Path) -> bool;
    /// Frees it.
    fn unlock(&self, path: &Path);
}
