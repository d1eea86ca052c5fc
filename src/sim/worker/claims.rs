//! How a simulated process gets jobs: it drives the flow that commands and workers drive.

use super::{STEPS_MAX, Worker, unseen};
use crate::app::client::Client;
use crate::app::commands::job_claim::ClaimJobs;
use crate::app::flows::claim::{ClaimFlow, Event, HubView, LocalView, Poll, Step};
use crate::app::session::Session;
use crate::domain::id::JobId;
use crate::domain::job::{Claimant, Job};
use crate::domain::queue::Queue;
use crate::domain::table::Table;
use crate::ledger::{Abort, Documents as _};

impl Worker {
    /// Claims as a command does, or as a worker that looks once.
    pub(super) fn claim(&mut self) {
        self.stock();
        let mut client = self.client();
        let whose = client.whose(&self.server);
        let mut session = Session::present(&whose);
        let claim = self.next_claim(&session);
        let is_worker = self.random.chance(150);
        let (mut flow, mut event) = if is_worker {
            let Some(poll) = self.poll(&mut client, &session) else { return };
            (ClaimFlow::of_worker(claim, self.random.chance(500)), Event::Polled(poll))
        } else {
            (ClaimFlow::of_command(claim, self.patience()), Event::Begin)
        };
        for _ in 0..STEPS_MAX {
            event = match client.observe(|watch| flow.next(event, watch)) {
                Step::Claim(verb) => self.claim_by(&mut client, &verb),
                Step::Reclaim(verb) => match self.write_by(&mut client, Vec::new(), &verb) {
                    Ok(_) => Event::Reclaimed,
                    Err(failure) => Event::Failed(failure),
                },
                Step::Recall => {
                    let claimant = flow.claimant();
                    let known = client.recall(|hub| LocalView::of(hub, claimant, self.machine.wall()));
                    known.map_or_else(|stop| Event::Unseen(unseen(&stop)), Event::Known)
                }
                Step::Look => {
                    let seen = client.read(true, |hub| HubView::of(hub, &self.server));
                    seen.map_or_else(|stop| Event::Unseen(unseen(&stop)), Event::Seen)
                }
                Step::BeginAnew => {
                    session.leave(&flow.claimant().incarnation, &whose, true);
                    Event::Session(session.incarnation.clone())
                }
                Step::Wait(Some(pause), _) => {
                    self.machine.sleep(pause.drawn(|most| self.machine.up_to(most)));
                    session.follow(&whose);
                    Event::Session(session.incarnation.clone())
                }
                Step::Wait(None, _) | Step::Done | Step::Refused | Step::TimeUp => {
                    return;
                }
            };
        }
        self.world.get().checker.blame(format!("I17: {} claims without end", self.server));
    }

    fn next_claim(&mut self, session: &Session) -> ClaimJobs {
        let (server, incarnation) = (self.server.clone(), session.incarnation.clone());
        ClaimJobs {
            count: if self.random.chance(200) { 2 } else { 1 },
            start: self.random.chance(300),
            ..ClaimJobs::next(Claimant { server, incarnation })
        }
    }

    fn claim_by(&mut self, client: &mut Client, verb: &ClaimJobs) -> Event {
        let receipt = match self.write_by(client, Vec::new(), verb) {
            Ok(receipt) => receipt,
            Err(failure) => return Event::Failed(failure),
        };
        for job in &receipt.answer {
            let id = job.get("id").and_then(|id| JobId::new(id.as_str()?).ok());
            let token = job.get("token").and_then(serde_json::Value::as_u64);
            self.claims.extend(id.zip(token));
        }
        Event::Claimed(receipt.answer.len())
    }

    /// What a worker sees; nothing when the hub cannot be seen.
    fn poll(&mut self, client: &mut Client, session: &Session) -> Option<Poll> {
        let seen = client.read(true, |hub| {
            let jobs: Table<Job> = hub.table()?;
            Ok::<_, Abort>((
                HubView::of(hub, &self.server)?,
                Queue::new(&jobs, self.machine.wall()).delayed(),
            ))
        });
        let (seen, delayed) = seen.ok()?;
        let room = usize::from(self.random.chance(800));
        Some(Poll { seen, delayed, room, session: session.incarnation.clone() })
    }
}
