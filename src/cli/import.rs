//! `git muster import`: a hub of the first scripts, looked at and taken over.

use super::context::Context;
use super::error::{BEGIN_ANEW, CliError};
use super::output::{begun_about, counted};
use super::table::table;
use super::{gone, input};
use crate::app::commands::WriteOptions;
use crate::app::import::{ASIDE, Import, ImportReport, LostRecords, documents, lost};
use crate::app::stale::RestoredDocuments;
use crate::domain::code::Code;
use crate::domain::id::OpId;
use crate::domain::import::State;
use crate::domain::shell::quoted;
use crate::git::{Location, Temporary, init_bare};
use crate::ledger::{Abort, Ledger, LedgerError};
use crate::machine::{clock, environment, random};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// The most lines that are shown to people.
const LINES_SHOWN_MAX: usize = 200;

/// The exit code if there is something to mend.
const TO_MEND: u8 = 1;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster import /srv/old.git --check               # report, change nothing
  git muster import /srv/old.git                       # fix it, in one commit
  git muster import --check                            # the hub in use
  git muster import /srv/old.git --into /srv/hub.git   # as a new hub
  git muster import /srv/old.git --recover --close-jobs-older-than 7d

Reads the documents of a hub as the legacy scripts left them: conflict markers, empty files, bare \
lists, byte order marks, duplicate ids, fields of a wrong type, invalid UTF-8, truncated text. \
Each document and each damaged record is reported as sound, fixable or broken. Unusable text is \
kept byte for byte below coordination/aside/. A record whose id is taken gets a new one and keeps \
the old one as imported_id. If a document is truncated, garbled or empty, the missing records are \
taken from the newest readable version in the history. Unregistered servers whose directories are \
in use are registered.

Exit code: 0 imported (with --check: nothing to fix), 1 with --check: something to fix; any \
other: nothing was changed.")]
pub struct ImportArgs {
    /// Old hub [default: the hub in use]
    #[arg(value_name = "PATH|URL", value_parser = NonEmptyStringValueParser::new())]
    pub source: Option<String>,
    /// Report what is sound, fixable or broken, and change nothing
    #[arg(long)]
    pub check: bool,
    /// Target hub: one without records, or a path where it is created [default: the old hub itself]
    #[arg(long, value_name = "HUB", value_parser = NonEmptyStringValueParser::new())]
    pub into: Option<String>,
    /// Restore jobs and messages from the history that are neither live nor archived
    #[arg(long)]
    pub recover: bool,
    /// Cancel unfinished jobs that are older than this, or have no time, instead of leaving them claimable
    #[arg(long, value_name = "DURATION", value_parser = input::age)]
    pub close_jobs_older_than: Option<Duration>,
    /// Start lost documents again even if the history that may contain them is missing or damaged, and
    /// create a new hub in place of one that this machine knew and that is gone
    #[arg(long)]
    pub force: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    hub: String,
    check: bool,
    #[serde(flatten)]
    report: &'a ImportReport,
}

/// Looks at an old hub, and takes it over unless that is not wanted.
///
/// # Errors
/// When the old hub cannot be read or the new one cannot be written.
pub(super) fn run(args: &ImportArgs, context: &mut Context) -> Result<u8, CliError> {
    let folder = environment::working_directory()?;
    let source = match &args.source {
        Some(text) => Location::parse(text, &folder),
        None => context.settings.hub()?.clone(),
    };
    let into = args.into.as_ref().map(|text| Location::parse(text, &folder));
    if into.as_ref().is_some_and(|into| into.is_place_of(&source)) {
        let why = format!("`{}` cannot be imported into itself; nothing was changed", source.shown());
        return Err(CliError::new(Code::ValueInvalid, why)
            .fact("field", "into")
            .hint("omit `--into` to fix the hub itself"));
    }
    if args.check {
        context.only_look();
    } else {
        context.refuse_guards("`import`")?;
    }
    if args.source.is_some() {
        context.settings.go_to(source.clone(), "the command line");
        context.settings.clone = None;
    }
    let mut old = context.open(false)?;
    let import = prepare(args, into.is_some() && !args.check, &mut old)?;
    let into = into.filter(|_| !args.check);
    let mut instead = None;
    let target = match &into {
        None => old,
        Some(into) => {
            args.into.iter().for_each(|into| begun_about(into));
            context.settings.go_to(into.clone(), "--into");
            context.settings.clone = None;
            if !args.force {
                gone::refuse_to_begin_anew(context, "`--force`")?;
            }
            if let Location::Path(path) = into
                && !path.exists()
            {
                instead = make(path, context)?;
            }
            if let Some(instead) = &instead {
                context.settings.go_to(Location::Path(instead.path().to_owned()), "--into");
            }
            context.open(true)?
        }
    };
    let report = apply(&import, target, context)?;
    if let Some(into) = into {
        context.settings.go_to(into, "--into");
    }
    let hub = context.settings.hub()?.shown();
    let answer = Answer { hub: hub.clone(), check: args.check, report: &report };
    let printed = context.output.object("import", &answer, || shown(&report, args.check, &hub));
    if args.check {
        printed?;
    } else {
        context.output.done_or(printed, || format!("`{hub}` is imported"))?;
    }
    if import.lost.is_cut {
        context
            .output
            .warn("only a part of the history is available: records lost before it are not restored");
    }
    advise(&report, args, (&hub, &source), context);
    let needs_mending = report.mendable + report.broken > 0;
    Ok(if args.check && needs_mending { TO_MEND } else { 0 })
}

/// What the command line says beside the old hub, as it is typed.
fn more(args: &ImportArgs) -> String {
    let into = args.into.as_ref().map(|into| quoted(&Location::parse(into, Path::new("")).shown()));
    let into = into.map(|into| {
        let between = if into.starts_with('-') { '=' } else { ' ' };
        format!(" --into{between}{into}")
    });
    let recover = if args.recover { " --recover" } else { "" };
    let close = args.close_jobs_older_than.map(|age| format!(" --close-jobs-older-than {}s", age.as_secs()));
    format!("{}{recover}{}", into.unwrap_or_default(), close.unwrap_or_default())
}

/// Makes the new hub, or for a dry run an empty one that is gone with what is returned.
fn make(path: &Path, context: &Context) -> Result<Option<Temporary>, CliError> {
    let branch = &context.settings.branch.value;
    if context.is_dry_run() {
        return Ok(Some(Temporary::repository(branch)?));
    }
    init_bare(path, branch)?;
    Ok(None)
}

/// Reads what is needed of the old hub.
fn prepare(args: &ImportArgs, takes_documents: bool, old: &mut Ledger) -> Result<Import, CliError> {
    let is_remote = old.is_remote();
    let snapshot = old.read(true).map_err(|error| CliError::from(error).nothing_written())?;
    snapshot.main_tip()?;
    // The new hub begins as the next write would leave the old one. Where nobody can tell how, as it stands.
    drop(RestoredDocuments::default().show(&snapshot));
    let documents = || match documents(&snapshot, args.force) {
        Err(Abort::Fault(error)) => {
            let begin_anew = format!("git muster import{} --force", more(args));
            Err(failed(error, is_remote).with_line(BEGIN_ANEW, &begin_anew))
        }
        documents => Ok(documents?),
    };
    Ok(Import {
        source: if takes_documents { Some(documents()?) } else { None },
        lost: if args.recover { lost(&snapshot)? } else { LostRecords::default() },
        close_older_than: args.close_jobs_older_than,
        begins_anew: args.force,
    })
}

fn apply(import: &Import, mut target: Ledger, context: &Context) -> Result<ImportReport, CliError> {
    let op = OpId::new(&random::id())?;
    let outcome = WriteOptions::default().run(&mut target, op, clock::wall(), import);
    for note in target.take_notes() {
        context.output.warn(&note);
    }
    let outcome = outcome.map_err(|error| failed(error, target.is_remote()))?;
    Ok(context.settle(outcome)?.answer)
}

/// What is told where nothing was taken over.
fn failed(error: LedgerError, is_remote: bool) -> CliError {
    let may_be_passed_over = matches!(error, LedgerError::LacksObject { .. }) && !is_remote;
    let error = CliError::from(error).nothing_written();
    if !may_be_passed_over {
        return error;
    }
    error.hint("if no other copy exists, `--force` continues with the readable data: older versions count, or start again, including the hub's id and its tokens")
}

/// For people.
fn shown(report: &ImportReport, is_check: bool, hub: &str) -> String {
    let rows: Vec<Vec<String>> = report
        .lines
        .iter()
        .take(LINES_SHOWN_MAX)
        .map(|line| {
            let place = line.place.as_ref().map_or(String::new(), |place| format!("{place}: "));
            vec![line.state.as_str().to_owned(), line.path.clone(), format!("{place}{}", line.what)]
        })
        .collect();
    let mut text = table(&["STATE", "DOCUMENT", "WHAT"], &rows);
    if report.lines.len() > LINES_SHOWN_MAX {
        text.push_str(&format!("and {} more, listed with --json\n", report.lines.len() - LINES_SHOWN_MAX));
    }
    let number = report.sound + report.mendable + report.broken;
    text.push_str(&format!(
        "{}: {} {}, {} {}, {} {}\n",
        counted(number, "document"),
        report.sound,
        State::Sound.as_str(),
        report.mendable,
        State::Mendable.as_str(),
        report.broken,
        State::Broken.as_str()
    ));
    let would = if is_check { "would be " } else { "" };
    for (what, number) in [("job", report.recovered_jobs), ("message", report.recovered_messages)] {
        if number > 0 {
            text.push_str(&format!("{} {would}restored from the history\n", counted(number, what)));
        }
    }
    if !report.closed.is_empty() {
        text.push_str(&format!(
            "{} {would}closed: {}\n",
            counted(report.closed.len(), "job"),
            report.closed.join(", ")
        ));
    }
    if !report.registered.is_empty() {
        let number = counted(report.registered.len(), "server");
        text.push_str(&format!("{number} {would}registered: {}\n", report.registered.join(", ")));
    }
    if !is_check {
        text.push_str(&format!("`{hub}` is ready\n"));
    }
    text
}

/// What to do next.
fn advise(report: &ImportReport, args: &ImportArgs, (hub, source): (&str, &Location), context: &Context) {
    let output = context.output;
    let kept = match (args.check, report.aside.len()) {
        (true, _) => "would be kept",
        (false, 1) => "is kept",
        (false, _) => "are kept",
    };
    if !report.aside.is_empty() {
        let number = counted(report.aside.len(), "document");
        output.warn(&format!("{number} {kept} unchanged, below {ASIDE}"));
    }
    if !report.unfinished.is_empty() && args.close_jobs_older_than.is_none() {
        output.warn(&format!(
            "{} unfinished and can be claimed once no server holds them; cancel old ones with `--close-jobs-older-than 7d`",
            match report.unfinished.len() {
                1 => "1 job is".to_owned(),
                number => format!("{number} jobs are"),
            }
        ));
    }
    let to_nobody: usize = report.to_nobody.values().sum();
    if to_nobody > 0 {
        let names: Vec<String> = report.to_nobody.keys().take(5).map(|name| format!("`{name}`")).collect();
        output.warn(&format!(
            "messages to unregistered names: {to_nobody}, such as to {}; `git muster archive` moves them by their age",
            names.join(", ")
        ));
    }
    if args.check && report.mendable + report.broken == 0 {
        output.say("nothing to fix");
    } else if args.check {
        let does = if args.into.is_some() { "creates a hub from it there" } else { "fixes it" };
        let line = format!("git muster import {}{}", quoted(&source.shown()), more(args));
        output.say(&format!("next: `{line}` {does}"));
    } else {
        output.say(&format!("next: `git muster join {} --as NAME` on each server", quoted(hub)));
    }
}
