//! What a hub holds, gathered in one look that leaves no trace.

use super::{Subject, far_side};
use crate::app::commands::archive;
use crate::app::documents::newest_beat;
use crate::app::every::{DocumentRead, every, wrong};
use crate::app::signs::{Heartbeats, seen_of};
use crate::app::stale::RestoredDocuments;
use crate::domain::bad_branch::BadBranch;
use crate::domain::clocks::ClockSkew;
use crate::domain::doctor::hub::{BeatBranch, Document, Fault, Load, Tip};
use crate::domain::heartbeat::Heartbeat;
use crate::domain::id::{HEARTBEAT_BRANCH_PREFIX, ServerName};
use crate::domain::job::Job;
use crate::domain::message::Message;
use crate::domain::server::Server;
use crate::domain::shell::quoted;
use crate::domain::table::{RecordTrouble, Row as _};
use crate::domain::time::Timestamp;
use crate::git::{HubProbe, Location, PutBack, homes, hubs, known_in, remedy, store_path};
use crate::ledger::{Abort, Cause, Documents as _, LedgerError, Past, Reason, Snapshot, StoreCause, Unfit};
use crate::machine::Machine;
use crate::machine::clock;
use std::collections::HashSet;
use std::time::Duration;

/// What has been over for so long may leave the live documents: the age that the command names.
const ARCHIVED_AFTER: Duration = Duration::from_secs(86_400);

/// What a hub holds.
pub(super) struct HubFacts {
    /// The hub as users name it.
    pub name: String,
    /// Why it is reached through git, if it is.
    pub way: Option<&'static str>,
    /// How long it took to answer.
    pub took: Duration,
    /// When it was looked at.
    pub seen_at: Timestamp,
    /// What came of asking for leave to push, where that is how a write gets there.
    pub push: Option<Result<(), LedgerError>>,
    /// All documents.
    pub documents: Vec<Document>,
    /// The newest commits.
    pub tips: Vec<Tip>,
    /// The heartbeat branches.
    pub branches: Vec<BeatBranch>,
    /// The branches that cannot be used.
    pub bad: Vec<BadBranch>,
    /// How full the live documents are; none when they cannot be read.
    pub loads: Vec<Load>,
    /// The register, if it can be read.
    pub servers: Option<Vec<Server>>,
    /// Whether this server has a folder.
    pub has_folder: bool,
    /// The newest beat of this server.
    pub beat: Result<Option<Heartbeat>, String>,
    /// By how much our clock is off those of the servers, if it is: as `health` judges it.
    pub off: Option<ClockSkew>,
}

/// Looks at the hub, which may take as long as `answer` each time it is asked.
pub(super) fn gather(
    subject: &Subject,
    location: &Location,
    answer: Duration,
) -> Result<HubFacts, LedgerError> {
    let started = clock::since_boot();
    let deadline = || Machine::real().deadline(answer);
    let look = HubProbe::at(location, subject.clone.as_deref(), &subject.branch, &deadline())?;
    let took = clock::since_boot().saturating_sub(started);
    let seen_at = clock::wall();
    let way = look.why_through_git();
    let documents = look.documents();
    documents.main_tip()?;
    // As all reads show them; without it as they were published.
    drop(RestoredDocuments::default().show(&documents));
    let tips = look.tips()?;
    let me = subject.server.as_ref().map(|(name, _)| name);
    let servers =
        documents.table::<Server>().ok().map(|table| table.rows().map(|row| (**row).clone()).collect());
    let named: &[Server] = servers.as_deref().unwrap_or_default();
    let branches = beat_branches(&documents, &tips, named)?;
    let has_folder = me.is_some_and(|me| documents.list(me.as_str()).is_ok_and(|files| !files.is_empty()));
    let beat = me.map_or(Ok(None), |me| match newest_beat(&documents, me) {
        Ok(newest) => Ok(newest.map(|newest| (*newest.beat).clone())),
        Err(Abort::Fault(error)) => Err(error.to_string()),
        Err(Abort::Refused(refusal)) => Err(refusal.to_string()),
    });
    let off = clock_off(&documents, subject, named, seen_at);
    let (all, loads) = (read_all(&documents)?, loads(&documents, seen_at));
    drop(documents);
    let push = way.map(|_| look.ask_to_push(&deadline()));
    Ok(HubFacts {
        name: location.shown(),
        way,
        took,
        seen_at,
        push,
        documents: all,
        tips,
        branches,
        bad: look.bad_branches(),
        loads,
        servers,
        has_folder,
        beat,
        off,
    })
}

/// Our clock beside those of the registered servers. What cannot be read of them says nothing of it.
fn clock_off(hub: &Snapshot<'_>, subject: &Subject, servers: &[Server], now: Timestamp) -> Option<ClockSkew> {
    let names = servers.iter().filter_map(|server| ServerName::new(&server.id).ok());
    let (seen, place) = (seen_of(hub, names).ok()?, subject.place()?);
    let me = subject.server.as_ref().map(|(name, _)| name);
    Heartbeats::look(&Machine::real(), seen, &place.watched(), me, now).clock.off
}

/// Reads every document there is on the main branch.
fn read_all(hub: &Snapshot<'_>) -> Result<Vec<Document>, LedgerError> {
    let document = |seen: DocumentRead| Document {
        path: seen.path,
        bytes: u64::try_from(seen.bytes).unwrap_or(u64::MAX),
        wrong: seen.wrong,
        newer: seen.newer,
        records: seen.troubles.iter().map(RecordTrouble::describe).collect(),
    };
    Ok(every(hub)?.into_iter().map(document).collect())
}

fn loads(hub: &Snapshot<'_>, now: Timestamp) -> Vec<Load> {
    let bytes = |path: &str| {
        let document = hub.document(hub.main(), path).ok().flatten().unwrap_or_default();
        u64::try_from(document.bytes().len()).unwrap_or(u64::MAX)
    };
    let count = |what, path, (records, over)| Load { what, bytes: bytes(path), records, over };
    let jobs = hub.table::<Job>().map(|mut jobs| {
        let all = jobs.rows().len();
        (all, archive::take_jobs(&mut jobs, |_| true, now, ARCHIVED_AFTER).len())
    });
    let messages = hub.table::<Message>().map(|mut messages| {
        let all = messages.rows().len();
        // Without them only what the flags say counts.
        let servers = archive::recipients(hub).unwrap_or_default();
        let ages = archive::ArchiveAges { settled: ARCHIVED_AFTER, unread: None };
        (all, archive::take_messages(&mut messages, &servers, now, ages).len())
    });
    let jobs = jobs.ok().map(|counted| count("job", Job::PATH, counted));
    let messages = messages.ok().map(|counted| count("message", Message::PATH, counted));
    jobs.into_iter().chain(messages).collect()
}

fn beat_branches(
    hub: &Snapshot<'_>,
    tips: &[Tip],
    servers: &[Server],
) -> Result<Vec<BeatBranch>, LedgerError> {
    let members: HashSet<ServerName> =
        servers.iter().filter_map(|server| ServerName::new(&server.id).ok()).collect();
    let mut branches = Vec::new();
    for tip in tips.iter().filter(|tip| tip.branch != hub.main()) {
        let named =
            tip.branch.strip_prefix(HEARTBEAT_BRANCH_PREFIX).and_then(|name| ServerName::new(name).ok());
        let (mut is_of_member, mut broken) = (false, None);
        // What lies there, not who might have something there: both may be a thousand.
        for entry in hub.list_on(&tip.branch, "")? {
            let folder = entry.strip_suffix('/').and_then(|name| ServerName::new(name).ok());
            let Some(server) =
                folder.filter(|folder| members.contains(folder) || Some(folder) == named.as_ref())
            else {
                continue;
            };
            let read = hub.record_on::<Heartbeat>(&tip.branch, &Heartbeat::path(&server));
            let is_there = !matches!(read, Ok(None));
            is_of_member |= is_there && members.contains(&server);
            broken = broken.or(wrong(read)?);
        }
        branches.push(BeatBranch { tip: tip.clone(), is_of_member, wrong: broken });
    }
    Ok(branches)
}

/// What shows that there was a hub: our copy of it, or the clone around, may know more than a look
/// at the newest commits.
fn past(error: &LedgerError, subject: &Subject) -> Option<Past> {
    let copy = || match subject.hub.as_ref()? {
        _ if subject.clone.is_some() => subject.clone.clone(),
        hub => Some(store_path(&hub.address())),
    };
    let found = match error {
        LedgerError::WasAHub { past, .. } => Some(past.clone()),
        _ => None,
    };
    match found {
        Some(Past::Beats(_)) | None => known_in(&copy()?, &subject.branch).or(found),
        found => found,
    }
}

/// The command that goes by the branch that the hub is in. What was named for one command is named
/// otherwise; what is written down is written anew.
fn in_branch(branch: &str, subject: &Subject, address: Option<&str>) -> String {
    const FLAG: &str = "--hub-branch ";
    let (branch, beginning) = (quoted(branch), &subject.beginning);
    match (beginning.split_once(FLAG), &subject.server, address) {
        (Some((before, named)), ..) => {
            let (_, after) = named.split_once(' ').unwrap_or_default();
            format!("{before}{FLAG}{branch} {after}doctor")
        }
        (None, Some((server, _)), Some(address)) => {
            format!("git muster join {} {FLAG}{branch} --as {server}", quoted(address))
        }
        _ => format!("{beginning}{FLAG}{branch} doctor"),
    }
}

/// What a fault of the ledger means to whoever has to mend it; `muster` makes a command.
pub(super) fn fault(error: &LedgerError, subject: &Subject, muster: impl Fn(&str) -> String) -> Fault {
    let address = subject.hub.as_ref().filter(|hub| hub.as_text() == hub.shown()).map(Location::as_text);
    let path = match &subject.hub {
        Some(Location::Path(path)) => Some(path.clone()),
        _ => None,
    };
    let why = error.to_string();
    if let Some((what, mend)) = as_commands_say(error) {
        return Fault { why, what, mend };
    }
    let trust = path.as_ref().filter(|_| error.is_about_owner());
    let without_hub = without_hub(error, subject, (address.as_deref(), muster));
    let (what, mend) = match (error, &path) {
        _ if let Some(path) = trust => (
            "git does not use a repository of another user unless it is told to trust it",
            Some(format!("git config --global --add safe.directory {}", quoted(&path.display().to_string()))),
        ),
        (LedgerError::Unreachable { .. }, Some(path)) if !path.exists() => {
            (far_side::meaning(Cause::NoPlace), None)
        }
        (LedgerError::Unreachable { why, .. } | LedgerError::Denied { why, .. }, _) => {
            (far_side::meaning(why.cause), address.as_ref().and_then(|hub| far_side::look(why.cause, hub)))
        }
        _ if let Some(advice) = without_hub => advice,
        (LedgerError::Configuration { cause: Unfit::WorkTree, .. }, Some(path)) => {
            let text = path.display().to_string();
            let bare = format!("{}.git", text.trim_end_matches('/').trim_end_matches("/.git"));
            (
                "make a bare copy of it, and have all name that as the hub",
                Some(format!("git clone --bare {} {}", quoted(&text), quoted(&bare))),
            )
        }
        (LedgerError::Configuration { cause: Unfit::Format, .. }, _) => (
            "git made it in a format that this program cannot use; make another one for the hub, at a path that is free",
            Some("git muster init PATH".to_owned()),
        ),
        (LedgerError::Store { cause: StoreCause::Damaged, .. }, Some(path)) => (
            "the hub is damaged; what it lacks may be in a clone or a copy, so keep all of them",
            Some(format!("git --git-dir={} fsck", quoted(&path.display().to_string()))),
        ),
        (LedgerError::File(_), _) => (
            "a hub that is not opened in place is looked at through a temporary folder; name one that can be written by TMPDIR",
            None,
        ),
        _ => ("the hub cannot be used like this", None),
    };
    Fault { why, what: what.to_owned(), mend }
}

/// What follows and what mends it, where the branch that was looked at holds no hub.
fn without_hub(
    error: &LedgerError,
    subject: &Subject,
    (address, muster): (Option<&str>, impl Fn(&str) -> String),
) -> Option<(&'static str, Option<String>)> {
    match (elsewhere(error, subject), subject.branch_variable) {
        (Some(branch), Some(variable)) => {
            return Some((
                "a variable comes first and names another branch than the hub is in; set it to that also where it is set for cron or a service",
                Some(format!("export {variable}={}", quoted(&branch))),
            ));
        }
        (Some(branch), None) => {
            return Some(("the hub is in another branch of it", Some(in_branch(&branch, subject, address))));
        }
        (None, _) => {}
    }
    let is_empty = matches!(error, LedgerError::NoBranch { .. } | LedgerError::NotAHub { .. });
    if !is_empty && !matches!(error, LedgerError::WasAHub { .. }) {
        return None;
    }
    let was_used = || hubs::remembered_id(subject.hub.as_ref()?, subject.clone.as_deref());
    Some(match past(error, subject).filter(|past| !matches!(past, Past::Beats(_))) {
        Some(past) => (
            "there was a hub, and founded anew it would begin all tokens again; restore it, or name its branch with `--hub-branch`",
            Some(remedy::put_back(&past, &subject.branch)),
        ),
        None if !is_empty => (
            "there was a hub, and founded anew it would begin all tokens again; name its branch with `--hub-branch`, or put this one back from a clone or from another host's copy",
            None,
        ),
        None if was_used().is_some() => (
            "there was a hub that this host used, and founded anew it would begin all tokens again; restore it from a backup, a clone or the copy of a host that reached it over a connection, or name where it is now with `--hub`",
            None,
        ),
        None => (
            "there is nothing to work with; make a hub of it, or name another branch with `--hub-branch`",
            address.map(|address| muster(&format!("init {}", quoted(address)))),
        ),
    })
}

/// What it means that the hub at `hub`, which is as people write it, has lost an object, and where the command
/// belongs that has it fetched again.
#[must_use]
pub fn meaning_of_lost_object(hub: &str) -> String {
    let place = if remedy::is_on_this_disk(hub) { "" } else { ", in the folder of the hub on its server" };
    format!(
        "whoever has a copy goes on, and nobody else can begin; a clone or a copy that has it, put in the place of CLONE, gives it back{place}"
    )
}

/// What follows and what mends it, where the error of any command says it as well: of one thing that is lost.
fn as_commands_say(error: &LedgerError) -> Option<(String, Option<String>)> {
    match error {
        LedgerError::BrokenBranch { branch, file, newest, .. } => {
            let PutBack { known, command, first } = PutBack::of(branch, file, newest.as_ref());
            let after = || "put the branch back from a clone that has it, after this".to_owned();
            Some((format!("{known}; {}", first.unwrap_or_else(after)), Some(command)))
        }
        LedgerError::LacksObject { hub, object, .. } => {
            Some((meaning_of_lost_object(hub), Some(remedy::fetch_object(object, hub))))
        }
        LedgerError::Partial { partial, .. } => {
            Some(("what it lacks is fetched from there".to_owned(), Some(remedy::fetch_rest(partial))))
        }
        LedgerError::Denied { hub, why: Reason { about: Some(bad), .. } } => Some((bad.advice(hub), None)),
        _ => None,
    }
}

/// The branch that the hub is in, when it is not in the one that was looked at.
fn elsewhere(error: &LedgerError, subject: &Subject) -> Option<String> {
    if !error.is_about_branch() {
        return None;
    }
    let homes =
        homes(subject.hub.as_ref()?, subject.clone.as_deref(), &Machine::real().deadline(subject.timeout))
            .ok()?;
    homes.home().filter(|home| *home != subject.branch).map(str::to_owned)
}
