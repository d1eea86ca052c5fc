//! Whether the lock file of a ref still belongs to somebody.
//!
//! git locks a ref by a file beside it, and nobody frees that file when its owner is killed. But an
//! owner that is only stopped, for however long, goes on where it was: it renames whatever then lies
//! under the name of its lock over the ref, and tells its user that all went well. So the age of a
//! lock proves nothing. What counts is what can be seen of its owner; where nothing can be seen,
//! minutes in which this machine was awake must have passed without a change.

use std::time::Duration;

/// How long a lock of which no process of this machine can be the owner is left alone, where every
/// process that could be it would be seen. A server that is no git program may hide its work.
pub const UNSEEN_HERE: Duration = Duration::from_secs(2 * 60);

/// The same where some would not be seen: those of another host, or of another container. A
/// connection of a network file system, or a machine that is moved while it runs, comes back sooner.
pub const UNSEEN_ELSEWHERE: Duration = Duration::from_secs(10 * 60);

/// The same in a repository that only repeats what the hub has: nothing is lost with a mistake there.
pub const UNSEEN_IN_COPY: Duration = Duration::from_secs(5);

/// What can be seen of processes that may be about to put a lock in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProcessEvidence {
    /// One is at work there.
    Somebody,
    /// None, and every process of this machine could be looked at.
    Nobody,
    /// None, and some processes cannot be seen from here.
    NotAll,
}

/// The mark that a lock of this program carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LockMark {
    /// Whether it was made on this machine since it was started.
    pub is_of_this_boot: bool,
    /// Whether its process keeps it locked; `None`: the file system does not tell.
    pub is_kept: Option<bool>,
}

/// All that is known of the owner of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerEvidence {
    /// The mark, if it is a lock of this program.
    pub mark: Option<LockMark>,
    /// Whether only this machine can write there.
    pub is_local: bool,
    /// Whether the lock is older than the present boot of this machine.
    pub is_before_boot: bool,
    /// Who is at work there.
    pub seen: ProcessEvidence,
}

/// Who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Somebody who may go on with it.
    Alive,
    /// Nobody any more: that is certain.
    Dead,
    /// Nobody who can be seen.
    Unseen {
        /// Whether whoever could hold it would be seen.
        everybody: bool,
    },
}

/// What is lost if a lock is taken from somebody who lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Risk {
    /// What others were told is done.
    Shared,
    /// Nothing: the repository only repeats what the hub has.
    Copy,
}

/// Who holds a lock, by its traces.
#[must_use]
pub fn holder(traces: &OwnerEvidence) -> Holder {
    match traces.mark {
        Some(LockMark { is_of_this_boot: true, is_kept: Some(true) }) => Holder::Alive,
        Some(LockMark { is_of_this_boot: true, is_kept: Some(false) }) => Holder::Dead,
        Some(LockMark { is_of_this_boot: true, is_kept: None }) => Holder::Unseen { everybody: false },
        // The machine was started since, or another wrote there.
        Some(_) if traces.is_local => Holder::Dead,
        Some(_) => Holder::Unseen { everybody: false },
        None => match traces.seen {
            ProcessEvidence::Somebody => Holder::Alive,
            _ if traces.is_local && traces.is_before_boot => Holder::Dead,
            seen => Holder::Unseen { everybody: seen == ProcessEvidence::Nobody && traces.is_local },
        },
    }
}

/// For how long a lock must have been the same, while this machine was awake, before it is nobody's.
/// `None`: never.
#[must_use]
pub fn patience(holder: Holder, stakes: Risk) -> Option<Duration> {
    match (holder, stakes) {
        (Holder::Alive, _) => None,
        (Holder::Dead, _) => Some(Duration::ZERO),
        (Holder::Unseen { .. }, Risk::Copy) => Some(UNSEEN_IN_COPY),
        (Holder::Unseen { everybody: true }, Risk::Shared) => Some(UNSEEN_HERE),
        (Holder::Unseen { everybody: false }, Risk::Shared) => Some(UNSEEN_ELSEWHERE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREIGN: OwnerEvidence =
        OwnerEvidence { mark: None, is_local: true, is_before_boot: false, seen: ProcessEvidence::Nobody };

    #[test]
    fn a_lock_of_others_is_theirs_while_anybody_can_be_seen_who_may_hold_it() {
        let unseen = |everybody| Holder::Unseen { everybody };
        for (traces, expected) in [
            (FOREIGN, unseen(true)),
            (OwnerEvidence { seen: ProcessEvidence::Somebody, ..FOREIGN }, Holder::Alive),
            (OwnerEvidence { seen: ProcessEvidence::NotAll, ..FOREIGN }, unseen(false)),
            // Another host may be at work there.
            (OwnerEvidence { is_local: false, ..FOREIGN }, unseen(false)),
            (OwnerEvidence { is_local: false, is_before_boot: true, ..FOREIGN }, unseen(false)),
            // No process outlives its machine.
            (OwnerEvidence { is_before_boot: true, ..FOREIGN }, Holder::Dead),
            (OwnerEvidence { is_before_boot: true, seen: ProcessEvidence::NotAll, ..FOREIGN }, Holder::Dead),
            (
                OwnerEvidence { is_before_boot: true, seen: ProcessEvidence::Somebody, ..FOREIGN },
                Holder::Alive,
            ),
        ] {
            assert_eq!(holder(&traces), expected, "{traces:?}");
        }
    }

    #[test]
    fn a_lock_of_our_own_is_free_as_soon_as_its_process_is_gone() {
        let unseen = Holder::Unseen { everybody: false };
        for (is_of_this_boot, is_kept, is_local, expected) in [
            (true, Some(true), true, Holder::Alive),
            (true, Some(true), false, Holder::Alive),
            (true, Some(false), true, Holder::Dead),
            (true, Some(false), false, Holder::Dead),
            (true, None, true, unseen),
            // What another host keeps locked may not be told here.
            (false, Some(false), false, unseen),
            (false, Some(true), false, unseen),
            (false, Some(false), true, Holder::Dead),
        ] {
            let mark = Some(LockMark { is_of_this_boot, is_kept });
            // Others at work there have nothing to do with it.
            for seen in [ProcessEvidence::Somebody, ProcessEvidence::Nobody, ProcessEvidence::NotAll] {
                let traces = OwnerEvidence { mark, is_local, seen, ..FOREIGN };
                assert_eq!(holder(&traces), expected, "{traces:?}");
            }
        }
    }

    #[test]
    fn only_who_cannot_be_seen_is_judged_by_time() {
        for stakes in [Risk::Shared, Risk::Copy] {
            assert_eq!(patience(Holder::Alive, stakes), None);
            assert_eq!(patience(Holder::Dead, stakes), Some(Duration::ZERO));
        }
        for everybody in [true, false] {
            let patience = |stakes| patience(Holder::Unseen { everybody }, stakes).expect("a time");
            assert!(patience(Risk::Shared) >= Duration::from_secs(120), "minutes");
            assert!(patience(Risk::Copy) < Duration::from_secs(30), "within one command");
        }
        assert!(UNSEEN_ELSEWHERE > UNSEEN_HERE);
    }
}
