//! What can come next in a command line, for completion scripts.
//!
//! A shell waits for the answer while somebody types. So nothing is asked over a connection and nothing is
//! made or changed: ids, servers and locks are those that the hub on this disk, the clone around or our
//! copy of the hub knows. What takes longer than [`TIME_MAX`] is left out.

use super::error::CliError;
use super::output::clean;
use super::settings::Settings;
use super::{Cli, GlobalArgs};
use crate::app::queries::jobs::ListJobs;
use crate::app::queries::locks::{ListLocks, ShownLock};
use crate::app::queries::messages::ListMessages;
use crate::app::queries::servers::Registered;
use crate::app::queries::{List, Query as _};
use crate::domain::job::{Job, JobStatus};
use crate::domain::table::Row;
use crate::git;
use crate::git::{Location, OpenOptions, store_path};
use crate::ledger::{self, Abort, Ledger, Snapshot};
use crate::machine::clock;
use clap::{Arg, Args, Command, CommandFactory as _};
use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::sync::mpsc;
use std::time::Duration;

/// How long a shell is made to wait: what takes longer feels stuck.
const TIME_MAX: Duration = Duration::from_millis(400);

/// How many candidates are given: more than a screen shows helps nobody.
const CANDIDATES_MAX: usize = 300;

/// States of a job, for `--status`.
const STATES: [&str; 7] = ["queued", "claimed", "running", "completed", "failed", "cancelled", "dead"];

#[derive(Debug, Args)]
pub struct CompleteArgs {
    /// The words behind the name of the program, the last one as far as it was typed
    #[arg(last = true, num_args = 0..)]
    pub words: Vec<String>,
}

/// One thing that can come next, and a few words about it.
type Candidate = (String, String);

/// Prints a candidate a line, with a tab before what is said of it.
///
/// # Errors
/// None but a closed stdout.
pub(super) fn run(args: &CompleteArgs) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    for (word, about) in candidates(&args.words).into_iter().take(CANDIDATES_MAX) {
        writeln!(out, "{}\t{}", clean(&word), clean(&about))?;
    }
    Ok(out.flush()?)
}

fn candidates(words: &[String]) -> Vec<Candidate> {
    let (typed, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut root = Cli::command();
    root.build();
    let line = Line::read(&root, before);
    let mut found = match &line.next {
        NextWord::Nothing => Vec::new(),
        NextWord::Value(argument) => line.values(argument),
        NextWord::Any if typed.starts_with('-') => line.options(),
        NextWord::Any => {
            // Behind a word that is no verb there is none.
            let subs = line
                .command
                .get_subcommands()
                .filter(|sub| line.positionals == 0 && !sub.is_hide_set() && sub.get_name() != "help");
            let mut found: Vec<Candidate> =
                subs.map(|sub| (sub.get_name().to_owned(), first_line(sub.get_about()))).collect();
            if let Some(argument) = line.positional() {
                found.extend(line.values(argument));
            }
            found
        }
    };
    found.retain(|(word, _)| word.starts_with(typed));
    found
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(|text| text.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
}

/// What can follow the words that were typed.
enum NextWord<'a> {
    /// Behind `--`: another program's words.
    Nothing,
    /// The value of an option.
    Value(&'a Arg),
    /// A verb, a value or an option.
    Any,
}

/// A command line as far as it goes.
struct Line<'a> {
    command: &'a Command,
    path: Vec<&'a str>,
    positionals: usize,
    next: NextWord<'a>,
    words: &'a [String],
}

impl<'a> Line<'a> {
    fn read(root: &'a Command, words: &'a [String]) -> Self {
        let mut line = Self { command: root, path: Vec::new(), positionals: 0, next: NextWord::Any, words };
        for word in words {
            line.next = match line.next {
                NextWord::Nothing => NextWord::Nothing,
                NextWord::Value(_) => NextWord::Any,
                NextWord::Any if word == "--" => NextWord::Nothing,
                NextWord::Any if word.starts_with('-') => match line.option(word) {
                    Some(argument) if argument.get_action().takes_values() && !word.contains('=') => {
                        NextWord::Value(argument)
                    }
                    _ => NextWord::Any,
                },
                NextWord::Any => {
                    match line.command.find_subcommand(word) {
                        Some(sub) => {
                            line.command = sub;
                            line.path.push(sub.get_name());
                        }
                        None => line.positionals += 1,
                    }
                    NextWord::Any
                }
            };
        }
        line
    }

    fn option(&self, word: &str) -> Option<&'a Arg> {
        let name = word.split('=').next().unwrap_or(word);
        self.command.get_arguments().find(|argument| {
            argument.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long))
                || argument.get_short().is_some_and(|short| name == format!("-{short}"))
        })
    }

    fn options(&self) -> Vec<Candidate> {
        let shown = self.command.get_arguments().filter(|argument| !argument.is_hide_set());
        shown
            .filter_map(|argument| {
                Some((format!("--{}", argument.get_long()?), first_line(argument.get_help())))
            })
            .collect()
    }

    /// The argument whose turn it is.
    fn positional(&self) -> Option<&'a Arg> {
        let all: Vec<&Arg> =
            self.command.get_positionals().filter(|argument| !argument.is_last_set()).collect();
        let last = all.last().copied();
        all.get(self.positionals)
            .copied()
            .or_else(|| last.filter(|argument| argument.get_num_args().is_some_and(|n| n.max_values() > 1)))
    }

    fn values(&self, argument: &Arg) -> Vec<Candidate> {
        let possible = argument.get_possible_values();
        if !possible.is_empty() {
            let shown = possible.iter().filter(|value| !value.is_hide_set());
            return shown.map(|value| (value.get_name().to_owned(), first_line(value.get_help()))).collect();
        }
        let name =
            argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
        let (noun, verb) =
            (self.path.first().copied().unwrap_or_default(), self.path.last().copied().unwrap_or_default());
        let what = match (argument.get_id().as_str(), name, noun) {
            ("status", ..) => return STATES.map(|state| (state.to_owned(), String::new())).to_vec(),
            ("server" | "assigned_to" | "to" | "from", "NAME" | "SERVER" | "NAME|all" | "TO", _)
            | (_, "SERVER", _)
            | (_, "NAME", "servers" | "status" | "worker") => NameKind::Servers,
            ("labels" | "label", ..) => NameKind::Labels,
            (_, "ID", "message") | ("reply_to", ..) => NameKind::Messages,
            (_, "ID", "job" | "artifact" | "rollback") | ("needs", ..) => NameKind::Jobs(wanted(verb)),
            (_, "NAME" | "LOCK" | "KEY", "lock" | "fence" | "once") => NameKind::Locks,
            _ => return Vec::new(),
        };
        look_up(what, self.words)
    }
}

/// What live names are asked for.
#[derive(Debug, Clone, Copy)]
enum NameKind {
    Servers,
    Labels,
    Messages,
    Jobs(fn(&Job) -> bool),
    Locks,
}

/// The jobs of which a verb makes sense.
fn wanted(verb: &str) -> fn(&Job) -> bool {
    match verb {
        "claim" | "explain" | "priority" => |job| job.status == JobStatus::Queued,
        "complete" | "fail" | "release" | "heartbeat" => |job| job.status.is_held(),
        "start" => |job| job.status == JobStatus::Claimed,
        "cancel" | "wait" => |job| !job.status.is_final(),
        "retry" => |job| job.status.is_final(),
        _ => |_| true,
    }
}

/// Looks at what is on this disk, for as long as a shell can wait.
fn look_up(what: NameKind, words: &[String]) -> Vec<Candidate> {
    let (sender, answer) = mpsc::channel();
    let global = globals(words);
    // Left behind when it takes too long, as on a disk that hangs: it ends with the process.
    std::thread::spawn(move || {
        let found = known(&global).map(|ledger| names(what, &ledger.known()));
        // Nobody listens any more when it took too long.
        drop(sender.send(found.unwrap_or_default()));
    });
    answer.recv_timeout(TIME_MAX).unwrap_or_default()
}

/// The options that say which hub it is.
fn globals(words: &[String]) -> GlobalArgs {
    let value = |name: &str| {
        let with_equals = format!("{name}=");
        let mut pairs = words.iter().zip(words.iter().skip(1).map(Some).chain([None]));
        pairs.find_map(|(word, next)| {
            let inline = word.strip_prefix(&with_equals).map(str::to_owned);
            inline.or_else(|| next.filter(|_| word == name).cloned())
        })
    };
    GlobalArgs {
        hub: value("--hub"),
        branch: None,
        hub_branch: value("--hub-branch"),
        server: None,
        json: false,
        verbose: false,
        quiet: true,
        dry_run: true,
        timeout: None,
        hub_timeout: None,
        if_lock: Vec::new(),
    }
}

/// The hub as it is known here, if it is.
fn known(global: &GlobalArgs) -> Option<Ledger> {
    let settings = Settings::gather(global).ok()?;
    let location = settings.hub().ok()?.clone();
    if let Location::Url(url) = &location
        && settings.clone.is_none()
        && !store_path(url).is_dir()
    {
        return None;
    }
    let main = settings.branch.value.clone();
    git::open(OpenOptions {
        location,
        clone: settings.clone.clone(),
        settings: ledger::Settings {
            main,
            author: "git-muster".to_owned(),
            budget: TIME_MAX,
            lock_wait: Duration::ZERO,
            dry_run: true,
            founding: false,
        },
    })
    .ok()
}

fn names(what: NameKind, snapshot: &Snapshot<'_>) -> Vec<Candidate> {
    let now = clock::wall();
    match what {
        NameKind::Servers => told(Registered {}.run(snapshot, now), |server| {
            Some((server.id.clone(), server.host.clone().unwrap_or_default()))
        }),
        NameKind::Labels => {
            let servers = Registered {}.run(snapshot, now);
            let labels = servers.iter().flat_map(|list| &list.items).flat_map(|server| &server.labels);
            let all: BTreeSet<&String> = labels.collect();
            all.into_iter().map(|label| (label.clone(), String::new())).collect()
        }
        NameKind::Messages => told(ListMessages::default().run(snapshot, now), |message| {
            Some((message.id.clone(), message.subject.clone()))
        }),
        NameKind::Jobs(is_wanted) => told(ListJobs::default().run(snapshot, now), |job| {
            is_wanted(job).then(|| (job.id.clone(), format!("{} {}", job.kind, job.situation(now))))
        }),
        NameKind::Locks => {
            let locks = ListLocks {}.run(snapshot, now);
            let candidate = |lock: &ShownLock| {
                let held = lock.locked_by.as_ref().map_or("free".to_owned(), |by| format!("held by {by}"));
                (lock.name.clone(), held)
            };
            locks.iter().flat_map(|locks| locks.items.iter().rev()).map(candidate).collect()
        }
    }
}

/// Of each record what `tell` makes of it, the newest first; nothing of what cannot be read.
fn told<T: Row>(list: Result<List<T>, Abort>, tell: impl Fn(&T) -> Option<Candidate>) -> Vec<Candidate> {
    let items = list.map(|list| list.items).unwrap_or_default();
    items.iter().rev().filter_map(|item| tell(item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        candidates(&words).into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn nouns_verbs_options_and_values_are_told_as_far_as_they_fit() {
        for (line, expected) in [
            ("he", &["heartbeat", "health"][..]),
            ("job cl", &["claim"]),
            // Options with and without values, before the noun and behind.
            ("--json job cl", &["claim"]),
            ("--hub /x job cl", &["claim"]),
            ("--hub=/x job cl", &["claim"]),
            ("servers li", &["list"]),
            ("server li", &["list"]),
            ("job add --not", &["--not-before"]),
            ("job add --if-need-fails c", &["cancel"]),
            ("job list --status d", &["dead"]),
            ("completions ba", &["bash"]),
            ("job add -- ma", &[]),
            ("job nothing cl", &[]),
            ("guar", &[]),
        ] {
            assert_eq!(next(line), expected, "{line}");
        }
        assert!(next("").contains(&"job".to_owned()) && candidates(&[]).len() == next("").len());
    }
}
