//! `git daemon`, git's own unauthenticated protocol, with pushing allowed.

use std::path::Path;
use std::process::Stdio;

use super::leash::Leashed;
use super::plain_git::HERMETIC_GIT;
use super::server::{Answer, Site, ask, open_log};

/// Starts `git daemon` on `port`.
#[track_caller]
pub(crate) fn launch(site: &Site, port: u16) -> Vec<Leashed> {
    let log = open_log(&site.directory, "git-daemon.log");
    let server = Leashed::spawn("git".as_ref(), Path::new("/dev/null"), |command| {
        command
            .args(["daemon", "--export-all", "--enable=receive-pack"])
            .args(["--reuseaddr", "--listen=127.0.0.1", "--max-connections=0"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", base_path(site).display()))
            .arg(&site.repository)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(HERMETIC_GIT)
            .stdout(Stdio::null())
            .stderr(log);
    });
    vec![server]
}

/// Asks for the hub's refs: another hub's daemon does not export a repository of that name.
pub(crate) fn probe(site: &Site, port: u16) -> Answer {
    let request = format!("git-upload-pack {}\0host=127.0.0.1\0", location(site));
    let line = format!("{:04x}{request}", request.len() + 4);
    // Of an empty hub git before 2.43 says nothing but the end of what it has.
    let enough = |answer: &[u8]| answer == b"0000" || answer.len() >= 8;
    let Some(answer) = ask(port, line.as_bytes(), enough) else {
        return Answer::NotYet;
    };
    let refused = answer.get(4..8) == Some(b"ERR ".as_slice());
    let is_git = answer.iter().take(4).all(u8::is_ascii_hexdigit);
    if is_git && !refused { Answer::Ours } else { Answer::Foreign }
}

pub(crate) fn url(site: &Site, port: u16) -> String {
    format!("git://127.0.0.1:{port}{}", location(site))
}

/// The directory that holds every hub's directory, so that the address names the hub.
fn base_path(site: &Site) -> &Path {
    let hub = site.repository.parent().expect("a repository lies somewhere");
    hub.parent().expect("a hub lies in a temporary directory")
}

/// The repository's place below [`base_path`], with a slash before it.
fn location(site: &Site) -> String {
    let below = site.repository.strip_prefix(base_path(site));
    format!("/{}", below.expect("it lies below").display())
}
