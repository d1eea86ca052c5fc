//! `git muster demo`: the whole thing at work, with real processes in clones of their own.

use super::GlobalArgs;
use crate::machine::process::{self, Finished, Running};
use crate::machine::{Deadline, Machine, asked, clock, environment};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the demonstration may take in all.
const TIME_MAX: Duration = Duration::from_secs(120);
/// The servers that join.
const SERVERS: [&str; 3] = ["build1", "build2", "build3"];
/// What one server does until the queue is empty: claim, work, report.
const WORK: &str = r#"
while claim=$("$MUSTER" job claim --shell --start 2>/dev/null); do
  eval "$claim"
  echo "$MUSTER_SERVER works on $MUSTER_JOB_ID: $MUSTER_JOB_DESCRIPTION"
  "$MUSTER" -q job complete "$MUSTER_JOB_ID" --exit-code 0 >/dev/null || exit
done
"#;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  git muster demo /tmp/muster-demo")]
pub struct DemoArgs {
    /// Directory to create everything in [default: a new directory below the system's temporary directory]
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// A demonstration under way.
struct Demo {
    program: PathBuf,
    folder: PathBuf,
    deadline: Deadline,
}

/// Shows it all and leaves the hub to look at.
///
/// # Errors
/// When the folder is not empty or a step fails.
pub(super) fn run(args: &DemoArgs, global: &GlobalArgs) -> Result<()> {
    let name = format!("git-muster-demo-{}-{}", clock::wall().compact(), environment::process_id());
    let folder = args.folder.clone().unwrap_or_else(|| environment::temporary_dir().join(name));
    let folder = environment::working_directory()?.join(folder);
    if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("`{}` is not empty; nothing was done", folder.display());
    }
    crate::machine::files::create_dir(&folder)?;
    let demo =
        Demo { program: environment::own_program()?, folder, deadline: Machine::real().deadline(TIME_MAX) };
    if global.dry_run {
        bail!("a demonstration has no dry run; it touches only its own directory");
    }
    // Asked to end, it leaves what is there by then.
    asked::has_written();
    demo.found()?;
    demo.queue()?;
    demo.work()?;
    demo.lock_and_talk()?;
    demo.show()
}

impl Demo {
    fn say(&self, text: &str) -> Result<()> {
        Ok(writeln!(std::io::stdout().lock(), "{text}")?)
    }

    fn clone_of(&self, server: &str) -> PathBuf {
        self.folder.join(server)
    }

    /// A command in a world of its own: nothing of this user's configuration is read or written.
    fn isolated(&self, program: &Path, folder: &Path) -> Command {
        let mut command = process::command(program);
        command.current_dir(folder);
        for variable in [
            "MUSTER_HUB",
            "MUSTER_SERVER",
            "SERVER_ID",
            "MUSTER_BRANCH",
            "HEARTBEAT_BRANCH",
            "HEARTBEAT_PUSH_EVERY",
            "GIT_DIR",
        ] {
            command.env_remove(variable);
        }
        for (variable, name) in [
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CACHE_HOME", "cache"),
        ] {
            command.env(variable, folder.join(".git").join("demo").join(name));
        }
        command
    }

    fn checked(&self, command: &mut Command, what: &str) -> Result<Finished> {
        let done = process::run(command, &self.deadline).with_context(|| format!("cannot start `{what}`"))?;
        if done.exit_code == Some(0) {
            return Ok(done);
        }
        let why =
            if done.timed_out { "it did not end in time".to_owned() } else { done.stderr.trim().to_owned() };
        bail!("the demonstration failed at `{what}`: {why}")
    }

    /// Runs git-muster as `server` in its clone, and shows the command and what it printed.
    fn muster(&self, server: &str, arguments: &[&str]) -> Result<String> {
        let shown = arguments
            .iter()
            .map(|word| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() });
        let line = format!("git muster {}", shown.collect::<Vec<_>>().join(" "));
        let mut command = self.isolated(&self.program, &self.clone_of(server));
        command.env("MUSTER_SERVER", server).args(arguments);
        let done = self.checked(&mut command, &line)?;
        self.say(&format!("{server}$ {line}\n{}", done.stdout.trim_end()))?;
        Ok(done.stdout)
    }

    fn found(&self) -> Result<()> {
        self.say("== a hub, and three servers in clones of their own ==")?;
        let hub = self.folder.join("hub.git");
        let mut init = self.isolated(&self.program, &self.folder);
        let done = self.checked(init.arg("-q").arg("init").arg(&hub), "git muster init")?;
        self.say(done.stdout.trim_end())?;
        for server in SERVERS {
            let mut clone = process::command(Path::new("git"));
            clone.args(["clone", "--quiet"]).arg(&hub).arg(self.clone_of(server));
            self.checked(&mut clone, "git clone")?;
            self.muster(
                server,
                &["-q", "join", "--as", server, "--manager", "demo", "--label", "arch=amd64"],
            )?;
            self.muster(server, &["-q", "heartbeat"])?;
        }
        Ok(())
    }

    fn queue(&self) -> Result<()> {
        self.say("\n== jobs: nine builds and one that needs the first ==")?;
        let first = self.muster(
            "build1",
            &["job", "add", "--type", "build", "--priority", "high", "--description", "compile the base"],
        )?;
        for number in 1..9 {
            let what = format!("build package {number}");
            self.muster(
                SERVERS[number % 3],
                &["job", "add", "--type", "build", "--branch", "main", "--description", &what],
            )?;
        }
        self.muster(
            "build2",
            &["job", "add", "--type", "test", "--needs", first.trim(), "--description", "test the base"],
        )?;
        Ok(())
    }

    fn work(&self) -> Result<()> {
        self.say("\n== the three claim and work at the same time, as separate processes ==")?;
        let mut workers = Vec::new();
        for server in SERVERS {
            let mut command = self.isolated(Path::new("sh"), &self.clone_of(server));
            command
                .args(["-c", WORK])
                .env("MUSTER", &self.program)
                .env("MUSTER_SERVER", server)
                .stdin(Stdio::null());
            let worker = Running::start(&mut command)
                .with_context(|| format!("cannot start the worker of `{server}`"))?;
            workers.push((server, worker));
        }
        for (server, mut worker) in workers {
            let status = worker.wait_until(&self.deadline)?;
            if !status.is_some_and(|status| status.success()) {
                bail!("the demonstration failed: the worker of `{server}` did not end well");
            }
        }
        Ok(())
    }

    fn lock_and_talk(&self) -> Result<()> {
        self.say("\n== a lock around a command, and messages ==")?;
        self.muster(
            "build1",
            &[
                "lock",
                "run",
                "deploy",
                "--ttl",
                "1m",
                "--",
                "sh",
                "-c",
                "echo deploying under token $MUSTER_LOCK_TOKEN",
            ],
        )?;
        self.muster(
            "build1",
            &[
                "message",
                "send",
                "--to",
                "all",
                "--type",
                "info",
                "--subject",
                "all jobs are done",
                "--body",
                "the base and eight packages",
            ],
        )?;
        self.muster(
            "build2",
            &[
                "message",
                "send",
                "--to",
                "build3",
                "--type",
                "request",
                "--subject",
                "please look at the tests",
                "--ack",
            ],
        )?;
        self.muster("build3", &["message", "read"])?;
        Ok(())
    }

    fn show(&self) -> Result<()> {
        self.say("\n== what the hub says ==")?;
        for arguments in
            [&["job", "list"][..], &["status", "list"], &["lock", "list"], &["message", "list"], &["health"]]
        {
            self.muster("build1", arguments)?;
        }
        let hub = self.folder.join("hub.git");
        self.say("\n== the history is the log of the fleet: git log --oneline ==")?;
        let mut log = process::command(Path::new("git"));
        log.arg("--git-dir").arg(&hub).args(["log", "--oneline", "--no-decorate", "main"]);
        self.say(self.checked(&mut log, "git log")?.stdout.trim_end())?;
        self.say(&format!(
            "\nEverything is left in {}: the hub is hub.git, the clones are build1 to build3.",
            self.folder.display()
        ))
    }
}
