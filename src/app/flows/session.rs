//! A server's session: give back what a worker that died has left, give signs of life, and begin anew when
//! another server ended it.
//!
//! Whoever is asked to end writes nothing more: the fleet sees the session late, and then stale.

use super::Failure;
use crate::app::commands::job_step::StepJob;
use crate::domain::code::Class;
use crate::domain::lease::trust;
use std::collections::VecDeque;
use std::time::Duration;

/// How long to wait before a sign of life that failed is given again.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Who gives signs of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A command, which sends each so-manieth only.
    Once(u64),
    /// A command that goes on, so often.
    GoesOn(Duration),
    /// A worker, so often. It reports what another left by itself.
    Worker(Duration),
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// It is time for a sign of life.
    Tick {
        /// Whether a worker of this server is at work here, which gives them.
        beside_worker: bool,
        /// How many were not sent since the last that was.
        kept: u64,
    },
    /// What a worker of this server that died has left.
    Left(Vec<StepJob>),
    /// The hub has the report.
    Reported,
    /// What it left is forgotten.
    Forgotten,
    /// The hub has the sign of life; whether it told that another server had ended the session.
    Sent(bool),
    /// Another session began.
    Begun,
    /// The read or write came to nothing.
    Failed(Failure),
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// A worker gives the signs of life. A command that goes on waits for so long.
    Beside(Option<Duration>),
    /// Keep it: so many are not sent now.
    Keep(u64),
    /// Look for what a worker that died has left, which may be nothing.
    Find,
    /// Write this report of a job that it left.
    Report(StepJob),
    /// All that it left was told, or it left nothing: it can be forgotten.
    Forget,
    /// Write a sign of life.
    Beat,
    /// The session was ended: what it held is lost, begin another.
    BeginAnew,
    /// The next is due after this.
    Wait(Duration),
    /// It was sent, and no other follows.
    Done,
    /// The last failure stands.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reporting,
    Beating,
}

/// Whether a report of a job came to nothing because somebody else has reported or taken it.
#[must_use]
pub fn is_faster(failure: Failure) -> bool {
    matches!(failure, Failure::No(Class::Forbidden | Class::LeaseLost))
}

/// See the module.
#[derive(Debug)]
pub struct SessionFlow {
    manner: Sender,
    state: State,
    left: VecDeque<StepJob>,
    has_beaten: bool,
    /// When the sign of life under way was asked for: trust begins with the attempt.
    asked: Duration,
    /// Until when nobody else may take what the session holds, since boot.
    trusted: Duration,
    /// For how long it counts without a sign of life, as far as anybody here relies on it.
    lease: Duration,
}

impl SessionFlow {
    /// A session that counts for `lease` without a sign of life.
    #[must_use]
    pub fn new(manner: Sender, lease: Duration) -> Self {
        Self {
            manner,
            state: State::Beating,
            left: VecDeque::new(),
            has_beaten: false,
            asked: Duration::ZERO,
            trusted: Duration::ZERO,
            lease,
        }
    }

    /// Until when nobody else may take what the session holds, since boot.
    #[must_use]
    pub fn trusted(&self) -> Duration {
        self.trusted
    }

    /// For how long it counts without a sign of life.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// What to do after `event`, at `now` since boot.
    pub fn next(&mut self, event: Event, now: Duration) -> Step {
        match event {
            Event::Tick { beside_worker: true, .. } => Step::Beside(match self.manner {
                Sender::Once(_) => None,
                Sender::GoesOn(interval) | Sender::Worker(interval) => Some(interval),
            }),
            Event::Tick { kept, .. } => match self.manner {
                Sender::Once(every) if kept + 1 < every => Step::Keep(kept + 1),
                // As long as its server beats, nobody takes what a worker left for lost.
                Sender::Once(_) | Sender::GoesOn(_) => Step::Find,
                Sender::Worker(_) => self.beat(now),
            },
            Event::Left(left) => {
                (self.state, self.left) = (State::Reporting, left.into());
                self.report()
            }
            Event::Reported => self.report(),
            Event::Failed(failure) if self.state == State::Reporting && is_faster(failure) => self.report(),
            Event::Failed(_) if self.state == State::Reporting => self.beat(now),
            Event::Forgotten => self.beat(now),
            Event::Sent(is_ended) => {
                self.has_beaten = true;
                if is_ended {
                    return Step::BeginAnew;
                }
                self.trusted = self.asked.saturating_add(trust(self.lease));
                self.rest()
            }
            Event::Begun => {
                // Nobody trusts it before its first sign of life.
                self.trusted = Duration::ZERO;
                if let Sender::Worker(_) = self.manner { Step::Wait(Duration::ZERO) } else { self.rest() }
            }
            Event::Failed(failure) => self.failed(failure),
        }
    }

    /// The next report of a job, if there is one.
    fn report(&mut self) -> Step {
        self.left.pop_front().map_or(Step::Forget, Step::Report)
    }

    fn beat(&mut self, now: Duration) -> Step {
        self.state = State::Beating;
        self.asked = now;
        Step::Beat
    }

    fn rest(&self) -> Step {
        match self.manner {
            Sender::Once(_) => Step::Done,
            Sender::GoesOn(interval) | Sender::Worker(interval) => Step::Wait(interval),
        }
    }

    /// The hub or the way to it has a bad moment: the next sign of life may get through. What was right once
    /// will be right again, and who stops giving them is taken for dead.
    fn failed(&self, failure: Failure) -> Step {
        let may_pass = matches!(failure, Failure::Away | Failure::Unknown | Failure::Contended);
        match self.manner {
            Sender::Worker(interval) if matches!(failure, Failure::No(_)) => Step::Wait(interval),
            Sender::Worker(interval) => Step::Wait(RETRY_PAUSE.min(interval)),
            Sender::GoesOn(interval) if self.has_beaten || may_pass => Step::Wait(interval),
            Sender::Once(_) | Sender::GoesOn(_) => Step::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::commands::job_step::Step as JobStep;
    use crate::domain::id::{JobId, ServerName};
    use Class::{Forbidden, LeaseLost, Nothing};
    use Failure::{Away, Contended, Fault, No, Unknown};

    const INTERVAL: Duration = Duration::from_secs(30);
    const LEASE: Duration = Duration::from_secs(120);

    fn tick() -> Event {
        Event::Tick { beside_worker: false, kept: 0 }
    }

    fn left(jobs: usize) -> Event {
        let server = || ServerName::new("build1").expect("a name");
        let job = || JobId::new("job_1_a").expect("an id");
        Event::Left(
            (0..jobs)
                .map(|_| StepJob { server: server(), job: job(), token: 1, step: JobStep::Stopped })
                .collect(),
        )
    }

    /// What the flow says to each of `events`, which follow each other by a second.
    fn told(flow: &mut SessionFlow, events: Vec<Event>) -> String {
        let steps =
            (1..).zip(events).map(|(second, event)| match flow.next(event, Duration::from_secs(second)) {
                Step::Report(_) => "report".to_owned(),
                Step::Wait(span) => format!("wait {}", span.as_secs()),
                step => format!("{step:?}"),
            });
        steps.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_command_gives_back_what_was_left_beats_and_begins_anew_where_its_session_was_ended() {
        use Event::{Begun, Failed, Forgotten, Reported, Sent, Tick};
        let beats = || vec![tick(), left(0), Forgotten];
        let with = |more: Vec<Event>| beats().into_iter().chain(more).collect::<Vec<_>>();
        for (manner, events, expected) in [
            (Sender::Once(1), with(vec![Sent(false)]), "Find, Forget, Beat, Done"),
            (Sender::Once(1), with(vec![Sent(true), Begun]), "Find, Forget, Beat, BeginAnew, Done"),
            (Sender::Once(1), with(vec![Failed(Away)]), "Find, Forget, Beat, Refused"),
            (Sender::Once(3), vec![tick()], "Keep(1)"),
            (Sender::Once(3), vec![Tick { beside_worker: false, kept: 2 }], "Find"),
            (Sender::Once(1), vec![Tick { beside_worker: true, kept: 0 }], "Beside(None)"),
            (Sender::GoesOn(INTERVAL), vec![Tick { beside_worker: true, kept: 0 }], "Beside(Some(30s))"),
            (Sender::GoesOn(INTERVAL), with(vec![Sent(false)]), "Find, Forget, Beat, wait 30"),
            (
                Sender::GoesOn(INTERVAL),
                with(vec![Sent(true), Begun]),
                "Find, Forget, Beat, BeginAnew, wait 30",
            ),
            (Sender::GoesOn(INTERVAL), with(vec![Failed(Away)]), "Find, Forget, Beat, wait 30"),
            (Sender::GoesOn(INTERVAL), with(vec![Failed(Unknown)]), "Find, Forget, Beat, wait 30"),
            (Sender::GoesOn(INTERVAL), with(vec![Failed(Fault)]), "Find, Forget, Beat, Refused"),
            // What was right once will be right again.
            (
                Sender::GoesOn(INTERVAL),
                with(vec![Sent(false), tick(), left(0), Forgotten, Failed(Fault)]),
                "Find, Forget, Beat, wait 30, Find, Forget, Beat, wait 30",
            ),
            (
                Sender::Once(1),
                vec![tick(), left(2), Reported, Reported, Forgotten],
                "Find, report, report, Forget, Beat",
            ),
            // Somebody was faster.
            (
                Sender::Once(1),
                vec![tick(), left(1), Failed(No(LeaseLost)), Forgotten],
                "Find, report, Forget, Beat",
            ),
            (
                Sender::Once(1),
                vec![tick(), left(2), Failed(No(Forbidden)), Reported],
                "Find, report, report, Forget",
            ),
            // It stays for the next time, and the sign of life is given all the same.
            (Sender::Once(1), vec![tick(), left(2), Failed(Away), Sent(false)], "Find, report, Beat, Done"),
        ] {
            let shown = format!("{manner:?} {events:?}");
            assert_eq!(told(&mut SessionFlow::new(manner, LEASE), events), expected, "{shown}");
        }
    }

    #[test]
    fn a_worker_is_trusted_from_when_it_asked_and_not_in_a_session_that_was_ended() {
        use Event::{Begun, Failed, Sent};
        let trusted = |events: Vec<Event>| {
            let mut flow = SessionFlow::new(Sender::Worker(INTERVAL), LEASE);
            (told(&mut flow, events), flow.trusted())
        };
        let first = Duration::from_secs(1) + trust(LEASE);
        for (events, expected) in [
            (vec![tick(), Sent(false)], ("Beat, wait 30", first)),
            (vec![tick(), Sent(false), tick(), Failed(Contended)], ("Beat, wait 30, Beat, wait 2", first)),
            (vec![tick(), Sent(false), tick(), Failed(No(Nothing))], ("Beat, wait 30, Beat, wait 30", first)),
            (
                vec![tick(), Sent(false), tick(), Sent(false)],
                ("Beat, wait 30, Beat, wait 30", first + Duration::from_secs(2)),
            ),
            (
                vec![tick(), Sent(false), tick(), Sent(true), Begun],
                ("Beat, wait 30, Beat, BeginAnew, wait 0", Duration::ZERO),
            ),
        ] {
            let shown = format!("{events:?}");
            assert_eq!(trusted(events), (expected.0.to_owned(), expected.1), "{shown}");
        }
    }
}
