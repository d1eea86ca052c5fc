//! `git muster op`: operations whose outcome stayed unknown, and answers that were lost.

use super::context::Context;
use super::error::CliError;
use super::input::ago;
use super::job::claim_line;
use super::message::whole;
use super::output::clean;
use super::settings::Setting;
use super::table::whole_table;
use super::whole::completed;
use crate::app::answer::{Answered, plain};
use crate::app::commands::Operation;
use crate::app::journal::{self, JournalEntry, TakenEntry};
use crate::app::queries::operations::{ListedOperation, StandingOf};
use crate::app::submit::{self, HubRef, KeepFor};
use crate::domain::code::Code;
use crate::domain::id::OpId;
use crate::git::{Location, hubs};
use crate::ledger::{FoundOperation, LedgerError};
use crate::machine::environment;
use clap::Subcommand;
use serde_json::{Value, json};

/// The verbs of `op`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum OpCommand {
    /// Check whether an operation is in the hub's history, and print its result: exit code 0 yes, 3 not yet
    #[command(after_help = "Example:
  git muster op status 019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f

The result is rebuilt from the hub: the job and its token, the token of the lock, or the text of \
the messages, and whether the claim or lock is still valid.")]
    Status {
        /// Op id that was printed
        id: OpId,
    },
    /// Apply an operation exactly once, and print its result
    #[command(after_help = "Example:\n  git muster op resume 019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f")]
    Resume {
        /// Op id that was printed
        id: OpId,
    },
    /// Discard an operation of this user without resolving it; nothing is written to the hub
    #[command(after_help = "Example:\n  git muster op drop 019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f

Use this for an operation that is no longer wanted, such as an outdated message. What the hub \
already has stays there, and an interrupted push may still arrive: check with `op status`.")]
    Drop {
        /// Op id that was printed
        id: OpId,
    },
    /// List this user's unresolved operations, and those whose claim, lock or messages may still be needed
    #[command(after_help = "Example:
  git muster op list      # the output of a command was lost

An operation is resolved when its outcome is known and its result was printed. A printed result \
can still be lost, on a pipe or a connection. Therefore claims and locks are listed until they \
end, and read messages for a day.")]
    #[command(alias = "ls")]
    List,
}

/// A verb of `op`.
///
/// # Errors
/// When the operation is not known, or the hub cannot be reached.
pub(super) fn run(command: &OpCommand, context: &mut Context) -> Result<(), CliError> {
    match command {
        OpCommand::Status { id } => status(id, context),
        OpCommand::Resume { id } => resume(id, context),
        OpCommand::Drop { id } => forget(id, context),
        OpCommand::List => list(context),
    }
}

fn list(context: &mut Context) -> Result<(), CliError> {
    let unsettled = journal::unsettled(&context.machine);
    let unsettled =
        unsettled.iter().filter_map(|op| journal::find(&context.machine, op)).map(ListedOperation::unsettled);
    let mut listed: Vec<ListedOperation> = unsettled.collect();
    listed.extend(answered(context));
    let (output, now) = (context.output, context.now());
    output.list("op", &listed, || {
        if listed.is_empty() {
            output.say("no unresolved operations");
            return String::new();
        }
        let row = |one: &ListedOperation| {
            let (op, state) = (one.op.to_string(), one.state.as_str().to_owned());
            let (verb, hub) = (verb(&one.operation), one.hub.clone());
            vec![op, ago(Some(one.at), now), verb, state, hub, one.branch.clone()]
        };
        let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
        whole_table(&["OP", "BEGUN", "WHAT", "STATE", "HUB", "BRANCH"], &rows)
    })
}

/// What was handed out and still counts, with how far it is. What is over is forgotten.
fn answered(context: &mut Context) -> Vec<ListedOperation> {
    let entries = journal::answered(&context.machine);
    if entries.is_empty() {
        return Vec::new();
    }
    let query = StandingOf { entries, here: context.place().ok() };
    let asked = context.ask(&query);
    let asked = asked.map_err(|error| {
        context.output.warn(&format!("{}; resolved operations may be listed, too", error.message));
    });
    let (listed, over) = query.told(asked.ok(), context.now());
    if !context.is_dry_run() {
        over.iter().for_each(|op| journal::forget_answer(&context.machine, op));
    }
    listed
}

fn verb(operation: &Operation) -> String {
    let value = serde_json::to_value(operation).unwrap_or_default();
    value.get("verb").and_then(Value::as_str).unwrap_or("?").to_owned()
}

/// An operation that is kept knows its hub; the command line may still name another, or the same where it
/// is now.
fn go_to_hub(entry: Option<&JournalEntry>, context: &mut Context) {
    let Some(entry) = entry else { return };
    let origin = "the unresolved operation";
    let settings = &mut context.settings;
    let here = settings.hub.as_ref().map(|hub| HubRef {
        hub: hub.value.as_text(),
        branch: entry.branch.clone(),
        name: hubs::known_name(&hub.value, settings.clone.as_deref(), &entry.branch),
    });
    if !here.is_some_and(|here| here.is_of(entry)) {
        settings.go_to(Location::parse(&entry.hub, &environment::home()), origin);
    }
    settings.branch = Setting { value: entry.branch.clone(), origin: origin.to_owned() };
}

/// Refuses to take up an operation in another hub that is by now where its own was.
fn refuse_another(entry: &JournalEntry, context: &mut Context) -> Result<(), CliError> {
    let ledger = context.ledger()?;
    let meant = entry.name.as_deref().and_then(hubs::id_of);
    let has_id = meant.is_some();
    ledger.bind(meant);
    match ledger.read(false).map(drop) {
        Err(LedgerError::AnotherHub { .. }) => {}
        Err(error) => return Err(context.with_advice(error.into())),
        Ok(()) if has_id => return Ok(()),
        Ok(()) => {
            // One without an id is known by the name that this host gave it.
            let (hub, clone) = (context.settings.hub()?, context.settings.clone.as_deref());
            let here = hubs::known_name(hub, clone, &entry.branch);
            if entry.name.as_ref().is_none_or(|name| *name == here) {
                return Ok(());
            }
        }
    }
    let (op, hub) = (&entry.op, context.settings.hub()?.shown());
    let why = format!("operation {op} belongs to another hub than the one now at `{hub}`; nothing was done");
    Err(CliError::new(Code::OperationOfAnotherHub, why)
        .fact("op", op.as_str())
        .fact("hub", hub)
        .hint(format!(
        "if that hub was moved, pass its address: `git muster --hub HUB op resume {op}`; discard the operation with `git muster op drop {op}`"
    )))
}

fn status(id: &OpId, context: &mut Context) -> Result<(), CliError> {
    let entry = journal::find(&context.machine, id);
    let known = entry.clone().or_else(|| journal::find_answered(&context.machine, id));
    go_to_hub(known.as_ref(), context);
    let since = known.as_ref().and_then(|entry| entry.since.as_ref());
    let found = context.ledger()?.find(id, since)?;
    context.pass_on_notes();
    if let Some(found) = found {
        return tell(id, &found, true, context);
    }
    if let Some(entry) = &known {
        refuse_another(entry, context)?;
    }
    if entry.as_ref().is_some_and(|entry| matches!(entry.operation, Operation::SendBeat(_))) {
        journal::close(&context.machine, id);
        return Err(CliError::new(
            Code::OperationNotFound,
            format!(
                "operation {id} not found in the hub: the heartbeat was not sent, or a later one replaced it"
            ),
        )
        .fact("op", id.as_str())
        .fact("journaled", true)
        .fact("may_arrive", false)
        .hint("send a new one with `git muster heartbeat`; only the newest heartbeat counts"));
    }
    let why = format!("operation {id} not found in the hub's history");
    Err(match entry {
        Some(_) => CliError::new(Code::OperationNotFound, format!("{why}; an interrupted push may still arrive"))
            .fact("op", id.as_str())
            .fact("journaled", true)
            .fact("may_arrive", true)
            .hint(format!(
            "apply it exactly once with `git muster op resume {id}`, or discard it with `git muster op drop {id}` (writes nothing)"
        )),
        // A hub that was put back, or whose history was rewritten.
        None if known.is_some() => CliError::new(
            Code::OperationNotFound,
            format!("{why} any more: this machine has its result, but the hub is now in an earlier state"),
        )
        .fact("op", id.as_str())
        .fact("journaled", false)
        .fact("may_arrive", false)
        .hint("repeat it if it is still wanted; list other operations with `git muster op list`"),
        None => CliError::new(
            Code::OperationNotFound,
            format!(
                "{why}, and unknown to this user on this machine: only the machine that started it knows whether it may still arrive"
            ),
        )
        .fact("op", id.as_str())
        .fact("journaled", false)
        .hint(format!(
            "before repeating it, run `git muster op status {id}` on that machine, as the same user; of heartbeats, only the newest is in the hub"
        )),
    })
}

/// Tells that an operation happened and what it answered; then it is settled.
fn tell(id: &OpId, found: &FoundOperation, is_asked: bool, context: &mut Context) -> Result<(), CliError> {
    let again = Answered::of(found, context.ledger()?);
    let mut value = json!({"op": id, "happened": true, "commit": found.version.as_str(), "at": found.at, "subject": found.subject});
    if let Some(members) = value.as_object_mut() {
        if !is_asked {
            members.insert("resumed".to_owned(), json!(false));
        }
        members.extend(again.answer.iter().map(|answer| ("answer".to_owned(), as_claims(answer))));
        members.extend(again.stands.map(|stands| ("stands".to_owned(), json!(stands))));
        if !again.messages.is_empty() {
            let raws: Vec<&Value> = again.messages.iter().map(|(raw, _)| raw).collect();
            members.insert("messages".to_owned(), completed("message", json!(raws)));
        }
    }
    let now = context.now();
    context
        .output
        .object("op", &value, || {
            let commit = format!("commit {} \"{}\"", found.version.short(), clean(&found.subject));
            let head = if is_asked { "applied" } else { "already applied; nothing was done" };
            let over = if again.stands == Some(false) { "  no longer valid\n" } else { "" };
            let texts: String =
                again.messages.iter().map(|(_, message)| whole(message, now) + "\n").collect();
            let lines = again.answer.as_ref().map(lines).unwrap_or_default();
            format!("{head}: {commit}\n{}{over}", if texts.is_empty() { lines } else { texts })
        })
        .map_err(CliError::undelivered)?;
    if !context.is_dry_run() {
        again.settle(&context.machine, id);
    }
    Ok(())
}

/// An answer whose jobs, if it is a list of jobs that were claimed, have every key of one.
fn as_claims(answer: &Value) -> Value {
    let is_claim = |one: &Value| one.get("token").is_some() && one.get("id").is_some();
    match answer {
        Value::Array(all) if all.iter().all(is_claim) => completed("job", answer.clone()),
        other => other.clone(),
    }
}

/// An answer for people, a line for each thing that was handed out.
fn lines(answer: &Value) -> String {
    let text = |of: &Value, key: &str| of.get(key).and_then(plain).unwrap_or_default();
    let line = |one: &Value| match one {
        Value::String(id) => format!("  {}\n", clean(id)),
        one if one.get("token").is_some() => format!("  {}\n", claim_line(one)),
        one => format!("  {}\n", clean(&text(one, "id"))),
    };
    match answer {
        Value::Array(all) => all.iter().map(line).collect(),
        one if one.get("name").is_some() => {
            format!("  {} token {}\n", clean(&text(one, "name")), text(one, "token"))
        }
        one => line(one),
    }
}

/// The operation is taken up like one that is resumed, so that it is not dropped while a process
/// is still at it.
fn forget(id: &OpId, context: &Context) -> Result<(), CliError> {
    match journal::take(&context.machine, id) {
        TakenEntry::Ours(entry, _kept) => {
            if !context.is_dry_run() {
                journal::close(&context.machine, id);
            }
            context.output.confirm("op", &json!({"op": id, "dropped": true}), || {
                format!("operation {id} ({}) is discarded", verb(&entry.operation))
            })
        }
        TakenEntry::UnderWay => Err(under_way(id)),
        TakenEntry::Unlockable(why) => Err(unlockable(id, &why)),
        TakenEntry::Missing => Err(not_unsettled(id)),
    }
}

/// Nobody can know whether another process is at it: it is left alone.
fn unlockable(id: &OpId, why: &str) -> CliError {
    CliError::new(Code::OperationUnlockable, format!("cannot resume operation {id}: {why}"))
        .fact("op", id.as_str())
        .fact("detail", why)
        .hint("check with `git muster doctor folders` where locks work")
}

fn under_way(id: &OpId) -> CliError {
    let why = format!("another process is working on operation {id}; nothing was done");
    CliError::new(Code::OperationInProgress, why)
        .fact("op", id.as_str())
        .hint(format!("check later with `git muster op status {id}`"))
}

fn not_unsettled(id: &OpId) -> CliError {
    let why = format!("operation {id} is not an unresolved operation of this user");
    CliError::new(Code::OperationNotFound, why)
        .fact("op", id.as_str())
        .fact("journaled", false)
        .hint("list them with `git muster op list`")
}

fn resume(id: &OpId, context: &mut Context) -> Result<(), CliError> {
    // It was begun under what its own line said.
    context.refuse_guards("`op resume`")?;
    let (entry, _kept) = match journal::take(&context.machine, id) {
        TakenEntry::Ours(entry, kept) => (entry, kept),
        TakenEntry::UnderWay => return Err(under_way(id)),
        TakenEntry::Unlockable(why) => return Err(unlockable(id, &why)),
        TakenEntry::Missing => return not_here(id, context),
    };
    go_to_hub(Some(&entry), context);
    refuse_another(&entry, context)?;
    let outcome = submit::resume(context.ledger()?, &entry, KeepFor::UntilDelivered);
    context.pass_on_notes();
    let outcome = outcome.map_err(|error| CliError::from(error).nothing_written())?;
    let receipt = context.settle(outcome)?;
    let Some(answer) = &receipt.answer else {
        let found = context.ledger()?.find(id, entry.since.as_ref())?;
        return match found {
            Some(found) => tell(id, &found, false, context),
            // A beat, which a later one has replaced.
            None => not_told(id, context),
        };
    };
    let shown = match &entry.operation {
        Operation::StepJob(_) | Operation::ChangeJob(_) => completed("job", answer.clone()),
        Operation::SetStatus(_) => completed("status", answer.clone()),
        Operation::SetPause(_) => completed("pause", answer.clone()),
        _ => as_claims(answer),
    };
    let value = json!({"op": id, "happened": true, "resumed": true, "answer": shown});
    let printed = context
        .output
        .object("op", &value, || format!("applied now: {}\n{}", verb(&entry.operation), lines(answer)));
    if entry.operation.hands_out() {
        context.deliver(&receipt, |_| printed)
    } else {
        context.deliver_once(&receipt, |_| printed)
    }
}

/// Nothing is kept of the operation: it may have happened all the same.
fn not_here(id: &OpId, context: &mut Context) -> Result<(), CliError> {
    let known = journal::find_answered(&context.machine, id);
    go_to_hub(known.as_ref(), context);
    let since = known.as_ref().and_then(|entry| entry.since.as_ref());
    match context.ledger()?.find(id, since)? {
        Some(found) => tell(id, &found, false, context),
        None => Err(not_unsettled(id)),
    }
}

fn not_told(id: &OpId, context: &Context) -> Result<(), CliError> {
    context.output.object("op", &json!({"op": id, "happened": true, "resumed": false}), || {
        "already applied; nothing was done".to_owned()
    })?;
    if !context.is_dry_run() {
        journal::close(&context.machine, id);
    }
    Ok(())
}
