//! Smart HTTP as it is usually served: nginx, fcgiwrap and git's own `git-http-backend`.
//!
//! nginx gets a prefix of its own, so that it neither reads `/etc/nginx` nor writes below `/var`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;

use super::leash::Leashed;
use super::plain_git::{HERMETIC_GIT, git};
use super::server::{Answer, Site, ask, find_program, open_log};

/// Requests that are worked on at the same time; one fcgiwrap process serves one request.
const BACKENDS: &str = "8";

/// Starts fcgiwrap and nginx on `port`.
#[track_caller]
pub(crate) fn launch(site: &Site, port: u16) -> Vec<Leashed> {
    let (nginx, fcgiwrap) = (find_program("nginx"), find_program("fcgiwrap"));
    let directory = &site.directory;
    let configuration = directory.join("nginx.conf");
    fs::write(&configuration, configuration_text(site, port)).expect("the directory is ours");
    let socket = directory.join("fcgi.sock");
    // A socket of an earlier start would make fcgiwrap refuse to bind.
    fs::remove_file(&socket).ok();
    let backend_log = open_log(directory, "fcgiwrap.log");
    let backend = Leashed::spawn(fcgiwrap.as_os_str(), Path::new("/dev/null"), |command| {
        command
            .args(["-f", "-c", BACKENDS, "-s"])
            .arg(format!("unix:{}", socket.display()))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdout(Stdio::null())
            .stderr(backend_log);
    });
    let front_log = open_log(directory, "nginx.log");
    let front = Leashed::spawn(nginx.as_os_str(), Path::new("/dev/null"), |command| {
        command
            .arg("-e")
            .arg(directory.join("nginx-error.log"))
            .arg("-p")
            .arg(directory)
            .arg("-c")
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(front_log);
    });
    vec![front, backend]
}

/// Asks nginx for the hub's token and the backend for the hub.
pub(crate) fn probe(site: &Site, port: u16) -> Answer {
    let get = |path: &str| {
        let question = format!("GET {path} HTTP/1.0\r\n\r\n");
        let answer = ask(port, question.as_bytes(), |_| false)?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    };
    match get("/token") {
        None => return Answer::NotYet,
        Some(text) if !text.ends_with(&site.token) => return Answer::Foreign,
        Some(_) => {}
    }
    match get("/hub.git/HEAD") {
        Some(text) if text.starts_with("HTTP/1.1 200 ") => Answer::Ours,
        _ => Answer::NotYet,
    }
}

pub(crate) fn url(site: &Site, port: u16, repository: &Path) -> String {
    let root = site.repository.parent().expect("a repository lies somewhere");
    let name = repository.strip_prefix(root).expect("it lies below the directory that is served");
    format!("http://127.0.0.1:{port}/{}", name.display())
}

fn configuration_text(site: &Site, port: u16) -> String {
    let directory = site.directory.display();
    let root = site.repository.parent().expect("a repository lies somewhere");
    let root_directory = root.display();
    let token = &site.token;
    let exec_path = exec_path();
    // Started by root, the workers would become a user that cannot reach the socket.
    let starts_as_root = fs::metadata(root).expect("it exists").uid() == 0;
    let user = if starts_as_root { "user root;" } else { "" };
    let hermetic: String =
        HERMETIC_GIT.map(|(name, value)| format!("fastcgi_param {name} {value};\n      ")).concat();
    let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {directory}/{name};\n  "))
        .concat();
    format!(
        "daemon off;\n{user}\nworker_processes 1;\npid {directory}/nginx.pid;\n\
         error_log {directory}/nginx-error.log;\nevents {{ worker_connections 512; }}\n\
         http {{
  access_log off;
  {scratch}client_max_body_size 0;
  server {{
    listen 127.0.0.1:{port};
    location = /token {{ default_type text/plain; return 200 {token}; }}
    location / {{
      fastcgi_pass unix:{directory}/fcgi.sock;
      fastcgi_read_timeout 300;
      {hermetic}fastcgi_param SCRIPT_FILENAME {exec_path}/git-http-backend;
      fastcgi_param GIT_PROJECT_ROOT {root_directory};
      fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param PATH_INFO $uri;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param REMOTE_ADDR $remote_addr;
      fastcgi_param SERVER_PROTOCOL $server_protocol;
    }}
  }}
}}\n"
    )
}

/// Where git keeps `git-http-backend`, asked once.
fn exec_path() -> &'static str {
    static EXEC_PATH: OnceLock<String> = OnceLock::new();
    EXEC_PATH.get_or_init(|| git(Path::new("/"), ["--exec-path"]).trim().to_owned())
}
