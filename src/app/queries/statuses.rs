//! Questions about what servers are doing, as they say themselves.

use super::Query;
use crate::app::documents::server_names;
use crate::domain::id::ServerName;
use crate::domain::record::Record;
use crate::domain::refusal::{Kind, Refusal};
use crate::domain::status::Status;
use crate::domain::time::Timestamp;
use crate::ledger::{Abort, Documents, LedgerError};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use std::ops::Deref;

/// A status and whose it is: older writers name it otherwise than the folder in which it lies, or not at all.
#[derive(Debug)]
pub struct ShownStatus {
    pub server: ServerName,
    status: Record<Status>,
}

impl Deref for ShownStatus {
    type Target = Status;
    fn deref(&self) -> &Status {
        &self.status
    }
}

impl Serialize for ShownStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = self.status.raw();
        if let Value::Object(fields) = &mut value {
            fields.entry("server").or_insert_with(|| self.server.as_str().into());
        }
        value.serialize(serializer)
    }
}

fn status_of(server: &ServerName, documents: &impl Documents) -> Result<Option<ShownStatus>, Abort> {
    let status = documents.record::<Status>(&Status::path(server))?;
    Ok(status.map(|status| ShownStatus { server: server.clone(), status }))
}

/// The statuses of all servers, registered or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListStatuses {}

/// They.
#[derive(Debug, Serialize)]
pub struct Statuses {
    /// Those that can be read, by name.
    pub items: Vec<ShownStatus>,
    /// What is wrong with those that cannot, and where they lie.
    pub broken: Vec<String>,
}

impl Query for ListStatuses {
    type Answer = Statuses;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<Statuses, Abort> {
        let registry = documents.table()?;
        let (mut items, mut broken) = (Vec::new(), Vec::new());
        for name in server_names(documents, &registry)? {
            match status_of(&name, documents) {
                Ok(status) => items.extend(status),
                Err(Abort::Fault(LedgerError::Document(error))) => broken.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(Statuses { items, broken })
    }
}

/// The status of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowStatus {
    /// Its name.
    pub server: ServerName,
}

impl Query for ShowStatus {
    type Answer = ShownStatus;

    fn run(&self, documents: &impl Documents, _: Timestamp) -> Result<ShownStatus, Abort> {
        let none = || Refusal::NotFound { kind: Kind::Status, id: self.server.to_string() };
        Ok(status_of(&self.server, documents)?.ok_or_else(none)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::held::MemoryDocuments;
    use crate::app::queries::tests::answer;
    use serde_json::json;

    #[test]
    fn a_status_is_that_of_its_folder_and_one_that_cannot_be_read_hides_no_other() {
        let hub = MemoryDocuments::of(&[
            ("coordination/servers.json", r#"{"servers": [{"id": "b3"}, {"id": "b4"}]}"#),
            ("b1/status.json", r#"{"status": "idle", "x": 1}"#),
            ("b2/status.json", "["),
            ("b3/status.json", r#"{"server": "other", "status": "building"}"#),
        ]);
        let list = answer(&ListStatuses {}, &hub).expect("a list");
        let items = list["items"].as_array().expect("items");
        assert_eq!(items[0], json!({"status": "idle", "x": 1, "server": "b1"}));
        assert_eq!((items.len(), &items[1]["server"]), (2, &json!("other")));
        assert_eq!(list["broken"].as_array().map(Vec::len), Some(1));
        let show = |name: &str| answer(&ShowStatus { server: ServerName::new(name).expect(name) }, &hub);
        assert_eq!(show("b1").expect("b1"), items[0]);
        assert_eq!(show("b4"), Err("not-found".to_owned()));
        assert!(show("b2").is_err_and(|why| why.contains("b2/status.json")));
    }
}
