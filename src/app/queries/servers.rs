//! Questions about the registry: which servers belong to the hub, when each beat last, whose a name is.

use super::{List, Query};
use crate::app::documents::{or_empty, seen_beats};
use crate::domain::id::ServerName;
use crate::domain::record::Record;
use crate::domain::refusal::{Action, Refusal};
use crate::domain::server::Server;
use crate::domain::table::{RecordTrouble, Table};
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use std::ops::Deref;
use std::sync::Arc;

/// The registry alone, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {}

impl Query for Registered {
    type Answer = List<Server>;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<List<Server>, Abort> {
        Ok(List::of(&documents.table()?, true, |_| true))
    }
}

/// A registered server and its last heartbeat.
#[derive(Debug)]
pub struct ShownServer {
    record: Arc<Record<Server>>,
    /// When it beat last, as far as that can be read.
    pub last_heartbeat: Option<Timestamp>,
    /// What is wrong with beats of it that cannot be read, and where they lie.
    pub broken: Vec<String>,
}

impl Deref for ShownServer {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.record
    }
}

impl Serialize for ShownServer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = self.record.raw();
        if let Value::Object(members) = &mut value {
            members.insert("last_heartbeat".to_owned(), json!(self.last_heartbeat));
        }
        value.serialize(serializer)
    }
}

impl ShownServer {
    fn of(record: &Arc<Record<Server>>, documents: &impl Documents) -> Result<Self, Abort> {
        let record = Arc::clone(record);
        let Ok(name) = ServerName::new(&record.id) else {
            return Ok(Self { record, last_heartbeat: None, broken: Vec::new() });
        };
        let seen = seen_beats(documents, &name)?;
        let broken = seen.broken.into_iter().map(|beat| beat.why).collect();
        Ok(Self { record, last_heartbeat: seen.newest.and_then(|newest| newest.at()), broken })
    }
}

/// The registered servers with their last heartbeats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListServers {}

/// They.
#[derive(Debug, Serialize)]
pub struct Servers {
    /// Those that can be read.
    pub items: Vec<ShownServer>,
    /// The records of the registry that are no good.
    #[serde(skip)]
    pub troubles: Vec<RecordTrouble>,
}

impl Query for ListServers {
    type Answer = Servers;
    const HEARTBEATS: bool = true;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<Servers, Abort> {
        let registry: Table<Server> = documents.table()?;
        let items: Result<_, Abort> = registry.shared().map(|one| ShownServer::of(one, documents)).collect();
        Ok(Servers { items: items?, troubles: registry.troubles() })
    }
}

/// A registered server and its last heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowServer {
    pub name: ServerName,
}

impl Query for ShowServer {
    type Answer = ShownServer;
    const HEARTBEATS: bool = true;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<ShownServer, Abort> {
        let registry: Table<Server> = documents.table()?;
        let found = registry.shared().find(|server| server.id == self.name.as_str());
        ShownServer::of(found.ok_or_else(|| unknown(&self.name, Action::Show))?, documents)
    }
}

/// The refusal of a server that is not registered, when `action` was asked for.
pub(super) fn unknown(server: &ServerName, action: Action) -> Refusal {
    Refusal::ServerNotFound { server: server.to_string(), action }
}

/// A machine, as it registers a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThisMachine {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its own name.
    pub host: String,
}

impl ThisMachine {
    /// Whether it registered `server`, as far as the record tells.
    fn is_of(&self, server: &Server) -> bool {
        server.is_of(self.id.as_deref(), &self.host)
    }
}

/// Whose a name is, asked by a machine that has it or wants it. Where it matters, two machines under one name
/// take each other's jobs and locks for their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoseName {
    pub name: ServerName,
    /// Who asks.
    pub here: ThisMachine,
}

/// Whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// No server has it.
    Nobody,
    /// It is that of the machine that asks.
    Here,
    /// No machine joined as it, as with scripts, on another host than this if that is told: where the name was
    /// given in this hub it is that of whoever comes, and where it was given in another it is another's.
    OfNoMachine(Option<String>),
    /// It is that of another machine, with the name of that where it is told.
    Elsewhere(Option<String>),
}

impl Query for WhoseName {
    type Answer = Owner;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<Owner, Abort> {
        let registry: Table<Server> = documents.table()?;
        let Some(server) = registry.get(self.name.as_str()) else { return Ok(Owner::Nobody) };
        let is_on_this_host = server.host.as_ref() == Some(&self.here.host);
        Ok(match server.machine {
            None if !is_on_this_host => Owner::OfNoMachine(server.host.clone()),
            Some(_) if !self.here.is_of(server) => Owner::Elsewhere(server.host.clone()),
            _ => Owner::Here,
        })
    }
}

/// What the registry says of a name that a machine asks for to replace who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MayReplace(pub WhoseName);

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// That this very machine has it.
    Ours,
    /// That a machine has it whose home was copied to here, or from here.
    Copied,
    /// Anything else.
    Another,
}

impl Query for MayReplace {
    type Answer = Standing;
    const HEARTBEATS: bool = true;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<Standing, Abort> {
        let Self(WhoseName { name, here }) = self;
        let registry: Table<Server> = or_empty(documents)?;
        let Some(server) = registry.get(name.as_str()) else { return Ok(Standing::Another) };
        if server.machine.is_none() || server.machine != here.id {
            return Ok(Standing::Another);
        }
        let is_shared = seen_beats(documents, name)?.newest.is_some_and(|beat| beat.twins().is_some());
        Ok(if here.is_of(server) && !is_shared { Standing::Ours } else { Standing::Copied })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::held::MemoryDocuments;
    use crate::app::queries::tests::answer;
    use crate::domain::table::Row as _;

    fn hub() -> MemoryDocuments {
        let rows = [
            r#"{"id":"b1","host":"one","machine":"m1","labels":["gpu"],"x":1}"#,
            r#"{"id":"b2","host":"two"}"#,
            r#"{"id":"bad","host":["two"]}"#,
            r#"{"id":"b3","machine":"m3"}"#,
        ];
        let beat = |at: &str| format!(r#"{{"server":"b1","timestamp":"{at}"}}"#);
        MemoryDocuments::default()
            .rows(Server::PATH, "servers", &rows)
            .with("main", "b1/heartbeat.json", &beat("2025-11-10T11:00:00Z"))
            .with("heartbeat-b1", "b1/heartbeat.json", &beat("2025-11-10T11:59:00Z"))
            .with("main", "b2/heartbeat.json", "[")
    }

    fn name(name: &str) -> ServerName {
        ServerName::new(name).expect("a name")
    }

    fn whose(server: &str, id: Option<&str>, host: &str) -> WhoseName {
        let here = ThisMachine { id: id.map(str::to_owned), host: host.to_owned() };
        WhoseName { name: name(server), here }
    }

    #[test]
    fn a_server_is_shown_with_its_newest_beat_and_one_that_cannot_be_read_hides_no_other() {
        let list = ListServers {}.run(&hub(), crate::app::queries::tests::now()).expect("a list");
        let told: Vec<(&str, bool, usize)> = list
            .items
            .iter()
            .map(|one| (one.id.as_str(), one.last_heartbeat.is_some(), one.broken.len()))
            .collect();
        assert_eq!(told, [("b1", true, 0), ("b2", false, 1), ("b3", false, 0)]);
        assert_eq!(list.troubles.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["bad"]);
        let shown = answer(&ShowServer { name: name("b1") }, &hub()).expect("b1");
        assert_eq!((&shown["last_heartbeat"], &shown["x"]), (&json!("2025-11-10T11:59:00Z"), &json!(1)));
        assert_eq!(answer(&ShowServer { name: name("b9") }, &hub()), Err("server-not-found".to_owned()));
    }

    #[test]
    fn a_name_is_that_of_the_machine_that_registered_it() {
        let elsewhere = |host: Option<&str>| json!({"elsewhere": host});
        for (query, owner, standing) in [
            (whose("b9", None, "one"), json!("nobody"), "another"),
            (whose("b1", Some("m1"), "one"), json!("here"), "ours"),
            // The home was copied.
            (whose("b1", Some("m1"), "two"), elsewhere(Some("one")), "copied"),
            (whose("b1", Some("m2"), "one"), elsewhere(Some("one")), "another"),
            (whose("b1", None, "one"), json!("here"), "another"),
            // Of scripts.
            (whose("b2", None, "two"), json!("here"), "another"),
            (whose("b2", None, "one"), json!({"of_no_machine": "two"}), "another"),
            (whose("b3", Some("m1"), "one"), elsewhere(None), "another"),
        ] {
            assert_eq!(answer(&query, &hub()), Ok(owner), "{query:?}");
            assert_eq!(answer(&MayReplace(query.clone()), &hub()), Ok(json!(standing)), "{query:?}");
        }
    }
}
