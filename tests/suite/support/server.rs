//! What the servers in front of a hub have in common: a port of their own and proof that they answer.
//!
//! A port that was free a moment ago may be taken when the server binds it, so a start is tried again
//! on another port, and a server counts as ready only when its answer shows that it is *this* hub's:
//! two hubs that start at the same time can never take each other's server for their own.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::leash::Leashed;
use super::wait::wait_for;
use super::{git_daemon, need, nginx, sshd};

/// How often a start is tried on another port.
const START_ATTEMPTS: u32 = 5;
/// How long a server may take until it answers, on a machine that is busy with other tests.
const READY_BOUND: Duration = Duration::from_secs(30);
/// How long one answer may take.
const ANSWER_BOUND: Duration = Duration::from_secs(5);
/// More than any answer that tells a hub's server from another.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The servers that this suite can put in front of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// OpenSSH's `sshd`.
    Sshd,
    /// nginx, fcgiwrap and git's own `git-http-backend`.
    Nginx,
    /// `git daemon`.
    GitDaemon,
}

/// What came back from a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This hub's server is ready.
    Ours,
    /// The port belongs to somebody else.
    Foreign,
    /// Nobody yet, or not all of it.
    NotYet,
}

/// Where a server finds its hub and may write.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// Directory for configuration, sockets and logs.
    pub(crate) directory: PathBuf,
    /// The bare repository.
    pub(crate) repository: PathBuf,
    /// A word that no other hub has, which the server puts into its answers.
    pub(crate) token: String,
}

/// One server on loopback, ended on drop.
#[derive(Debug)]
#[must_use]
pub(crate) struct Server {
    kind: Kind,
    site: Site,
    port: u16,
    children: Vec<Leashed>,
}

impl Server {
    /// Starts a server on a free port and waits until it answers.
    #[track_caller]
    pub(crate) fn start(kind: Kind, site: Site) -> Self {
        let mut server = Self { kind, site, port: 0, children: Vec::new() };
        for _ in 0..START_ATTEMPTS {
            server.port = free_port();
            if server.launch() {
                return server;
            }
        }
        panic!("{kind:?} does not start\n{}", server.logs());
    }

    /// Ends the server; its port refuses connections from now on.
    pub(crate) fn stop(&mut self) {
        self.children.clear();
    }

    /// Starts the server again on the port it had.
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        assert!(self.launch(), "{:?} does not start again\n{}", self.kind, self.logs());
    }

    /// The address of a repository through this server: of its own hub, or of one that lies below
    /// the same directory.
    #[must_use]
    pub(crate) fn url(&self, repository: &Path) -> String {
        match self.kind {
            Kind::Sshd => sshd::url(repository),
            Kind::Nginx => nginx::url(&self.site, self.port, repository),
            Kind::GitDaemon => git_daemon::url(&self.site, self.port),
        }
    }

    /// Where it listens on loopback.
    #[must_use]
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What a client needs in its environment to reach the hub.
    #[must_use]
    pub(crate) fn client_env(&self) -> Vec<(String, String)> {
        match self.kind {
            Kind::Sshd => sshd::client_env(&self.site),
            Kind::Nginx | Kind::GitDaemon => Vec::new(),
        }
    }

    /// Starts the processes; `false` when the port turned out to be taken.
    fn launch(&mut self) -> bool {
        self.children = match self.kind {
            Kind::Sshd => sshd::launch(&self.site, self.port),
            Kind::Nginx => nginx::launch(&self.site, self.port),
            Kind::GitDaemon => git_daemon::launch(&self.site, self.port),
        };
        let ready = wait_for(READY_BOUND, || {
            let ended = |child: &mut Leashed| child.exit_within(Duration::ZERO).is_some();
            if self.children.iter_mut().any(ended) {
                return Some(false);
            }
            let answer = match self.kind {
                Kind::Sshd => sshd::probe(&self.site, self.port),
                Kind::Nginx => nginx::probe(&self.site, self.port),
                Kind::GitDaemon => git_daemon::probe(&self.site, self.port),
            };
            match answer {
                Answer::Ours => Some(true),
                Answer::Foreign => Some(false),
                Answer::NotYet => None,
            }
        });
        let ready = ready == Some(true);
        if !ready {
            self.stop();
        }
        ready
    }

    /// Every log that the server wrote, for the report of a failed start.
    fn logs(&self) -> String {
        let entries = fs::read_dir(&self.site.directory).into_iter().flatten();
        entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .map(|path| {
                let text = fs::read(&path).unwrap_or_default();
                format!("{}:\n{}", path.display(), String::from_utf8_lossy(&text))
            })
            .collect()
    }
}

/// Sends `question` to a port on loopback and returns the answer until its end, or until `enough`.
#[must_use]
pub(crate) fn ask(port: u16, question: &[u8], enough: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_BOUND).ok()?;
    stream.set_read_timeout(Some(ANSWER_BOUND)).ok()?;
    stream.write_all(question).ok()?;
    let mut answer = Vec::new();
    for byte in BufReader::new(stream.take(ANSWER_BYTES_MAX)).bytes() {
        answer.push(byte.ok()?);
        if enough(&answer) {
            break;
        }
    }
    (!answer.is_empty()).then_some(answer)
}

/// Finds a server program.
#[track_caller]
#[must_use]
pub(crate) fn find_program(name: &str) -> PathBuf {
    need::find(name)
        .unwrap_or_else(|| panic!("`{name}` is not here: `apt-get install {}`", need::package(name)))
}

/// The programs of a kind of server.
#[must_use]
pub(crate) fn programs(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Sshd => &["sshd", "ssh", "ssh-keygen"],
        Kind::Nginx => &["nginx", "fcgiwrap"],
        // It comes with git.
        Kind::GitDaemon => &[],
    }
}

/// Opens a log for a server's output, in `directory`.
#[track_caller]
#[must_use]
pub(crate) fn open_log(directory: &Path, name: &str) -> fs::File {
    fs::File::create(directory.join(name)).expect("a log can be written")
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    listener.local_addr().expect("a bound address").port()
}
