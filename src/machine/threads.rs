//! What the threads of this process do: whether one of them only computes, for ever perhaps.

use std::collections::BTreeMap;
use std::fs;

/// So many ticks of processor time (10 ms each) without anything else are more than any work of ours
/// takes that does not read, wait or ask for memory in between.
const TURNING_TICKS: u64 = 50;

/// The places, behind the name of a thread in its `stat`, of what is read from it.
const MINOR_FAULTS: usize = 7;
const MAJOR_FAULTS: usize = 9;
const USER_TICKS: usize = 11;

/// What one thread has done since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct CpuTime {
    /// Processor time in its own code, in ticks.
    computed: u64,
    /// How often it touched memory that was not there, and how often it waited for something.
    did_else: (u64, u64),
}

/// What each thread had done when it last did something else than to compute.
#[derive(Debug, Default)]
pub struct Threads(BTreeMap<String, CpuTime>);

impl Threads {
    /// Looks again; whether one of them has only computed for long.
    pub fn is_one_turning(&mut self) -> bool {
        self.compare(&present())
    }

    fn compare(&mut self, present: &BTreeMap<String, CpuTime>) -> bool {
        let mut is_one_turning = false;
        for (thread, work) in present {
            match self.0.get(thread) {
                Some(before) if before.did_else == work.did_else => {
                    is_one_turning |= work.computed.saturating_sub(before.computed) >= TURNING_TICKS;
                }
                _ => drop(self.0.insert(thread.clone(), *work)),
            }
        }
        self.0.retain(|thread, _| present.contains_key(thread));
        is_one_turning
    }
}

fn present() -> BTreeMap<String, CpuTime> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let work = |entry: fs::DirEntry| {
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).ok();
        let work = work(&read("stat")?, &read("status")?)?;
        Some((entry.file_name().to_string_lossy().into_owned(), work))
    };
    threads.filter_map(work).collect()
}

/// As the files `stat` and `status` of a thread tell it.
fn work(stat: &str, status: &str) -> Option<CpuTime> {
    // The name may hold blanks and brackets.
    let (_, rest) = stat.rsplit_once(") ")?;
    let numbers: Vec<u64> = rest.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
    let at = |place: usize| numbers.get(place).copied();
    let waited = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    Some(CpuTime {
        computed: at(USER_TICKS)?,
        did_else: (at(MINOR_FAULTS)? + at(MAJOR_FAULTS)?, waited.trim().parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_turning_when_it_does_nothing_but_compute() {
        let stat = |ticks: u64, faults: u64| format!("7 (a) b) R 1 1 1 0 -1 0 {faults} 0 2 0 {ticks} 9 0 0");
        let status = |waits: u64| {
            format!("Name:\tx\nvoluntary_ctxt_switches:\t{waits}\nnonvoluntary_ctxt_switches:\t9\n")
        };
        let look = |ticks, faults, waits| {
            let work = work(&stat(ticks, faults), &status(waits)).expect("is read");
            BTreeMap::from([("7".to_owned(), work)])
        };
        let mut threads = Threads::default();
        for (ticks, faults, waits, expected) in [
            (10, 5, 1, false),
            (59, 5, 1, false),
            (60, 5, 1, true),
            // It asked for memory, and then waited.
            (120, 6, 1, false),
            (180, 6, 2, false),
            (200, 6, 2, false),
            (230, 6, 2, true),
        ] {
            assert_eq!(threads.compare(&look(ticks, faults, waits)), expected, "{ticks} {faults} {waits}");
        }
        assert!(!threads.compare(&BTreeMap::new()) && threads.0.is_empty());
        assert!(present().len() > 1, "the threads of this test");
    }
}
