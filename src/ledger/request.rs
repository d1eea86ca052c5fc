//! What the ledger is asked to write: requests as data, which the layer above says how to apply.

use super::error::{Abort, LedgerError};
use super::outcome::Outcome;
use super::transaction::Transaction;
use crate::domain::id::OpId;
use crate::domain::time::Timestamp;

/// What a request does, by the layer above: a pure function from documents to documents.
pub trait Apply {
    /// What it answers.
    type Answer;

    /// Does it. It may be asked several times, each time on fresher documents.
    ///
    /// # Errors
    /// The refusal, or a document that cannot be used.
    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Self::Answer, Abort>;
}

#[cfg(test)]
impl<F, A> Apply for F
where
    F: Fn(&mut Transaction<'_>) -> Result<A, Abort>,
{
    type Answer = A;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<A, Abort> {
        self(transaction)
    }
}

/// An operation to be applied.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before the ledger has it"]
pub struct Request<W> {
    /// Its id, unique for ever.
    pub op: OpId,
    /// When it was asked for: the same on every attempt.
    pub now: Timestamp,
    /// Who asks for it, where that is not who opened the ledger.
    pub author: Option<String>,
    /// What it does.
    pub what: W,
}

/// What became of one request of several; a fault is its own, and stopped no other.
pub type RequestResult<A> = Result<Outcome<A>, LedgerError>;

impl<W> Request<W> {
    /// It without what it does.
    pub(super) fn head(&self) -> RequestHead<'_> {
        RequestHead { op: &self.op, now: self.now, author: self.author.as_deref() }
    }
}

/// Applies the request of this number and tells under which number its answer is kept.
type ApplyAt<'a> = dyn FnMut(usize, &mut Transaction<'_>) -> Result<usize, Abort> + 'a;

/// One request without what it does.
pub(super) struct RequestHead<'a> {
    pub op: &'a OpId,
    pub now: Timestamp,
    pub author: Option<&'a str>,
}

/// The requests of one update as the loop sees them, which does not know what they do and answer.
pub(super) struct Batch<'a> {
    pub heads: Vec<RequestHead<'a>>,
    pub apply: &'a mut ApplyAt<'a>,
}

impl Batch<'_> {
    /// The author of a commit of those requests that are `meant`: theirs, if they have the same, and of
    /// several `gatherer`, who wrote them together. So a fleet behind one gateway counts as the gateway
    /// wherever commits are judged by their authors: by how close they follow each other, by their clocks.
    pub(super) fn author<'b>(&'b self, gatherer: &'b str, meant: impl Fn(usize) -> bool) -> &'b str {
        let mut authors = self.meant(meant).map(|head| head.author.unwrap_or(gatherer));
        let first = authors.next().unwrap_or(gatherer);
        if authors.all(|author| author == first) { first } else { gatherer }
    }

    /// The time of a commit of those requests that are `meant`: that of the newest.
    pub(super) fn now(&self, meant: impl Fn(usize) -> bool) -> Option<Timestamp> {
        self.meant(meant).map(|head| head.now).max()
    }

    fn meant(&self, meant: impl Fn(usize) -> bool) -> impl Iterator<Item = &RequestHead<'_>> {
        self.heads.iter().enumerate().filter(move |(index, _)| meant(*index)).map(|(_, head)| head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_of_several_is_that_of_who_gathered_them_and_as_new_as_the_newest() {
        let op = OpId::new("019a7c3e-5f0e-7d31-b1ce-0a2f3c4d5e6f").expect("an op id");
        let at = |second: i64| Timestamp::from_unix_millis(second * 1000).expect("a time");
        for (authors, meant, expected, newest) in [
            (&[None, None][..], &[0, 1][..], "gateway", 1),
            (&[Some("a"), Some("a")], &[0, 1], "a", 1),
            (&[Some("a"), Some("b")], &[0, 1], "gateway", 1),
            (&[Some("a"), None], &[0, 1], "gateway", 1),
            (&[Some("a"), Some("b"), Some("a")], &[0, 2], "a", 2),
            (&[Some("a"), Some("b")], &[0], "a", 0),
        ] {
            let heads = authors.iter().zip(0..).map(|(author, second)| RequestHead {
                op: &op,
                now: at(second),
                author: *author,
            });
            let batch = Batch { heads: heads.collect(), apply: &mut |_, _| Ok(0) };
            let meant = |index: usize| meant.contains(&index);
            assert_eq!(batch.author("gateway", meant), expected, "{authors:?}");
            assert_eq!(batch.now(meant), Some(at(newest)), "{authors:?}");
        }
    }
}
