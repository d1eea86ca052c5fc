//! A real `sshd` with its own host key, configuration and list of keys, and a client that trusts it.
//!
//! Neither `~/.ssh` nor `/etc/ssh` is read or written: the client gets a configuration file of its own
//! through `GIT_SSH_COMMAND`, in which the host is called [`HOST`]. The session gets an empty home: bash
//! reads `~/.bashrc` when sshd starts it, and whatever lies there would be a part of the test.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::leash::Leashed;
use super::server::{Answer, Site, ask, find_program, open_log};

/// The name under which the client's configuration knows the server.
pub(crate) const HOST: &str = "hub.test";

/// sshd demands this directory when it starts as root.
const PRIVILEGE_SEPARATION_DIRECTORY: &str = "/run/sshd";

/// A cheap key exchange: what is tested is git's traffic, not the newest mathematics.
const KEY_EXCHANGE: &str = "curve25519-sha256";

/// Turns off the delays that newer versions impose on an address after broken connections, which the
/// tests make on purpose. Older versions refuse the line.
const NO_PENALTIES: &str = "PerSourcePenalties no\n";

/// Starts `sshd` on `port`.
#[track_caller]
pub(crate) fn launch(site: &Site, port: u16) -> Vec<Leashed> {
    let sshd = find_program("sshd");
    write_configuration(site, port);
    let configuration = site.directory.join("sshd_config");
    if *accepts_penalties_line(&sshd, &configuration) {
        let text = fs::read_to_string(&configuration).expect("it was just written");
        fs::write(&configuration, text + NO_PENALTIES).expect("the directory is ours");
    }
    let log = open_log(&site.directory, "sshd.log");
    let server = Leashed::spawn(sshd.as_os_str(), Path::new("/dev/null"), |command| {
        command.args(["-D", "-e", "-f"]).arg(&configuration).stdout(Stdio::null()).stderr(log);
    });
    vec![server]
}

/// Reads the server's greeting, which carries the hub's token.
pub(crate) fn probe(site: &Site, port: u16) -> Answer {
    match ask(port, b"", |greeting| greeting.ends_with(b"\n")) {
        None => Answer::NotYet,
        Some(greeting) if String::from_utf8_lossy(&greeting).trim().ends_with(&site.token) => Answer::Ours,
        Some(_) => Answer::Foreign,
    }
}

pub(crate) fn url(repository: &Path) -> String {
    format!("ssh://{HOST}{}", repository.display())
}

pub(crate) fn client_env(site: &Site) -> Vec<(String, String)> {
    let configuration = site.directory.join("ssh_config");
    let command = format!("ssh -F {}", configuration.display());
    vec![("GIT_SSH_COMMAND".to_owned(), command)]
}

fn write_configuration(site: &Site, port: u16) {
    let directory = site.directory.display();
    let token = &site.token;
    let path = std::env::var("PATH").expect("PATH is text");
    let key = key_pair();
    let starts_as_root = fs::metadata(&site.directory).expect("it exists").uid() == 0;
    if starts_as_root {
        fs::create_dir_all(PRIVILEGE_SEPARATION_DIRECTORY).expect("root may write there");
    }
    let server = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nPidFile none\nVersionAddendum {token}\n\
         HostKey {directory}/key\nAuthorizedKeysFile {directory}/key.pub\nStrictModes no\n\
         UsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication yes\n\
         KbdInteractiveAuthentication no\nUseDNS no\nPermitUserRC no\nPrintMotd no\n\
         PrintLastLog no\nBanner {directory}/greeting\nMaxStartups 500:30:1000\nMaxSessions 100\nKexAlgorithms {KEY_EXCHANGE}\n\
         SetEnv HOME={directory}/home \"PATH={path}\" GIT_CONFIG_GLOBAL=/dev/null \
         GIT_CONFIG_NOSYSTEM=1\n"
    );
    let client = format!(
        "Host {HOST}\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias {HOST}\n  \
         IdentityFile {directory}/key\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
         UserKnownHostsFile {directory}/known_hosts\n  GlobalKnownHostsFile /dev/null\n  \
         StrictHostKeyChecking yes\n  BatchMode yes\n  LogLevel ERROR\n  \
         KexAlgorithms {KEY_EXCHANGE}\n"
    );
    fs::create_dir_all(site.directory.join("home")).expect("the directory is ours");
    write_private(&site.directory.join("key"), &key.private);
    for (name, text) in [
        ("key.pub", key.public.as_str()),
        ("known_hosts", &format!("{HOST} {}", key.public)),
        ("sshd_config", &server),
        ("ssh_config", &client),
    ] {
        fs::write(site.directory.join(name), text).expect("the directory is ours");
    }
}

/// One key pair for the whole test run: it is the host's key and the only one that may log in.
struct KeyPair {
    private: String,
    public: String,
}

fn key_pair() -> &'static KeyPair {
    static KEY_PAIR: OnceLock<KeyPair> = OnceLock::new();
    KEY_PAIR.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let key = directory.path().join("key");
        let output = Command::new(find_program("ssh-keygen"))
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "muster-test", "-f"])
            .arg(&key)
            .stdin(Stdio::null())
            .output()
            .expect("ssh-keygen starts");
        assert!(output.status.success(), "ssh-keygen: {output:?}");
        let read = |path| fs::read_to_string(path).expect("ssh-keygen wrote it");
        KeyPair { private: read(key.clone()), public: read(key.with_extension("pub")) }
    })
}

fn write_private(path: &Path, text: &str) {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .expect("the directory is ours");
}

/// Whether this sshd knows [`NO_PENALTIES`], asked once.
fn accepts_penalties_line(sshd: &Path, configuration: &Path) -> &'static bool {
    static ACCEPTS: OnceLock<bool> = OnceLock::new();
    ACCEPTS.get_or_init(|| {
        Command::new(sshd)
            .args(["-t", "-o", NO_PENALTIES.trim(), "-f"])
            .arg(configuration)
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|output| output.status.success())
    })
}
