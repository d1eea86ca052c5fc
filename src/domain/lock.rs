//! `coordination/locks.json`: named locks with a lease and a fencing token.
//!
//! The seed's three fields (`locked_by`, `locked_at`, `expires_at`) are kept for its readers and
//! for people. What decides is a *duration*: a challenger counts from when it first saw the exact
//! version of a record and takes over only that version, so no two clocks are ever compared. The
//! token grows whenever the holder changes, never on renewal, and is kept when a lock is free.

use super::id::{LockName, ServerName};
use super::lease::{is_token_before, margin, next_token, patience, possible_token, token_anew};
use super::lenient;
use super::planted::planted;
use super::refusal::{Action, ConditionFailed, HeldLockFacts, Kind, LockCondition, Refusal, Token};
use super::table::{Progress, Row};
use super::time::{SPAN_MAX, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The lease of a lock whose writer declared none: what the first scripts used.
pub const LEASE_ASSUMED: Duration = Duration::from_secs(600);

/// The lock that the seed's protocol takes while it assigns a job.
pub const JOB_ASSIGNMENT: &str = "job_assignment";

/// A lock, held or free.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Lock {
    /// Its name: the key it stands under.
    #[serde(skip)]
    pub name: String,
    /// The server that holds it; null when free.
    #[serde(default, deserialize_with = "lenient::text")]
    pub locked_by: Option<String>,
    /// Since when.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub locked_at: Option<Timestamp>,
    /// For the seed's readers and for people; never decided by.
    #[serde(default, deserialize_with = "lenient::timestamp")]
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
    /// The fencing token: grows whenever the holder changes.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// How long the holder is trusted without a renewal.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<u64>,
    /// Counts the renewals of this term.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub renewal: Option<u64>,
    /// When it was last renewed, for people.
    #[serde(default, deserialize_with = "lenient::timestamp", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub renewed_at: Option<Timestamp>,
    /// Who exactly: host and process, for people.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// What for, or why it was stolen.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who freed it last, under its token; nobody while it is held.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub released_by: Option<String>,
    /// Set for good by `once done`: the thing was done.
    #[serde(default, deserialize_with = "lenient::timestamp", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub done_at: Option<Timestamp>,
}

/// What a holder says of itself when it takes a lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LockRequest {
    /// The server.
    pub server: ServerName,
    /// Host and process, for people.
    pub holder: String,
    /// The lease it asks for, in seconds.
    pub lease_seconds: u64,
    /// What for.
    pub reason: Option<String>,
}

impl Lock {
    /// A lock that nobody ever took.
    #[must_use]
    pub fn free(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            locked_by: None,
            locked_at: None,
            expires_at: None,
            token: None,
            lease_seconds: None,
            renewal: None,
            renewed_at: None,
            holder: None,
            reason: None,
            released_by: None,
            done_at: None,
        }
    }

    /// Whether somebody holds it, alive or not.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.locked_by.as_deref().is_some_and(|holder| !holder.is_empty())
    }

    /// The declared lease; of a record without one, what its two times say. One that nobody can have asked for
    /// is none.
    #[must_use]
    pub fn lease(&self) -> Duration {
        let lease = match (self.lease_seconds, self.locked_at, self.expires_at) {
            (Some(seconds), _, _) => Duration::from_secs(seconds),
            (None, Some(from), Some(until)) if until > from => until.since(from),
            _ => LEASE_ASSUMED,
        };
        // What no holder can have asked for would keep everybody away for ever.
        if lease > SPAN_MAX { LEASE_ASSUMED } else { lease }
    }

    /// How long a challenger must see one version of this record before it may take over.
    #[must_use]
    pub fn patience(&self) -> Duration {
        patience(self.lease())
    }

    /// For how long nobody has renewed it after its lease, by the reader's clock and beyond the
    /// margin: for people, never decided by.
    #[must_use]
    pub fn overdue(&self, now: Timestamp) -> Option<Duration> {
        if !self.is_held() || self.done_at.is_some() {
            return None;
        }
        let lease = self.lease();
        let is_possible = |until: &Timestamp| self.locked_at.is_none_or(|at| until.since(at) <= SPAN_MAX);
        let told = self.expires_at.filter(is_possible);
        let expires_at = told.or_else(|| self.locked_at.map(|at| at.plus(lease)))?;
        Some(now.since(expires_at)).filter(|over| *over > margin(lease))
    }

    /// Names this exact version of the record: it changes with every renewal and every holder.
    #[must_use]
    pub fn version(&self) -> String {
        if planted("renewal-unseen") {
            return format!("{:?}#{:?}", self.locked_by, self.token);
        }
        let until = self.expires_at.map_or(0, Timestamp::unix_millis);
        format!("{}.{}-{until}", self.term(), self.renewal.unwrap_or(0))
    }

    /// Names its present term, through all renewals. More than its token, which a hub that was rolled back
    /// gives again, and which scripts do not know.
    #[must_use]
    pub fn term(&self) -> String {
        let holder = self.locked_by.as_deref().unwrap_or("-");
        let since = self.locked_at.map_or(0, Timestamp::unix_millis);
        format!("{holder}#{}@{since}", self.token.unwrap_or(0))
    }

    /// Takes the lock. `expired` is the version that the taker has watched for long enough.
    ///
    /// # Errors
    /// Refused while it is held in any other version.
    pub fn take(
        &mut self,
        taker: &LockRequest,
        expired: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, Refusal> {
        let is_expired =
            expired == Some(self.version().as_str()) || (planted("any-version-expires") && expired.is_some());
        if self.is_held() && !is_expired && !planted("held-is-free") {
            return Err(self.held(now));
        }
        self.hand_to(taker, now)
    }

    /// The same for a lock of which other records are known to have given tokens up to `mark`.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn take_from(
        &mut self,
        taker: &LockRequest,
        expired: Option<&str>,
        now: Timestamp,
        mark: Option<u64>,
    ) -> Result<u64, Refusal> {
        // The version that was watched is that of the record.
        let is_expired = expired == Some(self.version().as_str());
        self.token = self.token.max(mark);
        let raised = is_expired.then(|| self.version());
        self.take(taker, raised.as_deref().or(expired), now)
    }

    /// Takes the lock and leaves it at once, in one commit, as `take` may. Nobody ever acts under that token,
    /// so one that is no possible one stops nobody.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn pass(
        &mut self,
        taker: &LockRequest,
        expired: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let is_expired = expired == Some(self.version().as_str());
        self.token = token_anew(self.token, now);
        let version = is_expired.then(|| self.version());
        self.take(taker, version.as_deref().or(expired), now)?;
        self.vacate();
        self.renewed_at = Some(now);
        Ok(())
    }

    /// Gives the lock to `taker` whoever holds it.
    ///
    /// # Errors
    /// When its tokens are used up, which only a record that somebody made up can be.
    pub fn hand_to(&mut self, taker: &LockRequest, now: Timestamp) -> Result<u64, Refusal> {
        let token = if planted("token-stands-still") {
            self.token.unwrap_or(1)
        } else {
            next_token(self.token, (Kind::Lock, &self.name))?
        };
        self.locked_by = Some(taker.server.to_string());
        self.locked_at = Some(now);
        self.expires_at = Some(now.plus(Duration::from_secs(taker.lease_seconds)));
        self.token = Some(token);
        self.lease_seconds = Some(taker.lease_seconds);
        self.renewal = Some(0);
        self.renewed_at = None;
        self.holder = Some(taker.holder.clone());
        self.reason.clone_from(&taker.reason);
        self.released_by = None;
        Ok(token)
    }

    /// Renews the holder's lease; the token stays. A lease only grows: whoever else acts under this term, as
    /// `lock run` around a command that renews, trusts what it asked for.
    ///
    /// # Errors
    /// Lease lost when the term is not `server`'s and `token`'s any more.
    pub fn renew(
        &mut self,
        server: &ServerName,
        token: u64,
        lease_seconds: Option<u64>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if !planted("anybody-renews") {
            self.check_term(server, token, Action::RenewLock)?;
        }
        let lease_seconds = lease_seconds.unwrap_or(0).max(self.lease().as_secs());
        self.lease_seconds = Some(lease_seconds);
        self.renewal = Some(self.renewal.unwrap_or(0).saturating_add(1));
        self.renewed_at = Some(now);
        self.expires_at = Some(now.plus(Duration::from_secs(lease_seconds)));
        Ok(())
    }

    /// Frees the lock; the token stays for the next term to count from.
    ///
    /// # Errors
    /// Lease lost when the term is not `server`'s and `token`'s any more.
    pub fn release(&mut self, server: &ServerName, token: u64) -> Result<(), Refusal> {
        if !planted("anybody-releases") {
            self.check_term(server, token, Action::ReleaseLock)?;
        }
        if !planted("release-keeps") {
            self.vacate();
        }
        self.released_by = Some(server.to_string());
        Ok(())
    }

    /// Whether it is free because `server` released it under this token: then whoever asks again has
    /// lost the answer.
    #[must_use]
    pub fn was_released(&self, server: &ServerName, token: u64) -> bool {
        !self.is_held() && self.token == Some(token) && self.released_by.as_deref() == Some(server.as_str())
    }

    /// Empties the fields of the holder.
    pub fn vacate(&mut self) {
        if planted("token-forgotten") {
            self.token = None;
        }
        self.locked_by = None;
        self.locked_at = None;
        self.expires_at = None;
        self.renewal = None;
        self.renewed_at = None;
        self.holder = None;
        self.reason = None;
    }

    /// The refusal of a write that depends on this lock under `token`.
    #[must_use]
    pub fn fails(&self, token: u64, cause: LockCondition, expected_holder: Option<&str>) -> Refusal {
        Refusal::LockConditionFailed(Box::new(ConditionFailed {
            lock: self.name.clone(),
            token,
            cause,
            last_token: self.token,
            holder: self.locked_by.clone().filter(|_| self.is_held()),
            expected_holder: expected_holder.map(str::to_owned),
        }))
    }

    /// Fails unless the lock is held under `token` now, by whomever: the guard of other writes.
    ///
    /// # Errors
    /// Lease lost when the term is over.
    pub fn check_token(&self, token: u64) -> Result<(), Refusal> {
        let is_past = planted("guard-of-the-past") && self.token > Some(token);
        if self.is_held() && (self.token == Some(token) || is_past) {
            return Ok(());
        }
        Err(self.fails(token, LockCondition::NotHeld, None))
    }

    fn check_term(&self, server: &ServerName, token: u64, action: Action) -> Result<(), Refusal> {
        let (kind, id) = (Kind::Lock, self.name.clone());
        let holder = self.locked_by.clone().filter(|_| self.is_held());
        if holder.is_none() || self.token != Some(token) {
            let (last_token, status) = (self.token, None);
            return Err(Refusal::token(Token { kind, id, action, token, last_token, status, holder }));
        }
        if holder.as_deref() == Some(server.as_str()) {
            return Ok(());
        }
        Err(Refusal::NotHolder { kind, id, action, token, holder, caller: server.to_string() })
    }

    /// Who holds it under which token, or that it is free; no times, for refusals.
    #[must_use]
    pub fn situation(&self) -> String {
        situation(self.locked_by.as_deref().filter(|_| self.is_held()), self.token)
    }

    /// The refusal of a lock that is held.
    #[must_use]
    pub fn held(&self, now: Timestamp) -> Refusal {
        Refusal::LockHeld(Box::new(self.holding(now)))
    }

    /// Who holds it, and since when.
    #[must_use]
    pub fn holding(&self, now: Timestamp) -> HeldLockFacts {
        HeldLockFacts {
            lock: self.name.clone(),
            holder: self.locked_by.clone(),
            process: self.holder.clone(),
            since: self.locked_at,
            token: self.token,
            lease_seconds: self.lease().as_secs(),
            expired_seconds: self.overdue(now).map(|over| over.as_secs()),
            at: now,
        }
    }
}

/// How a lock is that `holder` holds, if somebody does, when `token` is its last.
#[must_use]
fn situation(holder: Option<&str>, token: Option<u64>) -> String {
    match (holder, token) {
        (Some(by), token) => format!("`{by}` holds it under token {}", token.unwrap_or(0)),
        (None, Some(token)) => format!("it is free, the last token was {token}"),
        (None, None) => "nobody ever held it".to_owned(),
    }
}

impl Row for Lock {
    const PATH: &'static str = "coordination/locks.json";
    const FIELD: &'static str = "locks";
    const TITLE: &'static str = "named locks with a lease and a fencing token";
    const IS_IN_EACH_HUB: bool = true;
    const BY_NAME: bool = true;
    const LOSSY: bool = true;
    fn id(&self) -> &str {
        &self.name
    }
    fn id_problem(&self) -> Option<String> {
        LockName::new(&self.name).err().map(|error| error.to_string())
    }
    fn named(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }
    fn token(&self) -> Option<u64> {
        self.token
    }
    fn set_token(&mut self, token: Option<u64>) {
        self.token = token;
    }
    fn is_older_than(&self, other: &Self) -> bool {
        is_token_before(self.token, other.token)
    }
    fn progress(&self) -> Progress {
        let step = u64::from(self.is_held()) + 2 * u64::from(self.done_at.is_some());
        [possible_token(self.token), step, self.renewal.unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::code::Class;
    use crate::domain::lease::TOKEN_MAX;

    fn now() -> Timestamp {
        Timestamp::parse("2025-10-29T12:00:00Z").expect("time")
    }

    fn taker(server: &str) -> LockRequest {
        LockRequest {
            server: ServerName::new(server).expect("name"),
            holder: format!("{server} pid 1"),
            lease_seconds: 60,
            reason: None,
        }
    }

    #[test]
    fn the_token_grows_with_each_holder_and_only_then() {
        let mut lock = Lock::free("deploy");
        let build1 = taker("build1");
        assert_eq!(lock.take(&build1, None, now()), Ok(1));
        lock.renew(&build1.server, 1, None, now()).expect("renews");
        assert_eq!(lock.token, Some(1));
        lock.release(&build1.server, 1).expect("releases");
        assert_eq!((lock.is_held(), lock.token), (false, Some(1)));
        assert_eq!(lock.take(&build1, None, now()), Ok(2));
    }

    #[test]
    fn a_held_lock_is_taken_only_in_the_version_that_was_watched() {
        let mut lock = Lock::free("deploy");
        lock.take(&taker("build1"), None, now()).expect("free");
        let seen = lock.version();
        assert_eq!(lock.take(&taker("build2"), None, now()).map_err(|no| no.class()), Err(Class::Forbidden));
        lock.renew(&taker("build1").server, 1, None, now()).expect("renews");
        assert!(lock.take(&taker("build2"), Some(&seen), now()).is_err(), "it was renewed since");
        let seen = lock.version();
        assert_eq!(lock.take(&taker("build2"), Some(&seen), now()), Ok(2));
        assert_eq!(
            lock.renew(&taker("build1").server, 1, None, now()).map_err(|no| no.class()),
            Err(Class::LeaseLost)
        );
        assert!(lock.check_token(1).is_err());
        assert!(lock.check_token(2).is_ok());
    }

    #[test]
    fn another_servers_lock_is_not_released_even_with_its_token() {
        let mut lock = Lock::free("deploy");
        lock.take(&taker("build1"), None, now()).expect("free");
        let refused = lock.release(&taker("build2").server, 1).map_err(|no| no.class());
        assert_eq!(refused, Err(Class::Forbidden));
        assert!(lock.is_held());
    }

    #[test]
    fn the_lease_of_a_seed_record_is_what_its_times_say() {
        let lock: Lock = serde_json::from_str(
            r#"{"locked_by":"build1","locked_at":"2025-10-29T12:00:00Z","expires_at":"2025-10-29T12:00:30Z"}"#,
        )
        .expect("reads");
        assert_eq!(lock.lease(), Duration::from_secs(30));
        let no_times: Lock =
            serde_json::from_str(r#"{"locked_by":"build1","expires_at":null}"#).expect("reads");
        assert_eq!(no_times.lease(), LEASE_ASSUMED);
    }

    #[test]
    fn made_up_numbers_neither_panic_nor_begin_the_tokens_again() {
        let mut lock = Lock::free("x");
        (lock.token, lock.lease_seconds) = (Some(u64::MAX), Some(u64::MAX));
        assert!(lock.take(&taker("build1"), None, now()).is_err());
        assert!(lock.hand_to(&taker("build1"), now()).is_err());
        assert_eq!((lock.token, lock.is_held()), (Some(u64::MAX), false));
        assert_eq!(patience(Duration::MAX), Duration::MAX);
        (lock.locked_by, lock.renewal) = (Some("build1".to_owned()), Some(u64::MAX));
        lock.renew(&taker("build1").server, u64::MAX, None, now()).expect("renews");
        assert!(lock.patience() >= lock.lease());
    }

    #[test]
    fn a_lock_goes_on_from_the_highest_token_that_anybody_knows() {
        for (token, mark, next) in
            [(None, None, 1), (None, Some(7), 8), (Some(9), Some(7), 10), (Some(2), Some(7), 8)]
        {
            let mut lock = Lock::free("deploy");
            lock.token = token;
            assert_eq!(lock.take_from(&taker("build1"), None, now(), mark), Ok(next), "{token:?} {mark:?}");
            // What was watched is the record, which does not know of the mark.
            let (seen, next) = (lock.version(), next + 5);
            let mark = Some(next - 1);
            assert!(lock.clone().take_from(&taker("build2"), None, now(), mark).is_err(), "it is held");
            assert!(lock.clone().take_from(&taker("build2"), Some("x"), now(), mark).is_err(), "it is held");
            assert_eq!(lock.take_from(&taker("build2"), Some(&seen), now(), mark), Ok(next));
        }
    }

    #[test]
    fn who_passes_a_lock_leaves_it_free_under_a_token_of_its_own() {
        let millis = u64::try_from(now().unix_millis()).expect("after 1970");
        for (token, next) in
            [(None, 1), (Some(7), 8), (Some(TOKEN_MAX), millis + 1), (Some(u64::MAX), millis + 1)]
        {
            let mut lock = Lock::free("job_assignment");
            lock.token = token;
            assert_eq!(lock.pass(&taker("build1"), None, now()), Ok(()), "{token:?}");
            assert_eq!((lock.is_held(), lock.token, lock.renewed_at), (false, Some(next), Some(now())));
            (lock.locked_by, lock.token) = (Some("build2".to_owned()), token);
            let seen = lock.version();
            assert!(lock.clone().pass(&taker("build1"), None, now()).is_err(), "it is held");
            assert_eq!(lock.pass(&taker("build1"), Some(&seen), now()), Ok(()), "{token:?}");
            assert_eq!((lock.is_held(), lock.token), (false, Some(next)));
        }
    }

    #[test]
    fn a_release_that_comes_again_finds_who_released_it() {
        let mut lock = Lock::free("deploy");
        let [build1, build2] = ["build1", "build2"].map(|name| taker(name).server);
        assert!(!lock.was_released(&build1, 1), "nobody ever held it");
        lock.take(&taker("build1"), None, now()).expect("free");
        lock.released_by = Some("build1".to_owned());
        assert!(!lock.was_released(&build1, 1), "it is held");
        lock.release(&build1, 1).expect("its holder");
        for (server, token, was_released) in [(&build1, 1, true), (&build1, 2, false), (&build2, 1, false)] {
            assert_eq!(lock.was_released(server, token), was_released, "{server} {token}");
        }
    }

    #[test]
    fn a_term_is_named_by_all_that_tells_it_from_another() {
        let mut lock = Lock::free("deploy");
        assert_eq!(lock.term(), "-#0@0");
        lock.take(&taker("build1"), None, now()).expect("free");
        let term = format!("build1#1@{}", now().unix_millis());
        assert_eq!(lock.term(), term);
        lock.renew(&taker("build1").server, 1, None, now()).expect("its holder");
        assert_eq!(lock.term(), term, "a renewal begins no other");
    }

    #[test]
    fn a_record_with_a_lower_token_is_the_older_one() {
        for (one, other, is_older) in [
            (Some(2), Some(3), true),
            (Some(3), Some(3), false),
            (Some(4), Some(3), false),
            (Some(2), None, false),
            // A script of before drops the token of a lock, and writes later for all that.
            (None, Some(3), false),
            // Nothing was given after a token that is no possible one.
            (Some(2), Some(TOKEN_MAX), false),
        ] {
            let [mut older, mut newer] = [Lock::free("deploy"), Lock::free("deploy")];
            older.set_token(one);
            newer.set_token(other);
            assert_eq!((older.token, newer.token), (one, other));
            assert_eq!(older.is_older_than(&newer), is_older, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_lock_that_no_command_can_name_says_so() {
        assert_eq!(Lock::free("deploy/eu").id_problem(), None);
        let why = Lock::free("a b").id_problem().expect("no name");
        assert!(why.contains("a b"), "{why}");
    }

    #[test]
    fn a_lease_without_a_length_is_the_assumed_one() {
        for (until, lease) in [(1, 1), (0, 600)] {
            let mut lock = Lock::free("deploy");
            lock.locked_at = Some(now());
            lock.expires_at = Some(now().plus(Duration::from_secs(until)));
            assert_eq!(lock.lease(), Duration::from_secs(lease), "ends after {until} s");
        }
    }

    #[test]
    fn a_lease_that_nobody_can_have_asked_for_is_the_assumed_one() {
        let far = Timestamp::parse("9999-01-01T00:00:00Z").expect("time");
        for (lease_seconds, expires_at) in
            [(Some(u64::MAX), Some(far)), (Some(999_999_999_999), None), (None, Some(far))]
        {
            let mut lock = Lock::free("deploy");
            lock.take(&taker("build1"), None, now()).expect("free");
            (lock.lease_seconds, lock.expires_at) = (lease_seconds, expires_at);
            assert_eq!(lock.lease(), LEASE_ASSUMED);
            assert!(lock.overdue(now().plus(LEASE_ASSUMED * 2)).is_some(), "and it is told");
        }
        let mut longest = Lock::free("deploy");
        longest.lease_seconds = Some(SPAN_MAX.as_secs());
        assert_eq!(longest.lease(), SPAN_MAX, "that a flag takes");
    }

    #[test]
    fn a_held_lock_is_overdue_after_its_lease_and_margin() {
        let mut lock = Lock::free("deploy");
        assert_eq!(lock.overdue(now().plus(LEASE_ASSUMED * 9)), None, "nobody holds it");
        lock.take(&taker("build1"), None, now()).expect("free");
        for (seconds, over) in [(60, None), (66, None), (67, Some(7))] {
            let at = now().plus(Duration::from_secs(seconds));
            assert_eq!(lock.overdue(at), over.map(Duration::from_secs), "{seconds}");
        }
        lock.expires_at = None;
        assert_eq!(lock.overdue(now().plus(Duration::from_secs(67))), Some(Duration::from_secs(7)));
        lock.done_at = Some(now());
        assert_eq!(lock.overdue(now().plus(Duration::from_secs(67))), None, "it is no lock any more");
    }

    #[test]
    fn a_renewal_and_a_release_change_what_they_say() {
        let mut lock = Lock::free("deploy");
        let build1 = taker("build1");
        lock.take(&build1, None, now()).expect("free");
        let later = now().plus(Duration::from_secs(20));
        for (asked, lease) in [(None, 60), (Some(90), 90), (None, 90), (Some(5), 90)] {
            let before = lock.version();
            lock.renew(&build1.server, 1, asked, later).expect("its holder");
            assert_ne!(lock.version(), before, "who watches begins again");
            let until = later.plus(Duration::from_secs(lease));
            assert_eq!((lock.lease().as_secs(), lock.expires_at), (lease, Some(until)));
        }
        assert_eq!((lock.renewal, lock.renewed_at), (Some(4), Some(later)));
        lock.release(&build1.server, 1).expect("its holder");
        let fields = (&lock.locked_by, lock.locked_at, lock.expires_at, &lock.holder, lock.renewed_at);
        assert_eq!(fields, (&None, None, None, &None, None));
        assert_eq!((lock.token, lock.renewal), (Some(1), None));
        assert!(lock.check_token(1).is_err(), "a free lock guards nothing");
    }

    #[test]
    fn its_situation_says_who_holds_it() {
        let mut lock = Lock::free("deploy");
        assert_eq!(lock.situation(), "nobody ever held it");
        lock.take(&taker("build1"), None, now()).expect("free");
        assert_eq!(lock.situation(), "`build1` holds it under token 1");
        lock.vacate();
        assert_eq!(lock.situation(), "it is free, the last token was 1");
    }
}
