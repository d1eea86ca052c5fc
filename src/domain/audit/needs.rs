//! What jobs need of each other, and what none of them ever gets.

use super::state::place;
use crate::domain::finding::{About, Finding, HubFact, Thing};
use crate::domain::job::Job;
use crate::domain::table::Table;
use std::collections::{HashMap, HashSet};

/// Needs that are never met.
pub(super) fn needs(live: &Table<Job>, archives: &[Table<Job>]) -> Vec<Finding> {
    let first_of = first_of(live);
    let mut found = Vec::new();
    let circle = in_circle(live);
    let archived: HashSet<&str> = archives.iter().flat_map(Table::rows).map(|job| &*job.id).collect();
    for (index, job) in live.rows().enumerate().filter(|(_, job)| !job.status.is_final()) {
        let mut tell = |fact| {
            let place = place::<Job>(live.position(index), &job.id);
            found.push(Finding::new(fact, About::new(Thing::Job, &job.id)).at(live.path()).place(place));
        };
        for need in job.all_needs().filter(|need| !first_of.contains_key(need)) {
            let is_archived = archived.contains(need);
            tell(HubFact::UnknownNeed { need: need.to_owned(), is_archived });
        }
        if circle.contains(job.id.as_str()) {
            tell(HubFact::NeedsInCircle);
        }
    }
    found
}

/// The first job of each id, which is the one that is meant by it.
fn first_of(live: &Table<Job>) -> HashMap<&str, &Job> {
    let mut first_of: HashMap<&str, &Job> = HashMap::new();
    for job in live.rows() {
        first_of.entry(&job.id).or_insert(job);
    }
    first_of
}

/// The unfinished jobs that need themselves: what is left when all that need none of the others
/// are taken out, again and again, and then all that nothing needs.
pub(super) fn in_circle(live: &Table<Job>) -> HashSet<&str> {
    let first_of = first_of(live);
    let open = |job: &&Job| !job.status.is_final();
    let mut left: HashMap<&str, Vec<&str>> = HashMap::new();
    for job in live.rows().map(|job| &**job).filter(open) {
        let needs = job.all_needs().filter(|need| first_of.get(need).is_some_and(open)).collect();
        left.entry(&job.id).or_insert(needs);
    }
    for _ in 0..2 {
        let mut waiting: HashMap<&str, usize> = left.iter().map(|(id, needs)| (*id, needs.len())).collect();
        let mut needed_by: HashMap<&str, Vec<&str>> = HashMap::new();
        for (id, needs) in &left {
            for need in needs {
                needed_by.entry(need).or_default().push(id);
            }
        }
        let mut free: Vec<&str> =
            waiting.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
        while let Some(id) = free.pop() {
            left.remove(id);
            for dependent in needed_by.remove(id).unwrap_or_default() {
                if let Some(count) = waiting.get_mut(dependent) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(dependent);
                    }
                }
            }
        }
        // The other way round: who needs becomes who is needed.
        let mut turned: HashMap<&str, Vec<&str>> = left.keys().map(|id| (*id, Vec::new())).collect();
        for (id, needs) in &left {
            for need in needs {
                if let Some(needed_by) = turned.get_mut(need) {
                    needed_by.push(id);
                }
            }
        }
        left = turned;
    }
    left.into_keys().collect()
}
