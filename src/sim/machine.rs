//! The machine that a simulated process runs on: the doors of `machine` lead here.

use super::faults::Fault;
use super::world::{Host, World};
use crate::domain::time::Timestamp;
use crate::machine::{Machine, Simulated};
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
pub(super) enum TurnEnd {
    /// It wants to go on at this time.
    Until(Duration),
    /// It ended; `Some`: by a panic that nobody ordered.
    Gone(Option<String>),
}

/// The payload of the panic by which a process is killed.
pub(super) struct Killed;

/// The world, as its processes share it.
#[derive(Clone)]
pub(super) struct SharedWorld(Arc<Mutex<World>>);

impl SharedWorld {
    pub(super) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
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
    pub world: SharedWorld,
    pub host: usize,
}

impl Process {
    fn with<R>(&self, act: impl FnOnce(&mut Host) -> R) -> R {
        act(self.world.get().hosts.get_mut(self.host).expect("a process runs on a host that is"))
    }

    /// Lets others run until true time has gone on by `span`.
    fn pause(&self, span: Duration) {
        if !generator::is_generator() {
            // True time stands still in a thread, whose process has the turn: it may look and write, and its
            // process waits for its end before it gives up the turn.
            assert!(span.is_zero(), "a thread of a simulated process does not wait");
            return;
        }
        // Nothing takes no time: who waits for the last nanosecond of a span would wait for ever.
        let until = self.world.get().now + span.max(STEP_MIN);
        assert!(self.world.is_let_go(), "nobody keeps the world while others run");
        super::give_up_turn(TurnEnd::Until(until));
        if self.world.get().dies {
            resume_unwind(Box::new(Killed));
        }
    }
}

impl Process {
    /// The machine that is handed to what runs there.
    pub(super) fn machine(world: &SharedWorld, host: usize) -> Machine {
        Machine::simulated(Arc::new(Self { world: world.clone(), host }))
    }
}

impl Simulated for Process {
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

    fn is_locked(&self, path: &Path) -> bool {
        self.with(|host| host.locks.contains(path.as_os_str()))
    }

    fn unlock(&self, path: &Path) {
        self.with(|host| host.locks.remove(path.as_os_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::file_lock::FileLock;
    use crate::sim::Limits;
    use generator::Gn;
    use std::thread;

    /// What a process saw of its machine, the clocks and a file, and with what its thread left it.
    fn looked(machine: &Machine) -> (Timestamp, Duration, u64) {
        (machine.wall(), machine.since_boot(), machine.recall(Path::new("/state/one.json")))
    }

    #[test]
    fn a_thread_that_a_process_starts_stays_on_its_machine() {
        let mut world = World::new(1, &Limits::default(), false);
        world.now = Duration::from_secs(1_000_000);
        let world = SharedWorld::new(world);
        let (machine, other) = (Process::machine(&world, 0), Process::machine(&world, 1));
        let mut body = Gn::<()>::new_opt(32 * 1024, move || {
            machine.remember(Path::new("/state/one.json"), &7).expect("room");
            let lock = FileLock::acquire(Path::new("/state/one.flock"), &machine.deadline(Duration::ZERO));
            let handed = machine.clone();
            let seen = thread::spawn(move || {
                let path = Path::new("/state/one.flock");
                let is_taken = FileLock::acquire(path, &handed.deadline(Duration::ZERO)).is_err();
                handed.remember(Path::new("/state/other.json"), &8).expect("room");
                (looked(&handed), is_taken)
            });
            let seen = seen.join().expect("it ends");
            assert_eq!(seen, (looked(&machine), lock.is_ok()));
            assert_eq!(machine.recall::<u64>(Path::new("/state/other.json")), 8);
            assert_eq!(looked(&other).2, 0, "another host has files of its own");
            TurnEnd::Gone(None)
        });
        while body.resume().is_some_and(|said| said != TurnEnd::Gone(None)) {}
        let files = world.get().hosts.iter().map(|host| host.files.len()).collect::<Vec<_>>();
        assert_eq!(files.first(), Some(&2), "{files:?}");
    }
}
