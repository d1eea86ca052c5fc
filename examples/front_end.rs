//! A front end of its own, as small as one can be: it claims, watches, takes over and lists by the floor that
//! the command line stands on, and has no rule of its own.
//!
//! `front_end HUB SERVER lock NAME`, `front_end HUB SERVER claim`, `front_end HUB SERVER list`, for a hub in a
//! directory of this machine. Prints JSON, a line each.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints its answer")]

use git_muster::inside::client::Client;
use git_muster::inside::flows::acquire::{self, AcquireFlow};
use git_muster::inside::flows::claim::{self, ClaimFlow, HubView, LocalView};
use git_muster::inside::flows::{Failure, WaitLimit};
use git_muster::inside::queries::jobs::ListJobs;
use git_muster::inside::queries::{Query as _, locks::ListLocks};
use git_muster::inside::{
    Abort, ClaimJobs, Claimant, HubRef, KeepFor, Location, LockName, LockRequest, OpenOptions, Operation,
    Outcome, ServerName, Session, Settings, WriteCommand, WriteOptions, clock, hubs, locks::AcquireLock,
    open, random,
};
use serde_json::{Value, json};
use std::time::Duration;

/// How long it waits for what others hold.
const WAIT: Duration = Duration::from_secs(60);

/// How long it pauses between two polls.
const PAUSE: Duration = Duration::from_millis(200);

/// What a front end knows of the hub: how to reach it, and as whom.
struct FrontEnd {
    client: Client,
    me: ServerName,
}

impl FrontEnd {
    fn new(hub: &str, me: &str) -> Self {
        let me = ServerName::new(me).expect("a name");
        let location = Location::parse(hub, std::path::Path::new("/"));
        let place = HubRef {
            hub: hub.to_owned(),
            branch: "main".into(),
            name: hubs::name_of(&location, None, "main"),
        };
        let settings = Settings {
            main: "main".into(),
            author: me.to_string(),
            budget: Duration::from_secs(30),
            lock_wait: Duration::from_secs(1),
            dry_run: false,
            founding: false,
        };
        let ledger = open(OpenOptions { location, clone: None, settings }).expect("a hub");
        Self { client: Client::at(place, ledger), me }
    }

    fn write<V: WriteCommand + Clone + Into<Operation>>(&mut self, verb: &V) -> Result<V::Answer, Failure> {
        let beat = Some(self.client.session(&self.me).beat(&self.client.whose(&self.me), None));
        let envelope = WriteOptions { beat, ..WriteOptions::default() };
        let written = self.client.write(&envelope, (verb, KeepFor::WhileUnknown), |why| eprintln!("{why}"));
        Failure::of(&written).map_or(Ok(()), Err)?;
        match written {
            Ok(Outcome::Applied(receipt)) => Ok(receipt.answer),
            _ => unreachable!("all else is a failure"),
        }
    }

    /// Takes a lock, also from a holder that does not renew it.
    fn lock(&mut self, name: &str) -> Value {
        let name = LockName::new(name).expect("a name");
        let taker = LockRequest {
            server: self.me.clone(),
            holder: "front end".into(),
            lease_seconds: 60,
            reason: None,
        };
        let acquire = AcquireLock { name: name.clone(), taker, expired: None };
        let mut flow = AcquireFlow::new(acquire, patience());
        let (mut token, mut event) = (0, acquire::Event::Begin);
        loop {
            event = match self.client.observe(|watch| flow.next(event, watch)) {
                acquire::Step::Acquire(verb) => match self.write(&verb) {
                    Ok(term) => {
                        token = term.token;
                        acquire::Event::Acquired
                    }
                    Err(failure) => acquire::Event::Failed(failure),
                },
                acquire::Step::Look => {
                    let lock = self.client.read(false, |hub| acquire::look(hub, &name));
                    lock.map_or(acquire::Event::Unseen, acquire::Event::Seen)
                }
                acquire::Step::Wait(pause) => {
                    clock::sleep(pause.drawn(random::up_to));
                    acquire::Event::Waited
                }
                acquire::Step::Done(_) => {
                    return json!({"lock": name.as_str(), "token": token, "taken_over": flow.asks().expired.is_some()});
                }
                end => return json!({"lock": name.as_str(), "refused": format!("{end:?}")}),
            };
        }
    }

    /// Claims a job, also one that a lost server held.
    fn claim(&mut self) -> Value {
        let whose = self.client.whose(&self.me);
        let mut session = Session::present(&whose);
        let claimant = Claimant { server: self.me.clone(), incarnation: session.incarnation.clone() };
        let mut flow = ClaimFlow::of_command(ClaimJobs::next(claimant), patience());
        let (mut claimed, mut event) = (Vec::new(), claim::Event::Begin);
        loop {
            event = match self.client.observe(|watch| flow.next(event, watch)) {
                claim::Step::Claim(verb) => match self.write(&verb) {
                    Ok(jobs) => {
                        claimed = jobs;
                        claim::Event::Claimed(claimed.len())
                    }
                    Err(failure) => claim::Event::Failed(failure),
                },
                claim::Step::Recall => {
                    let known = self.client.recall(|hub| LocalView::of(hub, flow.claimant(), clock::wall()));
                    known.map_or(claim::Event::Unseen(Failure::Fault), claim::Event::Known)
                }
                claim::Step::Look => {
                    let seen = self.client.read(true, |hub| HubView::of(hub, &self.me));
                    seen.map_or(claim::Event::Unseen(Failure::Fault), claim::Event::Seen)
                }
                claim::Step::BeginAnew => {
                    session.leave(&flow.claimant().incarnation, &whose, true);
                    claim::Event::Session(session.incarnation.clone())
                }
                claim::Step::Wait(Some(pause), _) => {
                    clock::sleep(pause.drawn(random::up_to));
                    session.follow(&whose);
                    claim::Event::Session(session.incarnation.clone())
                }
                claim::Step::Done => return json!({"jobs": claimed}),
                end => return json!({"refused": format!("{end:?}")}),
            };
        }
    }

    fn list(&mut self) -> Value {
        let listed = self.client.read(false, |hub| {
            let now = clock::wall();
            Ok::<_, Abort>(
                json!({"jobs": ListJobs::default().run(hub, now)?, "locks": ListLocks {}.run(hub, now)?}),
            )
        });
        listed.unwrap_or_else(|stop| json!({"fault": stop.to_string()}))
    }
}

fn patience() -> WaitLimit {
    WaitLimit { until: clock::since_boot() + WAIT, pause: PAUSE }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let answer = match words[..] {
        [hub, me, "lock", name] => FrontEnd::new(hub, me).lock(name),
        [hub, me, "claim"] => FrontEnd::new(hub, me).claim(),
        [hub, me, "list"] => FrontEnd::new(hub, me).list(),
        _ => json!({"usage": "front_end HUB SERVER (lock NAME | claim | list)"}),
    };
    println!("{answer}");
}
