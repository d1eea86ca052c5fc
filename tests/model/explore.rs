//! Running the checker, and what it must say.

use stateright::{Checker as _, Expectation, HasDiscoveries, Model};
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

/// How many threads visit states.
const THREADS: usize = 2;

/// Visits everything: all that must always hold does, and all that should be possible happens.
#[track_caller]
pub(crate) fn holds<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq,
{
    let begun = Instant::now();
    let checker = model.checker().threads(THREADS).spawn_bfs().join();
    eprintln!(
        "{name}: {} states, {} steps, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f64()
    );
    assert!(checker.is_done(), "{name}: not everything was visited");
    checker.assert_properties();
}

/// Finds that `property` does not hold.
#[track_caller]
pub(crate) fn breaks<M>(model: M, property: &'static str)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq,
{
    let stop = HasDiscoveries::AnyOf([property].into());
    let checker = model.checker().threads(THREADS).finish_when(stop).spawn_bfs().join();
    let wrong = checker.model().property(property);
    assert!(!matches!(wrong.expectation, Expectation::Sometimes), "`{property}` is no promise");
    let path = checker.discovery(property);
    assert!(path.is_some(), "`{property}` holds all the same, in {} states", checker.unique_state_count());
    let steps = path.map(stateright::Path::into_actions).unwrap_or_default();
    eprintln!("{property}: {} steps: {steps:?}", steps.len());
}
