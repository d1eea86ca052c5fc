//! Looking for what is wrong with this machine, the clone around, our copy of the hub and the hub:
//! a list of checks, each of which gathers facts and has a rule of `domain::doctor` judge them.
//!
//! A look changes nothing: it makes no folder, no copy and no session, and takes no lock. A check
//! that cannot be made says so and hides no other. What hangs is given up after a bound, and so is
//! all of it. `mend` does what is safe, and nothing else here does anything.

mod facts;
mod far_side;
mod machine;
mod mend;
pub mod rules;
mod store;

use crate::app::submit::HubRef;
use crate::doctor::rules::machine::Doubt;
use crate::domain::doctor::hub::{self as hub_rules, Fault};
use crate::domain::doctor::{Check, Finding, Judgement, Report};
use crate::domain::id::ServerName;
use crate::domain::refusal::RefusalWords;
use crate::domain::shell::quoted;
use crate::domain::time::Timestamp;
use crate::git::{Location, Store, hubs, send_history, store_path};
use crate::ledger::{LedgerError, StoreCause};
use crate::machine::Deadline;
use crate::machine::Machine;
use crate::machine::clock;
use crate::machine::{bounded, environment};
use facts::HubFacts;
pub use facts::meaning_of_lost_object;
use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::Duration;

/// How long all checks may take together.
const TIME_MAX: Duration = Duration::from_secs(90);

/// How long the hub may take for one answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);

/// How long everything may take that is asked of the hub: a fetch, a push that is not made, and
/// reading what came.
const HUB_TIME_MAX: Duration = Duration::from_secs(40);

/// How long a look at files may take. One of a large repository takes a second.
const DISK_TIME_MAX: Duration = Duration::from_secs(10);

/// Why a check of this server is not made.
const NAMELESS: &str = "which server this is is not known: see identity";

/// What is to be looked at, as the settings name it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The hub, if one is named.
    pub hub: Option<Location>,
    /// Its branch.
    pub branch: String,
    /// The variable that says so, if one does.
    pub branch_variable: Option<&'static str>,
    /// The clone of the hub around, if there is one.
    pub clone: Option<PathBuf>,
    /// How long a command may take for one write; no answer is awaited for longer.
    pub timeout: Duration,
    /// Which server this is, and what says so.
    pub server: Option<(ServerName, String)>,
    /// What is wrong with the name that is given, and what gives it.
    pub bad_name: Option<(String, String)>,
    /// The most important settings, for people.
    pub summary: String,
    /// What is wrong with the settings.
    pub doubts: Vec<Doubt>,
    /// Whether no hub is known because of that.
    pub is_hub_unclear: bool,
    /// How a command has to begin to mean the same hub and server.
    pub beginning: String,
    /// What makes the words of a refusal.
    pub words: RefusalWords,
}

impl Subject {
    /// The hub as unsettled operations name it.
    fn place(&self) -> Option<HubRef> {
        let hub = self.hub.as_ref()?;
        let name = hubs::known_name(hub, self.clone.as_deref(), &self.branch);
        Some(HubRef { hub: hub.as_text(), branch: self.branch.clone(), name })
    }
}

/// One check.
struct Entry {
    name: &'static str,
    what: &'static str,
    judge: fn(&Patient) -> Judgement,
}

const fn entry(name: &'static str, what: &'static str, judge: fn(&Patient) -> Judgement) -> Entry {
    Entry { name, what, judge }
}

/// All checks, from this machine outwards.
const CHECKS: &[Entry] = &[
    entry("git", "the program git and its version", machine::git),
    entry("settings", "what is configured, and whether it fits together", machine::settings),
    entry("identity", "which server this is", machine::identity),
    entry("folders", "the folders for state, cache, configuration and data", machine::folders),
    entry("disk", "free space and inodes", machine::disk),
    entry("clock-sync", "whether the system sets its clock", machine::clock_sync),
    entry("operations", "writes whose outcome is unknown", machine::operations),
    entry("leftovers", "files of processes that were killed", machine::leftovers),
    entry("copy", "our copy of the hub, or the clone around", store::copy),
    entry("stale-locks", "lock files that nobody holds", store::stale_locks),
    entry("repository-size", "loose objects, packs and bytes", store::repository_size),
    entry("hub-hooks", "hooks of the hub and of the clone", store::hooks),
    entry("hub-protection", "what the hub's configuration forbids", store::protection),
    entry("hub-reachable", "whether the hub answers and is one", reachable),
    entry("hub-history", "whether all of its history can be fetched", history),
    entry("hub-writable", "whether this account may write to it", writable),
    entry("hub-documents", "whether its documents can be read", documents),
    entry("document-size", "how full the live documents are", document_size),
    entry("heartbeat-branches", "whose they are and whether they grow", heartbeat_branches),
    entry("clock", "our clock against the hub's newest commits", clock_against_hub),
    entry("registration", "whether the hub knows this machine by its name", registration),
    entry("beat", "the last beat of this server", beat),
];

/// The names of all checks and what each looks at.
pub fn checks() -> impl Iterator<Item = (&'static str, &'static str)> {
    CHECKS.iter().map(|entry| (entry.name, entry.what))
}

/// Whether and how something is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// Nothing is.
    No,
    /// It is told what would be.
    Tell,
    /// What is safe is.
    Do,
}

/// Makes the checks `names`, all when there are none, and mends what they find as `fix` says.
#[must_use]
pub fn examine(subject: Subject, names: &[String], fix: Fix) -> Report {
    let chosen = |entry: &&Entry| names.is_empty() || names.iter().any(|name| name == entry.name);
    let chosen: Vec<&Entry> = CHECKS.iter().filter(chosen).collect();
    let patient = Patient::new(subject);
    let look = |patient: &Patient, entry: &Entry| {
        let fix = patient.muster(&format!("doctor --fix {}", entry.name));
        (entry.name, patient.judge(entry), fix)
    };
    let mut seen: Vec<_> = chosen.iter().map(|entry| look(&patient, entry)).collect();
    let mut deeds = Vec::new();
    if fix != Fix::No {
        for (entry, (name, judgement, _)) in chosen.iter().zip(&mut seen) {
            if judgement.is_fixable() {
                deeds.extend(mend::mend(name, &patient, fix));
                if fix == Fix::Do {
                    // What is left is what counts; the hub may have changed by it.
                    *judgement = look(&Patient::new(patient.subject.clone()), entry).1;
                }
            }
        }
    }
    let report = seen.into_iter().map(|(name, judgement, fix)| Check::new(name, judgement, &fix));
    Report::new(report.collect(), deeds)
}

/// What the checks look at. What several of them need is looked at once.
struct Patient {
    subject: Subject,
    deadline: Deadline,
    way: OnceCell<Option<&'static str>>,
    hub: OnceCell<Result<HubFacts, Judgement>>,
}

impl Patient {
    fn new(subject: Subject) -> Self {
        Self {
            subject,
            deadline: Machine::real().deadline(TIME_MAX),
            way: OnceCell::new(),
            hub: OnceCell::new(),
        }
    }

    fn judge(&self, entry: &Entry) -> Judgement {
        if self.deadline.passed() {
            return Judgement::skipped("the time for all checks was up");
        }
        (entry.judge)(self)
    }

    fn now(&self) -> Timestamp {
        clock::wall()
    }

    /// A `git muster` command for the same hub and server.
    fn muster(&self, rest: &str) -> String {
        format!("{}{rest}", self.subject.beginning)
    }

    /// What makes a command one of the administrator's, unless we are.
    fn sudo(&self) -> &'static str {
        if environment::is_root() { "" } else { "sudo " }
    }

    /// The command that has this machine's clock set, where there is one.
    fn set_clock(&self) -> Option<String> {
        environment::find_program("timedatectl").map(|_| format!("{}timedatectl set-ntp true", self.sudo()))
    }

    fn me(&self) -> Option<&str> {
        self.subject.server.as_ref().map(|(name, _)| name.as_str())
    }

    /// What `work` gives, or what to say when it hangs.
    fn within<T: Send + 'static>(
        &self,
        span: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Judgement> {
        let span = span.min(self.deadline.left());
        bounded::within(span, work).ok_or_else(|| {
            Judgement::of(format!("given up after {} s", span.as_secs())).and(Finding::problem(
                "this took too long, and commands that need the same may hang; look for a disk or network file system that does not answer",
            ))
        })
    }

    /// Why the hub is reached through git, if it is; `None` also when that cannot be told.
    fn way(&self) -> Option<&'static str> {
        *self.way.get_or_init(|| match self.subject.hub.clone()? {
            Location::Url(_) => Some("it is reached over a connection"),
            Location::Path(path) => {
                self.within(DISK_TIME_MAX, move || Store::open(&path).ok()?.why_through_git()).ok()?
            }
        })
    }

    /// How long the hub may take for its next answer: git is given up before those who wait for it are, and
    /// ended with what it started.
    fn answer_time(&self) -> Duration {
        ANSWER_TIME_MAX.min(self.subject.timeout).min(self.deadline.left() / 3)
    }

    /// The address that our copy of the hub is kept under.
    fn address(&self) -> Option<String> {
        Some(self.subject.hub.as_ref()?.address())
    }

    /// Where our copy of the hub lies, where one is needed.
    fn copy(&self) -> Option<PathBuf> {
        self.way().filter(|_| self.subject.clone.is_none()).and_then(|_| Some(store_path(&self.address()?)))
    }

    /// The hub's repository, if it is on this machine.
    fn hub_path(&self) -> Option<PathBuf> {
        match self.subject.hub.as_ref()? {
            Location::Path(path) => Some(path.clone()),
            Location::Url(_) => None,
        }
    }

    /// What the hub holds, asked for once. The error is what the check of the way to it says.
    fn hub(&self) -> &Result<HubFacts, Judgement> {
        self.hub.get_or_init(|| {
            let Some(location) = self.subject.hub.clone() else {
                if self.subject.is_hub_unclear {
                    let why = "which hub is meant is not known: see settings";
                    return Err(Judgement::of(why).and(Finding::problem(
                        "nothing can be looked at or written until that is mended; to make another hub would not mend it",
                    )));
                }
                let init = "git muster init";
                return Err(Judgement::of("no hub is named").and(
                    Finding::problem(
                        "join one with `git muster join URL --as NAME`, or make one for this machine alone",
                    )
                    .mend(init),
                ));
            };
            let subject = self.subject.clone();
            let answer = self.answer_time();
            match self.within(HUB_TIME_MAX, move || facts::gather(&subject, &location, answer)) {
                Ok(gathered) => gathered.map_err(|error| fault(self, &error).judged()),
                Err(hangs) => Err(hangs),
            }
        })
    }

    /// What `judge` makes of the hub, unless it could not be read.
    fn of_hub(&self, judge: impl FnOnce(&HubFacts) -> Judgement) -> Judgement {
        match self.hub() {
            Ok(facts) => judge(facts),
            Err(_) => Judgement::skipped("the hub could not be read: see hub-reachable"),
        }
    }
}

fn fault(patient: &Patient, error: &LedgerError) -> Fault {
    facts::fault(error, &patient.subject, |rest| patient.muster(rest))
}

fn reachable(patient: &Patient) -> Judgement {
    match patient.hub() {
        Ok(facts) => hub_rules::reachable(&facts.name, facts.way, facts.took),
        Err(judgement) => judgement.clone(),
    }
}

/// Whether a command here can fetch what it has to: other checks look at the newest commits alone.
fn history(patient: &Patient) -> Judgement {
    patient.of_hub(|facts| {
        let (Some(way), Some(location)) = (facts.way, patient.subject.hub.clone()) else {
            return Judgement::skipped("the hub is opened in place, and nothing is fetched of it");
        };
        let (clone, branch) = (patient.subject.clone.clone(), patient.subject.branch.clone());
        let answer = patient.answer_time();
        let fetch = move || {
            send_history(&location, clone.as_deref(), &branch, way, &Machine::real().deadline(answer))
        };
        match patient.within(HUB_TIME_MAX, fetch) {
            Ok(Ok(())) => Judgement::of("all of it comes that is not here yet"),
            Ok(Err(
                error @ (LedgerError::LacksObject { .. }
                | LedgerError::Partial { .. }
                | LedgerError::Store { cause: StoreCause::Damaged, .. }),
            )) => fault(patient, &error).judged(),
            // The hub answered before; a long history may need longer than is waited for here.
            Ok(Err(error)) => Judgement::skipped(error.to_string()),
            Err(hangs) => hangs,
        }
    })
}

fn writable(patient: &Patient) -> Judgement {
    if let Some(path) = patient.hub_path() {
        let looked = path.clone();
        let unwritable = patient.within(DISK_TIME_MAX, move || store::unwritable(&looked));
        match unwritable {
            Err(hangs) => return hangs,
            Ok(Some(unwritable)) if patient.way().is_none() || !unwritable.is_empty() => {
                let path = path.display().to_string();
                return crate::doctor::rules::store::writable(&path, &unwritable, patient.sudo());
            }
            Ok(_) => {}
        }
    }
    patient.of_hub(|facts| match &facts.push {
        Some(Err(error)) => fault(patient, error).judged(),
        _ => Judgement::of(
            "the hub lets this account push, as far as a push that is not made can tell; hooks and protected branches speak only when one is",
        ),
    })
}

fn documents(patient: &Patient) -> Judgement {
    patient.of_hub(|facts| hub_rules::documents(&facts.documents, &patient.muster("fsck")))
}

fn document_size(patient: &Patient) -> Judgement {
    patient.of_hub(|facts| match facts.loads.is_empty() {
        true => Judgement::skipped("the live documents cannot be read: see hub-documents"),
        false => hub_rules::document_size(&facts.loads, &patient.muster("archive --older-than 1d")),
    })
}

fn heartbeat_branches(patient: &Patient) -> Judgement {
    patient.of_hub(|facts| {
        let has_register = facts.servers.as_ref().is_some_and(|servers| !servers.is_empty());
        let is_taken = !store::denies_replacing(patient);
        let squash = |branch: &str| {
            is_taken
                .then(|| patient.muster(&format!("heartbeat squash --branch {} --backup", quoted(branch))))
        };
        hub_rules::heartbeat_branches(&facts.branches, has_register, squash)
            .with(hub_rules::bad_branches(&facts.bad, &facts.name))
    })
}

fn clock_against_hub(patient: &Patient) -> Judgement {
    patient.of_hub(|facts| {
        let set = patient.set_clock();
        let judged = hub_rules::clock(&facts.tips, patient.me(), facts.seen_at, set.as_deref());
        // Of a clock that is behind the newest commits tell more.
        let ahead = facts.off.filter(|off| off.is_ahead);
        judged.with(ahead.map(|off| hub_rules::clock_ahead(&off, set.as_deref())))
    })
}

fn registration(patient: &Patient) -> Judgement {
    let Some(server) = patient.me() else { return Judgement::skipped(NAMELESS) };
    patient.of_hub(|facts| {
        let Some(servers) = &facts.servers else {
            return Judgement::skipped("the register cannot be read: see hub-documents");
        };
        let machine = crate::app::machine::known(&Machine::real()).ok().flatten();
        let host = environment::host_name();
        let here = hub_rules::Here { server, host: &host, machine: machine.as_deref() };
        let record = servers.iter().find(|known| known.id == server);
        let registered =
            hub_rules::Registered { servers: servers.len(), record, has_folder: facts.has_folder };
        hub_rules::registration(here, registered, &patient.muster(&format!("join --as {}", quoted(server))))
    })
}

fn beat(patient: &Patient) -> Judgement {
    if patient.me().is_none() {
        return Judgement::skipped(NAMELESS);
    }
    patient.of_hub(|facts| match &facts.beat {
        Ok(beat) => hub_rules::beat(beat.as_ref(), facts.seen_at, &patient.muster("heartbeat")),
        Err(why) => Judgement::skipped(format!("the beat cannot be read: {why}")),
    })
}
