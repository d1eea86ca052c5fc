//! Commits as their own text tells, and the way back through those before them. Reads only.
//!
//! libgit2 gives up on a commit whose author or date it cannot make out, and git takes such a commit
//! in a plain push. One of those must not stop a hub: what cannot be made out is not known.

use crate::domain::time::Timestamp;
use crate::ledger::Reached;
use git2::{Error, ErrorClass, ErrorCode, ObjectType, Odb, OdbObject, Oid, Repository, Tree};
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;

/// The most commits that are walked; of a longer history these are the newest.
pub(super) const COMMITS_MAX: usize = 1_000_000;

/// A commit as it was written.
pub(super) struct CommitText<'a>(OdbObject<'a>);

impl<'a> CommitText<'a> {
    pub(super) fn read(odb: &'a Odb<'_>, id: Oid) -> Result<Self, Error> {
        let object = odb.read(id)?;
        if object.kind() != ObjectType::Commit {
            return Err(Error::new(ErrorCode::Invalid, ErrorClass::Object, "it is not a commit"));
        }
        Ok(Self(object))
    }

    /// The lines before the message.
    fn head(&self) -> impl Iterator<Item = &[u8]> {
        self.0.data().split(|byte| *byte == b'\n').take_while(|line| !line.is_empty())
    }

    fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.head().find_map(|line| line.strip_prefix(key))
    }

    /// The id of its folder.
    pub(super) fn tree(&self) -> Result<Oid, Error> {
        self.head().next().and_then(|line| line.strip_prefix(b"tree ")).and_then(id_in).ok_or_else(|| {
            Error::new(ErrorCode::Invalid, ErrorClass::Object, "a commit does not name its folder")
        })
    }

    /// The commits before it, also those that a shallow clone does not have.
    pub(super) fn parents(&self) -> impl Iterator<Item = Oid> {
        self.head().skip(1).map_while(|line| line.strip_prefix(b"parent ")).filter_map(id_in)
    }

    /// The server that made it, or the name of who did: a server may write under another name, and
    /// then the trailer tells which it was.
    pub(super) fn author(&self) -> Cow<'_, str> {
        let name = self.author_name();
        let message = self.message();
        let servers: Vec<&str> =
            message.lines().filter_map(|line| line.strip_prefix("Muster-Server: ")).collect();
        match servers[..] {
            [one] if one != name => Cow::Owned(one.to_owned()),
            _ => name,
        }
    }

    fn author_name(&self) -> Cow<'_, str> {
        let author = self.value(b"author ").unwrap_or_default();
        let name = author.split(|byte| *byte == b'<').next().unwrap_or_default();
        String::from_utf8_lossy(name.trim_ascii())
    }

    /// When it was made, by the clock of who made it.
    pub(super) fn at(&self) -> Option<Timestamp> {
        Timestamp::from_unix_millis(self.seconds()?.saturating_mul(1000))
    }

    /// When it was made, in seconds, by the clock of who made it.
    pub(super) fn seconds(&self) -> Option<i64> {
        let time = self.value(b"committer ")?.rsplit(|byte| *byte == b'>').next()?;
        std::str::from_utf8(time).ok()?.split_whitespace().next()?.parse().ok()
    }

    /// Whether author and committer made it in the same second, by the time of the world: as we do.
    pub(super) fn is_made_at_once(&self) -> bool {
        let made = |key: &[u8]| self.value(key).and_then(|value| value.rsplit(|byte| *byte == b'>').next());
        let (author, committer) = (made(b"author "), made(b"committer "));
        author == committer && author.is_some_and(|time| time.ends_with(b" +0000"))
    }

    /// Its message.
    pub(super) fn message(&self) -> Cow<'_, str> {
        self.message_up_to(usize::MAX).0
    }

    /// So many bytes of its message, and whether there are more.
    pub(super) fn message_up_to(&self, bytes_max: usize) -> (Cow<'_, str>, bool) {
        let text = self.0.data();
        let end = text.windows(2).position(|two| two == b"\n\n").map_or(text.len(), |end| end + 2);
        let message = text.get(end..).unwrap_or_default();
        (String::from_utf8_lossy(message.get(..bytes_max).unwrap_or(message)), message.len() > bytes_max)
    }
}

fn id_in(text: &[u8]) -> Option<Oid> {
    Oid::from_str(std::str::from_utf8(text).ok()?).ok()
}

/// Visits `tip` and the commits that lead to it, at most so many and each once, the nearest first.
/// Does not go on behind those that `is_known`.
pub(super) fn back_from(
    repository: &Repository,
    tip: Oid,
    commits_max: usize,
    is_known: &dyn Fn(&Oid) -> bool,
    visit: &mut dyn FnMut(Oid, &CommitText<'_>) -> ControlFlow<()>,
) -> Result<Reached, Error> {
    let odb = repository.odb()?;
    let (mut open, mut seen) = (VecDeque::from([tip]), HashSet::from([tip]));
    let (mut visited, mut reached) = (0, Reached::Beginning);
    while let Some(id) = open.pop_front() {
        if is_known(&id) {
            continue;
        }
        if visited == commits_max {
            return Ok(Reached::Bound);
        }
        let commit = match CommitText::read(&odb, id) {
            Err(error) if error.code() == ErrorCode::NotFound && repository.is_shallow() => {
                reached = Reached::Shallow;
                continue;
            }
            commit => commit?,
        };
        visited += 1;
        if visit(id, &commit).is_break() {
            break;
        }
        open.extend(commit.parents().filter(|parent| seen.insert(*parent)));
    }
    Ok(reached)
}

/// Whether `commit` is `tip` or leads to it.
pub(super) fn leads_to(repository: &Repository, commit: Oid, tip: Oid) -> Result<bool, Error> {
    // Knows by dates where it need not look, and stumbles over one that cannot be made out.
    if let Ok(leads) = repository.graph_descendant_of(tip, commit) {
        return Ok(leads || tip == commit);
    }
    let mut leads = false;
    let mut look = |id: Oid, _: &CommitText<'_>| {
        leads = id == commit;
        if leads { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    back_from(repository, tip, COMMITS_MAX, &|_| false, &mut look)?;
    Ok(leads)
}

/// The folder of a commit.
pub(super) fn tree_of(repository: &Repository, commit: Oid) -> Result<Tree<'_>, Error> {
    let tree = CommitText::read(&repository.odb()?, commit)?.tree()?;
    repository.find_tree(tree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::files;

    const WELL: &str = "author ada <ada@x> 5 +0000\ncommitter ada <ada@x> 7 +0000";

    fn repository() -> (tempfile::TempDir, Repository) {
        let folder = tempfile::tempdir().expect("folder");
        let repository = Repository::init_bare(folder.path()).expect("repository");
        (folder, repository)
    }

    fn commit(repository: &Repository, parents: &[Oid], people: &str, message: &str) -> Oid {
        let tree = Oid::from_str("4b825dc642cb6eb9a060e54bf8d69288fbee4904").expect("id");
        let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let text = format!("tree {tree}\n{parents}{people}\n\n{message}");
        repository.odb().and_then(|odb| odb.write(ObjectType::Commit, text.as_bytes())).expect("writes")
    }

    #[test]
    fn what_cannot_be_made_out_of_a_commit_is_not_known() {
        let (_folder, repository) = repository();
        let odb = repository.odb().expect("odb");
        for (people, author, seconds) in [
            (WELL, "ada", Some(7)),
            ("author ada <ada@x> oops\ncommitter ada <ada@x> oops", "ada", None),
            ("author <> 5 +0000\ncommitter a <b> c> 7 +0000", "", Some(7)),
            ("author\ncommitter", "", None),
            ("author ada\ncommitter bob 99999999999999999999 +0000", "ada", None),
        ] {
            let id = commit(&repository, &[], people, "one\n\nparent two\n");
            let text = CommitText::read(&odb, id).expect("reads");
            assert_eq!((&*text.author(), text.seconds()), (author, seconds), "{people}");
            assert_eq!(text.at().map(Timestamp::unix_millis), seconds.map(|seconds| seconds * 1000));
            for (bytes_max, expected) in
                [(0, ("", true)), (15, ("one\n\nparent two", true)), (16, ("one\n\nparent two\n", false))]
            {
                let (part, is_cut) = text.message_up_to(bytes_max);
                assert_eq!((&*part, is_cut), expected, "{bytes_max}");
            }
            assert_eq!((&*text.message(), text.parents().count()), ("one\n\nparent two\n", 0), "{people}");
            assert!(text.tree().is_ok());
        }
    }

    #[test]
    fn a_way_back_says_where_it_ended() {
        let (_folder, repository) = repository();
        let mut chain = vec![commit(&repository, &[], WELL, "0")];
        for number in 1..5 {
            chain.push(commit(&repository, &[chain[number - 1]], "author\ncommitter", &number.to_string()));
        }
        let odd_one_out = commit(&repository, &[], WELL, "elsewhere");
        let back = |commits_max: usize, known: Option<Oid>, until: &str| {
            let mut met = String::new();
            let reached =
                back_from(&repository, chain[4], commits_max, &|id| Some(*id) == known, &mut |_, commit| {
                    met.push_str(&commit.message());
                    if commit.message() == until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
            (met, reached.expect("walks"))
        };
        assert_eq!(back(5, None, ""), ("43210".to_owned(), Reached::Beginning));
        assert_eq!(back(4, None, ""), ("4321".to_owned(), Reached::Bound));
        assert_eq!(back(2, Some(chain[2]), ""), ("43".to_owned(), Reached::Beginning));
        for (commit, expected) in [(chain[0], true), (chain[4], true), (odd_one_out, false)] {
            assert_eq!(leads_to(&repository, commit, chain[4]).expect("walks"), expected);
        }
        assert_eq!(back(5, None, "3"), ("43".to_owned(), Reached::Beginning));
        // A shallow clone lacks what is before; anybody else must not.
        let missing = Oid::from_str(&"1".repeat(40)).expect("id");
        let end = commit(&repository, &[missing], WELL, "end");
        let walk = || back_from(&repository, end, 5, &|_| false, &mut |_, _| ControlFlow::Continue(()));
        assert!(walk().is_err());
        files::write(&repository.path().join("shallow"), &format!("{end}\n")).expect("writes");
        assert_eq!(walk().expect("walks"), Reached::Shallow);
    }
}
