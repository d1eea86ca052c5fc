//! Who makes commits, by the one rule for all of them: hubs, heartbeats, logs, tags in sources.
//!
//! For name and e-mail, each by itself, the first of: `muster.name` and `muster.email` of git's
//! configuration; `user.name` and `user.email` of it; `GIT_AUTHOR_NAME`, `GIT_COMMITTER_NAME` and their
//! like in the environment, where author and committer may differ; the server. Commits are signed
//! where `commit.gpgSign` says so, by the git program with its own settings.

use super::permitted;
use super::program::GitProgram;
use crate::ledger::{LedgerError, Unfit};
use crate::machine::Machine;
use crate::machine::environment::variable;
use git2::{Config, Repository};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long signing one commit may take: a key on a card wants a touch.
const SIGNING_TIME_MAX: Duration = Duration::from_secs(20);

/// How long reading git's configuration may take.
const READING_TIME_MAX: Duration = Duration::from_secs(5);

/// What the git program signs by; of the clone around, whose configuration it does not read here.
const SIGNING_SETTINGS: &[&str] =
    &["gpg.format", "gpg.program", "gpg.ssh.program", "gpg.x509.program", "user.signingKey"];

/// The domain of addresses that nobody has.
const NOWHERE: &str = "git-muster.invalid";

/// A value and what set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value.
    pub value: String,
    /// What set it.
    pub origin: String,
}

/// A name and an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: Setting,
    /// The address.
    pub email: Setting,
}

/// Who makes commits, and whether they are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who wrote it.
    pub author: Person,
    /// Who put it there.
    pub committer: Person,
    /// Whether commits are signed, and what says so.
    pub sign: Option<String>,
    /// What git is told beside its own configuration when it signs.
    signing: Vec<String>,
}

impl Identity {
    /// That of `server`, as the configuration of the clone at `clone`, or of the user, has it.
    #[must_use]
    pub fn of(server: &str, clone: Option<&Path>) -> Self {
        let configured = configured(clone);
        let get = |key: &str| {
            let value = configured.get(&key.to_lowercase()).map(|value| clean(value));
            value.filter(|value| !value.is_empty())
        };
        let signs = configured.get("commit.gpgsign").is_some_and(|value| is_true(value));
        let signing = SIGNING_SETTINGS
            .iter()
            .filter_map(|key| Some(format!("{key}={}", configured.get(&key.to_lowercase())?)));
        Self {
            author: person("AUTHOR", server, &get),
            committer: person("COMMITTER", server, &get),
            sign: signs.then(|| "git config commit.gpgSign".to_owned()),
            signing: if clone.is_some() { signing.collect() } else { Vec::new() },
        }
    }

    /// Has the git program write a signed commit of a tree, and returns its id.
    ///
    /// # Errors
    /// When git cannot sign it.
    pub(super) fn sign(
        &self,
        git: &GitProgram,
        store: &Path,
        commit: &Unsigned<'_>,
    ) -> Result<String, LedgerError> {
        let mut arguments = Vec::new();
        for setting in &self.signing {
            arguments.extend(["-c".to_owned(), setting.clone()]);
        }
        arguments.extend(["commit-tree", "-S", "-m"].map(str::to_owned));
        arguments.extend([commit.message.trim_end().to_owned(), commit.tree.clone()]);
        if let Some(parent) = &commit.parent {
            arguments.extend(["-p".to_owned(), parent.clone()]);
        }
        let date = format!("@{} +0000", commit.seconds);
        let mut variables = vec![("GIT_AUTHOR_DATE", date.clone()), ("GIT_COMMITTER_DATE", date)];
        for (person, [name, email]) in [
            (&self.author, ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"]),
            (&self.committer, ["GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"]),
        ] {
            variables.extend([(name, person.name.value.clone()), (email, person.email.value.clone())]);
        }
        let done =
            git.run_with(store, &arguments, &variables, &Machine::real().deadline(SIGNING_TIME_MAX))?;
        let id = done.stdout.trim();
        if done.exit_code == Some(0) && !id.is_empty() {
            return Ok(id.to_owned());
        }
        let said: Vec<&str> = done.stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let why = format!("cannot sign a commit: {}", said.join("; "));
        Err(LedgerError::Configuration { cause: Unfit::Signing, why })
    }
}

/// A commit before it is signed.
pub(super) struct Unsigned<'a> {
    /// Its folder.
    pub tree: String,
    /// The one before it.
    pub parent: Option<String>,
    /// Its message.
    pub message: &'a str,
    /// When it is made.
    pub seconds: i64,
}

/// What is configured of what counts here, by key in lower case: as the clone at `clone` or else the
/// user has it.
type Configured = HashMap<String, String>;

fn configured(clone: Option<&Path>) -> Configured {
    // Tests of this crate are the same whoever runs them.
    if cfg!(test) && clone.is_none() {
        return Configured::new();
    }
    let local = || {
        let repository = Repository::open(clone?).ok()?;
        repository.config().ok()
    };
    let config = local().or_else(|| Config::open_default().ok());
    if config.as_ref().is_none_or(permitted::git_knows_more) {
        return told_by_git(clone).unwrap_or_default();
    }
    let config = config.and_then(|mut all| all.snapshot().ok());
    let own = ["muster.name", "muster.email", "user.name", "user.email", "commit.gpgSign"];
    let keys = own.iter().chain(SIGNING_SETTINGS);
    keys.filter_map(|key| Some((key.to_lowercase(), config.as_ref()?.get_string(key).ok()?))).collect()
}

/// The same as the git program reads it.
fn told_by_git(clone: Option<&Path>) -> Option<Configured> {
    let directory = clone.and_then(|clone| Some(Repository::open(clone).ok()?.path().to_owned()));
    let nowhere = || PathBuf::from("/nonexistent");
    let ask = ["config", "--null", "--get-regexp", r"^(muster|user|commit|gpg)\."].map(str::to_owned);
    let directory = directory.unwrap_or_else(nowhere);
    let told =
        GitProgram::default().run(&directory, &ask, &Machine::real().deadline(READING_TIME_MAX)).ok()?;
    // The last of several counts.
    let line = |line: &str| {
        let (key, value) = line.split_once('\n').unwrap_or((line, "true"));
        (key.to_owned(), value.to_owned())
    };
    Some(told.stdout.split('\0').map(line).collect())
}

fn is_true(value: &str) -> bool {
    matches!(value.to_lowercase().as_str(), "true" | "yes" | "on" | "1" | "")
}

fn person(role: &str, server: &str, get: &impl Fn(&str) -> Option<String>) -> Person {
    let first = |what: &str, default: String| {
        let configured = ["muster", "user"].map(|section| format!("{section}.{what}"));
        let configured =
            configured.into_iter().find_map(|key| Some((get(&key)?, format!("git config {key}"))));
        let named = || {
            let variable_name = format!("GIT_{role}_{}", what.to_uppercase());
            let value =
                variable(&variable_name).map(|value| clean(&value)).filter(|value| !value.is_empty())?;
            Some((value, variable_name))
        };
        let (value, origin) = configured.or_else(named).unwrap_or_else(|| (default, "default".to_owned()));
        Setting { value, origin }
    };
    Person { name: first("name", server.to_owned()), email: first("email", format!("{server}@{NOWHERE}")) }
}

/// Without what a commit cannot hold there; git drops the same.
fn clean(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !c.is_control() && !"<>".contains(*c)).collect();
    kept.trim_matches(|c: char| c.is_whitespace() || ".,:;\"\\'".contains(c)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::files;

    #[test]
    fn what_is_nearest_to_the_tool_wins_each_by_itself() {
        let folder = tempfile::tempdir().expect("folder");
        let clone = Repository::init(folder.path()).expect("repository");
        let config = clone.path().join("config");
        for (text, name, email) in [
            ("[user]\n\tname = Kim\n\temail = kim@corp.example\n", "Kim", "kim@corp.example"),
            (
                "[user]\n\tname = Kim\n\temail = kim@corp.example\n[muster]\n\temail = ci@corp.example\n",
                "Kim",
                "ci@corp.example",
            ),
            ("[muster]\n\tname = <CI>,\n\temail = \" <ci@corp.example> \"\n", "CI", "ci@corp.example"),
        ] {
            files::write(&config, text).expect("writes");
            let found = Identity::of("ada", Some(folder.path()));
            assert_eq!((&*found.author.name.value, &*found.author.email.value), (name, email), "{text}");
            assert_eq!(found.author, found.committer);
            assert_eq!(found.sign, None);
        }
        let none = |_: &str| None;
        let found = person("NOBODY_SETS_THIS", "ada", &none);
        assert_eq!((&*found.name.value, &*found.email.value), ("ada", "ada@git-muster.invalid"));
        assert_eq!(found.email.origin, "default");
    }
}
