//! Which hub, which branch, who am I: flags before environment before configuration files, each
//! value with the place it came from.

use super::GlobalArgs;
use super::error::CliError;
use super::which::{self, BRANCH_DEFAULT, HubChoice, NOT_ASKED};
use crate::domain::code::Code;
use crate::domain::id::{ServerName, check_branch};
use crate::domain::time::parse_span;
use crate::git::{Location, is_tracked};
use crate::machine::{clock, environment, files};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one write may take when nothing says otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How long to wait for another process of this host when nothing says otherwise: the first
/// scripts' `LOCK_WAIT`.
const LOCK_WAIT_DEFAULT: Duration = Duration::from_secs(10);

/// The first scripts' file with the name of the server, in its clone.
const ID_FILE: &str = ".build_server_id";

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from: `--hub`, `MUSTER_HUB`, a file, `default`.
    pub origin: String,
}

pub(super) fn from<T>(value: T, origin: impl Into<String>) -> Setting<T> {
    Setting { value, origin: origin.into() }
}

/// What `join` wrote for this user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserConfig {
    /// The hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// Its branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// This server's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// The user's configuration file.
#[must_use]
pub(super) fn user_config_path() -> PathBuf {
    environment::config_dir().join("config.json")
}

/// Where the embedded hub lies.
#[must_use]
pub(super) fn embedded_hub_path() -> PathBuf {
    environment::data_dir().join("hub.git")
}

impl UserConfig {
    /// Reads it; absent is empty.
    ///
    /// # Errors
    /// When it cannot be read or holds an unknown key.
    pub(super) fn read() -> Result<Self, CliError> {
        let path = user_config_path();
        match files::read(&path)? {
            None => Ok(Self::default()),
            Some(text) => Self::parse(&text).map_err(|error| {
                CliError::new(
                    Code::SettingInvalid,
                    format!("invalid configuration `{}`: {error}", path.display()),
                )
                .fact("origin", path.display().to_string())
                .fact("why", error.to_string())
                .hint(format!("valid keys: `hub`, `branch`, `server`; {JOIN_ANEW}"))
            }),
        }
    }

    /// Reads it to write it anew: what cannot be used is as good as absent.
    pub(super) fn read_usable() -> Self {
        let user = Self::read().unwrap_or_default();
        Self { branch: user.branch.filter(|branch| check_branch(branch).is_ok()), ..user }
    }

    /// Renames the file if it cannot be used, and tells its new name: somebody may want to know
    /// what it said.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub(super) fn set_broken_aside() -> Result<Option<PathBuf>, CliError> {
        if Self::read().is_ok() {
            return Ok(None);
        }
        let path = user_config_path();
        let aside = path.with_extension(format!("json.broken-{}", clock::wall().compact()));
        files::set_aside(&path, &aside)?;
        Ok(Some(aside))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    pub(crate) fn to_text(&self) -> Result<String, serde_json::Error> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// Writes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self) -> Result<(), CliError> {
        let text = self.to_text().map_err(|error| CliError::new(Code::Internal, error.to_string()))?;
        Ok(files::write_private(&user_config_path(), &text)?)
    }
}

/// What mends the user's file: a sentence with a command that works as it stands.
const JOIN_ANEW: &str = "write it again with `git muster join URL --as NAME`; in a clone of the hub, or for the per-user hub, with `git muster join --as NAME`";

/// A name of this server that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadName {
    /// What says it.
    pub origin: String,
    /// What is wrong with it.
    pub why: String,
}

/// Everything that decides how a command works.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The hub, if there is one.
    pub hub: Option<Setting<Location>>,
    /// Its branch.
    pub branch: Setting<String>,
    /// Whether `--hub-branch` said it, which means nothing else wherever it stands.
    pub is_hub_branch_said: bool,
    /// The clone of the hub that the command runs in, if it does.
    pub clone: Option<PathBuf>,
    /// How hub and clone were found.
    pub which: HubChoice,
    /// Who am I, if that is known.
    pub server: Option<Setting<ServerName>>,
    /// Whether that name was given by a `join` of another hub.
    pub is_name_of_another_hub: bool,
    /// What is said to be the name and cannot be: who needs no name works all the same.
    pub bad_name: Option<BadName>,
    /// How long one write may take.
    pub timeout: Setting<Duration>,
    /// How long to wait for another process of this host.
    pub lock_wait: Setting<Duration>,
}

impl Settings {
    /// Gathers them.
    ///
    /// # Errors
    /// When a value cannot be used; names where it came from.
    pub(super) fn gather(args: &GlobalArgs) -> Result<Self, CliError> {
        let (settings, wrong) = Self::examine(args)?;
        wrong.into_iter().next().map_or(Ok(settings), Err)
    }

    /// What the command line says of hub, branch and server, as variables for a command that we run: what
    /// it calls has to be about the same. Without a password that stands in an address.
    pub(super) fn said(&self) -> Vec<(&'static str, String)> {
        let hub = self.hub.as_ref().filter(|hub| hub.origin == "--hub").map(|hub| hub.value.shown());
        let branch = Some(&self.branch).filter(|branch| branch.origin == "--branch");
        let server = self.server.as_ref().filter(|server| server.origin == "--server");
        let all = [
            ("MUSTER_HUB", hub),
            ("MUSTER_BRANCH", branch.map(|branch| branch.value.clone())),
            ("MUSTER_SERVER", server.map(|server| server.value.to_string())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Gathers them for a command that writes the user's file anew, whatever it says now.
    ///
    /// # Errors
    /// When any other value cannot be used.
    pub(super) fn gather_to_join(args: &GlobalArgs) -> Result<Self, CliError> {
        let (settings, wrong) = Self::examine_with(args, &UserConfig::read_usable(), Vec::new())?;
        wrong.into_iter().next().map_or(Ok(settings), Err)
    }

    /// Gathers those that can be used, with the defaults for the others, and what is wrong with
    /// these.
    ///
    /// # Errors
    /// When the folder that the command was called in is gone.
    pub(super) fn examine(args: &GlobalArgs) -> Result<(Self, Vec<CliError>), CliError> {
        let mut wrong = Vec::new();
        let user = or_else(UserConfig::read(), UserConfig::default, &mut wrong);
        Self::examine_with(args, &user, wrong)
    }

    fn examine_with(
        args: &GlobalArgs,
        user: &UserConfig,
        mut wrong: Vec<CliError>,
    ) -> Result<(Self, Vec<CliError>), CliError> {
        let folder = environment::working_directory()?;
        let which = or_else(which::find(args, user, &folder), HubChoice::nothing, &mut wrong);
        let default_branch = || from(BRANCH_DEFAULT.to_owned(), NOT_ASKED);
        let branch = or_else(which::find_branch(args, user, &which), default_branch, &mut wrong);
        let clone = which::top(&which);
        let server = or_else(find_server(args, user, &folder, which.own.as_deref()), || None, &mut wrong);
        let (server, bad_name) = match server.map(|said| (ServerName::new(&said.value), said.origin)) {
            None => (None, None),
            Some((Ok(name), origin)) => (Some(from(name, origin)), None),
            Some((Err(error), origin)) => (None, Some(BadName { origin, why: error.to_string() })),
        };
        if let Some(bad) = bad_name.as_ref().filter(|bad| bad.origin.starts_with("--")) {
            wrong.push(unusable(&bad.origin, &bad.why));
        }
        let timeout = span(
            args.hub_timeout.as_deref().or(args.timeout.as_deref()),
            if args.hub_timeout.is_some() { "--hub-timeout" } else { "--timeout" },
            "MUSTER_TIMEOUT",
            TIMEOUT_DEFAULT,
        );
        let timeout = or_else(timeout, || from(TIMEOUT_DEFAULT, "default"), &mut wrong);
        let lock_wait = span(None, "", "LOCK_WAIT", LOCK_WAIT_DEFAULT);
        let lock_wait = or_else(lock_wait, || from(LOCK_WAIT_DEFAULT, "default"), &mut wrong);
        let hub = which.hub.clone();
        let is_joined = |hub: &Location| {
            user.hub.as_ref().is_none_or(|joined| hub.is_place_of(&Location::parse(joined, &folder)))
        };
        let is_name_of_another_hub = server.as_ref().is_some_and(|name| name.origin == user_file())
            && hub.as_ref().is_some_and(|hub| !is_joined(&hub.value));
        let settings = Self {
            hub,
            branch,
            is_hub_branch_said: args.hub_branch.is_some(),
            clone,
            which,
            server,
            is_name_of_another_hub,
            bad_name,
            timeout,
            lock_wait,
        };
        Ok((settings, wrong))
    }

    /// Settings that are said in several ways at once, one sentence each: what counts and what was
    /// passed over.
    #[must_use]
    pub(super) fn contradictions(&self) -> Vec<String> {
        let said = |name: &str| environment::variable(name);
        let mut found = Vec::new();
        if let (Some(ours), Some(first)) = (said("MUSTER_SERVER"), said("SERVER_ID"))
            && ours != first
        {
            found
                .push(format!("MUSTER_SERVER is `{ours}` and SERVER_ID is `{first}`; MUSTER_SERVER is used"));
        }
        found.extend(self.which.passed_over.clone());
        for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
            if said(name).is_some_and(|path| !Path::new(&path).is_absolute()) {
                found.push(format!("{name} is not an absolute path and is ignored"));
            }
        }
        if let Some(why) = environment::why_no_home() {
            found.push(format!("{why}, so the user's files are searched in the root directory"));
        }
        found
    }

    /// The hub, or why there is none.
    ///
    /// # Errors
    /// When nothing names one.
    pub(super) fn hub(&self) -> Result<&Location, CliError> {
        self.hub.as_ref().map(|hub| &hub.value).ok_or_else(|| {
            let error = CliError::new(Code::HubNotConfigured, "no hub configured")
                .hint("for one machine run `git muster init`; for several run `git muster join URL --as NAME`, or pass `--hub URL`");
            without_home(error, "MUSTER_HUB")
        })
    }

    /// Goes to another hub than the one that was found. A clone of the other says nothing about it.
    pub(super) fn go_to(&mut self, hub: Location, origin: &str) {
        if !self.hub.as_ref().is_some_and(|before| before.value.is_spelling_of(&hub)) {
            (self.clone, self.which.own) = (None, None);
            if !["--branch", "MUSTER_BRANCH"].contains(&self.branch.origin.as_str()) {
                self.branch = which::of_hub(&UserConfig::read_usable(), Some(&hub), None);
            }
        }
        self.hub = Some(from(hub, origin));
    }

    /// Who am I, or why that is not known.
    ///
    /// # Errors
    /// When nothing says it: there is no default, because a guess would write in another's name.
    pub(super) fn server(&self) -> Result<&ServerName, CliError> {
        if let Some(bad) = &self.bad_name {
            return Err(unusable(&bad.origin, &bad.why).nothing_written());
        }
        self.server.as_ref().map(|server| &server.value).ok_or_else(|| {
            let error = CliError::new(Code::ServerNotConfigured, "no server name configured").unwritten()
                .hint("pass `--server NAME`, set MUSTER_SERVER, or register this machine with `git muster join URL --as NAME`");
            without_home(error, "MUSTER_SERVER")
        })
    }
}

/// The error, with what it most likely comes from in a service or a cron job that was given no home.
fn without_home(error: CliError, variable: &str) -> CliError {
    match environment::why_no_home() {
        None => error,
        Some(why) => error.hint(format!(
            "{why}, which is needed to find the user's settings from `join`; set it, or {variable}"
        )),
    }
}

/// The value, or another one and the error beside.
fn or_else<T>(found: Result<T, CliError>, other: impl FnOnce() -> T, wrong: &mut Vec<CliError>) -> T {
    found.unwrap_or_else(|error| {
        wrong.push(error);
        other()
    })
}

fn find_server(
    args: &GlobalArgs,
    user: &UserConfig,
    folder: &Path,
    clone: Option<&Path>,
) -> Result<Option<Setting<String>>, CliError> {
    let file = |path: PathBuf| -> Result<Option<Setting<String>>, CliError> {
        let text = files::read(&path)?.map(|text| text.trim().to_owned());
        Ok(text.filter(|text| !text.is_empty()).map(|text| from(text, path.display().to_string())))
    };
    let mut found = args.server.clone().map(|name| from(name, "--server"));
    for variable in ["MUSTER_SERVER", "SERVER_ID"] {
        found = found.or_else(|| environment::variable(variable).map(|name| from(name, variable)));
    }
    // One that came with the hub would make all clones the same server, whoever wrote it.
    let is_the_hubs = clone.is_some_and(|top| is_tracked(top, Path::new(ID_FILE)));
    if found.is_none() && !is_the_hubs {
        found = file(clone.unwrap_or(folder).join(ID_FILE))?;
    }
    if found.is_none() {
        found = file(PathBuf::from("/etc/build_server_id"))?;
    }
    Ok(found
        .or_else(|| Some(from(crate::git::configured(clone?, "muster.server")?, "git config muster.server")))
        .or_else(|| Some(from(user.server.clone()?, user_file()))))
}

/// The user's configuration file as the origin of what it says.
fn user_file() -> String {
    user_config_path().display().to_string()
}

fn span(
    flag: Option<&str>,
    flag_name: &str,
    variable: &str,
    default: Duration,
) -> Result<Setting<Duration>, CliError> {
    let setting = match (flag, environment::variable(variable)) {
        (Some(text), _) => from(text.to_owned(), flag_name),
        (None, Some(text)) => from(text, variable),
        (None, None) => return Ok(from(default, "default")),
    };
    match parse_span(&setting.value) {
        Ok(value) => Ok(from(value, setting.origin)),
        Err(why) => Err(unusable(&setting.origin, &why)),
    }
}

/// The error of a value that cannot be used: a wrong flag is a wrong command line, anything else
/// is configured wrongly.
pub(super) fn unusable(origin: &str, why: &str) -> CliError {
    if origin.starts_with("--") {
        return CliError::new(Code::ValueInvalid, format!("{why} (from {origin})")).fact("field", origin);
    }
    let hint = if *origin == *user_config_path().display().to_string() {
        JOIN_ANEW.to_owned()
    } else if origin.starts_with("git config") {
        "set another with `git config muster.server NAME`".to_owned()
    } else if origin.contains('/') {
        "change the value in that file, or remove the file".to_owned()
    } else {
        format!("unset {origin}, or set it to another value")
    };
    CliError::new(Code::SettingInvalid, format!("{why} (from {origin})"))
        .fact("origin", origin)
        .fact("why", why)
        .hint(hint)
}
