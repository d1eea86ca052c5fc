//! Who belongs to the hub: joining. Leaving is in `removal.rs`.

use crate::app::commands::WriteCommand;
use crate::app::commands::found::{self, MarkerPolicy};
use crate::app::documents::{if_readable, unregistered};
use crate::domain::heartbeat::Heartbeat;
use crate::domain::hub::Marker;
use crate::domain::id::ServerName;
use crate::domain::record::Record;
use crate::domain::refusal::{Action, Expected, Refusal};
use crate::domain::secret::credential_in;
use crate::domain::server::Server;
use crate::domain::status::Status;
use crate::domain::table::Table;
use crate::ledger::{Abort, Documents as _, LedgerError, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Registers a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Join {
    pub name: ServerName,
    /// The machine's own name.
    pub host: String,
    /// An id of this user on this machine, made by `join`.
    pub machine: String,
    /// Its address, for people.
    pub ip: Option<String>,
    /// Who runs it.
    pub manager: Option<String>,
    /// What it can do; none leaves what is known.
    pub labels: Vec<String>,
    /// Whether what is known of what it can do is dropped.
    #[serde(default)]
    pub no_labels: bool,
    /// Whether to take the name from another machine.
    pub replace: bool,
    /// Whether to register the servers that have a folder in use as well; if not said, as long as no
    /// server is registered.
    #[serde(default)]
    pub adopt: Option<bool>,
    /// How often beats refresh their copy on the main branch for old readers, if that is to change; zero
    /// for never.
    #[serde(default)]
    pub old_readers_seconds: Option<u64>,
    /// Whether the hub has got another branch since it was marked.
    #[serde(default)]
    pub moved: bool,
}

/// A server that was registered.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct JoinResult {
    /// Its record, whole.
    #[serde(flatten)]
    pub server: Value,
    /// The labels that it had before, if it has others now.
    #[serde(skip)]
    pub labels_before: Option<Vec<String>>,
    /// The servers that were registered with it because they have a folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adopted: Vec<String>,
    /// The servers that have a folder and stay unregistered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unregistered: Vec<String>,
    /// How often beats refresh their copy on the main branch for old readers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_readers_seconds: Option<u64>,
}

impl WriteCommand for Join {
    type Answer = JoinResult;

    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<JoinResult, Abort> {
        self.check()?;
        let mut registry: Table<Server> = transaction.table()?;
        let now = transaction.now();
        let adopts = self.adopt.unwrap_or(registry.is_empty());
        let alike = |server: &&Record<Server>| {
            server.id.eq_ignore_ascii_case(self.name.as_str()) && server.id != self.name.as_str()
        };
        if let Some(other) = registry.rows().find(alike) {
            let (server, other) = (self.name.to_string(), other.id.clone());
            return Err(Refusal::ServerNameAlike { server, other }.into());
        }
        if let Some(trouble) = registry.trouble_with(self.name.as_str()) {
            return Err(trouble.refusal(Action::Join, self.name.as_str()).into());
        }
        let mut joined = JoinResult::default();
        match registry.get_mut(self.name.as_str()) {
            Some(known) => {
                self.check_same_machine(known)?;
                let before = known.labels.clone();
                known.edit(|server| self.tell(server));
                joined.labels_before = Some(before).filter(|before| *before != known.labels);
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
        let found = unregistered(transaction, &registry)?;
        for server in found {
            if adopts && !registry.rows().any(|known| known.id.eq_ignore_ascii_case(&server.id)) {
                joined.adopted.push(server.id.clone());
                registry.push(server);
            } else {
                joined.unregistered.push(server.id);
            }
        }
        transaction.put_table(&registry)?;
        found::mark(transaction, if self.moved { MarkerPolicy::Moved } else { MarkerPolicy::Keep })?;
        joined.old_readers_seconds = self.set_old_readers(transaction)?;
        self.forget_origins(transaction)?;
        self.found_folder(transaction)?;
        let with = match joined.adopted.as_slice() {
            [] => String::new(),
            adopted => format!(", with {}", adopted.join(", ")),
        };
        transaction.describe(format!("server join: {} on {}{with}", self.name, self.host));
        transaction.trailer("Muster-Server", self.name.as_str());
        joined.server = registry.get(self.name.as_str()).map(|server| server.raw()).unwrap_or_default();
        Ok(joined)
    }
}

impl Join {
    fn check(&self) -> Result<(), Refusal> {
        let action = Action::Join;
        let texts = self.manager.iter().map(|text| ("manager", text));
        let texts = texts.chain(self.ip.iter().map(|text| ("ip", text)));
        let texts = texts.chain(self.labels.iter().map(|text| ("labels", text)));
        for (field, text) in texts.chain([("host", &self.host)]) {
            if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) {
                let (given, expected) = (text.clone(), Expected::ShortText);
                return Err(Refusal::ValueInvalid { action, field, given, expected });
            }
            if let Some(credential) = credential_in(text) {
                return Err(Refusal::CredentialFound { action, field, credential });
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
        let (host, is_same_host) = (known.host.clone(), known.host.as_ref() == Some(&self.host));
        Err(Refusal::ServerNameTaken { server: self.name.to_string(), host, is_same_host })
    }

    /// Says in the marker whether the hub has old readers; returns what it says then.
    fn set_old_readers(&self, transaction: &mut Transaction<'_>) -> Result<Option<u64>, Abort> {
        let Some(mut marker) = transaction.record::<Marker>(Marker::PATH)? else { return Ok(None) };
        if let Some(seconds) = self.old_readers_seconds {
            marker.edit(|marker| {
                marker.settings.old_readers_seconds = Some(seconds).filter(|every| *every > 0);
            });
            transaction.put_record(Marker::PATH, &marker)?;
        }
        Ok(marker.settings.main_beat_every().map(|every| every.as_secs()))
    }

    /// Whoever joins in place of another machine is no second one.
    fn forget_origins(&self, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
        let (branch, path) = (self.name.heartbeat_branch(), Heartbeat::path(&self.name));
        if !self.replace {
            return Ok(());
        }
        match transaction.record_on::<Heartbeat>(&branch, &path) {
            Ok(Some(mut beat)) => {
                beat.edit(|beat| beat.origins = None);
                transaction.put_record_on(&branch, &path, &beat)
            }
            // The next beat takes the place of what cannot be read.
            Ok(None) | Err(Abort::Fault(LedgerError::Document(_))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn tell(&self, server: &mut Server) {
        server.host = Some(self.host.clone());
        server.machine = Some(self.machine.clone());
        server.ip = self.ip.clone().or_else(|| server.ip.take());
        server.manager = self.manager.clone().or_else(|| server.manager.take());
        if self.no_labels || !self.labels.is_empty() {
            server.labels.clone_from(&self.labels);
        }
    }

    /// The server's folder with a status and a heartbeat, if it has none yet.
    fn found_folder(&self, transaction: &mut Transaction<'_>) -> Result<(), Abort> {
        let path = Status::path(&self.name);
        let known: Option<Record<Status>> = if_readable(transaction.record(&path))?;
        if known.is_none_or(|status| status.is_removed()) {
            let mut status = Status::blank(&self.name);
            status.ip.clone_from(&self.ip);
            status.manager.clone_from(&self.manager);
            status.timestamp = Some(transaction.now());
            transaction.put_record(&path, &Record::new(status, 0))?;
        }
        let path = Heartbeat::path(&self.name);
        if if_readable(transaction.record::<Heartbeat>(&path))?.is_none() {
            transaction.put_record(&path, &Record::new(Heartbeat::blank(&self.name), 0))?;
        }
        Ok(())
    }
}
