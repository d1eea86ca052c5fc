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
  git muster archive                          # finished and read 30 days ago
  git muster archive --older-than 7d --dry-run
  git muster archive --unread-older-than 90d    # and unread for 90 days

A message is finished once every registered server that it is for has read it, and acknowledged it if that \
was asked for. A message to a name that is no server is finished from the start. Records go to coordination/archive/{jobs,messages}-YYYY-MM.json in the commit that removes them from \
the live documents. Jobs that an unfinished job needs stay.")]
pub struct ArchiveArgs {
    /// What is younger stays
    #[arg(long, value_name = "SPAN", value_parser = input::age, default_value = "30d")]
    pub older_than: Duration,
    /// Also archive messages of this age that are unread or not acknowledged
    #[arg(long, value_name = "SPAN", value_parser = input::age)]
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
        format!("{jobs} and {messages} went to the archive")
    })
}
