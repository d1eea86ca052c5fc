//! How a commit came to be: of how many steps it may consist, and whether a hand made it.

use crate::domain::finding::Severity;

/// How a commit says it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    steps: u64,
    by_hand: bool,
}

impl Made {
    /// By so many operations of ours; by none means by hand.
    #[must_use]
    pub const fn by_operations(operations: u64) -> Self {
        if operations == 0 { Self::by_a_hand() } else { Self { steps: operations, by_hand: false } }
    }

    /// By hand, or by another program: one step is granted.
    #[must_use]
    pub const fn by_a_hand() -> Self {
        Self { steps: 1, by_hand: true }
    }

    /// By a merge, which no operation of ours makes, and which brings the steps of other commits.
    #[must_use]
    pub const fn by_merging(steps: u64) -> Self {
        Self { steps: if steps == 0 { 1 } else { steps }, by_hand: true }
    }

    /// Whether no operation of ours made it.
    #[must_use]
    pub const fn by_hand(self) -> bool {
        self.by_hand
    }

    /// How bad a breach is that is a bug in an operation of ours, and of a hand a repair or a slip.
    pub(super) const fn severity(self) -> Severity {
        if self.by_hand { Severity::Warning } else { Severity::Error }
    }

    /// How many steps it may hold.
    pub(super) fn steps(self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_is_a_step_by_hand_of_as_many_as_it_brings() {
        assert_eq!(Made::by_merging(0).steps(), 1);
        assert_eq!(Made::by_merging(5).steps(), 5);
        assert!(Made::by_merging(5).by_hand() && Made::by_operations(0).by_hand());
        assert!(!Made::by_operations(2).by_hand());
    }
}
