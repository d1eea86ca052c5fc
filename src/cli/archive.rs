//! `git muster archive`: what is finished moves out of the live documents.

use super::context::Context;
use super::error::CliError;
use super::input;
use super::output::counted;
use crate::app::commands::archive::Archive;
use clap::Args;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster archive                          # finished or read 30 days ago
  git muster archive --older-than 7d --dry-run
  git muster archive --unread-older-than 90d    # also unread for 90 days

A message is finished once every registered recipient has read it and, if requested, acknowledged \
it. A message to an unregistered name is finished from the start. One commit removes the records \
from the live documents and adds them to coordination/archive/{jobs,messages}-YYYY-MM.json. Jobs \
that an unfinished job needs are kept.")]
pub struct ArchiveArgs {
    /// Keep records that finished more recently than this
    #[arg(long, value_name = "DURATION", value_parser = input::age, default_value = "30d")]
    pub older_than: Duration,
    /// Also archive unread or unacknowledged messages that are older than this
    #[arg(long, value_name = "DURATION", value_parser = input::age)]
    pub unread_older_than: Option<Duration>,
}

/// Archives.
///
/// # Errors
/// When the hub cannot be used.
pub(super) fn run(args: &ArchiveArgs, context: &mut Context) -> Result<(), CliError> {
    let verb = Archive {
        server: context.me()?,
        older_than_seconds: args.older_than.as_secs(),
        only_dead: false,
        unread_older_than_seconds: args.unread_older_than.map(|age| age.as_secs()),
    };
    let archived = context.write(&verb)?.answer;
    context.output.confirm("archived", &archived, || {
        let [jobs, messages] = [counted(archived.jobs, "job"), counted(archived.messages, "message")];
        format!("{jobs} and {messages} moved to the archive")
    })
}
