//! How the dispatcher marks good builds in the source repository, after the hub has them.

use super::reporting::Unreported;
use super::{Dispatcher, Event};
use crate::app::commands::job_step::Step;
use crate::domain::job::Job;
use crate::domain::time::Timestamp;
use crate::git::{GoodBuild, Location, Source};
use crate::machine::contained::contained;
use crate::machine::{Machine, clock, environment};
use serde_json::Value;
use std::thread;
use std::time::Duration;

/// The type of the jobs that are builds.
const BUILD: &str = "build";

/// How long a tag may take: the copy of the source may be busy with a checkout.
const TAG_MAX: Duration = Duration::from_secs(600);

/// A build to be tagged: its branch and the commit that was built.
pub(super) type Build = (String, String);

/// What is to be tagged when `step` of `job` is accepted.
pub(super) fn build_of(job: &Job, step: &Step) -> Option<Build> {
    let Step::Complete { report } = step else { return None };
    let (branch, commit) = (job.branch.clone()?, report.commit.clone()?);
    (job.kind == BUILD).then_some((branch, commit))
}

impl Dispatcher<'_> {
    /// Tags a build that the hub has accepted, if that is wanted. It takes as long as the source does, so
    /// nothing waits for it.
    pub(super) fn tag(&mut self, done: &Unreported, job: &Value) {
        let (Some(keep), Some(source), Some((branch, commit))) =
            (self.options.tags, self.options.source.clone(), done.build.clone())
        else {
            return;
        };
        // The time that the hub has: by it the tag is known again.
        let told = job.get("completed_at").and_then(Value::as_str).and_then(Timestamp::parse);
        let at = told.unwrap_or_else(clock::wall);
        let message = format!("{} on {}", done.job(), self.hub.server());
        let sender = self.sender.clone();
        self.tags_awaited += 1;
        thread::spawn(move || {
            let tag = contained(|| {
                let source = Source::new(Location::parse(&source, &environment::home()));
                let build = GoodBuild { branch: &branch, commit: &commit, at, message: &message };
                source
                    .tag_build(build, keep, &Machine::real().deadline(TAG_MAX))
                    .map_err(|error| error.to_string())
            });
            // Nobody listens any more: the worker is ending.
            sender.send(Event::Tagged(tag.and_then(|tag| tag))).ok();
        });
    }

    pub(super) fn tagged(&mut self, result: &Result<Option<String>, String>) {
        self.tags_awaited = self.tags_awaited.saturating_sub(1);
        match result {
            Ok(None) => self.report.say("a good build was not tagged: newer ones are"),
            Ok(Some(tag)) => self.report.say(&format!("tagged `{tag}`")),
            Err(why) => self.report.warn(&format!(
                "a good build was not tagged: {why}; tag it later with `git muster rollback tag JOB`"
            )),
        }
    }
}
