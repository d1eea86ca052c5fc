//! A hub and the hosts that share it: every host is a machine of its own as far as programs can tell.
//!
//! A host has its own home, configuration, cache, data, state and temporary directories, and knows
//! nothing of the machine the tests run on: the environment is cleared, git's system and user
//! configuration do not exist, standard input is empty.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::hub::{Hub, Transport, copy_folder};
use super::place::place;
use super::plain_git::HERMETIC_GIT;
use super::run::{HostCommand, Run};

/// The directories of a host, with the variable that names each to programs.
const DIRECTORIES: [(&str, &str); 7] = [
    ("HOME", "home"),
    ("XDG_CACHE_HOME", "cache"),
    ("XDG_CONFIG_HOME", "config"),
    ("XDG_DATA_HOME", "data"),
    ("XDG_STATE_HOME", "state"),
    ("XDG_RUNTIME_DIR", "runtime"),
    ("TMPDIR", "tmp"),
];

/// Where a host may have written the address of its hub.
const KNOWS_THE_HUB: [&str; 4] =
    ["clone/.git/config", "config/git-muster/config.json", "home/gitconfig", "state/git-muster/hubs.json"];

/// What is the same on every host.
const ENVIRONMENT: [(&str, &str); 4] =
    [("LC_ALL", "C"), ("TZ", "UTC"), ("COLUMNS", "100"), ("NO_COLOR", "1")];

/// A hub and the directory in which its hosts live.
#[derive(Debug)]
#[must_use]
pub(crate) struct Fleet {
    hub: Arc<Hub>,
    root: Arc<TempDir>,
    /// Searched before `PATH`, when a git was chosen.
    programs: Option<PathBuf>,
}

impl Fleet {
    /// A fleet around an empty hub that is reached by path.
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::over(Transport::Path)
    }

    /// A fleet around an empty hub that is reached over `transport`.
    #[track_caller]
    pub(crate) fn over(transport: Transport) -> Self {
        Self::start_in(place(), transport)
    }

    /// [`Fleet::over`] where temporary files lie, though that be a disk.
    #[track_caller]
    pub(crate) fn on_disk(transport: Transport) -> Self {
        Self::start_in(&std::env::temp_dir(), transport)
    }

    #[track_caller]
    fn start_in(folder: &Path, transport: Transport) -> Self {
        let root = tempfile::Builder::new().prefix("muster-fleet-").tempdir_in(folder);
        let root = root.expect("a temporary directory");
        Self { hub: Arc::new(Hub::start_in(folder, transport)), root: Arc::new(root), programs: None }
    }

    /// Makes the hosts that are added from now on find this git first.
    #[track_caller]
    pub(crate) fn with_git(mut self, program: &Path) -> Self {
        let directory = self.root.path().join("bin");
        fs::create_dir(&directory).expect("a git is chosen once");
        symlink(program, directory.join("git")).expect("the directory is ours");
        self.programs = Some(directory);
        self
    }

    /// This fleet as it is now once more, hub and hosts: for many tests that begin alike. Take its
    /// hosts with [`Fleet::same`]. It has to go before the one it was copied from.
    #[track_caller]
    pub(crate) fn copy(&self) -> Self {
        let folder = self.root.path().parent().expect("it lies somewhere");
        let root = tempfile::Builder::new().prefix("muster-fleet-").tempdir_in(folder);
        let root = root.expect("a temporary directory");
        copy_folder(self.root.path(), root.path());
        let copy =
            Self { hub: Arc::new(self.hub.copy()), root: Arc::new(root), programs: self.programs.clone() };
        let (old, new) = (self.hub.url(), copy.hub.url());
        for host in fs::read_dir(copy.root.path()).expect("it was just made").flatten() {
            for file in KNOWS_THE_HUB.map(|file| host.path().join(file)) {
                if let Ok(text) = fs::read_to_string(&file) {
                    fs::write(file, text.replace(&old, &new)).expect("it was just made");
                }
            }
        }
        copy
    }

    /// Removes the files of a host that has done its part.
    pub(crate) fn forget(&self, host: &str) {
        fs::remove_dir_all(self.root.path().join(host)).expect("it is a host of this fleet");
    }

    /// What `host` of the fleet that this one was copied from is here.
    pub(crate) fn same(&self, host: &Host) -> Host {
        let (old, new) = (host.fleet.path().display().to_string(), self.root.path().display().to_string());
        let (old_hub, new_hub) = (host.hub.url(), self.hub.url());
        let moved = |text: &OsString| {
            let text = text.to_str().expect("the environment of a host is text");
            OsString::from(text.replace(&old, &new).replace(&old_hub, &new_hub))
        };
        let directory = moved(&host.directory.clone().into_os_string()).into();
        let environment = host.environment.iter().map(|(name, value)| (name.clone(), moved(value)));
        Host {
            name: host.name.clone(),
            directory,
            environment: environment.collect(),
            hub: Arc::clone(&self.hub),
            fleet: Arc::clone(&self.root),
        }
    }

    /// The hub.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Adds a host that knows the hub by `MUSTER_HUB`.
    #[track_caller]
    pub(crate) fn host(&self, name: &str) -> Host {
        let mut host = self.add(name, "work");
        fs::create_dir(&host.directory).expect("a host's name is used once");
        host.set("MUSTER_HUB", self.hub.url());
        host
    }

    /// Founds the hub, as somebody who takes no further part in it.
    #[track_caller]
    pub(crate) fn founded(self) -> Self {
        self.host("admin").run(["init", &self.hub.url()]).success();
        self
    }

    /// Adds a host that joins the hub as a server of its own name.
    #[track_caller]
    pub(crate) fn server(&self, name: &str) -> Host {
        self.host(name).joined()
    }

    /// Adds a host that works in a real clone of the hub and joins it as a server of its own name.
    #[track_caller]
    pub(crate) fn server_in_clone(&self, name: &str) -> Host {
        self.host_in_clone(name).joined()
    }

    /// Adds a host that works in a real clone of the hub and is told nothing else about it.
    #[track_caller]
    pub(crate) fn host_in_clone(&self, name: &str) -> Host {
        let host = self.add(name, "clone");
        let (user, mail) = (format!("user.name={name}"), format!("user.email={name}@example.invalid"));
        let url = self.hub.url();
        let target = host.directory.display().to_string();
        host.program("git")
            .args(["clone", "--quiet", "-c", &user, "-c", &mail, &url, &target])
            .current_dir(self.root.path())
            .run()
            .success();
        host
    }

    #[track_caller]
    fn add(&self, name: &str, directory: &str) -> Host {
        let root = self.root.path().join(name);
        let mut host = Host {
            name: name.to_owned(),
            directory: root.join(directory),
            environment: Vec::new(),
            hub: Arc::clone(&self.hub),
            fleet: Arc::clone(&self.root),
        };
        fs::create_dir(&root).expect("a host's name is used once");
        for (variable, place) in DIRECTORIES {
            let place = root.join(place);
            fs::create_dir(&place).expect("the directory is ours");
            host.set(variable, place);
        }
        for (variable, value) in ENVIRONMENT.into_iter().chain(HERMETIC_GIT) {
            host.set(variable, value);
        }
        for (variable, value) in self.hub.client_env() {
            host.set(&variable, value);
        }
        host.set("PATH", self.path());
        // Should the temporary directory lie in a repository, no host must take it for its clone.
        host.set("GIT_CEILING_DIRECTORIES", self.root.path());
        host.set("MUSTER_SERVER", name);
        host
    }

    /// `PATH` as it is, after the chosen git.
    fn path(&self) -> OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let chosen = self.programs.iter().cloned();
        std::env::join_paths(chosen.chain(std::env::split_paths(&path))).expect("it was a PATH")
    }
}

/// One simulated machine.
#[derive(Debug, Clone)]
#[must_use]
pub(crate) struct Host {
    name: String,
    directory: PathBuf,
    environment: Vec<(OsString, OsString)>,
    hub: Arc<Hub>,
    fleet: Arc<TempDir>,
}

impl Host {
    /// Its name, which `MUSTER_SERVER` tells to programs.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where its commands run: an empty directory, or its clone of the hub.
    #[must_use]
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory that a variable such as `HOME` or `XDG_CACHE_HOME` names.
    #[track_caller]
    #[must_use]
    pub(crate) fn place(&self, variable: &str) -> PathBuf {
        let known = self.environment.iter().find(|(name, _)| name == variable);
        PathBuf::from(&known.expect("every host has this variable").1)
    }

    /// Where it keeps its session of a hub, of which there must be one.
    #[track_caller]
    #[must_use]
    pub(crate) fn session(&self) -> PathBuf {
        let sessions = self.place("XDG_STATE_HOME").join("git-muster/sessions");
        let hubs: Vec<PathBuf> = fs::read_dir(sessions)
            .expect("it has beaten")
            .map(|entry| entry.expect("a folder").path().join(format!("{}.json", self.name)))
            .filter(|path| path.exists())
            .collect();
        let [session] = hubs.as_slice() else { panic!("sessions of several hubs: {hubs:?}") };
        session.clone()
    }

    /// The hub that it shares.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Sets a variable for all commands of this host.
    pub(crate) fn set(&mut self, variable: &str, value: impl AsRef<OsStr>) {
        self.environment.retain(|(name, _)| name != variable);
        let entry = (variable.into(), value.as_ref().to_owned());
        self.environment.push(entry);
    }

    /// Takes a variable from all commands of this host.
    pub(crate) fn unset(&mut self, variable: &str) {
        self.environment.retain(|(name, _)| name != variable);
    }

    #[track_caller]
    fn joined(self) -> Self {
        self.run(["join", &self.hub.url(), "--as", &self.name]).success();
        self
    }

    /// Runs `git-muster` to its end.
    #[track_caller]
    #[must_use = "an exit status nobody looked at: check it with `.success()` or `.code(n)`"]
    pub(crate) fn run<I, S>(&self, args: I) -> Run
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.command(args).run()
    }

    /// The operations that this host began and does not know the end of, as `op list` shows them; without
    /// those whose answer it can have again.
    #[track_caller]
    #[must_use]
    pub(crate) fn unsettled(&self) -> serde_json::Value {
        let listed = self.run(["op", "list", "--json"]).success().json();
        let entries = listed.as_array().expect("a list").iter();
        entries.filter(|entry| entry["settled"] == false).cloned().collect()
    }

    /// A `git-muster` command, to be completed and run.
    pub(crate) fn command<I, S>(&self, args: I) -> HostCommand
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.program(env!("CARGO_BIN_EXE_git-muster")).args(args)
    }

    /// Runs plain `git` to its end.
    #[track_caller]
    #[must_use = "an exit status nobody looked at: check it with `.success()` or `.code(n)`"]
    pub(crate) fn git<I, S>(&self, args: I) -> Run
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.program("git").args(args).run()
    }

    /// Any other program on this host, to be completed and run.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> HostCommand {
        let program = self.find(program.as_ref());
        let fleet = Arc::clone(&self.fleet);
        HostCommand::new(&program, &self.directory, self.environment.clone(), fleet)
    }

    /// Looks a bare name up in the host's own `PATH`, which may name another git than ours.
    fn find(&self, program: &OsStr) -> OsString {
        let path = self.place("PATH");
        std::env::split_paths(&path)
            .map(|directory| directory.join(program))
            .find(|candidate| candidate.is_file())
            .map_or_else(|| program.to_owned(), PathBuf::into_os_string)
    }
}
