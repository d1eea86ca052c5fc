//! Who belongs to the hub: joining and leaving.

use super::{Verb, found};
use crate::domain::heartbeat::Heartbeat;
use crate::domain::id::ServerName;
use crate::domain::record::Record;
use crate::domain::refusal::Refusal;
use crate::domain::secret::credential_in;
use crate::domain::server::Server;
use crate::domain::status::Status;
use crate::domain::table::Table;
use crate::ledger::{Documents as _, Stop, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Registers a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Join {
    /// Its name.
    pub name: ServerName,
    /// The machine's own name.
    pub host: String,
    /// An id of this user on this machine, made by `join`.
    pub machine: String,
    /// Its address, for people.
    pub ip: Option<String>,
    /// Who runs it.
    pub manager: Option<String>,
    /// What it can do.
    pub labels: Vec<String>,
    /// Whether to take the name from another machine.
    pub replace: bool,
}

impl Verb for Join {
    /// The registered server, whole.
    type Answer = Value;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Value, Stop> {
        self.check()?;
        let mut registry: Table<Server> = transaction.table()?;
        let now = transaction.now();
        let alike = |server: &&Record<Server>| {
            server.id.eq_ignore_ascii_case(self.name.as_str()) && server.id != self.name.as_str()
        };
        if let Some(other) = registry.rows().find(alike) {
            return Err(Refusal::forbidden(format!(
                "not joined: `{}` differs from server `{}` only in upper and lower case, and some disks cannot tell their folders apart",
                self.name, other.id
            ))
            .into());
        }
        match registry.get_mut(self.name.as_str()) {
            Some(known) => {
                self.check_same_machine(known)?;
                known.edit(|server| self.tell(server));
            }
            None => {
                let mut server = Server {
                    id: self.name.to_string(),
                    host: None,
                    ip: None,
                    manager: None,
                    labels: Vec::new(),
                    joined_at: Some(now),
                    machine: None,
                };
                self.tell(&mut server);
                registry.push(server);
            }
        }
        transaction.put_table(&registry)?;
        found::mark(transaction)?;
        self.found_folder(transaction)?;
        transaction.describe(format!("server join: {} on {}", self.name, self.host));
        transaction.trailer("Muster-Server", self.name.as_str());
        Ok(registry.get(self.name.as_str()).map(|server| server.raw()).unwrap_or_default())
    }
}

impl Join {
    fn check(&self) -> Result<(), Refusal> {
        let texts = self.manager.iter().chain(&self.ip).chain(&self.labels).chain([&self.host]);
        for text in texts {
            if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) {
                return Err(Refusal::invalid(format!(
                    "not joined: `{}` is empty, too long or holds a control character",
                    text.escape_debug()
                )));
            }
            if let Some(kind) = credential_in(text) {
                return Err(Refusal::invalid(format!("not joined: a text seems to hold {kind}")));
            }
        }
        Ok(())
    }

    /// A name that another machine uses is not taken. Records of a template or of an older hub
    /// name no machine, and whoever comes first takes them.
    fn check_same_machine(&self, known: &Server) -> Result<(), Refusal> {
        let other = match (&known.machine, &known.host) {
            (Some(machine), _) => *machine != self.machine,
            (None, Some(host)) => *host != self.host && known.joined_at.is_some(),
            (None, None) => false,
        };
        if !other || self.replace {
            return Ok(());
        }
        let host = known.host.as_deref().unwrap_or("another machine");
        Err(Refusal::forbidden(format!("not joined: the name `{}` is used by `{host}`", self.name))
            .hint("choose another name with `--as`, or add `--replace` if this machine takes its place"))
    }

    fn tell(&self, server: &mut Server) {
        server.host = Some(self.host.clone());
        server.machine = Some(self.machine.clone());
        server.ip = self.ip.clone().or_else(|| server.ip.take());
        server.manager = self.manager.clone().or_else(|| server.manager.take());
        if !self.labels.is_empty() {
            server.labels.clone_from(&self.labels);
        }
    }

    /// The server's folder with a status and a heartbeat, if it has none yet.
    fn found_folder(&self, transaction: &mut Transaction<'_>) -> Result<(), Stop> {
        let path = Status::path(&self.name);
        if transaction.record::<Status>(&path)?.is_none() {
            let mut status = Status::blank(&self.name);
            status.ip.clone_from(&self.ip);
            status.manager.clone_from(&self.manager);
            status.timestamp = Some(transaction.now());
            transaction.put_record(&path, &Record::new(status, 0))?;
        }
        let path = Heartbeat::path(&self.name);
        if transaction.record::<Heartbeat>(&path)?.is_none() {
            transaction.put_record(&path, &Record::new(Heartbeat::blank(&self.name), 0))?;
        }
        Ok(())
    }
}

/// Takes a server out of the registry. Its folder stays: it is history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoveServer {
    /// Its name.
    pub name: ServerName,
    /// Who asks.
    pub by: ServerName,
}

impl Verb for RemoveServer {
    /// The record that was removed, whole.
    type Answer = Value;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Value, Stop> {
        let mut registry: Table<Server> = transaction.table()?;
        let jobs: Table<crate::domain::job::Job> = transaction.table()?;
        if let Some(job) = jobs
            .rows()
            .find(|job| job.status.is_held() && job.assigned_to.as_deref() == Some(self.name.as_str()))
        {
            return Err(Refusal::forbidden(format!(
                "server `{}` was not removed: it holds job `{}`",
                self.name, job.id
            ))
            .hint(format!("call the job off with `git muster job cancel {}`", job.id))
            .into());
        }
        let removed = registry.take(|server| server.id == self.name.as_str());
        let Some(first) = removed.first() else {
            return Err(Refusal::not_found(format!("there is no server `{}`", self.name))
                .hint("see the names with `git muster servers list`")
                .into());
        };
        transaction.put_table(&registry)?;
        transaction.describe(format!("server remove: {} by {}", self.name, self.by));
        Ok(first.raw())
    }
}
