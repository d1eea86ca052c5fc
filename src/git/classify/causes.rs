//! Which line of what git printed tells why, and whose line that is.
//!
//! git, the hub and ssh write into one stream, and before them the server's greeting, which may say
//! anything ("access denied to strangers"). So each row names who may say a phrase and how: of git
//! and the hub, whose lines are marked, a phrase anywhere in a line counts; of everybody else only
//! the whole shape of a line.
//!
//! Must not decide what becomes of a push: that is the business of the tables above it.

use super::words::{explain, headline, one_line, remote_lines};
use crate::domain::bad_branch::{BadBranch, BranchFault};
use crate::git::bad_refs::flaw_of_name;
use crate::ledger::{Cause, Reason, Voice};

/// How a line is recognized, in lower case.
enum Shape {
    /// All of it.
    Is(&'static str),
    /// How it begins.
    Begins(&'static str),
    /// How it begins, and what comes later in it.
    Framed(&'static str, &'static str),
    /// How it ends.
    Ends(&'static str),
    /// What is anywhere in it.
    Has(&'static str),
    /// Two phrases, in this order.
    Both(&'static str, &'static str),
}
use Shape::{Begins, Both, Ends, Framed, Has, Is};

impl Shape {
    fn fits(&self, line: &str) -> bool {
        let then = |rest: &str, later: &str| rest.contains(later);
        match self {
            Is(all) => line == *all,
            Begins(start) => line.starts_with(start),
            Framed(start, later) => line.strip_prefix(start).is_some_and(|rest| then(rest, later)),
            Ends(end) => line.ends_with(end),
            Has(phrase) => line.contains(phrase),
            Both(first, later) => line.split_once(first).is_some_and(|(_, rest)| then(rest, later)),
        }
    }
}

/// What one command asked for: a web server says of both only that it is forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GitAction {
    Fetch,
    Push,
}

type Row = (Cause, Voice, Shape);

/// Lines of ssh or of what the account on the server runs before git, with which they turn us away:
/// OpenSSH, shells, gitolite, GitHub, Gitea and its kin, Bitbucket, AWS.
const AT_LOGIN: &[Row] = &[
    (
        Cause::HostKeyChanged,
        Voice::Login,
        Framed("host key for ", " has changed and you have requested strict checking"),
    ),
    (Cause::HostKeyUnknown, Voice::Login, Is("host key verification failed.")),
    (Cause::Authentication, Voice::Login, Begins("permission denied (")),
    (
        Cause::Authentication,
        Voice::Login,
        Framed("received disconnect from ", "too many authentication failures"),
    ),
    (Cause::Authentication, Voice::Login, Begins("no supported authentication methods available")),
    (Cause::Other, Voice::Login, Begins("unable to negotiate with ")),
    (Cause::Hidden, Voice::Login, Framed("fatal: r any ", " denied by ")),
    (Cause::MayNotWrite, Voice::Login, Framed("fatal: w any ", " denied by ")),
    (Cause::MayNotWrite, Voice::Login, Framed("fatal: + any ", " denied by ")),
    (Cause::MayNotWrite, Voice::Login, Framed("fatal: c any ", " denied by ")),
    (Cause::NoRepository, Voice::Login, Begins("fatal: invalid repo name:")),
    (Cause::NoRepository, Voice::Login, Begins("fatal: suspicious characters loitering about")),
    (Cause::NoGit, Voice::Login, Begins("fatal: unknown git/gitolite command:")),
    (Cause::Hidden, Voice::Login, Begins("error: repository not found.")),
    (Cause::MayNotWrite, Voice::Login, Framed("error: permission to ", " denied to ")),
    (
        Cause::MayNotWrite,
        Voice::Login,
        Begins("error: the key you are authenticating with has been marked as read only"),
    ),
    (Cause::MayNotWrite, Voice::Login, Begins("error: this repository was archived")),
    (Cause::MayNotWrite, Voice::Login, Framed("gitea: ", "denied for writing")),
    (Cause::MayNotWrite, Voice::Login, Framed("forgejo: ", "denied for writing")),
    (Cause::Hidden, Voice::Login, Begins("gitea: ")),
    (Cause::Hidden, Voice::Login, Begins("forgejo: ")),
    (Cause::Hidden, Voice::Login, Begins("conq: repository access denied")),
    (Cause::Hidden, Voice::Login, Is("repository not found")),
    (Cause::Hidden, Voice::Login, Is("repository does not exist")),
    (Cause::MayNotRead, Voice::Login, Is("unauthorized")),
    (Cause::MayNotRead, Voice::Login, Is("forbidden")),
    (Cause::NoGit, Voice::Login, Ends("git-upload-pack: command not found")),
    (Cause::NoGit, Voice::Login, Ends("git-receive-pack: command not found")),
    (Cause::NoGit, Voice::Login, Ends("git-upload-pack: not found")),
    (Cause::NoGit, Voice::Login, Ends("git-receive-pack: not found")),
    (Cause::NoGit, Voice::Login, Is("this account is currently not available.")),
    (Cause::NoGit, Voice::Login, Is("this account is currently not available")),
    (Cause::Authentication, Voice::Login, Begins("please login as the user ")),
];

/// Lines of git or of the hub with which they turn us away before any data is taken: git daemon,
/// http, a path, the forges.
const AT_THE_DOOR: &[Row] = &[
    (Cause::Hidden, Voice::Hub, Has("could not be found or you don't have permission")),
    (Cause::Hidden, Voice::Hub, Has("does not exist or you do not have permission")),
    (Cause::Hidden, Voice::Hub, Has("repository not found")),
    (Cause::MayNotWrite, Voice::Hub, Both("permission to ", " denied to ")),
    (Cause::MayNotWrite, Voice::Hub, Has("marked as read only")),
    (Cause::MayNotWrite, Voice::Hub, Has("archived so it is read-only")),
    (Cause::MayNotWrite, Voice::Hub, Has("does not have write access")),
    (Cause::MayNotWrite, Voice::Hub, Has("write access to repository not granted")),
    (Cause::MayNotWrite, Voice::Hub, Has("not allowed to push")),
    (Cause::MayNotRead, Voice::Hub, Has("not allowed to upload")),
    (Cause::MayNotRead, Voice::Hub, Has("not allowed to download")),
    (Cause::Authentication, Voice::Hub, Has("invalid credentials")),
    (Cause::Authentication, Voice::Hub, Has("access denied")),
    (Cause::Hidden, Voice::Git, Has("access denied or repository not exported")),
    (Cause::Hidden, Voice::Git, Begins("remote error: access denied")),
    (Cause::Hidden, Voice::Git, Has("repository not found")),
    (Cause::MayNotWrite, Voice::Git, Has("service not enabled")),
    (Cause::MayNotWrite, Voice::Git, Has("marked as read only")),
    (Cause::MayNotWrite, Voice::Git, Has("archived so it is read-only")),
    (Cause::MayNotWrite, Voice::Git, Has("no dav locking support")),
    (Cause::MayNotWrite, Voice::Git, Both("permission to ", " denied to ")),
    (Cause::MayNotWrite, Voice::Git, Has("not allowed to push")),
    (Cause::MayNotRead, Voice::Git, Has("not allowed to upload")),
    (Cause::NoRepository, Voice::Git, Has("does not appear to be a git repository")),
    (Cause::NoRepository, Voice::Git, Has("not valid: is this a git repository")),
    (Cause::NoRepository, Voice::Git, Has("unable to update url base from redirection")),
    // The address is in the middle.
    (Cause::NoRepository, Voice::Git, Both("repository '", "' not found")),
    (Cause::Owner, Voice::Git, Has("dubious ownership in repository")),
    (Cause::Authentication, Voice::Git, Has("could not read username")),
    (Cause::Authentication, Voice::Git, Has("could not read password")),
    (Cause::Authentication, Voice::Git, Has("authentication failed")),
    (Cause::Authentication, Voice::Git, Has("invalid credentials")),
    (Cause::Certificate, Voice::Git, Has("ssl certificate problem")),
    (Cause::Certificate, Voice::Git, Has("certificate verification failed")),
    (Cause::Certificate, Voice::Git, Has("certificate subject name")),
    (Cause::ObjectFormat, Voice::Git, Has("mismatched algorithms")),
    (Cause::ObjectFormat, Voice::Git, Has("does not support this repository's object format")),
    (Cause::ObjectFormat, Voice::Git, Has("does not support this repository's hash algorithm")),
    (Cause::Setting("remote.origin.mirror"), Voice::Git, Has("--mirror can't be combined with")),
    (Cause::Setting("protocol.allow"), Voice::Git, Framed("transport '", "' not allowed")),
    (Cause::Damaged, Voice::Git, Begins("unexpected line in ")),
    (Cause::NoProgram, Voice::Git, Has("cannot run ")),
    (Cause::NoProgram, Voice::Git, Has("cannot exec ")),
    (Cause::NoProgram, Voice::Git, Has("unable to fork")),
    (Cause::NoProgram, Voice::Git, Has("unable to find remote helper")),
    (Cause::NoProgram, Voice::Git, Framed("remote helper '", "' aborted session")),
];

/// Lines that git prints where something else than git speaks on the server: its shell, a file that
/// the shell reads first. Of a push they may come from the middle of it, and prove nothing.
const NOT_GIT: &[Row] = &[
    // All that `git ls-remote` says on this side where it knows a program with a name like that one.
    (Cause::NoProgram, Voice::Login, Framed("git: 'remote-", "' is not a git command")),
    (Cause::NoGit, Voice::Git, Has("protocol error: bad line length character")),
    (Cause::NoGit, Voice::Git, Begins("protocol error: unexpected '")),
];

/// Lines of a connection that never came to be or ended before the hub's first answer: curl, ssh,
/// git daemon. git prints `could not read from remote repository` and `upon initial contact`
/// nowhere else.
const NEVER_CONNECTED: &[Row] = &[
    (Cause::Setting("http.proxy"), Voice::Git, Has("could not resolve proxy")),
    (Cause::NameUnknown, Voice::Git, Has("could not resolve host")),
    (Cause::NameUnknown, Voice::Git, Has("unable to look up")),
    (Cause::NameUnknown, Voice::Login, Begins("ssh: could not resolve hostname ")),
    (Cause::Network, Voice::Login, Begins("ssh: ")),
    (Cause::Network, Voice::Login, Begins("kex_exchange_identification: ")),
    (Cause::Network, Voice::Login, Begins("ssh_exchange_identification: ")),
    (Cause::Network, Voice::Login, Framed("connection closed by ", " port ")),
    (Cause::Network, Voice::Login, Framed("connection reset by ", " port ")),
    (Cause::Network, Voice::Login, Framed("connection to ", " timed out")),
    (Cause::Network, Voice::Git, Has("unable to connect to")),
    (Cause::Network, Voice::Git, Has("unable to access")),
    (Cause::Network, Voice::Git, Has("connection refused")),
    (Cause::Network, Voice::Git, Has("no route to host")),
    (Cause::Network, Voice::Git, Has("network is unreachable")),
    (Cause::Silent, Voice::Git, Has("could not read from remote repository")),
    (Cause::Silent, Voice::Git, Has("upon initial contact")),
];

/// Lines with which ssh ends when it loses a connection that stood, of OpenSSH 7 to 10 and of one that is
/// shared. When git had all that it wanted, nobody else says a word. Of a push they prove nothing, unless git
/// says that it never began.
const LOST: &[Row] = &[
    (Cause::Network, Voice::Login, Begins("client_loop: ")),
    (Cause::Network, Voice::Login, Framed("connection to ", " closed by remote host")),
    (Cause::Network, Voice::Login, Framed("shared connection to ", " closed")),
    (Cause::Network, Voice::Login, Begins("timeout, server ")),
    (Cause::Network, Voice::Login, Framed("received disconnect from ", " port ")),
    (Cause::Network, Voice::Login, Framed("disconnected from ", " port ")),
    (Cause::Network, Voice::Login, Framed("disconnecting ", " port ")),
    (Cause::Network, Voice::Login, Begins("ssh_dispatch_run_fatal: ")),
    (Cause::Network, Voice::Login, Begins("ssh_packet_")),
    (Cause::Network, Voice::Login, Begins("packet_write_")),
    (Cause::Network, Voice::Login, Begins("mux_client_")),
    (Cause::Network, Voice::Login, Begins("write failed: ")),
    (Cause::Network, Voice::Login, Begins("read from socket failed: ")),
    (Cause::Network, Voice::Login, Begins("corrupted mac on input")),
    (Cause::Network, Voice::Login, Begins("bad packet length ")),
];

/// With these words git says that the connection ended before the hub's first answer.
const BEFORE_THE_FIRST_ANSWER: &[&str] = &["could not read from remote repository", "upon initial contact"];

/// What the words of a rejection are about: receive-pack, gitolite, Gerrit, GitHub, GitLab,
/// Bitbucket, and what people write into hooks. The reason of the ref and the lines of the hub are
/// searched, row by row: what is narrower comes first.
#[rustfmt::skip]
const ABOUT: &[(Cause, Shape)] = &[
    (Cause::Setting("push.pushOption"), Has("does not support push options")),
    (Cause::DamagedRef, Begins("fatal: bad object refs/")),
    (Cause::Damaged, Has("missing necessary objects")),
    (Cause::ObjectFormat, Has("hash algorithm")),
    (Cause::Size, Has("exceeds maximum allowed size")), (Cause::Size, Has("file size limit")),
    (Cause::Size, Has("maximum push size")), (Cause::Size, Has("maximum file size")),
    (Cause::Size, Has("too large")), (Cause::Size, Has("larger than the")),
    (Cause::Files, Has("insufficient permission")),
    (Cause::Files, Has("unable to create temporary object directory: permission denied")),
    (Cause::Files, Both("cannot lock ref", "permission denied")),
    (Cause::Disk, Has("no space left")), (Cause::Disk, Has("read-only file system")),
    (Cause::Disk, Has("disk quota")), (Cause::Disk, Has("unable to migrate objects")),
    (Cause::NameTaken, Has("exists; cannot create")), (Cause::NameTaken, Has("refname conflict")),
    (Cause::DamagedRef, Has("reference broken")),
    (Cause::CheckedOut, Has("is currently checked out")), (Cause::CheckedOut, Has("refusing to update checked out branch")),
    (Cause::HistoryKept, Is("non-fast-forward")), (Cause::HistoryKept, Has("denying non-fast-forward")),
    (Cause::HistoryKept, Has("deletion prohibited")), (Cause::HistoryKept, Has("denying ref deletion")),
    (Cause::HistoryKept, Has("force push")), (Cause::HistoryKept, Has("force-push")),
    (Cause::HistoryKept, Framed("fatal: + refs/", " denied by ")), (Cause::HistoryKept, Has("no fast-forward")),
    (Cause::Message, Has("commit message")), (Cause::Message, Has("change-id")),
    (Cause::Message, Has("signed-off")), (Cause::Message, Has("message footer")),
    (Cause::Message, Has("commit-msg")),
    (Cause::Email, Has("email")), (Cause::Email, Has("e-mail")),
    (Cause::Email, Has("invalid committer")), (Cause::Email, Has("invalid author")),
    (Cause::Email, Both("committer", "pattern")), (Cause::Email, Both("author", "pattern")),
    (Cause::Email, Both("committer", "not allowed")), (Cause::Email, Both("committer", "must")),
    (Cause::Email, Both("author", " is not a member")), (Cause::Email, Both("committer", "unknown")),
    (Cause::Email, Both("unknown", "committer")), (Cause::Email, Both("committer", "expected")),
    (Cause::Email, Both("expected", "committer")), (Cause::Email, Both("committer", "match")),
    (Cause::Email, Has("push your own commits")),
    (Cause::Signature, Has("must be signed")), (Cause::Signature, Has("signature")),
    (Cause::Signature, Has("unsigned")), (Cause::Signature, Has("not signed")),
    (Cause::Signature, Has("gpg")), (Cause::Signature, Has("signed commit")),
    (Cause::Protected, Has("protected branch")), (Cause::Protected, Has("protected ref")),
    (Cause::Protected, Has("branch is protected")), (Cause::Protected, Has("pull request")),
    (Cause::Protected, Has("merge request")), (Cause::Protected, Has("permission denied to update branch")),
    (Cause::Protected, Has("repository rule violations")),
    (Cause::MayNotWrite, Has("prohibited by gerrit")), (Cause::MayNotWrite, Has("hidden ref")),
    (Cause::MayNotWrite, Framed("fatal: ", " denied by ")), (Cause::MayNotWrite, Has("denied for writing")),
    (Cause::MayNotWrite, Has("not allowed to push")), (Cause::MayNotWrite, Has("does not have write access")),
    (Cause::MayNotWrite, Has("permission denied")),
    (Cause::MayNotWrite, Has("read-only")), (Cause::MayNotWrite, Has("read only")),
    (Cause::Disk, Has("unpacker error")), (Cause::Disk, Has("unpack failed")),
    (Cause::Disk, Has("unable to create temporary object directory")),
    (Cause::Unsupported, Has("receiving end does not support")),
    (Cause::Authentication, Has("could not read username")), (Cause::Authentication, Has("could not read password")),
    (Cause::Authentication, Has("authentication failed")),
    (Cause::Hook, Has("hook")),
];

/// A line and who wrote it.
struct Line<'a> {
    by: Voice,
    /// As it was printed.
    text: &'a str,
    /// In lower case, without the mark by which it was recognized.
    plain: String,
}

fn lines(stderr: &str) -> Vec<Line<'_>> {
    let line = |text| {
        let (by, plain) = mark(text);
        Line { by, text, plain: plain.trim().to_lowercase() }
    };
    stderr.lines().map(line).collect()
}

/// Who wrote a line, and the line without the mark that tells it.
fn mark(line: &str) -> (Voice, &str) {
    if let Some(rest) = line.strip_prefix("remote:") {
        return (Voice::Hub, rest);
    }
    // A warning, of git or of a greeting, is no cause.
    let own = ["fatal: ", "error: ", "send-pack: ", "fetch-pack: "];
    match own.iter().find_map(|prefix| line.strip_prefix(prefix)) {
        Some(rest) => (Voice::Git, rest),
        None => (Voice::Login, line),
    }
}

/// The lines that git wrote, in lower case and without what comes before them.
pub(super) fn own_words(stderr: &str) -> String {
    let own: Vec<String> =
        lines(stderr).into_iter().filter(|line| line.by == Voice::Git).map(|line| line.plain).collect();
    own.join("\n")
}

/// The first line of git that contains one of `phrases`.
pub(super) fn own_line<'a>(stderr: &'a str, phrases: &[&str]) -> Option<&'a str> {
    let says = |line: &Line<'_>| phrases.iter().any(|phrase| line.plain.contains(phrase));
    lines(stderr).into_iter().find(|line| line.by == Voice::Git && says(line)).map(|line| line.text)
}

fn find(tables: &[&[Row]], stderr: &str) -> Option<Reason> {
    let lines = lines(stderr);
    let fitting = |(cause, speaker, shape): &Row| {
        let line = lines.iter().find(|line| line.by == *speaker && fits(shape, *speaker, &line.plain))?;
        Some(Reason::said(*cause, *speaker, explain(line.text, stderr)))
    };
    tables.iter().flat_map(|table| table.iter()).find_map(fitting)
}

/// ssh says `user@host: ` before some of its lines.
fn fits(shape: &Shape, speaker: Voice, line: &str) -> bool {
    let without_host = || {
        let (who, rest) = line.split_once(": ")?;
        (who.contains('@') && !who.contains(' ')).then_some(rest)
    };
    shape.fits(line) || (speaker == Voice::Login && without_host().is_some_and(|rest| shape.fits(rest)))
}

/// Why the other side turned us away at the door, if it did.
pub(super) fn turned_away(verb: GitAction, stderr: &str) -> Option<Reason> {
    let not_git: &[Row] = if verb == GitAction::Fetch { NOT_GIT } else { &[] };
    find(&[AT_LOGIN, AT_THE_DOOR, not_git], stderr).or_else(|| refused_by_web_server(verb, stderr))
}

fn refused_by_web_server(verb: GitAction, stderr: &str) -> Option<Reason> {
    let cause = http_refusal(verb, &own_words(stderr))?;
    let line = own_line(stderr, &["returned error"])?;
    Some(Reason::said(cause, Voice::Git, explain(line, stderr)))
}

/// What an HTTP status in `text` refuses: 4xx, but no time-out (408) or limit (425, 429).
pub(super) fn http_refusal(verb: GitAction, text: &str) -> Option<Cause> {
    let status = text.split("returned error: ").nth(1).and_then(|rest| rest.get(..3));
    let code = status.and_then(|digits| digits.parse::<u16>().ok()).unwrap_or(0);
    match (code, verb) {
        (408 | 425 | 429, _) => None,
        (401 | 407, _) => Some(Cause::Authentication),
        (403, GitAction::Fetch) => Some(Cause::MayNotRead),
        (403, GitAction::Push) => Some(Cause::MayNotWrite),
        (404 | 410, _) => Some(Cause::Hidden),
        (413, _) => Some(Cause::Size),
        (400..500, _) => Some(Cause::Other),
        _ => None,
    }
}

/// Why the connection was lost, before it came to be or while it stood.
pub(super) fn not_connected(stderr: &str) -> Option<Reason> {
    why_not_connected(&[LOST, NEVER_CONNECTED], stderr)
}

/// Why no connection came to be, if that is what git says.
pub(super) fn never_connected(stderr: &str) -> Option<Reason> {
    let began = own_line(stderr, BEFORE_THE_FIRST_ANSWER).is_none();
    let reason =
        why_not_connected(if began { &[NEVER_CONNECTED] } else { &[LOST, NEVER_CONNECTED] }, stderr)?;
    // ssh says the same of a connection that was lost after git sent something.
    let proves_nothing = began && reason.speaker == Voice::Login;
    (!proves_nothing).then_some(reason)
}

fn why_not_connected(tables: &[&[Row]], stderr: &str) -> Option<Reason> {
    let mut reason = find(tables, stderr)?;
    let has_status = || own_words(stderr).contains("returned error: ");
    if reason.cause == Cause::Network && has_status() {
        reason.cause = Cause::Trouble;
    }
    // Whose words they are cannot be told from here: ssh shows a greeting in the same way.
    if reason.cause == Cause::Silent
        && let Some(last) = last_of_login(stderr)
    {
        reason.words = one_line(&format!("{}; before that it printed: {}", reason.words, headline(last)));
        reason.speaker = Voice::Login;
    }
    Some(reason)
}

/// The last line that came before git gave up, if it is neither git's nor the hub's.
fn last_of_login(stderr: &str) -> Option<&str> {
    let before = lines(stderr).into_iter().take_while(|line| line.by != Voice::Git);
    before.filter(|line| line.by == Voice::Login && !line.plain.is_empty()).last().map(|line| line.text)
}

/// What a rejection of a ref is about, by the words that came with it.
pub(super) fn rejected(reason: &str, head: &str, stderr: &str) -> Reason {
    let said = remote_lines(stderr).map(ToOwned::to_owned);
    let words: Vec<String> = [reason.to_owned(), head.to_owned()].into_iter().chain(said).collect();
    let is_said = |shape: &Shape| words.iter().any(|line| shape.fits(&line.to_lowercase()));
    let cause = ABOUT.iter().find(|(_, shape)| is_said(shape)).map_or(Cause::Other, |(cause, _)| *cause);
    let about = bad_branch(cause, &words);
    Reason { about, ..Reason::said(cause, Voice::Hub, explain(head, stderr)) }
}

/// The branch at fault, where the hub names it: one that leads nowhere, or that takes a name.
fn bad_branch(cause: Cause, words: &[String]) -> Option<BadBranch> {
    let (flaw, before, after) = match cause {
        Cause::DamagedRef => (BranchFault::Missing, "bad object ", None),
        Cause::NameTaken => (BranchFault::InTheWay, "'", Some("' exists; cannot create")),
        _ => return None,
    };
    let named = |at: usize| {
        let line = words.get(at)?;
        let end = after.map_or(Some(line.len()), |after| line.find(after))?;
        let mut name = line.get(..end)?.rsplit_once(before)?.1.to_owned();
        // Nothing comes after what git ends with but the rest of a name of several lines, of which the first
        // alone may be that of a sound branch.
        let rest = words.iter().skip(at + 1).take_while(|line| after.is_none() && !is_of_git(line));
        name.extend(rest.map(|line| format!("\n{line}")));
        name.starts_with("refs/").then(|| BadBranch::at(&name, flaw_of_name(&name).unwrap_or(flaw)))
    };
    (0..words.len()).find_map(named)
}

/// Whether a line begins as those of git do.
fn is_of_git(line: &str) -> bool {
    ["fatal: ", "error: ", "warning: ", "hint: "].iter().any(|begin| line.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a greeting may say. Nothing of it is anybody's verdict.
    const GREETINGS: &[&str] = &[
        "Permission to use this system is granted to staff only.",
        "ACCESS DENIED to everybody else. Authentication failed attempts are logged.",
        "FATAL: this is a production system",
        "Repository not found? Call the help desk.",
        "Connection refused to strangers; host key verification failed machines are blocked.",
        "You are not allowed to push here without permission denied by the owner",
        "error handling: could not read Username",
        "Object file custodian: Kim. Bad object reports go there.",
        "RPC failed? The remote end hung up unexpectedly? Ask us.",
    ];

    #[test]
    fn a_greeting_is_no_verdict() {
        let silent = "fatal: Could not read from remote repository.\n\nPlease make sure you have the \
                      correct access rights\nand the repository exists.\n";
        for greeting in GREETINGS {
            let stderr = format!("{greeting}\n{silent}");
            for verb in [GitAction::Fetch, GitAction::Push] {
                assert_eq!(turned_away(verb, &stderr), None, "{greeting}");
            }
            let reason = never_connected(&stderr).expect("it never connected");
            assert_eq!((reason.cause, reason.speaker), (Cause::Silent, Voice::Login), "{greeting}");
            let denied = format!("{greeting}\ngit@hub: Permission denied (publickey).\n{silent}");
            let reason = turned_away(GitAction::Push, &denied).expect("ssh says it");
            assert_eq!(
                (reason.cause, &*reason.words),
                (Cause::Authentication, "git@hub: Permission denied (publickey)"),
                "{greeting}"
            );
        }
    }

    #[test]
    fn the_words_of_a_rejection_have_a_cause() {
        for (reason, said, cause) in [
            ("pre-receive hook declined", "committer does not follow the pattern", Cause::Email),
            (
                "pre-receive hook declined",
                "Committer's email 'a@b' does not follow the pattern",
                Cause::Email,
            ),
            ("pre-receive hook declined", "not on a Friday", Cause::Hook),
            ("pre-receive hook declined", "the author of this hook is on holiday", Cause::Hook),
            ("pre-receive hook declined", "Commit must be signed with a GPG key", Cause::Signature),
            ("pre-receive hook declined", "missing Signed-off-by line", Cause::Message),
            ("commit 1a: missing Change-Id in message footer", "", Cause::Message),
            ("protected branch hook declined", "", Cause::Protected),
            ("non-fast-forward", "", Cause::HistoryKept),
            ("hook declined", "FATAL: + refs/heads/x hub ada DENIED by fallthru", Cause::HistoryKept),
            ("hook declined", "FATAL: W refs/heads/x hub ada DENIED by fallthru", Cause::MayNotWrite),
            ("never seen before", "", Cause::Other),
        ] {
            let stderr = format!("remote: {said}\n");
            assert_eq!(rejected(reason, reason, &stderr).cause, cause, "{reason}: {said}");
        }
    }

    /// As git before 2.43 says it of a hub that holds a file `main\n2` among its branches.
    #[test]
    fn a_name_of_several_lines_is_not_that_of_the_branch_that_its_first_line_names() {
        let reason = "missing necessary objects";
        for (said, branch, flaw) in [
            (
                "remote: fatal: bad object refs/heads/main\nremote: 2        \n",
                "main\n2",
                BranchFault::NoName,
            ),
            ("remote: fatal: bad object refs/heads/main 2\n", "main 2", BranchFault::NoName),
            ("remote: fatal: bad object refs/heads/main\n", "main", BranchFault::Missing),
            (
                "remote: fatal: bad object refs/heads/main\nremote: error: it failed\n",
                "main",
                BranchFault::Missing,
            ),
        ] {
            let about = rejected(reason, reason, said).about.expect(said);
            assert_eq!((&*about.branch, about.flaw), (branch, flaw), "{said}");
        }
    }

    #[test]
    fn an_address_of_no_kind_that_git_knows_is_told_by_the_lack_of_its_program() {
        let alike = "git: 'remote-htp' is not a git command. See 'git --help'.\n\n\
                     The most similar command is\n\tremote-http\n";
        let aborted = format!("{alike}fatal: remote helper 'htp' aborted session\n");
        for (verb, stderr, cause) in [
            (GitAction::Fetch, alike, Some(Cause::NoProgram)),
            // A greeting may say that.
            (GitAction::Push, alike, None),
            (GitAction::Push, &aborted, Some(Cause::NoProgram)),
        ] {
            assert_eq!(turned_away(verb, stderr).map(|reason| reason.cause), cause, "{stderr}");
        }
    }

    #[test]
    fn a_status_of_the_web_has_a_cause() {
        for (code, fetch, push) in [
            (401, Some(Cause::Authentication), Some(Cause::Authentication)),
            (403, Some(Cause::MayNotRead), Some(Cause::MayNotWrite)),
            (404, Some(Cause::Hidden), Some(Cause::Hidden)),
            (413, Some(Cause::Size), Some(Cause::Size)),
            (418, Some(Cause::Other), Some(Cause::Other)),
            (429, None, None),
            (503, None, None),
        ] {
            let text = format!("the requested url returned error: {code}");
            assert_eq!(
                (http_refusal(GitAction::Fetch, &text), http_refusal(GitAction::Push, &text)),
                (fetch, push)
            );
        }
    }
}
