//! What every command needs, built once: settings, ledger, output.

mod place;

use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, counted};
use super::servers::is_anothers;
use super::settings::{Setting, Settings};
use super::which::{FROM_BRANCH_VARIABLE, NOT_ASKED, SAID_BY_HEAD};
use super::{GlobalArgs, gone};
use crate::app::client::Client;
use crate::app::commands::{Operation, WriteCommand, WriteOptions};
use crate::app::flows::Failure;
use crate::app::journal;
use crate::app::session::Session;
use crate::app::stale::UndoneWrites;
use crate::app::submit::KeepFor;
use crate::app::takeover::Watch;
use crate::domain::code::Code;
use crate::domain::id::{LockName, ServerName};
use crate::domain::shell::quoted;
use crate::domain::time::Timestamp;
use crate::git::{self, Homes, OpenOptions};
use crate::ledger::{self, HeldRefLock, Ledger, Locked, Outcome, Receipt, Snapshot, Version};
use crate::machine::{Machine, outlet};
use serde::Serialize;
use serde_json::json;

/// A command at work.
pub(super) struct Context {
    /// What was decided before it began.
    pub settings: Settings,
    /// Where its words go.
    pub output: Output,
    /// The machine on which it runs: the real one.
    pub machine: Machine,
    dry_run: bool,
    is_verbose: bool,
    guards: Vec<(LockName, u64)>,
    client: Option<Client>,
    /// Whether where the hub is was not asked of it: it could not be.
    is_place_remembered: bool,
}

impl Context {
    /// From the command line and everything else that has a say.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub(super) fn new(args: &GlobalArgs) -> Result<Self, CliError> {
        Self::with(Settings::gather(args)?, args)
    }

    /// The same for `join`, which mends a user's file that cannot be used.
    ///
    /// # Errors
    /// When another setting cannot be used.
    pub(super) fn to_join(args: &GlobalArgs) -> Result<Self, CliError> {
        let mut settings = Settings::gather_to_join(args)?;
        // It is taken for one now.
        settings.which.passed_over = settings.which.passed_over.filter(|_| settings.which.joinable.is_none());
        Self::with(settings, args)
    }

    fn with(settings: Settings, args: &GlobalArgs) -> Result<Self, CliError> {
        if settings.which.is_told
            && let Some(passed_over) = &settings.which.passed_over
        {
            Output { json: args.json, quiet: args.quiet, dry_run: args.dry_run }.warn(passed_over);
        }
        Ok(Self {
            settings,
            machine: Machine::real(),
            is_verbose: args.verbose,
            output: Output { json: args.json, quiet: args.quiet, dry_run: args.dry_run },
            dry_run: args.dry_run,
            guards: args.if_lock.iter().map(|guard| parse_guard(guard)).collect::<Result<_, _>>()?,
            client: None,
            is_place_remembered: false,
        })
    }

    /// Who am I.
    ///
    /// # Errors
    /// When nothing says it.
    pub(super) fn me(&self) -> Result<ServerName, CliError> {
        self.settings.server().cloned()
    }

    /// Who acts. The name that `join` wrote for another hub may be that of another machine in this one,
    /// whose mail we would read and whose locks we would hold.
    ///
    /// # Errors
    /// When nothing says it, or it is so.
    pub(super) fn acting(&mut self) -> Result<ServerName, CliError> {
        let (me, here) = (self.me()?, self.machine.clone());
        if self.settings.is_name_of_another_hub
            && let Some(host) = self.read(false, |snapshot| is_anothers(&me, &here, snapshot))?
        {
            let hub = quoted(&self.settings.hub()?.shown());
            let why = format!(
                "the name `{me}` comes from the hub that this user joined; in this hub it belongs to {host}, not to this machine; nothing was done"
            );
            return Err(CliError::new(Code::ServerNameTaken, why)
                .fact("server", me.as_str())
                .fact("host", host)
                .hint(format!(
                    "to name this machine in this hub, run `git muster join {hub} --as NAME` in a clone of the hub"
                ))
                .hint("pass `--server` to act as that server on purpose"));
        }
        Ok(me)
    }

    /// The wall clock now.
    #[must_use]
    pub(super) fn now(&self) -> Timestamp {
        self.machine.wall()
    }

    /// From now on nothing is published.
    pub(super) fn only_look(&mut self) {
        self.dry_run = true;
    }

    /// Asks a hub over a connection for its branch, if nothing else says which it is. The answer is
    /// kept where the hub's objects are. Only a hub that answers and names none is in the usual one.
    ///
    /// # Errors
    /// When the hub cannot be asked.
    pub(super) fn settle_branch(&mut self) -> Result<(), CliError> {
        if self.settings.branch.origin != NOT_ASKED {
            return Ok(());
        }
        let Some(hub) = self.settings.hub.as_ref().map(|hub| &hub.value) else { return Ok(()) };
        let deadline = &self.machine.deadline(self.settings.timeout.value);
        let asked = git::home_branch(hub, self.settings.clone.as_deref(), false, deadline);
        let asked = asked.map_err(|error| self.with_advice(CliError::from(error)))?;
        if let Some(branch) = asked {
            self.settings.branch = Setting { value: branch, origin: SAID_BY_HEAD.to_owned() };
        }
        Ok(())
    }

    /// Goes to another branch than the one that was found.
    pub(super) fn go_to_branch(&mut self, branch: &str, origin: &str) {
        self.settings.branch = Setting { value: branch.to_owned(), origin: origin.to_owned() };
        self.client = None;
    }

    /// Which branches of the hub hold one.
    ///
    /// # Errors
    /// When it cannot be reached or read.
    pub(super) fn homes(&self) -> Result<Homes, CliError> {
        let deadline = &self.machine.deadline(self.settings.timeout.value);
        Ok(git::homes(self.settings.hub()?, self.settings.clone.as_deref(), deadline)?)
    }

    /// Whether nothing is to be published.
    #[must_use]
    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Whether writes depend on locks.
    #[must_use]
    pub(super) fn has_guards(&self) -> bool {
        !self.guards.is_empty()
    }

    /// Refuses `--if-lock` before a write that cannot be bound to a lock.
    ///
    /// # Errors
    /// When a guard is given.
    pub(super) fn refuse_guards(&self, what: &str) -> Result<(), CliError> {
        if !self.has_guards() {
            return Ok(());
        }
        Err(bound_to_no_lock(what))
    }

    /// Opens the hub; the second time it is open already.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn client(&mut self) -> Result<&mut Client, CliError> {
        if self.client.is_none() {
            let ledger = self.open(false).map_err(|error| gone::told(error, self))?;
            self.client = Some(Client::new(ledger));
        }
        Ok(self.client.as_mut().expect("it was opened just now"))
    }

    /// The same as a store.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn ledger(&mut self) -> Result<&mut Ledger, CliError> {
        self.client().map(Client::ledger)
    }

    /// Opens the hub with or without asking that it is one.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(&mut self, founding: bool) -> Result<Ledger, CliError> {
        self.settle_branch()?;
        let author = self.settings.server.as_ref().map_or("git-muster", |server| server.value.as_str());
        Ok(git::open(OpenOptions {
            location: self.settings.hub()?.clone(),
            clone: self.settings.clone.clone(),
            settings: ledger::Settings {
                main: self.settings.branch.value.clone(),
                author: author.to_owned(),
                budget: self.settings.timeout.value,
                lock_wait: self.settings.lock_wait.value,
                dry_run: self.dry_run,
                founding,
            },
        })?)
    }

    /// Reads the hub as it is now, with what the next write puts back in it.
    ///
    /// # Errors
    /// As `read`, or when the hub cannot be reached.
    pub(super) fn read<R>(
        &mut self,
        heartbeats: bool,
        read: impl Fn(&Snapshot<'_>) -> Result<R, CliError>,
    ) -> Result<R, CliError> {
        let result = self.client()?.read(heartbeats, read);
        self.pass_on_notes();
        result.map_err(|error| self.with_advice(error))
    }

    /// What an older writer undid and the next write puts back, where the hub was read last.
    pub(super) fn undone(&self) -> UndoneWrites {
        self.client.as_ref().map(|client| client.undone().clone()).unwrap_or_default()
    }

    /// Reads the hub as it was published.
    ///
    /// # Errors
    /// As `read`, or when the hub cannot be reached.
    pub(super) fn read_published<R>(
        &mut self,
        heartbeats: bool,
        read: impl Fn(&Snapshot<'_>) -> Result<R, CliError>,
    ) -> Result<R, CliError> {
        let result = self.client()?.read_published(heartbeats, read);
        self.pass_on_notes();
        result.map_err(|error| self.with_advice(error))
    }

    /// Reads the hub as it is now, with one more branch.
    ///
    /// # Errors
    /// As [`Context::read`].
    pub(super) fn read_with<R>(
        &mut self,
        branch: &str,
        read: impl FnOnce(&Snapshot<'_>) -> Result<R, CliError>,
    ) -> Result<R, CliError> {
        let result = self.client()?.read_with(branch, read);
        self.pass_on_notes();
        result.map_err(|error| self.with_advice(error))
    }

    /// Tells where the address comes from that does not lead to a hub, and the branch that holds
    /// none, when nobody named them just now.
    pub(super) fn with_advice(&self, mut error: CliError) -> CliError {
        let hub = &self.settings.hub;
        if error.not_in_branch
            && let Some(home) = self.elsewhere()
        {
            // It is there, and what is said here names another branch.
            error.may_come_back = false;
            // To make a second hub, or to put back what has another name now, is the last thing to
            // advise.
            // Outside a clone of it the hub must be named: another may be remembered, or none.
            let named = hub.as_ref().filter(|_| self.settings.clone.is_none());
            let named = named.map_or_else(String::new, |hub| format!("{} ", quoted(&hub.value.shown())));
            let branch = quoted(&home);
            if self.settings.branch.origin == FROM_BRANCH_VARIABLE {
                // `join` would remember it in vain.
                error.hints = vec![format!(
                    "the hub branch is `{home}`, but {FROM_BRANCH_VARIABLE} is `{}` and takes precedence: `export {FROM_BRANCH_VARIABLE}={branch}`, or unset it, also for cron and services",
                    self.settings.branch.value
                )];
                return error;
            }
            error.hints = vec![format!(
                "the hub branch is `{home}`: pass `--hub-branch {branch}`, or store it with `git muster join {named}--hub-branch {branch} --as NAME`"
            )];
            return error;
        }
        if error.not_in_branch && self.settings.branch.origin == FROM_BRANCH_VARIABLE {
            error = error.hint(format!("the branch name comes from {FROM_BRANCH_VARIABLE}"));
        }
        let error = gone::told(error, self);
        let is_about_hub = error.no_hub_there || error.exit == Exit::Unreachable || error.by_hub;
        match hub.as_ref().filter(|hub| is_about_hub && !hub.origin.starts_with("--")) {
            Some(hub) => {
                error.hint(format!("the hub address comes from {}; pass another with `--hub`", hub.origin))
            }
            None => error,
        }
    }

    /// The branch that the hub is in, when it is not in the one that was looked at.
    fn elsewhere(&self) -> Option<String> {
        if self.settings.branch.origin == SAID_BY_HEAD {
            // It may have got another since it was asked.
            let (hub, clone) = (self.settings.hub().ok()?, self.settings.clone.as_deref());
            let deadline = &self.machine.deadline(self.settings.timeout.value);
            drop(git::home_branch(hub, clone, true, deadline));
        }
        let homes = self.homes().ok()?;
        homes.home().filter(|home| *home != self.settings.branch.value).map(str::to_owned)
    }

    /// Reads the hub as the last write of this command found it.
    ///
    /// # Errors
    /// As `read`.
    pub(crate) fn recall<R>(
        &mut self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<R, CliError>,
    ) -> Result<R, CliError> {
        self.client()?.recall(read)
    }

    /// Hands what this host has watched of this hub to `see`, and keeps what that adds.
    ///
    /// # Errors
    /// As [`Context::place`].
    pub(super) fn observe<R>(&mut self, see: impl FnOnce(&mut Watch<'_>) -> R) -> Result<R, CliError> {
        self.place()?;
        Ok(self.client()?.observe(see))
    }

    /// What goes with a write by `server`.
    ///
    /// # Errors
    /// As [`Context::place`].
    pub(super) fn envelope(&mut self, server: &ServerName) -> Result<WriteOptions, CliError> {
        let whose = self.whose(server).map_err(CliError::nothing_written)?;
        let session = Session::present(&whose);
        // A machine of another hub speaks for none of this one.
        let is_anothers_name = self.settings.is_name_of_another_hub
            && self
                .recall(|snapshot| is_anothers(server, &whose.machine, snapshot))
                .is_ok_and(|host| host.is_some());
        let beat = (!is_anothers_name).then(|| session.beat(&whose, None));
        Ok(WriteOptions { beat, ..self.guarded()? })
    }

    /// What goes with a write without a sign of life.
    fn guarded(&mut self) -> Result<WriteOptions, CliError> {
        let holders = if self.guards.is_empty() {
            Vec::new()
        } else {
            journal::holders(&self.machine.clone(), &self.place()?, &self.guards)
        };
        Ok(WriteOptions { guards: self.guards.clone(), holders, beat: None })
    }

    /// Applies `verb` in this server's name.
    ///
    /// # Errors
    /// When it is refused, contended, unknown or the hub cannot be reached.
    pub(super) fn write<V: WriteCommand + Clone + Into<Operation>>(
        &mut self,
        verb: &V,
    ) -> Result<Receipt<V::Answer>, CliError> {
        let me = self.me()?;
        let envelope = self.envelope(&me)?;
        self.write_with(verb, &envelope)
    }

    /// Applies `verb`, whose answer is to reach the caller: it can be had again until
    /// [`Context::deliver`], and what it handed out also after.
    ///
    /// # Errors
    /// As [`Context::write`].
    pub(super) fn write_to_deliver<V: WriteCommand + Clone + Into<Operation>>(
        &mut self,
        verb: &V,
    ) -> Result<Receipt<V::Answer>, CliError> {
        let me = self.me()?;
        let envelope = self.envelope(&me)?;
        self.submit(verb, &envelope, KeepFor::UntilDelivered)
    }

    /// Prints what was answered, and only then counts it as delivered.
    ///
    /// # Errors
    /// When it cannot be printed: then it says what was done and how to have the answer again.
    pub(super) fn deliver<A: Serialize>(
        &self,
        receipt: &Receipt<A>,
        print: impl FnOnce(Output) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        self.print_answer(receipt, print)?;
        self.delivered(receipt);
        Ok(())
    }

    /// The same for an answer that names what was made: nobody is without it for good.
    ///
    /// # Errors
    /// As [`Context::deliver`].
    pub(super) fn deliver_once<A>(
        &self,
        receipt: &Receipt<A>,
        print: impl FnOnce(Output) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        self.print_answer(receipt, print)?;
        self.forget(receipt);
        Ok(())
    }

    fn print_answer<A>(
        &self,
        receipt: &Receipt<A>,
        print: impl FnOnce(Output) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        print(self.output).map_err(|error| {
            if self.dry_run {
                return error;
            }
            let op = &receipt.op;
            let hint = format!("print the result again with `git muster op status {op}`");
            CliError { op: Some(op.clone()), written: Some(true), ..error.undelivered().hint(hint) }
        })
    }

    /// Refuses what is of no use without its answer when that has nowhere to go, which no error of the system
    /// tells: before anything is written.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(super) fn require_outlet(&self, what: &str) -> Result<(), CliError> {
        if self.dry_run || !outlet::is_missing() {
            return Ok(());
        }
        let why = format!("the result would be lost: stdout is closed or not usable; {what}");
        Err(CliError::new(Code::AnswerUndelivered, why)
            .hint("redirect it to a file or a pipe, or to `>/dev/null` in a shell"))
    }

    /// Counts an answer as delivered.
    pub(super) fn delivered<A: Serialize>(&self, receipt: &Receipt<A>) {
        if !self.dry_run {
            journal::deliver(
                &self.machine,
                &receipt.op,
                &serde_json::to_value(&receipt.answer).unwrap_or_default(),
            );
        }
    }

    /// Forgets an operation that answered nothing to be delivered.
    pub(super) fn forget<A>(&self, receipt: &Receipt<A>) {
        if !self.dry_run {
            journal::close(&self.machine, &receipt.op);
        }
    }

    /// Applies `verb` with another envelope.
    ///
    /// # Errors
    /// As [`Context::write`].
    pub(super) fn write_with<V: WriteCommand + Clone + Into<Operation>>(
        &mut self,
        verb: &V,
        envelope: &WriteOptions,
    ) -> Result<Receipt<V::Answer>, CliError> {
        self.submit(verb, envelope, KeepFor::WhileUnknown)
    }

    fn submit<V: WriteCommand + Clone + Into<Operation>>(
        &mut self,
        verb: &V,
        envelope: &WriteOptions,
        keep: KeepFor,
    ) -> Result<Receipt<V::Answer>, CliError> {
        self.place().map_err(CliError::nothing_written)?;
        let output = self.output;
        let client = self.client().map_err(CliError::nothing_written)?;
        let outcome = client.write(envelope, (verb, keep), |words| output.warn(words));
        self.pass_on_notes();
        let outcome = outcome.map_err(|error| self.with_advice(CliError::from(error).nothing_written()))?;
        self.settle(outcome)
    }

    /// Gives back what was taken under the guards of the line, although one of them is lost.
    ///
    /// # Errors
    /// As [`Context::write`]; the loss of a guard is told, and whether it was given back all the same.
    pub(super) fn give_back<V: WriteCommand + Clone + Into<Operation>>(
        &mut self,
        verb: &V,
        what: &str,
    ) -> Result<Receipt<V::Answer>, CliError> {
        let refused = match self.write(verb) {
            Err(error) if error.exit == Exit::LeaseLost && self.has_guards() => error,
            written => return written,
        };
        let me = self.me()?;
        let envelope = WriteOptions { guards: Vec::new(), holders: Vec::new(), ..self.envelope(&me)? };
        Err(match self.write_with(verb, &envelope) {
            Ok(_) => CliError { message: format!("{}; {what} was given back", refused.message), ..refused },
            Err(_) => refused,
        })
    }

    /// Applies `verb`, which is simply done again if this process dies.
    ///
    /// # Errors
    /// As [`Context::write`].
    pub(super) fn write_unkept<V: WriteCommand>(&mut self, verb: &V) -> Result<Receipt<V::Answer>, CliError> {
        let envelope = self.guarded()?;
        let client = self.client().map_err(CliError::nothing_written)?;
        let outcome = client.write_unkept(&envelope, verb);
        self.pass_on_notes();
        let outcome = outcome.map_err(|error| self.with_advice(CliError::from(error).nothing_written()))?;
        self.settle(outcome)
    }

    /// From an outcome to a receipt or an error.
    ///
    /// # Errors
    /// When it is anything but applied.
    pub(super) fn settle<A>(&self, outcome: Outcome<A>) -> Result<Receipt<A>, CliError> {
        match outcome {
            Outcome::Applied(receipt) => {
                self.tell_where(receipt.version.as_ref());
                if self.dry_run {
                    self.output.warn("dry run: nothing was written");
                }
                Ok(receipt)
            }
            Outcome::Refused(refusal) => Err(refusal.into()),
            Outcome::Contended { attempts, locked: Locked::Here(held), .. } => {
                Err(locked_here(attempts, &held))
            }
            Outcome::Contended { attempts, locked: Locked::There, .. } => {
                let words = format!("a hub branch is locked (gave up after {})", tries(attempts));
                Err(contended(Code::BranchLocked, words, attempts).hint(LOCKED_THERE))
            }
            Outcome::Contended { attempts, waited, .. } => Err(contended(
                Code::Contended,
                format!(
                    "gave up after {} and {} ms of backoff",
                    counted(usize::try_from(attempts).unwrap_or(usize::MAX), "write conflict"),
                    waited.as_millis()
                ),
                attempts,
            )
            .fact("waited_seconds", waited.as_secs_f64())
            .hint("try again, or allow more time with `--hub-timeout 2m`")),
            Outcome::Unknown { op, why } => Err(CliError::unknown(op, &why)),
        }
    }

    /// Says where something was written, to who wants to know.
    fn tell_where(&self, version: Option<&Version>) {
        if self.dry_run {
            return;
        }
        let hub = self.settings.hub.as_ref().map_or_else(String::new, |hub| hub.value.shown());
        let branch = &self.settings.branch.value;
        if self.is_verbose {
            self.output.say(&match version {
                Some(version) => format!("written: hub `{hub}`, branch `{branch}`, commit {version}"),
                None => format!("nothing to write: hub `{hub}`, branch `{branch}`"),
            });
        }
        self.output.note_written(json!({"hub": hub, "branch": branch, "commit": version}));
    }

    /// Passes on what the ledger wants the user to know.
    pub(super) fn pass_on_notes(&mut self) {
        let notes = self.client.as_mut().map(Client::take_notes).unwrap_or_default();
        for note in notes {
            self.output.warn(&note);
        }
    }
}

/// What is said of `--if-lock` before a write that cannot be bound to a lock.
pub(super) fn bound_to_no_lock(what: &str) -> CliError {
    let why = format!("{what} does not support `--if-lock`");
    CliError::new(Code::OptionConflict, why)
        .fact("option", "--if-lock")
        .unwritten()
        .hint("hold the lock instead with `git muster lock run NAME -- git muster ...`")
}

/// What to do about a lock that only those see who can look at the hub's disk.
const LOCKED_THERE: &str = "try again; if it persists, remove the lock file on the hub's machine that a killed process may have left, such as `refs/heads/main.lock`";

/// What is said when others were faster.
fn contended(code: Code, words: String, attempts: u32) -> CliError {
    CliError { failure: Failure::Contended, ..CliError::new(code, words) }
        .fact("attempts", attempts)
        .unwritten()
}

fn tries(attempts: u32) -> String {
    counted(usize::try_from(attempts).unwrap_or(usize::MAX), "attempt")
}

/// A lock that stood until the time was up.
fn locked_here(attempts: u32, held: &HeldRefLock) -> CliError {
    let path = &held.lock;
    let words = format!("a hub branch is locked (gave up after {}): {held}", tries(attempts));
    contended(Code::BranchLocked, words, attempts)
        .fact("path", path.as_str())
        .hint("try again after that process has finished")
        .hint(format!(
            "if it was killed, and no Git process on any machine is using the hub: `rm {}`",
            quoted(path)
        ))
}

fn parse_guard(text: &str) -> Result<(LockName, u64), CliError> {
    let wrong = || {
        CliError::new(Code::ValueInvalid, format!("`--if-lock {}` is not NAME=TOKEN", text.escape_debug()))
            .fact("field", "if-lock")
            .fact("given", text)
    };
    let (name, token) = text.rsplit_once('=').ok_or_else(wrong)?;
    Ok((LockName::new(name)?, token.parse().map_err(|_| wrong())?))
}
