//! The words for broken rules of a hub: one sentence without a final period, and what to do about it.

use super::repair::{MEND, MEND_TOKEN};
use crate::domain::finding::{About, CutBy, HubFact, NameFact, Rewritten, Thing, Unread};
use crate::domain::job::JobStatus;
use crate::domain::lock::JOB_ASSIGNMENT;
use crate::domain::shell::{quoted, typed};

/// How much of a name from a hub a sentence repeats, in characters.
const SHOWN_LENGTH_MAX: usize = 80;

/// What is wrong.
#[expect(clippy::too_many_lines, reason = "a table: an arm for each fact")]
pub(super) fn sentence(fact: &HubFact, about: &About) -> String {
    let id = &named(&about.id);
    match fact {
        HubFact::Unreadable { problem, .. } => problem.clone(),
        HubFact::BrokenRecord { problem } if about.id.is_empty() => problem.clone(),
        HubFact::BrokenRecord { problem } | HubFact::TokenImpossible { problem } => format!("{id}: {problem}"),
        HubFact::Missing => "it is not there, and read as empty".to_owned(),
        HubFact::Removed { .. } => "it was removed, and is read as empty".to_owned(),
        HubFact::NewerLayout { version } => format!(
            "it has layout version {}, which this git-muster reads and does not write",
            named(version)
        ),
        HubFact::BadId(name) | HubFact::BadName(name) => {
            let NameFact { kind, given, rule } = name;
            format!("{kind} `{given}` {rule}")
        }
        HubFact::MarkerWithoutId => "it has no id, by which every host knows the hub".to_owned(),
        HubFact::BadRecipient { to } => format!("message {id} is for {}, which is no server", named(to)),
        HubFact::BadDirectory => format!("a directory is called {id}"),
        HubFact::IdTwice => format!("{id} stands there twice"),
        HubFact::LiveAndArchived { other, is_same: true } => format!("{id} is in `{other}` too"),
        HubFact::LiveAndArchived { other, is_same: false } => {
            format!("{id} is the id of another in `{other}` too")
        }
        HubFact::UnknownStatus { status } => format!(
            "job {id} is {}, which is no status of a job: it is shown and never acted on",
            named(status)
        ),
        HubFact::HeldByNobody { status, holder } if holder.is_empty() => {
            format!("job {id} is {status} and nobody holds it")
        }
        HubFact::HeldByNobody { status, holder } => {
            format!("job {id} is {status} and held by {}, which is no server", named(holder))
        }
        HubFact::HeldByStranger { status, holder } => {
            format!("job {id} is {status} and held by {}, which is not registered", named(holder))
        }
        HubFact::HeldWithoutToken { status: Some(status) } => format!("job {id} is {status} without a token"),
        HubFact::HeldWithoutToken { status: None } => format!("lock {id} is held without a token"),
        HubFact::UnknownNeed { need, is_archived } => {
            let whither = if *is_archived { "is in the archive" } else { "is not there" };
            format!("job {id} needs {}, which {whither}, and waits in vain", named(need))
        }
        HubFact::NeedsInCircle => {
            format!("job {id} needs itself by way of its needs, and is never claimed")
        }
        HubFact::UnknownMessage { message, is_thread } => {
            let how = if *is_thread { "belongs to the thread of" } else { "answers" };
            format!("message {id} {how} {}, which is nowhere", named(message))
        }
        HubFact::OtherServer { server, named: other } => {
            format!("it lies in the directory of `{server}` and names {}", named(other))
        }
        HubFact::NamesAlike { other } => {
            format!("servers {} and {id} differ in upper and lower case only", named(other))
        }
        HubFact::JobVanished { status } => format!("job {id} ({status}) is gone and not in the archive"),
        HubFact::MessageVanished => format!("message {id} is gone and not in the archive"),
        HubFact::LockVanished { token: Some(token) } => {
            format!("lock {id} is gone, and with it its token {token}")
        }
        HubFact::LockVanished { token: None } => format!("lock {id} is gone while it was held"),
        HubFact::ServerVanished => format!("server {id} is gone from the register"),
        HubFact::ArchiveVanished => format!("{id} is gone from the archive"),
        HubFact::ArchiveRewritten => format!("{id} is in the archive and was changed there"),
        HubFact::BeganMidway { status, token } => {
            let token = token.map_or(String::new(), |token| format!(" with token {token}"));
            format!("job {id} began as {}{token}", word(status))
        }
        HubFact::IllegalStep { from, to } => format!("job {id} went from {} to {}", word(from), word(to)),
        HubFact::ClaimedUnderOldToken { from, to, token } => {
            format!("job {id} went from {} to {} under its old token {token}", word(from), word(to))
        }
        HubFact::StoppedWrongly { status } => {
            format!("job {id} was told to have stopped, and it is {}", word(status))
        }
        HubFact::ClaimedWithoutToken { holder } => {
            format!("job {id} was claimed by {} without a token", somebody(holder.as_deref()))
        }
        HubFact::JobRewritten { fields } => {
            let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
            format!("{} of job {id} changed after it was added", fields.join(", "))
        }
        HubFact::TokenLowered { from, to } => {
            let to = to.map_or("none".to_owned(), |token| token.to_string());
            format!("the token of {} {id} went from {from} to {to}", noun(about.thing))
        }
        HubFact::TokenForgotten { token, last_token } => {
            let token = token.map_or("no token".to_owned(), |token| format!("token {token}"));
            format!("lock {id} has {token} and gave token {last_token} before")
        }
        HubFact::TokenSkipped { from, to } => {
            format!("the token of {} {id} went from {from} to {to} in one commit", noun(about.thing))
        }
        HubFact::TokenWithoutClaim { from, to, status_before, status } => format!(
            "the token of job {id} went from {from} to {to}, and nobody claimed it: {} to {}",
            word(status_before),
            word(status)
        ),
        HubFact::HandedOver { from, to, token } => format!(
            "{} {id} went from {} to {} under the same token {token}",
            noun(about.thing),
            somebody(from.as_deref()),
            somebody(to.as_deref())
        ),
        HubFact::TakenWithoutToken { by, token: None } => {
            format!("lock {id} was taken by {} without a token, as older writers do", named(by))
        }
        HubFact::TakenWithoutToken { by, token: Some(token) } => {
            format!("lock {id} was taken by {} under its old token {token}", named(by))
        }
        HubFact::DoneUndone => format!("{id} was done once for all and is marked as not done again"),
        HubFact::MessageRewritten => format!("message {id} was changed after it was sent"),
        HubFact::UnreadAgain(Unread::Acknowledged(by)) => {
            format!("message {id} is no longer acknowledged by {}", named(by))
        }
        HubFact::UnreadAgain(Unread::Read(by)) => format!("message {id} is no longer read by {}", named(by)),
        HubFact::UnreadAgain(Unread::Marked) => format!("message {id} was read and is unread again"),
        HubFact::OpTwice { first, of } => format!(
            "operation {} is in the history twice, the first time in commit {first} of {of}",
            about.id
        ),
        HubFact::Unsettled { at, is_in_history } => format!(
            "operation {}, begun on this host at {at} and never settled, {}",
            about.id,
            if *is_in_history { "is in the history" } else { "is not in the history of the main branch" }
        ),
        HubFact::HistoryRewritten(rewritten) => history_rewritten(rewritten),
        HubFact::HistoryCut { cause: CutBy::Shallow } => {
            "the beginning of the history was not looked at: this clone is shallow".to_owned()
        }
        HubFact::HistoryCut { cause: CutBy::Length } => {
            "the beginning of the history was not looked at: it is too long to be walked whole".to_owned()
        }
        HubFact::HistoryCut { cause: CutBy::Width } => {
            "not all was looked at of merges with very many parents or commits, or of messages with very many operations".to_owned()
        }
    }
}

/// What to do about it; may name commands in backticks.
#[expect(clippy::too_many_lines, reason = "a table: an arm for each fact")]
pub(super) fn hint(fact: &HubFact, about: &About) -> Option<String> {
    let id = typed(&about.id, "ID");
    let name = typed(&about.id, "NAME");
    Some(match fact {
        HubFact::Unreadable { branch, .. } => unreadable(&about.id, branch.as_deref()),
        HubFact::BrokenRecord { .. } => MEND.to_owned(),
        HubFact::Missing => format!(
            "if it was removed, put it back in a clone of the hub: `git log --diff-filter=D -- {0}` shows the commit, `git checkout COMMIT~1 -- {0}` brings it back, then commit and push; else the first record makes it",
            quoted(&about.id)
        ),
        HubFact::Removed { commit } => format!(
            "put it back in a clone of the hub and push: `git checkout {commit}^ -- {}`, then commit",
            quoted(&about.id)
        ),
        HubFact::NewerLayout { .. } => "upgrade git-muster here".to_owned(),
        HubFact::BadId(_) if about.thing == Thing::Message => {
            "it can be read, and neither answered nor acknowledged by itself".to_owned()
        }
        HubFact::BadId(_) => "it can be neither claimed nor cancelled: give it another id".to_owned(),
        HubFact::MarkerWithoutId => {
            "`git muster import` gives it the id that the history shows; without one the next `join` or `init` does".to_owned()
        }
        HubFact::BadName(_) => match about.thing {
            Thing::Lock => "no command can name this lock".to_owned(),
            Thing::Directory => {
                "what lies in its directory is passed over: no server can have that name".to_owned()
            }
            _ => "it is passed over: nobody can join or send under that name".to_owned(),
        },
        HubFact::BadRecipient { .. } => "nobody will read it".to_owned(),
        HubFact::BadDirectory => "nobody can check the hub out: take it out of the tree".to_owned(),
        HubFact::IdTwice => {
            "the first counts: `git muster fsck --mend` gives a message or a queued job another id and sets all else aside".to_owned()
        }
        HubFact::LiveAndArchived { .. } => {
            "the live one counts, and of archived ones that of the newest archive: `git muster fsck --mend` sets the others aside, and gives another message of that id one of its own".to_owned()
        }
        HubFact::UnknownStatus { .. } | HubFact::UnknownNeed { .. } => cancel(&about.id),
        HubFact::HeldByNobody { .. } => format!("nobody takes it back: {}", cancel_and_retry(&about.id)),
        HubFact::HeldByStranger { .. } => format!(
            "unless that server joins and goes on, it is taken back when its time is over; at once: {}",
            cancel_and_retry(&about.id)
        ),
        HubFact::HeldWithoutToken { status: Some(_) } => format!(
            "an older writer claimed it: nothing fences off its holder; if that is gone, `git muster job requeue {id} --holder-lost --reason TEXT` gives the job back"
        ),
        HubFact::HeldWithoutToken { status: None } => {
            "an older writer took it: it is respected, and nothing fences off its holder".to_owned()
        }
        HubFact::NeedsInCircle => format!("one of the circle has to go: {}", cancel(&about.id)),
        HubFact::OtherServer { .. } => "the directory is what counts".to_owned(),
        HubFact::NamesAlike { .. } => {
            "some disks cannot tell their directories apart: let one of them join under another name".to_owned()
        }
        HubFact::JobVanished { .. } => {
            "put the record back from the commit before; finished jobs leave by `git muster archive`".to_owned()
        }
        HubFact::MessageVanished => {
            "put the record back from the commit before; read messages leave by `git muster archive`".to_owned()
        }
        HubFact::LockVanished { token: Some(_) } => {
            "the next holder would begin at 1: put the record back, free, with that token".to_owned()
        }
        HubFact::LockVanished { token: None } => "free a lock by emptying its fields".to_owned(),
        HubFact::ServerVanished => format!(
            "it works on and nobody is told when it is lost: `git muster join --as {name}` on it brings it back; to take one out there is `git muster servers remove {name}`"
        ),
        HubFact::ArchiveVanished | HubFact::ArchiveRewritten => {
            "the archive is history: put the record back from the commit before".to_owned()
        }
        HubFact::BeganMidway { .. } => "a job begins as queued".to_owned(),
        HubFact::IllegalStep { .. } => format!(
            "a job is claimed before it ends, and leaves its end by `git muster job retry {id}` only"
        ),
        HubFact::ClaimedUnderOldToken { .. } => format!(
            "whoever held it before may report with that token: {}",
            cancel_and_retry(&about.id)
        ),
        HubFact::StoppedWrongly { .. } => {
            "only a cancelled job is told to have stopped, once, by whoever held it".to_owned()
        }
        HubFact::ClaimedWithoutToken { .. } => {
            "nothing fences off a holder without a token; whoever claims with `git muster job claim` has one".to_owned()
        }
        HubFact::JobRewritten { .. } => {
            "a job that is to do something else is a new job: `git muster job add`".to_owned()
        }
        HubFact::TokenLowered { .. } if about.thing == Thing::Lock && about.id == JOB_ASSIGNMENT => return None,
        HubFact::TokenLowered { from, .. } => format!(
            "an earlier holder may pass for the present one: set it to {} by hand{}",
            from.saturating_add(1),
            if about.thing == Thing::Job { " if the job is still there" } else { "" }
        ),
        HubFact::TokenForgotten { .. } => {
            "an older writer dropped it: whoever takes the lock next by git-muster gets a higher one again".to_owned()
        }
        HubFact::TokenImpossible { .. } => MEND_TOKEN.to_owned(),
        HubFact::TokenSkipped { .. } if about.thing == Thing::Job => {
            "a token rises by one with each claim".to_owned()
        }
        HubFact::TokenSkipped { .. } => "a token rises by one with each holder".to_owned(),
        HubFact::UnknownMessage { .. }
        | HubFact::TokenWithoutClaim { .. }
        | HubFact::TakenWithoutToken { token: None, .. } => return None,
        HubFact::HandedOver { .. } if about.thing == Thing::Job => {
            format!("both may believe that they hold it: {}", cancel_and_retry(&about.id))
        }
        HubFact::HandedOver { .. } => format!(
            "both may believe that they hold it: `git muster lock steal {name} --reason REASON --force` gives it a new token"
        ),
        HubFact::TakenWithoutToken { token: Some(_), .. } => format!(
            "whoever held it before knows that token and passes `--if-lock` with it; take locks with `git muster lock acquire {name}`"
        ),
        HubFact::DoneUndone => "it may be done a second time: put `done_at` back".to_owned(),
        HubFact::MessageRewritten => format!(
            "who had read it does not know: send what is right as an answer with `git muster message send --reply-to {id}`"
        ),
        HubFact::UnreadAgain(_) => "it will be shown, and perhaps acted on, a second time".to_owned(),
        HubFact::OpTwice { .. } => {
            "it may have been applied twice; a commit that was copied by hand, as `git cherry-pick` does, keeps the trailer of its first".to_owned()
        }
        HubFact::Unsettled { .. } => format!(
            "`git muster op status {0}` settles one that happened, `git muster op resume {0}` makes it happen",
            about.id
        ),
        HubFact::HistoryRewritten(rewritten) => history_kept(rewritten),
        HubFact::HistoryCut { cause: CutBy::Shallow } => {
            "`git fetch --unshallow` in it brings the rest".to_owned()
        }
        HubFact::HistoryCut { cause: CutBy::Length } => "what was walked are the newest commits".to_owned(),
        HubFact::HistoryCut { cause: CutBy::Width } => {
            "git-muster makes no such commits: `git log` tells who did".to_owned()
        }
    })
}

/// How a job is ended that nobody will do.
pub(super) fn cancel(job: &str) -> String {
    format!("cancel it with `git muster job cancel {}`", typed(job, "ID"))
}

/// How a job is put back into the queue, whoever holds it.
fn cancel_and_retry(job: &str) -> String {
    let id = typed(job, "ID");
    format!("`git muster job cancel {id}`, then `git muster job retry {id}`")
}

fn unreadable(path: &str, branch: Option<&str>) -> String {
    let path = quoted(path);
    match branch {
        None => format!(
            "`git muster import --check` shows what of it is mended and what is taken from the history, and `git muster import` does it; or mend it in a clone of the hub and push it: `git log -p -- {path}` there shows who changed it"
        ),
        Some(branch) => format!(
            "the next beat of that server replaces it; `git log -p origin/{branch} -- {path}` in a clone of the hub shows who changed it"
        ),
    }
}

fn history_rewritten(rewritten: &Rewritten) -> String {
    let Rewritten { commits, by_hand, oldest, newest, lost, lost_more, .. } = rewritten;
    let fate = match (lost.is_empty(), by_hand) {
        (true, 0) => "their operations are all in the new history".to_owned(),
        (true, _) => format!("{by_hand} of them made by hand; all operations are in the new history"),
        (false, _) => {
            let more = if *lost_more > 0 { format!(" and {lost_more} more") } else { String::new() };
            format!("with these operations: {}{more}", lost.join(", "))
        }
    };
    format!(
        "the history was rewritten since this host last looked: {commits} commits, {oldest} to {newest}, are gone, {fate}"
    )
}

fn history_kept(rewritten: &Rewritten) -> String {
    let repository = quoted(&rewritten.repository);
    let log = format!("`git -C {repository} log {}` shows them", rewritten.newest);
    match &rewritten.kept_as {
        Some(reference) => format!(
            "{log}; once that is settled, `git -C {repository} update-ref -d {reference}` ends this message"
        ),
        None => log,
    }
}

fn noun(thing: Thing) -> &'static str {
    if thing == Thing::Job { "job" } else { "lock" }
}

fn somebody(name: Option<&str>) -> String {
    name.map_or("nobody".to_owned(), named)
}

fn word(status: &JobStatus) -> String {
    match status {
        JobStatus::Other(word) => named(word),
        known => known.to_string(),
    }
}

/// A name or word from a hub as a sentence repeats it: in backticks and not endless.
fn named(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_LENGTH_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_end_is_not_repeated_without_end() {
        assert_eq!(named("a"), "`a`");
        assert_eq!(named(&"x".repeat(100_000)).chars().count(), SHOWN_LENGTH_MAX + 3);
    }

    #[test]
    fn what_is_advised_is_typed_as_it_stands() {
        assert_eq!(cancel_and_retry("j"), "`git muster job cancel j`, then `git muster job retry j`");
        assert_eq!(cancel_and_retry("$(x)"), "`git muster job cancel ID`, then `git muster job retry ID`");
    }
}
