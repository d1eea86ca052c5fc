//! `git muster doctor`: what is wrong, the evidence, and the command that mends it.

use super::GlobalArgs;
use super::context::bound_to_no_lock;
use super::error::CliError;
use super::exit::Exit;
use super::heartbeat::wrong_variables;
use super::output::{Output, as_begun, beginning, clean};
use super::settings::Settings;
use super::which::FROM_BRANCH_VARIABLE;
use super::words;
use crate::doctor::rules::machine::Doubt;
use crate::doctor::{self, Fix, Subject};
use crate::domain::doctor::{Check, Report, Verdict};
use crate::domain::time::show_span;
use clap::Args;
use clap::builder::PossibleValuesParser;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster doctor
  git muster doctor hub-reachable hub-writable
  git muster doctor --fix
  git muster doctor --json | jq -r '.checks[].findings[].mend // empty'

Each check is ok, a warning (works, but needs attention), a problem (does not work) or skipped, \
and shows the evidence and a command that fixes it. Without `--fix`, nothing is changed on this \
machine or in the hub: a remote hub is fetched into a temporary directory, which is removed \
afterwards. No suggested command loses data.

`--fix` applies unresolved operations that are harmless even when late (messages, new jobs, \
reports with a token), resolves others that were applied, sets a damaged hub cache aside, removes \
stale lock files from the hub cache, and deletes leftovers of killed processes. It then runs the \
checks again. With `--dry-run` it only prints what it would do.

Exit code: 0 no problems (warnings are possible), 1 problems.")]
pub struct DoctorArgs {
    /// Checks to run [default: all]
    #[arg(value_name = "CHECK", value_parser = PossibleValuesParser::new(doctor::checks().map(|(name, what)| clap::builder::PossibleValue::new(name).help(what))))]
    pub checks: Vec<String>,
    /// Fix what can be fixed safely
    #[arg(long)]
    pub fix: bool,
}

/// Looks, and mends if asked.
///
/// # Errors
/// When the folder that the command was called in is gone, or stdout is closed.
pub(super) fn run(args: &DoctorArgs, global: &GlobalArgs) -> Result<u8, CliError> {
    if args.fix && !global.if_lock.is_empty() {
        return Err(bound_to_no_lock("what is mended"));
    }
    let output = Output { json: global.json, quiet: global.quiet, dry_run: global.dry_run };
    let (settings, wrong) = Settings::examine(global)?;
    let fix = match (args.fix, global.dry_run) {
        (false, _) => Fix::No,
        (true, true) => Fix::Tell,
        (true, false) => Fix::Do,
    };
    let mut report = doctor::examine(subject(&settings, wrong), &args.checks, fix);
    let findings = report.checks.iter_mut().flat_map(|check| &mut check.findings);
    for what in
        findings.map(|finding| &mut finding.what).chain(report.deeds.iter_mut().map(|deed| &mut deed.what))
    {
        *what = as_begun(what);
    }
    output.object("doctor", &report, || shown(&report, output.quiet))?;
    Ok(if report.verdict == Verdict::Problem { Exit::Failed } else { Exit::Done }.code())
}

fn subject(settings: &Settings, wrong: Vec<CliError>) -> Subject {
    let is_hub_unclear = settings.hub.is_none() && !wrong.is_empty();
    let beats = wrong_variables(&settings.branch.value);
    let fatal = wrong.into_iter().chain(beats).map(|error| Doubt {
        is_fatal: true,
        mend: error
            .hints
            .iter()
            .find_map(|hint| hint.split('`').find(|part| part.starts_with("git ")))
            .map(str::to_owned),
        what: error.message,
    });
    let doubts =
        settings.contradictions().into_iter().map(|what| Doubt { is_fatal: false, what, mend: None });
    let hub = settings.hub.as_ref();
    let summary = format!(
        "{}, branch {} ({}), time-out {} ({})",
        hub.map_or("no hub".to_owned(), |hub| format!("hub {} ({})", hub.value.shown(), hub.origin)),
        settings.branch.value,
        settings.branch.origin,
        show_span(settings.timeout.value),
        settings.timeout.origin
    );
    Subject {
        hub: hub.map(|hub| hub.value.clone()),
        branch: settings.branch.value.clone(),
        branch_variable: (settings.branch.origin == FROM_BRANCH_VARIABLE).then_some(FROM_BRANCH_VARIABLE),
        clone: settings.clone.clone(),
        timeout: settings.timeout.value,
        server: settings.server.as_ref().map(|server| (server.value.clone(), server.origin.clone())),
        bad_name: settings.bad_name.as_ref().map(|bad| (bad.why.clone(), bad.origin.clone())),
        summary,
        doubts: fatal.chain(doubts).collect(),
        is_hub_unclear,
        beginning: beginning(),
        words: words::sentence,
    }
}

/// How wide the verdict is shown.
const VERDICT_WIDTH: usize = 7;

/// One line for each check, below it what is wrong and what mends it, the counts last. When quiet,
/// only what is not as it should be.
fn shown(report: &Report, quiet: bool) -> String {
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let deeds = report.deeds.iter().map(|deed| {
        let how = if deed.done { "mended" } else { "not mended" };
        format!("{how}: {}\n", clean(&deed.what))
    });
    let is_told = |check: &&Check| !quiet || check.verdict >= Verdict::Warning;
    let checks = report.checks.iter().filter(is_told).map(|check| {
        let head = format!(
            "{:VERDICT_WIDTH$}  {:width$}  {}\n",
            check.verdict.as_str(),
            check.name,
            clean(&check.evidence)
        );
        let below = check.findings.iter().enumerate().map(|(at, trouble)| {
            // What mends several in a row is told once, after the last of them.
            let next = check.findings.get(at + 1).and_then(|next| next.mend.as_ref());
            let mend = trouble
                .mend
                .as_ref()
                .filter(|mend| next != Some(*mend))
                .map_or(String::new(), |mend| format!("           mend: {}\n", clean(mend)));
            format!("         {}: {}\n{mend}", trouble.verdict.as_str(), clean(&trouble.what))
        });
        format!("{head}{}", below.collect::<String>())
    });
    let body: String = deeds.chain(checks).collect();
    let counts = report.counts;
    if quiet {
        return body;
    }
    format!(
        "{body}{} ok, {} {}, {} {}, {} skipped\n",
        counts.ok,
        counts.warning,
        if counts.warning == 1 { "warning" } else { "warnings" },
        counts.problem,
        if counts.problem == 1 { "problem" } else { "problems" },
        counts.skipped
    )
}
