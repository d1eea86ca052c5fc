//! `git muster status`: what servers are doing.

use super::context::Context;
use super::error::CliError;
use super::input::{ago, or_dash};
use super::table::{facts, table};
use crate::app::commands::status::SetStatus;
use crate::app::documents;
use crate::app::queries::statuses::{ListStatuses, ShowStatus, Statuses};

use crate::domain::id::{JobId, ServerName};
use crate::domain::status::StatusWord;
use clap::Subcommand;

/// The verbs of `status`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum StatusCommand {
    /// Set what this server is doing
    #[command(after_help = "Examples:
  git muster status set building --job job_1761_1804
  git muster status set idle")]
    Set {
        /// State of this server
        #[arg(value_parser = super::choices::status_word())]
        status: StatusWord,
        /// Job that the server is working on
        #[arg(long, value_name = "ID")]
        job: Option<JobId>,
    },
    /// Show the status of one server, of this one, or of all
    #[command(after_help = "Examples:
  git muster status show build2
  git muster status show --all --json")]
    #[command(alias = "describe")]
    Show {
        /// Server [default: this server]
        #[arg(value_name = "SERVER", conflicts_with = "all")]
        name: Option<ServerName>,
        /// All servers
        #[arg(long)]
        all: bool,
    },
    /// List the status of all servers
    #[command(after_help = "Example:\n  git muster status list")]
    #[command(alias = "ls")]
    List,
}

/// A verb of `status`.
///
/// # Errors
/// When the server is unknown or the hub cannot be used.
pub(super) fn run(command: &StatusCommand, context: &mut Context) -> Result<(), CliError> {
    match command {
        StatusCommand::Set { status, job } => set(*status, job.as_ref(), context),
        StatusCommand::Show { all: true, .. } | StatusCommand::List => list(context),
        StatusCommand::Show { name, .. } => {
            let name = name.clone().map_or_else(|| context.me(), Ok)?;
            show(&name, context)
        }
    }
}

fn set(word: StatusWord, job: Option<&JobId>, context: &mut Context) -> Result<(), CliError> {
    let me = context.acting()?;
    let system = context.whose(&me).map_err(CliError::nothing_written)?.system_facts();
    let verb = SetStatus { server: me.clone(), word, job: job.cloned(), system: Some(system) };
    let broken = context.read(false, |snapshot| Ok(documents::own_troubles(snapshot, &me)?))?;
    let status = context.write(&verb)?.answer;
    for why in broken {
        context.output.warn(&format!("{why}; it was unreadable and has been recreated"));
    }
    context.output.confirm("status", &status, || format!("{me} is {}", word.as_str()))
}

fn list(context: &mut Context) -> Result<(), CliError> {
    let (now, output) = (context.now(), context.output);
    let Statuses { items, broken } = context.ask(&ListStatuses {})?;
    for why in broken {
        output.warn(&why);
    }
    output.list("status", &items, || {
        let rows: Vec<Vec<String>> = items
            .iter()
            .map(|status| {
                let job = status.current_job.as_ref().and_then(|job| job.id.as_deref());
                let last = status.last_build.as_ref().map(|last| {
                    format!("{} {}", or_dash(last.status.as_deref()), ago(last.completed_at, now))
                });
                vec![
                    status.server.to_string(),
                    status.status.clone(),
                    or_dash(job),
                    or_dash(last.as_deref()),
                    ago(status.at(), now),
                ]
            })
            .collect();
        if rows.is_empty() {
            output.say("no statuses");
            String::new()
        } else {
            table(&["SERVER", "STATUS", "JOB", "LAST BUILD", "UPDATED"], &rows)
        }
    })
}

fn show(name: &ServerName, context: &mut Context) -> Result<(), CliError> {
    let now = context.now();
    let status = context.ask(&ShowStatus { server: name.clone() })?;
    context.output.object("status", &status, || {
        let job = status.current_job.as_ref();
        let last = status.last_build.as_ref();
        facts(&[
            ("server", Some(name.to_string())),
            ("status", Some(status.status.clone())),
            ("updated", Some(ago(status.at(), now))),
            ("manager", status.manager.clone()),
            ("ip", status.ip.clone()),
            ("job", job.and_then(|job| job.id.clone())),
            ("branch", job.and_then(|job| job.branch.clone())),
            ("commit", job.and_then(|job| job.commit.clone())),
            (
                "last build",
                last.map(|last| {
                    format!(
                        "{} {} {}",
                        or_dash(last.id.as_deref()),
                        or_dash(last.status.as_deref()),
                        ago(last.completed_at, now)
                    )
                }),
            ),
            ("load", status.system.as_ref().and_then(|system| Some(format!("{} %", system.cpu_usage?)))),
            (
                "memory",
                status
                    .system
                    .as_ref()
                    .and_then(|system| Some(format!("{} GiB used", system.memory_used_gb?))),
            ),
            (
                "disk",
                status.system.as_ref().and_then(|system| Some(format!("{} GiB free", system.disk_free_gb?))),
            ),
        ])
    })
}
