//! Environment variables and where this user's files lie. The only reader of the environment.

use std::path::PathBuf;

/// The value of a variable; unset and empty are the same.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one door to the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// All variables of this process.
#[must_use]
pub fn variables() -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    std::env::vars_os().collect()
}

/// Whether the environment says something of git's configuration, or where it lies; libgit2 does not
/// read all of that.
#[must_use]
pub fn names_git_configuration() -> bool {
    variables().iter().any(|(name, _)| name.to_string_lossy().starts_with("GIT_CONFIG"))
}

/// What follows the name of the program on the command line, as far as it is text.
pub fn arguments() -> impl Iterator<Item = String> {
    std::env::args_os().skip(1).filter_map(|argument| argument.into_string().ok())
}

/// Where the program `name` lies, as a shell would find it.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| nix::unistd::eaccess(file, nix::unistd::AccessFlags::X_OK).is_ok() && file.is_file())
}

/// The directory the command was called in.
///
/// # Errors
/// When it does not exist any more.
#[expect(clippy::disallowed_methods, reason = "the one door to the working directory")]
pub fn working_directory() -> std::io::Result<PathBuf> {
    std::env::current_dir()
}

/// The directory the command works in, where that is another than the one that its user stands in: as after
/// `git -C`. Only a shell says where that is.
#[must_use]
pub fn elsewhere() -> Option<PathBuf> {
    let place = |path: &std::path::Path| path.canonicalize().ok();
    let (here, shell) = (working_directory().ok()?, place(variable("PWD")?.as_ref())?);
    (place(&here)? != shell).then_some(here)
}

/// The path of this program, to start it again.
///
/// # Errors
/// When the system does not tell.
pub fn own_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

fn base(variable_name: &str, below_home: &str) -> PathBuf {
    let named = variable(variable_name).map(PathBuf::from).filter(|path| path.is_absolute());
    named.unwrap_or_else(|| home().join(below_home)).join("git-muster")
}

/// The user's home; the root directory when there is none, as for some cron lines.
#[must_use]
pub fn home() -> PathBuf {
    home_named().unwrap_or_else(|| PathBuf::from("/"))
}

/// What names the home. A path that is not absolute would be another folder in each folder.
fn home_named() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

/// Why nothing says where the user's home is, if that is so.
#[must_use]
pub fn why_no_home() -> Option<&'static str> {
    match (home_named(), variable("HOME")) {
        (Some(_), _) => None,
        (None, None) => Some("HOME is not set"),
        (None, Some(_)) => Some("HOME is no absolute path and is passed over"),
    }
}

/// Where copies of hubs lie that can be fetched again.
#[must_use]
pub fn cache_dir() -> PathBuf {
    base("XDG_CACHE_HOME", ".cache")
}

/// Where this user's configuration lies.
#[must_use]
pub fn config_dir() -> PathBuf {
    base("XDG_CONFIG_HOME", ".config")
}

/// Where data lies that exists nowhere else: the embedded hub.
#[must_use]
pub fn data_dir() -> PathBuf {
    base("XDG_DATA_HOME", ".local/share")
}

/// Where what we remember between runs lies: sessions, observations, unsettled operations.
#[must_use]
pub fn state_dir() -> PathBuf {
    base("XDG_STATE_HOME", ".local/state")
}

/// The machine's own name.
#[must_use]
pub fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Whether this process may do what the administrator may.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The id of this process.
#[must_use]
pub fn process_id() -> u32 {
    std::process::id()
}

/// The system's folder for what need not last.
#[must_use]
pub fn temporary_dir() -> PathBuf {
    std::env::temp_dir()
}
