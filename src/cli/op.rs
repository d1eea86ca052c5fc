//! `git muster op`: operations whose outcome stayed unknown.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::input::ago;
use super::settings::Setting;
use super::table::whole_table;
use crate::domain::id::OpId;
use crate::host::environment;
use crate::ledger::Location;
use crate::ops::Operation;
use crate::ops::journal::{self, Entry, Taken};
use crate::ops::submit;
use clap::Subcommand;
use serde_json::{Value, json};

/// The verbs of `op`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum OpCommand {
    /// Look into the hub's history whether an operation happened: exit code 0 yes, 3 not so far
    #[command(after_help = "Example:\n  git muster op status 019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f")]
    Status {
        /// The op id that was printed
        id: OpId,
    },
    /// Make an operation happen that did not; does nothing when it did
    #[command(after_help = "Example:\n  git muster op resume 019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f")]
    Resume {
        /// The op id that was printed
        id: OpId,
    },
    /// Forget an operation of this user without settling it: nothing is written to the hub
    #[command(after_help = "Example:\n  git muster op drop 019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f

For one that need not happen any more, such as a message that is out of date. What the hub has \
already it keeps, and a push that is still on its way may arrive: ask with `op status`.")]
    Drop {
        /// The op id that was printed
        id: OpId,
    },
    /// List the operations of this user that were begun and never settled
    #[command(after_help = "Example:\n  git muster op list")]
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

fn list(context: &Context) -> Result<(), CliError> {
    let entries: Vec<Entry> = journal::unsettled().iter().filter_map(journal::find).collect();
    let values: Vec<Value> = entries.iter().map(|entry| json!({"op": entry.op, "hub": shown(&entry.hub), "branch": entry.branch, "at": entry.at, "operation": entry.operation})).collect();
    let (output, now) = (context.output, context.now());
    output.list("op", &values, || {
        if entries.is_empty() {
            output.say("nothing is unsettled");
            return String::new();
        }
        let row = |entry: &Entry| {
            vec![
                entry.op.to_string(),
                ago(Some(entry.at), now),
                verb(entry),
                shown(&entry.hub),
                entry.branch.clone(),
            ]
        };
        let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
        whole_table(&["OP", "BEGUN", "WHAT", "HUB", "BRANCH"], &rows)
    })
}

fn shown(hub: &str) -> String {
    Location::parse(hub, &environment::home()).shown()
}

fn verb(entry: &Entry) -> String {
    let value = serde_json::to_value(&entry.operation).unwrap_or_default();
    value.get("verb").and_then(Value::as_str).unwrap_or("?").to_owned()
}

/// An unsettled operation knows its hub; the command line may still name another.
fn go_to_hub(entry: Option<&Entry>, context: &mut Context) {
    if let Some(entry) = entry {
        let origin = "the unsettled operation";
        context.settings.go_to(Location::parse(&entry.hub, &environment::home()), origin);
        context.settings.branch = Setting { value: entry.branch.clone(), origin: origin.to_owned() };
    }
}

fn status(id: &OpId, context: &mut Context) -> Result<(), CliError> {
    let entry = journal::find(id);
    go_to_hub(entry.as_ref(), context);
    let since = entry.as_ref().and_then(|entry| entry.since.as_ref());
    let found = context.ledger()?.find(id, since)?;
    context.pass_on_notes();
    let Some(found) = found else {
        if entry.as_ref().is_some_and(|entry| matches!(entry.operation, Operation::SendBeat(_))) {
            journal::close(id);
            return Err(CliError::new(
                Exit::No,
                format!(
                    "operation {id} is not in the hub: the beat was not sent, or a later beat replaced it"
                ),
            )
            .hint("send another with `git muster heartbeat`; the newest is the only one that counts"));
        }
        let why = format!("operation {id} is not in the hub's history");
        return Err(match entry {
            Some(_) => CliError::new(Exit::No, format!("{why}; a push that was cut off may still arrive")).hint(format!(
                "`git muster op resume {id}` makes it happen once, whatever arrives; `git muster op drop {id}` only forgets it"
            )),
            None => CliError::new(Exit::No, format!("{why}: it did not happen")),
        });
    };
    journal::close(id);
    let value = json!({"op": id, "happened": true, "commit": found.version.as_str(), "at": found.at, "subject": found.subject});
    context.output.object("op", &value, || {
        super::output::clean(&format!("it happened: commit {} \"{}\"", found.version.short(), found.subject))
    })
}

/// Nothing is kept of the operation: it may have happened all the same.
fn not_here(id: &OpId, context: &mut Context) -> Result<(), CliError> {
    if context.ledger()?.find(id, None)?.is_some() {
        return context.output.confirm("op", &json!({"op": id, "happened": true, "resumed": false}), || {
            "it had happened already; nothing was done".to_owned()
        });
    }
    Err(not_unsettled(id))
}

/// The operation is taken up like one that is resumed, so that it is not dropped while a process
/// is still at it.
fn forget(id: &OpId, context: &Context) -> Result<(), CliError> {
    match journal::take(id) {
        Taken::Ours(entry, _kept) => {
            if !context.is_dry_run() {
                journal::close(id);
            }
            context.output.confirm("op", &json!({"op": id, "dropped": true}), || {
                format!("operation {id} ({}) is forgotten here", verb(&entry))
            })
        }
        Taken::UnderWay => Err(under_way(id)),
        Taken::Missing => Err(not_unsettled(id)),
    }
}

fn under_way(id: &OpId) -> CliError {
    let why = format!("another process is still at operation {id}; nothing was done");
    CliError::new(Exit::Contended, why).hint(format!("ask later with `git muster op status {id}`"))
}

fn not_unsettled(id: &OpId) -> CliError {
    let why = format!("operation {id} is not among the unsettled ones of this user");
    CliError::new(Exit::No, why).hint("see them with `git muster op list`")
}

fn resume(id: &OpId, context: &mut Context) -> Result<(), CliError> {
    let (entry, _kept) = match journal::take(id) {
        Taken::Ours(entry, kept) => (entry, kept),
        Taken::UnderWay => return Err(under_way(id)),
        Taken::Missing => return not_here(id, context),
    };
    go_to_hub(Some(&entry), context);
    let outcome = submit::resume(context.ledger()?, &entry);
    context.pass_on_notes();
    let outcome = outcome.map_err(|error| CliError::from(error).nothing_written())?;
    let Some(answer) = context.settle(outcome)?.answer else {
        return context.output.object("op", &json!({"op": id, "happened": true, "resumed": false}), || {
            "it had happened already; nothing was done".to_owned()
        });
    };
    context.output.object(
        "op",
        &json!({"op": id, "happened": true, "resumed": true, "answer": answer}),
        || format!("it happened now: {}", verb(&entry)),
    )
}
