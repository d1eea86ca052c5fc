//! What is advised where a hub, or a copy of one, has lost something. The commands are git's (`git::remedy`).

use crate::doctor::meaning_of_lost_object;
use crate::git::{PutBack, remedy};
use crate::ledger::{LostObject, PartialClone, Past};

/// How a hub is put back that `branch` was.
pub(in crate::cli) fn put_back(past: &Past, branch: &str) -> String {
    let how = match past {
        Past::InHistory(_) => format!("restore it, in a clone whose `{branch}` is the hub's"),
        Past::Known { .. } => "restore it, unless another host knows a newer state of it".to_owned(),
        Past::PutLast { .. } => "restore it, unless a clone has a commit that follows on it".to_owned(),
        Past::Beats(_) => format!(
            "name the hub's branch with `--hub-branch`; if it was `{branch}`, restore it from a clone or from another host's copy"
        ),
    };
    format!("{how}: `{}`", remedy::put_back(past, branch))
}

/// What to do about an object that the hub at `hub` lacks.
pub(in crate::cli) fn object(object: &LostObject, hub: &str) -> String {
    format!("{}: `{}`", meaning_of_lost_object(hub), remedy::fetch_object(object, hub))
}

/// What to do about a repository that is not all here.
pub(in crate::cli) fn partial(partial: &PartialClone) -> String {
    format!("fetch the rest with `{}`; or use the hub that it was cloned from", remedy::fetch_rest(partial))
}

/// What to do about a branch whose ref names no commit.
pub(in crate::cli) fn branch(put_back: PutBack) -> Vec<String> {
    let PutBack { known, command, first } = put_back;
    match first {
        None => vec![format!("{known}: put the branch back from a clone that has it, after `{command}`")],
        Some(first) => vec![format!("{known}: put the branch back with `{command}`"), first],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Version;

    #[test]
    fn what_is_lost_is_put_back_by_the_command_that_is_told_with_it() {
        let past = Past::Known { version: Version::new("abc"), place: "/copy".to_owned() };
        assert_eq!(
            put_back(&past, "main"),
            "restore it, unless another host knows a newer state of it: `git --git-dir=/copy push origin abc:refs/heads/main`"
        );
        let lost = LostObject { id: None, branch: "main".to_owned() };
        let told = object(&lost, "ssh://h/hub.git");
        assert!(told.contains("on its server") && told.ends_with('`'), "{told}");
        assert!(!object(&lost, "/srv/hub.git").contains("server"));
    }
}
