//! Documents that come out of the program itself: completions, manual page, command reference,
//! schemas. They cannot drift from it, because they are made from what it runs on.

use super::Cli;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use crate::app::fsck::Report;
use crate::domain::artifact::Manifest;
use crate::domain::audit::Kind;
use crate::domain::build_config::BuildConfig;
use crate::domain::code::Code;
use crate::domain::heartbeat::Heartbeat;
use crate::domain::hub::Marker;
use crate::domain::status::Status;
use crate::domain::tables::{ForTable, Stored, TABLES};
use crate::machine::files;
use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use schemars::JsonSchema;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster completions bash > /etc/bash_completion.d/git-muster
  git muster completions zsh > /usr/local/share/zsh/site-functions/_git-muster
  git muster completions fish > ~/.config/fish/completions/git-muster.fish
  git muster completions fish > ~/.config/fish/conf.d/git-muster.fish

For `git-muster` and `git muster`, with the jobs, servers, locks and messages that this machine knows of; \
nothing is asked over a connection.")]
pub struct CompletionsArgs {
    /// Which shell
    pub shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  git muster man | man -l -
  git muster man --to /usr/local/share/man/man1  # then: man git-muster-job")]
pub struct ManArgs {
    /// Write a page for every command into this folder
    #[arg(long, value_name = "FOLDER")]
    pub to: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Which document
    #[arg(value_enum)]
    pub what: Generated,
}

/// The generated documents.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Generated {
    /// docs/CLI.md
    CommandReference,
    /// docs/errors.md
    ErrorReference,
    /// All files of docs/schemas, as one JSON object by name
    Schemas,
}

/// Prints a completion script.
///
/// # Errors
/// None but a closed stdout.
pub(super) fn completions(args: &CompletionsArgs) -> Result<(), CliError> {
    let script = match args.shell {
        Shell::Bash => include_bytes!("completions/git-muster.bash").to_vec(),
        Shell::Zsh => include_bytes!("completions/git-muster.zsh").to_vec(),
        Shell::Fish => include_bytes!("completions/git-muster.fish").to_vec(),
        // Of other shells the words that stand still.
        shell => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "git-muster", &mut script);
            script
        }
    };
    Ok(io::stdout().lock().write_all(&script)?)
}

/// Prints the manual page, or writes all.
///
/// # Errors
/// When the folder cannot be written, or stdout is closed.
pub(super) fn man(args: &ManArgs) -> Result<(), CliError> {
    let mut command = Cli::command().bin_name("git-muster").disable_help_subcommand(true);
    command.build();
    let Some(folder) = &args.to else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return Ok(io::stdout().lock().write_all(&page)?);
    };
    files::create_dir(folder)?;
    clap_mangen::generate_to(command, folder).map_err(|error| {
        CliError::new(
            Code::FileFailed,
            format!("not all pages were written to `{}`: {error}", folder.display()),
        )
        .fact("path", folder.display().to_string())
        .fact("detail", error.to_string())
    })
}

/// Prints a generated document.
///
/// # Errors
/// None but a closed stdout.
pub(super) fn generate(args: &GenerateArgs) -> Result<(), CliError> {
    let text = match args.what {
        Generated::CommandReference => command_reference(),
        Generated::ErrorReference => error_reference(),
        Generated::Schemas => serde_json::to_string_pretty(&schemas())
            .map_err(|error| CliError::new(Code::Internal, error.to_string()))?,
    };
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}

/// The command reference: the help of every command.
#[must_use]
pub fn command_reference() -> String {
    let mut out = String::from(
        "# Command reference\n\nMade by `git muster generate command-reference`; a test keeps it equal to the program.\n",
    );
    let mut root = Cli::command().term_width(100);
    root.build();
    describe(&root, &mut out);
    out.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (exit, meaning) in Exit::ALL {
        out.push_str(&format!("| {} | {meaning} |\n", exit.code()));
    }
    out.push_str("\nWith `--json` an error also has a code, which says more: [errors.md](errors.md).\n");
    out.push_str("\nA command that a signal asks to end ends by that signal, 128 and its number in a shell, when nothing was written; 9 and 0 mean what they always do.\n");
    out.push_str("\n`health` answers 0 ok, 1 warning, 2 critical, 3 unknown; `doctor` 0 unless there is a problem, then 1; `lock run`, `fence check` and `job wait` give the exit code of the command or job.\n");
    out
}

/// The codes of all errors.
#[must_use]
pub fn error_reference() -> String {
    let mut out = String::from(ERRORS_HEAD);
    for code in Code::ALL {
        let facts: Vec<String> = code.facts().iter().map(|fact| format!("`{fact}`")).collect();
        let exit = match Exit::of(code.class()) {
            Exit::AskedToEnd => "by the signal".to_owned(),
            exit => exit.code().to_string(),
        };
        out.push_str(&format!(
            "| `{code}` | {exit} | {} | {} | {} |\n",
            code.retry().as_str(),
            code.meaning(),
            facts.join(" ")
        ));
    }
    out
}

/// What stands above the table of codes.
const ERRORS_HEAD: &str = "# Error codes

Made by `git muster generate error-reference`; a test keeps it equal to the program.

With `--json` a command that does not do what it was asked prints one object to stderr. `error` and `hints` are for people and change. Programs read these members:

| member | meaning |
|---|---|
| `exit_code` | how the command ends; of most codes always the same |
| `code` | what it is, a word of the table below. Codes are added, never renamed, and keep their meaning: treat one that you do not know by its exit code |
| `retry` | `no`: the same command fails until something is changed. `later`: the same command may succeed. `resolve`: ask `git muster op status` first |
| `written` | `false`: the hub has nothing of it. `true`: it has it, or a part of it, and what failed came after. `null`: not known |
| `facts` | all facts of the code, by name; `null` where one is not known. Times are RFC 3339, durations end in `_seconds` |
| `errors` | of several things in one request, which is at fault: `pointer` (RFC 6901), `code`, `facts` |
| `op` | the operation whose outcome is unknown, or whose answer was lost |
| `cause` | of a hub that does not answer or refuses, why |

A warning, and a finding of `health`, `doctor` or `fsck`, is no error and has no code of this table.

| code | exit code | retry | meaning | facts |
|---|---|---|---|---|
";

fn describe(command: &Command, out: &mut String) {
    if command.is_hide_set() {
        return;
    }
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.clone().term_width(100).render_long_help().to_string();
    out.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", without_global(&help).trim_end()));
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        describe(sub, out);
    }
}

/// What every command takes is told once, at the root.
fn without_global(help: &str) -> String {
    let (Some(start), Some(usage)) = (help.find("Global options:"), help.find("Usage: git muster ")) else {
        return help.to_owned();
    };
    if help[usage..].starts_with("Usage: git muster [OPTIONS] <COMMAND>") {
        return help.to_owned();
    }
    let rest = &help[start..];
    let end = rest.find("\n\nExample").map_or(rest.len(), |end| end + 2);
    format!("{}{}", &help[..start], &rest[end..])
}

/// The rules of `fsck` as the lines of a table.
#[must_use]
pub fn audit_rules() -> String {
    let line = |kind: &Kind| format!("| `{kind}` | {} | {} |\n", kind.severity().as_str(), kind.meaning());
    Kind::ALL.iter().map(line).collect()
}

/// The JSON Schemas of all documents, by file name.
#[must_use]
pub fn schemas() -> BTreeMap<String, Value> {
    struct Table;
    impl ForTable for Table {
        type Answer = Value;
        fn run<T: Stored>(self) -> Value {
            table::<T>()
        }
    }
    let tables = TABLES.iter().map(|kind| (kind.field, kind.with(Table)));
    let others = [
        ("build_config", document::<BuildConfig>("shared/build_config.json: what all servers build with")),
        ("heartbeat", document::<Heartbeat>("<server>/heartbeat.json: the sign of life of one server")),
        ("hub", document::<Marker>("coordination/hub.json: which hub this is, and where")),
        ("status", document::<Status>("<server>/status.json: what one server is doing")),
        (
            "artifacts",
            document::<Manifest>("<server>/logs/<time>-<job>.artifacts.json: what one attempt made"),
        ),
        ("fsck.output", answer::<Report>("fsck", "what `git muster fsck --json` prints")),
    ];
    tables.chain(others).map(|(name, schema)| (format!("{name}.schema.json"), schema)).collect()
}

fn document<T: JsonSchema>(title: &str) -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    if let Value::Object(members) = &mut schema {
        members.insert("title".to_owned(), title.into());
    }
    schema
}

/// What a command prints with `--json`.
fn answer<T: JsonSchema>(kind: &str, title: &str) -> Value {
    let mut schema = document::<T>(title);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.shift_insert(0, "schema".to_owned(), json!({"const": output::SCHEMA}));
        properties.shift_insert(1, "kind".to_owned(), json!({"const": kind}));
    }
    schema
}

fn table<T: Stored>() -> Value {
    let mut schema = document::<T>(&format!("{}: {}", T::PATH, T::TITLE));
    let Value::Object(row) = &mut schema else { return schema };
    let definitions = row.shift_remove("$defs");
    let (meta, title) = (row.shift_remove("$schema"), row.shift_remove("title"));
    let rows = if T::BY_NAME {
        json!({"type": "object", "additionalProperties": row})
    } else {
        json!({"type": "array", "items": row})
    };
    json!({"$schema": meta, "title": title, "type": "object", "required": [T::FIELD], "properties": {T::FIELD: rows}, "$defs": definitions.unwrap_or_else(|| json!({}))})
}
