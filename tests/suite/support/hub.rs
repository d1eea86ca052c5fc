//! A hub to test against: one bare repository and one way to reach it.
//!
//! Every hub has its own directory and, where the transport needs one, its own real server on
//! loopback, so that tests can run side by side, break their hub and take it off the network.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::need;
use super::plain_git::{git, git_command, printed, try_git};
use super::server::{Kind, Server, Site, programs};

/// The branch that everybody shares.
pub(crate) const MAIN: &str = "main";

/// How clients reach a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A plain path on this machine.
    Path,
    /// A `file://` address.
    FileUrl,
    /// `ssh://`, through a real sshd.
    Ssh,
    /// Smart `http://`, through nginx, fcgiwrap and git-http-backend.
    Http,
    /// `git://`, through git daemon.
    Daemon,
}

impl Transport {
    /// Every transport, the local ones first.
    pub(crate) const ALL: [Self; 5] = [Self::Path, Self::FileUrl, Self::Ssh, Self::Http, Self::Daemon];

    /// Runs a test that mostly waits over several transports at the same time; one whose server is not
    /// installed here is left out, and named.
    #[track_caller]
    pub(crate) fn each(transports: &[Self], test: impl Fn(Self) + Sync) {
        let name = need::test_name();
        std::thread::scope(|scope| {
            let here = transports.iter().filter(|transport| transport.is_here());
            let tests: Vec<_> = here
                .map(|transport| {
                    let thread = std::thread::Builder::new().name(name.clone());
                    (transport, thread.spawn_scoped(scope, || test(*transport)).expect("a thread begins"))
                })
                .collect();
            for (transport, test) in tests {
                assert!(test.join().is_ok(), "over {transport:?}");
            }
        });
    }

    /// Whether what serves hubs this way is installed; if not, that is noted.
    #[track_caller]
    #[must_use]
    pub(crate) fn is_here(self) -> bool {
        self.server().is_none_or(|kind| need::is_here(programs(kind)))
    }

    /// This transport, or on a machine without its server that of `git daemon`, which comes with git: so
    /// `cargo test` works with nothing but Rust and git, and a hub over a connection stays one.
    fn here(self) -> Self {
        if self.is_here() { self } else { Self::Daemon }
    }

    fn server(self) -> Option<Kind> {
        match self {
            Self::Path | Self::FileUrl => None,
            Self::Ssh => Some(Kind::Sshd),
            Self::Http => Some(Kind::Nginx),
            Self::Daemon => Some(Kind::GitDaemon),
        }
    }
}

/// One hub; its server ends and its files go when it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Hub {
    // Before `root`: fields are dropped in this order, and the server lives in the directory.
    server: Option<Arc<Mutex<Server>>>,
    transport: Transport,
    repository: PathBuf,
    root: TempDir,
}

impl Hub {
    /// Makes an empty hub below `folder` and starts its server.
    #[track_caller]
    pub(super) fn start_in(folder: &Path, transport: Transport) -> Self {
        let transport = transport.here();
        let root = tempfile::Builder::new().prefix("muster-hub-").tempdir_in(folder);
        let root = root.expect("a temporary directory");
        let repository = root.path().join("hub.git");
        git(root.path(), ["init", "--quiet", "--bare", "-b", MAIN, "hub.git"]);
        let server = transport.server().map(|kind| {
            let directory = root.path().join("server");
            fs::create_dir(&directory).expect("the directory is ours");
            let name = root.path().file_name().expect("a directory has a name");
            let token = name.display().to_string();
            if kind == Kind::Nginx {
                git(&repository, ["config", "http.receivepack", "true"]);
            }
            let site = Site { directory, repository: repository.clone(), token };
            Arc::new(Mutex::new(Server::start(kind, site)))
        });
        Self { server, transport, repository, root }
    }

    /// A hub like this one as it is now, behind the same server: for many tests that begin alike.
    /// It has to go before the one it was copied from.
    #[track_caller]
    pub(crate) fn copy(&self) -> Self {
        let root = tempfile::Builder::new().prefix("copy-").tempdir_in(self.root.path());
        let root = root.expect("the directory is ours");
        let repository = root.path().join("hub.git");
        copy_folder(&self.repository, &repository);
        Self { server: self.server.clone(), transport: self.transport, repository, root }
    }

    /// Where the server in front of it listens, if it has one.
    #[must_use]
    pub(crate) fn port(&self) -> Option<u16> {
        self.server.as_ref().map(|server| server.lock().unwrap().port())
    }

    /// The address that a client is given.
    #[must_use]
    pub(crate) fn url(&self) -> String {
        let path = self.repository.display();
        match &self.server {
            Some(server) => server.lock().unwrap().url(&self.repository),
            None if self.transport == Transport::FileUrl => format!("file://{path}"),
            None => path.to_string(),
        }
    }

    /// What a client needs in its environment besides the address.
    #[must_use]
    pub(crate) fn client_env(&self) -> Vec<(String, String)> {
        let server = self.server.as_ref();
        server.map_or_else(Vec::new, |server| server.lock().unwrap().client_env())
    }

    /// How clients reach it.
    #[must_use]
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// The bare repository on disk, to look at behind everybody's back.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.repository
    }

    /// Runs `git` on the bare repository and returns what it printed; it has to succeed.
    #[track_caller]
    pub(crate) fn git<I, S>(&self, args: I) -> String
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        git(&self.repository, args)
    }

    /// The commit that `branch` points to, if there is one.
    #[track_caller]
    #[must_use]
    pub(crate) fn tip(&self, branch: &str) -> Option<String> {
        let name = format!("refs/heads/{branch}");
        let output = try_git(&self.repository, ["rev-parse", "--verify", "--quiet", &name]);
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(id)
    }

    /// Installs a server-side hook such as `pre-receive`; `script` begins with `#!`.
    #[track_caller]
    pub(crate) fn install_hook(&self, name: &str, script: &str) {
        let hooks = self.repository.join("hooks");
        fs::create_dir_all(&hooks).expect("the hub is ours");
        let hook = hooks.join(name);
        fs::write(&hook, script).expect("the hub is ours");
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("the hub is ours");
    }

    /// Puts files on `branch` with one commit, as some other program would; returns the commit.
    #[track_caller]
    pub(crate) fn put<B: AsRef<[u8]>>(&self, branch: &str, files: &[(&str, B)], subject: &str) -> String {
        let work = tempfile::tempdir_in(self.root.path()).expect("the directory is ours");
        let on_index = |args: &[&str]| {
            let mut command = git_command(&self.repository, args);
            command.env("GIT_INDEX_FILE", work.path().join("index"));
            let output = command.output().expect("git starts");
            printed(&command, &output).trim().to_owned()
        };
        let parent = self.tip(branch);
        if let Some(parent) = &parent {
            on_index(&["read-tree", parent]);
        }
        for (path, content) in files {
            let file = work.path().join("content");
            fs::write(&file, content).expect("the directory is ours");
            let file = file.to_str().expect("a temporary path is text");
            let blob = on_index(&["hash-object", "-w", "--no-filters", file]);
            let entry = format!("100644,{blob},{path}");
            on_index(&["update-index", "--add", "--cacheinfo", &entry]);
        }
        let tree = on_index(&["write-tree"]);
        let mut commit = vec!["commit-tree", "-m", subject, &tree];
        if let Some(parent) = &parent {
            commit.extend(["-p", parent]);
        }
        let commit = on_index(&commit);
        let branch = format!("refs/heads/{branch}");
        // An empty old value means: the branch must not exist.
        let expected = parent.as_deref().unwrap_or("0000000000000000000000000000000000000000");
        self.git(["update-ref", &branch, &commit, expected]);
        commit
    }

    /// Takes the hub off the network, or moves its directory away where there is no network.
    #[track_caller]
    pub(crate) fn go_down(&self) {
        match &self.server {
            Some(server) => server.lock().unwrap().stop(),
            None => fs::rename(&self.repository, self.away()).expect("the hub is there"),
        }
    }

    /// Brings the hub back where it was.
    #[track_caller]
    pub(crate) fn come_back(&self) {
        match &self.server {
            Some(server) => server.lock().unwrap().start_again(),
            None => fs::rename(self.away(), &self.repository).expect("the hub is away"),
        }
    }

    /// The directory of the server in front of it: its keys, its greeting.
    #[must_use]
    pub(crate) fn server_directory(&self) -> PathBuf {
        self.root.path().join("server")
    }

    fn away(&self) -> PathBuf {
        self.root.path().join("away.git")
    }
}

/// Copies a folder with everything in it. What vanishes meanwhile, such as a lock file, was not there.
pub(super) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the directory is ours");
    for entry in fs::read_dir(from).expect("it is there").flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).ok();
        }
    }
}
