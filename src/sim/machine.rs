//! The machine that a simulated process runs on: the doors of `machine` lead here.

use super::faults::Fault;
use super::world::{Host, World};
use crate::domain::time::Timestamp;
use crate::machine::simulated::Machine;
use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// When the world begins: 2025-10-29T12:00:00Z.
const BEGIN_MILLIS: i64 = 1_761_739_200_000;

/// The least that anything takes.
const STEP_MIN: Duration = Duration::from_micros(1);

/// What a process tells the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It wants to go on at this time.
    Until(Duration),
    /// It ended; `Some`: by a panic that nobody ordered.
    Gone(Option<String>),
}

/// The payload of the panic by which a process is killed.
pub(super) struct Killed;

thread_local! {
    /// The world of the simulation that this thread runs.
    static PRESENT: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// The world, as its processes share it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// The world of a simulation that begins on this thread.
    pub(super) fn begin(world: World) -> Self {
        let shared = Self(Arc::new(Mutex::new(world)));
        PRESENT.with(|present| *present.borrow_mut() = Some(shared.clone()));
        shared
    }

    /// The world of this thread's simulation.
    pub(super) fn present() -> Self {
        PRESENT.with(|present| present.borrow().clone()).expect("processes run in a simulation")
    }

    /// Not to be kept while others run.
    pub(super) fn get(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody has it just now.
    fn is_let_go(&self) -> bool {
        !matches!(self.0.try_lock(), Err(TryLockError::WouldBlock))
    }
}

/// One process's view of its host.
pub(super) struct Process {
    pub world: Shared,
    pub host: usize,
}

impl Process {
    fn with<R>(&self, act: impl FnOnce(&mut Host) -> R) -> R {
        act(self.world.get().hosts.get_mut(self.host).expect("a process runs on a host that is"))
    }

    /// Lets others run until true time has gone on by `span`.
    fn pause(&self, span: Duration) {
        // Nothing takes no time: who waits for the last nanosecond of a span would wait for ever.
        let until = self.world.get().now + span.max(STEP_MIN);
        assert!(self.world.is_let_go(), "nobody keeps the world while others run");
        super::give_up_turn(Said::Until(until));
        if self.world.get().dies {
            resume_unwind(Box::new(Killed));
        }
    }
}

impl Machine for Process {
    fn wall(&self) -> Timestamp {
        let (now, step) = {
            let world = self.world.get();
            (world.now, i64::try_from(world.tuning.clock_step.as_millis()).unwrap_or(1))
        };
        let millis = self.with(|host| {
            i64::try_from(host.shown(now).as_millis()).unwrap_or(0) + host.wall_offset + BEGIN_MILLIS
        });
        Timestamp::from_unix_millis(millis - millis % step).expect("a time of our century")
    }

    fn since_boot(&self) -> Duration {
        let now = self.world.get().now;
        self.with(|host| host.shown(now.saturating_sub(host.booted)))
    }

    fn boot_id(&self) -> String {
        self.with(|host| format!("boot{}", host.boots))
    }

    fn sleep(&self, span: Duration) {
        let span = self.with(|host| host.true_span(span));
        self.pause(span);
    }

    fn draw(&self) -> u128 {
        let random = &mut self.world.get().random;
        (u128::from(random.bits()) << 64) | u128::from(random.bits())
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.with(|host| host.files.get(path.as_os_str()).cloned())
    }

    fn write(&self, path: &Path, bytes: Vec<u8>, flushed: bool) -> io::Result<()> {
        if self.world.get().strikes(Fault::DiskFull) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.with(|host| {
            let before = host.files.insert(path.into(), bytes);
            if flushed {
                host.unflushed.remove(path.as_os_str());
            } else {
                host.unflushed.entry(path.into()).or_insert(before);
            }
        });
        // Somebody may be killed right after a file was written.
        self.pause(Duration::ZERO);
        Ok(())
    }

    fn remove(&self, path: &Path) {
        self.with(|host| {
            // It may be there again after a loss of power.
            if let Some(before) = host.files.remove(path.as_os_str()) {
                host.unflushed.entry(path.into()).or_insert(Some(before));
            }
        });
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let name = |path: &OsString| Some(Path::new(path).strip_prefix(folder).ok()?.to_str()?.to_owned());
        self.with(|host| host.files.keys().filter_map(name).collect())
    }

    fn lock(&self, path: &Path) -> bool {
        self.with(|host| host.locks.insert(path.into()))
    }

    fn unlock(&self, path: &Path) {
        self.with(|host| host.locks.remove(path.as_os_str()));
    }
}
