//! What a fetch comes to that brought nothing.

use super::GitEngine;
use crate::git::classify::{FetchVerdict, is_about_lock, store_cause};
use crate::ledger::{Cause, LedgerError, LostObject, Reason};

impl GitEngine {
    /// What a fetch that brought nothing comes to.
    pub(super) fn failed(&self, main: &str, verdict: FetchVerdict) -> LedgerError {
        let hub = self.name.clone();
        let store = |what: &str, why: String| {
            let cause = store_cause(&why);
            LedgerError::Store { what: what.to_owned(), why, cause }
        };
        match verdict {
            FetchVerdict::Unreachable(why) => LedgerError::Unreachable { hub, why },
            FetchVerdict::Denied(why) => LedgerError::Denied { hub, why },
            FetchVerdict::HubDamaged(why, id) => {
                LedgerError::LacksObject { hub, object: LostObject { id, branch: main.to_owned() }, why }
            }
            FetchVerdict::BrokenCache(why) => self.damaged("cannot fetch", why),
            // Another process of this host fetching into the same copy is the commonest cause.
            FetchVerdict::Failed(why) if is_about_lock(&why) => {
                LedgerError::Unreachable { hub, why: Reason::of(Cause::Trouble, why) }
            }
            FetchVerdict::Failed(why) => store("git fetch failed", why),
            FetchVerdict::Fetched | FetchVerdict::MissingBranch => {
                store("git fetch failed", "it brought nothing".to_owned())
            }
        }
    }
}
