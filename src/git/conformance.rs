//! The engine of this room does what every engine has to: opened in place, and through the git program.

use super::engine::{Access, GitEngine};
use super::objects::init_bare;
use crate::ledger::conformance::{Can, Pair, conforms};
use git2::Repository;

/// Two handles on a hub that is a repository of this machine.
fn in_place() -> Pair {
    let folder = tempfile::tempdir().expect("a folder");
    init_bare(folder.path(), "main").expect("a hub");
    let engine = || {
        let repository = Repository::open_bare(folder.path()).expect("opens");
        Box::new(GitEngine::new("hub".to_owned(), repository, Access::Itself, None))
    };
    Pair { one: engine(), other: engine(), _kept: Box::new(folder) }
}

/// Two copies of a hub, which git reaches by a URL.
fn by_program() -> Pair {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = folder.path().join("hub.git");
    init_bare(&hub, "main").expect("a hub");
    let url = format!("file://{}", hub.display());
    let engine = |name: &str| {
        let copy = folder.path().join(name);
        init_bare(&copy, "main").expect("a copy");
        let repository = Repository::open_bare(&copy).expect("opens");
        drop(repository.remote("origin", &url).expect("a remote"));
        Box::new(GitEngine::new(url.clone(), repository, Access::Origin { copy: None }, None))
    };
    Pair { one: engine("one"), other: engine("other"), _kept: Box::new(folder) }
}

#[test]
fn a_hub_on_this_disk_conforms() {
    conforms(&in_place, Can { history: true, again: true, always_fresh: true });
}

#[test]
fn a_hub_through_the_git_program_conforms() {
    conforms(&by_program, Can { history: true, again: true, always_fresh: false });
}
