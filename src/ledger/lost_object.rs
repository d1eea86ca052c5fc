//! An object that a hub reached by git has lost: nobody can fetch its history any more.
//!
//! Who has a copy goes on, as git sends nothing twice. Who begins asks for the whole history, and git gives
//! up at the first object that it cannot read. A look at the newest commits sees nothing of it.

use crate::domain::shell::quoted;
use std::path::Path;

/// How many of them name the folder of its file.
const FAN_OUT_LENGTH: usize = 2;

/// What a hub cannot send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostObject {
    /// Its id, where git names one.
    pub id: Option<String>,
    /// The branch whose history needs it.
    pub branch: String,
}

impl LostObject {
    /// What it is called.
    #[must_use]
    pub fn shown(&self) -> String {
        self.id.as_ref().map_or_else(|| "an object".to_owned(), |id| format!("object {id}"))
    }

    /// What to do about it in the hub at `hub`, which is as people write it; the command is in backticks.
    #[must_use]
    pub fn advice(&self, hub: &str) -> String {
        format!("{}: `{}`", self.meaning(hub), self.command(hub))
    }

    /// What follows, and where the command belongs.
    #[must_use]
    pub fn meaning(&self, hub: &str) -> String {
        let place = if is_path(hub) { "" } else { ", in the folder of the hub on its server" };
        format!(
            "whoever has a copy goes on, and nobody else can begin; a clone or a copy that has it, put in the place of CLONE, gives it back{place}"
        )
    }

    /// The command that has it fetched again. What is left of its file goes first: git would read it and
    /// give up.
    #[must_use]
    pub fn command(&self, hub: &str) -> String {
        let top = is_path(hub).then(|| hub.trim_end_matches('/'));
        let remove =
            self.id.as_ref().and_then(|id| id.split_at_checked(FAN_OUT_LENGTH)).map(|(folder, rest)| {
                let file = Path::new(top.unwrap_or_default()).join("objects").join(folder).join(rest);
                format!("rm -f {} && ", quoted(&file.display().to_string()))
            });
        let place = top.map_or_else(String::new, |top| format!("-C {} ", quoted(top)));
        let tracked = quoted(&format!("refs/remotes/origin/{}", self.branch));
        format!("{}git {place}fetch --refetch CLONE {tracked}", remove.unwrap_or_default())
    }
}

fn is_path(hub: &str) -> bool {
    Path::new(hub).is_absolute()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_for_the_place_where_the_hub_lies() {
        let lost = LostObject { id: Some(format!("ab{}", "1".repeat(38))), branch: "main".to_owned() };
        let file = format!("objects/ab/{}", "1".repeat(38));
        let fetch = "fetch --refetch CLONE refs/remotes/origin/main";
        assert_eq!(
            lost.command("/srv/hub.git/"),
            format!("rm -f /srv/hub.git/{file} && git -C /srv/hub.git {fetch}")
        );
        assert_eq!(lost.command("git@h:hub.git"), format!("rm -f {file} && git {fetch}"));
        assert!(lost.advice("ssh://h/hub.git").contains("on its server"));
        let nameless = LostObject { id: None, ..lost };
        assert_eq!(nameless.command("/srv/hub.git"), format!("git -C /srv/hub.git {fetch}"));
    }
}
