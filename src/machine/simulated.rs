//! A machine that does not exist.
//!
//! While a thread has one, the doors of this layer lead to it and not to the real machine: that is
//! how the simulator runs the real code under clocks, random numbers, files and locks of its own.
//! Nothing else ever sets one.

use crate::domain::time::Timestamp;
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// What the doors need of a machine.
pub trait Machine {
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
    /// Frees it.
    fn unlock(&self, path: &Path);
}

thread_local! {
    static PRESENT: RefCell<Option<Rc<dyn Machine>>> = const { RefCell::new(None) };
}

/// The machine of this thread, if it is not the real one.
#[must_use]
pub(super) fn present() -> Option<Rc<dyn Machine>> {
    PRESENT.with(|present| present.borrow().clone())
}

/// A step is done. A simulated process lets others run here, and may be killed; a real one goes on.
pub fn step() {
    if let Some(machine) = present() {
        machine.sleep(Duration::ZERO);
    }
}

/// Puts this thread onto `machine`, or back onto the real one.
pub fn enter(machine: Option<Rc<dyn Machine>>) {
    PRESENT.with(|present| *present.borrow_mut() = machine);
}
