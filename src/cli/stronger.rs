//! What comes before the hub, the branch and the name that `join` wrote: then commands here are about
//! something else, and whoever joined has to know.

use super::GlobalArgs;
use super::context::Context;
use super::output::{Output, begun_as_joined};
use super::settings::{Setting, Settings};
use super::which::FROM_BRANCH_VARIABLE;
use crate::domain::id::ServerName;
use crate::domain::shell::quoted;
use crate::git::Location;

/// What comes first for commands that name nothing themselves, where that is another than was joined.
#[derive(Debug, Default)]
pub(super) struct Precedence {
    hub: Option<Setting<Location>>,
    branch: Option<Setting<String>>,
    server: Option<Setting<ServerName>>,
    bad_name: Option<String>,
    /// Why nothing can be told: such commands end with it.
    unclear: Option<String>,
}

impl Precedence {
    /// Looks at what a command here goes by, after `name` was written for what `context` is about.
    pub(super) fn than(name: &ServerName, global: &GlobalArgs, context: &Context) -> Self {
        // What was named for this one command is not named for the next one.
        let bare = GlobalArgs { hub: None, branch: None, hub_branch: None, server: None, ..global.clone() };
        let settings = match Settings::gather(&bare) {
            Ok(settings) => settings,
            Err(error) => return Self { unclear: Some(error.message), ..Self::default() },
        };
        let joined = &context.settings;
        let is_other = |hub: &Setting<Location>| {
            !joined.hub.as_ref().is_some_and(|joined| joined.value.is_place_of(&hub.value))
        };
        let hub = settings.hub.filter(is_other);
        let says = |branch: &Setting<String>| {
            branch.origin == FROM_BRANCH_VARIABLE && branch.value != joined.branch.value && hub.is_none()
        };
        Self {
            branch: Some(settings.branch).filter(says),
            server: settings.server.filter(|other| other.value != *name),
            bad_name: settings.bad_name.map(|bad| {
                format!(
                    "{} takes precedence and is not a valid name: {}; unset it, or commands that need a name fail",
                    bad.origin, bad.why
                )
            }),
            hub,
            unclear: None,
        }
    }

    /// Where commands that name no hub are about the one that was joined.
    pub(super) fn scope(&self) -> String {
        match self.hub.as_ref().map(|hub| &hub.origin) {
            Some(variable) if is_variable(variable) => format!("without {variable}, "),
            _ if self.hub.is_some() || self.unclear.is_some() => "elsewhere ".to_owned(),
            _ => String::new(),
        }
    }

    /// From now on what is printed names what it has to, and no more.
    pub(super) fn begin(&self, name: &ServerName, context: &Context) {
        let hub = context.settings.hub.as_ref().map(|hub| hub.value.shown());
        let hub = hub.filter(|_| self.hub.is_some() || self.unclear.is_some());
        let branch = Some(&context.settings.branch.value).filter(|_| self.branch.is_some());
        let server = Some(name.to_string()).filter(|_| self.server.is_some() || self.bad_name.is_some());
        let named = [("--hub", hub), ("--hub-branch", branch.cloned()), ("--server", server)];
        begun_as_joined(
            named.into_iter().filter_map(|(flag, value)| Some((flag, quoted(&value?)))).collect(),
        );
    }

    /// Tells it, each with what mends it.
    pub(super) fn tell(&self, name: &ServerName, context: &Context) {
        let output: Output = context.output;
        let joined = context.settings.hub.as_ref().map_or_else(String::new, |hub| hub.value.shown());
        if let Some(why) = &self.unclear {
            output.warn(&format!("commands here fail unless they name a hub: {why}"));
        }
        if let Some(hub) = &self.hub {
            let mend = if is_variable(&hub.origin) {
                format!("unset it with `unset {}`, also for cron and services", hub.origin)
            } else {
                "change to another directory, or name the hub in every command".to_owned()
            };
            output.warn(&format!(
                "{} is `{}` and takes precedence: commands here use that hub, not `{joined}`; {mend}",
                hub.origin,
                hub.value.shown()
            ));
        }
        if let Some(branch) = &self.branch {
            output.warn(&format!(
                "{0} is `{1}` and takes precedence: commands here use that branch, not `{2}`; set it with `export {0}={3}`, also for cron and services",
                branch.origin,
                branch.value,
                context.settings.branch.value,
                quoted(&context.settings.branch.value)
            ));
        }
        if let Some(bad) = &self.bad_name {
            output.warn(bad);
        }
        if let Some(other) = &self.server {
            output.warn(&format!(
                "{} is `{}` and takes precedence: commands here act as that server, not as `{name}`, until it is changed",
                other.origin, other.value
            ));
        }
    }
}

/// Whether it is a variable that says something, and not a file or a folder.
fn is_variable(origin: &str) -> bool {
    origin.starts_with("MUSTER_")
}
