//! The machine that a simulated process runs on: the doors of `host` lead here.

use super::world::{Host, World};
use crate::domain::time::Timestamp;
use crate::host::simulated::Machine;
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When the world begins: 2025-10-29T12:00:00Z.
const BEGIN_MILLIS: i64 = 1_761_739_200_000;

/// The least that anything takes.
const STEP_MIN: Duration = Duration::from_micros(1);

/// What the scheduler tells a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Run,
    Die,
}

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

/// The world, as its processes share it. Only one of them runs at a time.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(super) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(super) fn get(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process's view of its host.
pub(super) struct Process {
    pub world: Shared,
    pub host: usize,
    pub number: usize,
    pub told: Receiver<Told>,
    pub say: Sender<(usize, Said)>,
}

impl Process {
    fn with<R>(&self, act: impl FnOnce(&mut Host, &mut super::random::Random) -> R) -> R {
        let mut world = self.world.get();
        let World { hosts, random, .. } = &mut *world;
        act(hosts.get_mut(self.host).expect("a process runs on a host that is"), random)
    }

    /// Lets others run until true time has gone on by `span`.
    fn pause(&self, span: Duration) {
        // Nothing takes no time: who waits for the last nanosecond of a span would wait for ever.
        let until = self.world.get().now + span.max(STEP_MIN);
        drop(self.say.send((self.number, Said::Until(until))));
        if self.told.recv() != Ok(Told::Run) {
            resume_unwind(Box::new(Killed));
        }
    }
}

impl Machine for Process {
    fn wall(&self) -> Timestamp {
        let now = self.world.get().now;
        let millis = self.with(|host, _| {
            i64::try_from(host.shown(now).as_millis()).unwrap_or(0) + host.wall_offset + BEGIN_MILLIS
        });
        Timestamp::from_unix_millis(millis).expect("a time of our century")
    }

    fn since_boot(&self) -> Duration {
        let now = self.world.get().now;
        self.with(|host, _| host.shown(now.saturating_sub(host.booted)))
    }

    fn boot_id(&self) -> String {
        self.with(|host, _| format!("boot{}", host.boots))
    }

    fn sleep(&self, span: Duration) {
        let span = self.with(|host, _| host.true_span(span));
        self.pause(span);
    }

    fn draw(&self) -> u128 {
        self.with(|_, random| (u128::from(random.bits()) << 64) | u128::from(random.bits()))
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.with(|host, _| host.files.get(path).cloned())
    }

    fn write(&self, path: &Path, bytes: Vec<u8>, flushed: bool) -> io::Result<()> {
        if self.world.get().strikes(|faults| faults.disk_full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.with(|host, _| {
            host.files.insert(path.to_owned(), bytes);
            if flushed {
                host.unflushed.remove(path);
            } else {
                host.unflushed.insert(path.to_owned());
            }
        });
        // Somebody may be killed right after a file was written.
        self.pause(Duration::ZERO);
        Ok(())
    }

    fn remove(&self, path: &Path) {
        self.with(|host, _| host.files.remove(path));
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let name = |path: &Path| Some(path.strip_prefix(folder).ok()?.to_str()?.to_owned());
        self.with(|host, _| host.files.keys().filter_map(|path| name(path)).collect())
    }

    fn lock(&self, path: &Path) -> bool {
        self.with(|host, _| host.locks.insert(path.to_owned()))
    }

    fn unlock(&self, path: &Path) {
        self.with(|host, _| host.locks.remove(path));
    }
}
