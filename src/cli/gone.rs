//! What is told where a hub was that this host used, and where none is now: to found it anew is the last thing
//! to advise, because all tokens would begin again.

use super::context::Context;
use super::error::CliError;
use crate::domain::code::Code;
use crate::domain::shell::quoted;
use crate::git::{Homes, Location, hubs};
use crate::ledger::LedgerError;

/// The same error, told of a hub that is gone, if this host knows one there.
pub(super) fn told(mut error: CliError, context: &Context) -> CliError {
    if error.no_hub_there && !error.may_come_back {
        error.may_come_back = is_known(context);
    }
    // Of one that left a trace in the repository more is told already.
    let is_without_hub = error.no_hub_there || error.no_repository_there;
    if !is_without_hub {
        return error;
    }
    if let Some(was) = was_here(context) {
        error.message = format!("{}; {was}", error.message);
        let hub = context.settings.hub().map(|hub| quoted(&hub.shown())).unwrap_or_default();
        error.hints = advice(context, &format!("`git muster init --force {hub}`"));
    }
    error
}

/// Refuses to found a hub where one was: one that left something of its own there says so first, and tells the
/// line that puts it back. Who insists does so with `insisting`.
///
/// # Errors
/// When one was.
pub(super) fn refuse_to_begin_anew(context: &mut Context, insisting: &str) -> Result<(), CliError> {
    let is_there = !matches!(context.settings.hub()?, Location::Path(path) if !path.exists());
    if is_there && homes(context)?.with_documents.is_empty() {
        let mut ledger = context.open(true)?;
        if let Err(error @ LedgerError::WasAHub { .. }) = ledger.read(true).map(drop) {
            return Err(CliError::from(error).nothing_written());
        }
    }
    let Some(was) = was_here(context) else { return Ok(()) };
    let hub = context.settings.hub()?.shown();
    let error = CliError::new(Code::HubLost, format!("`{hub}` is not a hub, but {was}"))
        .fact("hub", hub)
        .fact("branch", context.settings.branch.value.as_str())
        .fact("evidence", "known");
    Err(advice(context, insisting).into_iter().fold(error.nothing_written(), CliError::hint))
}

/// The branches of a hub that somebody is about to found.
///
/// # Errors
/// When it cannot be reached or read.
pub(super) fn homes(context: &Context) -> Result<Homes, CliError> {
    context.homes().map_err(|error| told(error, context).nothing_written())
}

/// Whether this host has used the hub that was asked for, in its branch.
fn is_known(context: &Context) -> bool {
    let settings = &context.settings;
    let name = |hub| hubs::remembered_name(hub, settings.clone.as_deref());
    settings.hub().ok().and_then(name).is_some()
}

/// Who was there, if this host knows it.
fn was_here(context: &Context) -> Option<String> {
    let hub = context.settings.hub().ok()?;
    let id = hubs::remembered_id(hub, context.settings.clone.as_deref())?;
    // Another branch may hold it, or another hub.
    if context.homes().is_ok_and(|homes| !homes.with_documents.is_empty()) {
        return None;
    }
    Some(format!("this machine used a hub there, with the id {id}, which is gone"))
}

fn advice(context: &Context, insisting: &str) -> Vec<String> {
    let hub = context.settings.hub().map(|hub| quoted(&hub.shown())).unwrap_or_default();
    let branch = quoted(&context.settings.branch.value);
    let push = format!("git push {hub} refs/remotes/origin/{branch}:refs/heads/{branch}");
    let path = match context.settings.hub() {
        Ok(Location::Path(path)) => Some(path),
        _ => None,
    };
    let has_no_repository = path.is_some_and(|path| !path.join("HEAD").exists());
    let (first, push) = if has_no_repository {
        // git pushes into no folder that is not a repository.
        let push = format!("git init --bare --initial-branch={branch} {hub} && {push}");
        ("if its disk is not mounted, mount it; otherwise ", push)
    } else {
        ("", push)
    };
    let moved = "if it was moved, pass the new address with `--hub`";
    // A folder with something else in it is not made a hub.
    let anew = if has_no_repository && path.is_some_and(|path| path.exists()) {
        moved.to_owned()
    } else {
        format!(
            "{moved}; {insisting} creates a new hub, whose tokens restart: a former lock holder could not be told from the current one"
        )
    };
    vec![
        format!(
            "{first}restore it from a backup or a clone: `{push}` in the clone; a machine that used it remotely has a hub cache, and `git muster doctor hub-reachable` there prints the command"
        ),
        "this machine has no history of it: unresolved operations, sessions and job results wait here until the hub is restored".to_owned(),
        anew,
    ]
}
