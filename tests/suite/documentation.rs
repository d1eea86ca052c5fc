//! What the documents show is what happens.
//!
//! Every `sh` block of README.md and of docs/ runs, those of one file in their order in one shell, in
//! a home of its own and an empty folder, with `git muster` on `PATH` and `$HUB` set to a fresh
//! repository. Pasted where a line of it fails, none acts in the folder that the reader is in, or on a hub
//! that it is not about. Every example of the command line's own help is one that the program takes.

use crate::support::{Fleet, Host, MAIN, Transport, need};
use clap::{Command, CommandFactory as _, Parser as _};
use git_muster::inside::Cli;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long all blocks of one file may take.
const FILE_BOUND: Duration = Duration::from_secs(120);

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// README.md and everything written below docs/.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The `sh` blocks of a document, each on the lines where it stands, and nothing on the others: so
/// that the shell's line numbers are the document's.
fn script(document: &str) -> Option<String> {
    let (mut script, mut inside, mut any) = (String::new(), None, false);
    for line in document.lines() {
        let fence = line.trim_start().strip_prefix("```");
        match (inside, fence) {
            (None, Some(kind)) => inside = Some(kind.trim() == "sh"),
            (Some(_), Some(_)) => inside = None,
            (Some(true), None) => {
                any = true;
                script.push_str(line);
            }
            _ => {}
        }
        script.push('\n');
    }
    assert_eq!(inside, None, "a fence is not closed");
    any.then_some(script)
}

/// What is said of the commands that may end with another code than 0: `|| echo "ended with $?"` stands
/// behind them, and then, in a comment, what is printed, or `# ends with 0` if nothing is.
#[track_caller]
fn codes_shown(script: &str) -> Vec<&str> {
    let lines = script.lines().filter(|line| line.contains("ended with $?"));
    let told = lines.map(|line| line.split_once("# ").unwrap_or_else(|| panic!("`{line}` names no code")).1);
    told.filter(|comment| *comment != "ends with 0").collect()
}

/// A host on which nothing is set up, with `git muster` and `$HUB`.
fn newcomer(fleet: &Fleet) -> Host {
    let mut host = fleet.host("newcomer");
    let bin = host.place("HOME").join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_git-muster"), bin.join("git-muster")).unwrap();
    host.set("PATH", format!("{}:{}", bin.display(), host.place("PATH").display()));
    host.unset("MUSTER_SERVER");
    host.unset("MUSTER_HUB");
    host.set("HUB", fleet.hub().url());
    host
}

/// What docs/moving.md is about: a hub of the first scripts.
fn put_old_hub(fleet: &Fleet) {
    let jobs = r#"{"jobs":[{"id":"job_1761778190_1804","type":"test","status":"queued","created_at":"2025-10-29T22:49:50Z"}]}"#;
    let beat = r#"{"server":"build1","timestamp":"2025-11-05T13:31:00Z","uptime_seconds":5,"healthy":true}"#;
    let files =
        [("coordination/jobs.json", jobs), ("build1/heartbeat.json", beat), ("build2/heartbeat.json", "")];
    fleet.hub().put(MAIN, &files, "an old hub");
}

/// What is about a hub that is there already.
const ABOUT_AN_OLD_HUB: &str = "docs/moving.md";

#[test]
fn every_command_that_the_documents_show_runs() {
    if !need::is_here(&["jq"]) {
        return;
    }
    let mut ran = 0;
    for document in documents() {
        let Some(blocks) = script(&fs::read_to_string(&document).unwrap()) else { continue };
        ran += 1;
        let name = document.strip_prefix(root()).unwrap().display().to_string();
        let fleet = Fleet::over(Transport::Ssh);
        let host = newcomer(&fleet);
        if name == ABOUT_AN_OLD_HUB {
            put_old_hub(&fleet);
        }
        // The first line stands before line 1 of the document, so it goes into line 1 with it.
        let trap = format!("set -eEu; trap 'echo \"{name}:$LINENO ended with $?\" >&2' ERR;");
        let file = host.place("TMPDIR").join("blocks");
        fs::write(&file, format!("{trap} {blocks}")).unwrap();
        let parsed = host.program("sh").args(["-n".as_ref(), file.as_os_str()]).run();
        assert_eq!(parsed.exit_code(), Some(0), "{name} holds what is no shell script\n{parsed}");
        let run = host.program("bash").args([&file]).bound(FILE_BOUND).run();
        if run.exit_code() != Some(0) {
            run.fail(&format!("a command that {name} shows does not work"));
        }
        let told: Vec<&str> = run.stdout().lines().filter(|line| line.contains("ended with")).collect();
        assert_eq!(told, codes_shown(&blocks), "{name} says what else than 0 its commands end with\n{run}");
        if name == "README.md" {
            // What is tried out on one machine takes nobody away from the hub that was joined before.
            let config = host.place("XDG_CONFIG_HOME").join("git-muster/config.json");
            let config = fs::read_to_string(config).unwrap();
            assert!(config.contains(&fleet.hub().url()), "{config}");
        }
    }
    assert!(ran > 0, "README.md shows commands");
}

/// What can be missing where somebody pastes what a document shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// `HUB` is not set.
    Hub,
    /// What `HUB` names is not there.
    Repository,
    /// `git muster` is not installed.
    Program,
    /// No folder can be made.
    Room,
}

/// Everything in a project but what git keeps for itself, and where its branches are.
fn standing(host: &Host, project: &Path, origin: &str, missing: Missing) -> String {
    // Who asked for a new file gets it where they are when there is no other room.
    let new_files = if missing == Missing::Room { "no" } else { "all" };
    let project = project.display().to_string();
    let git = |words: &[&str]| host.git(words).success().stdout().to_owned();
    [
        git(&[
            "-C",
            &project,
            "status",
            "--porcelain",
            &format!("--untracked-files={new_files}"),
            "--branch",
        ]),
        git(&["-C", &project, "for-each-ref"]),
        git(&["--git-dir", origin, "for-each-ref"]),
    ]
    .concat()
}

#[test]
fn what_a_document_shows_harms_nothing_of_the_reader_when_a_line_of_it_fails() {
    if !need::is_here(&["jq"]) {
        return;
    }
    for document in documents() {
        let Some(blocks) = script(&fs::read_to_string(&document).unwrap()) else { continue };
        let name = document.strip_prefix(root()).unwrap().display().to_string();
        for missing in [Missing::Hub, Missing::Repository, Missing::Program, Missing::Room] {
            // The reader has joined a hub, and stands in a project of theirs that can be pushed.
            let fleet = Fleet::new().founded();
            let mut host = newcomer(&fleet);
            host.run(["join", &fleet.hub().url(), "--as", "build1"]).success();
            host.run(["job", "add", "--type", "real", "--", "sh", "-c", "true"]).success();
            let [project, origin] = ["project", "origin.git"].map(|name| host.place("HOME").join(name));
            let origin = origin.display().to_string();
            host.git(["init", "-q", "--bare", &origin]).success();
            host.git(["clone", "-q", &origin, &project.display().to_string()]).success();
            fs::write(project.join("own"), "1").unwrap();
            let of_reader = |line: &str| host.program("sh").args(["-c", line]).current_dir(&project).run();
            of_reader("git add own && git -c user.name=x -c user.email=x@x commit -qm own && git push -q origin HEAD:main")
                .success();
            fs::write(project.join("secret"), "1").unwrap();
            match missing {
                Missing::Hub => host.unset("HUB"),
                Missing::Repository => host.set("HUB", "/dev/null/hub.git"),
                Missing::Program => fs::remove_file(host.place("HOME").join("bin/git-muster")).unwrap(),
                Missing::Room => host.set("TMPDIR", "/dev/null/none"),
            }
            let jobs = || fleet.hub().git(["show", "main:coordination/jobs.json"]);
            let before = (standing(&host, &project, &origin, missing), jobs());
            let file = host.place("HOME").join("blocks");
            fs::write(&file, &blocks).unwrap();
            // Its lines may fail, and the ones that come after run, as in a shell that somebody types into.
            let run = host.program("bash").args([&file]).current_dir(&project).bound(FILE_BOUND).run();
            if (standing(&host, &project, &origin, missing), jobs()) != before {
                run.fail(&format!("{name}, without {missing:?}, acts where its reader is"));
            }
        }
    }
}

#[test]
fn the_links_of_the_documents_lead_somewhere() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://") || path.contains(' ');
            let there = document.parent().unwrap_or(Path::new("/")).join(path);
            assert!(elsewhere || there.exists(), "{}: {target} leads nowhere", document.display());
        }
    }
}

/// As wide as a terminal is where nobody made it wider.
const COLUMNS_MAX: usize = 80;

/// Whoever copies an example must get what it seems to promise.
#[test]
fn no_example_allows_more_than_it_names() {
    let mut places = documents();
    places.extend(["scripts", "src/cli"].into_iter().flat_map(|folder| files_below(&root().join(folder))));
    let mut seen = 0;
    for place in places {
        let Ok(text) = fs::read_to_string(&place) else { continue };
        for pattern in text.split("--allow '").skip(1).filter_map(|rest| rest.split('\'').next()) {
            seen += 1;
            assert!(!pattern.contains(['*', '?']), "{}: --allow '{pattern}'", place.display());
            let program = pattern.split(' ').next().unwrap_or_default();
            assert!(!["sh", "bash", "env", "python3", "make"].contains(&program), "{}", place.display());
        }
    }
    assert!(seen > 5, "only {seen} examples were found");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

#[test]
fn every_example_of_the_help_is_one_that_the_program_takes() {
    let mut command = Cli::command();
    command.build();
    let mut parsed = 0;
    let mut commands: Vec<&Command> = vec![&command];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands());
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let name = command.get_bin_name().unwrap_or("git muster");
        let is_leaf = command.get_subcommands().next().is_none() && !command.is_hide_set();
        let own = !["man", "help"].contains(&command.get_name());
        assert!(
            !is_leaf || !own || examples(&help).next().is_some() || name.contains(" help "),
            "`{name}` shows no example"
        );
        // What is longer is broken in two by the terminal, and means something else when it is pasted.
        for line in help.lines().filter(|line| line.starts_with("  ")) {
            assert!(line.chars().count() <= COLUMNS_MAX, "`{name}` shows a line that is too long: {line}");
        }
        for words in examples(&help) {
            let line = words.join(" ");
            let all = std::iter::once("git-muster").chain(words.iter().map(String::as_str));
            let result = Cli::try_parse_from(all);
            assert!(
                result.is_ok(),
                "the help of `{name}` shows `git muster {line}`: {}",
                result.unwrap_err()
            );
            parsed += 1;
        }
    }
    assert!(parsed > 50, "only {parsed} examples were found");
}

/// The words of each `git muster` command in a text of shell lines.
fn examples(text: &str) -> impl Iterator<Item = Vec<String>> {
    text.lines()
        .flat_map(|line| line.split("git muster ").skip(1))
        .map(|rest| words(&without_variables(rest)))
}

/// Puts a `1` in place of every `$name`, `${...}` and `$(...)`.
fn without_variables(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        out.push('1');
        let end = match after.chars().next() {
            Some('{') => after.find('}').map(|at| at + 1),
            Some('(') => after.find(')').map(|at| at + 1),
            _ => after.find(|c: char| !c.is_alphanumeric() && c != '_'),
        };
        rest = &after[end.unwrap_or(after.len())..];
    }
    out + rest
}

/// The words of a command up to what ends it in a shell.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '|' | ';' | '&' | '>' | '<' | ')') => break,
            (None, '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
