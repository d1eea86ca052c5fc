//! What must hold of the registry of servers, and how servers leave it.

use super::audited::Audited;
use super::finding::{Finding, Kind, named};
use super::made::Made;
use super::state::place;
use crate::domain::id::ServerName;
use crate::domain::server::Server;
use crate::domain::shell::typed;
use crate::domain::table::Table;
use std::collections::HashMap;

impl Audited for Server {
    fn judge(&self, found: &mut Vec<Finding>) {
        if let Err(error) = ServerName::new(&self.id) {
            let hint = "it is passed over: nobody can join or send under that name";
            found.push(Finding::new(Kind::BadName, error.to_string()).hint(hint));
        }
    }

    fn judge_all(servers: &Table<Self>, _archives: &[Table<Self>], found: &mut Vec<Finding>) {
        let mut spellings: HashMap<String, &str> = HashMap::new();
        for (index, server) in servers.rows().enumerate() {
            let first = *spellings.entry(server.id.to_lowercase()).or_insert(&server.id);
            if first != server.id {
                let what = format!(
                    "servers {} and {} differ in upper and lower case only",
                    named(first),
                    named(&server.id)
                );
                found.push(
                    Finding::new(Kind::NamesAlike, what)
                        .at(servers.path())
                        .place(place::<Self>(servers.position(index), &server.id))
                        .hint(
                            "some disks cannot tell their folders apart: let one of them join under another name",
                        ),
                );
            }
        }
    }

    // Our own operations take out only whom they were told to.
    fn judge_gone(before: &Self, made: Made, found: &mut Vec<Finding>) {
        if !made.by_hand() {
            return;
        }
        let name = typed(&before.id, "NAME");
        found.push(
            Finding::new(Kind::ServerVanished, format!("server {} is gone from the register", named(&before.id)))
                .hint(format!("it works on and nobody is told when it is lost: `git muster join --as {name}` on it brings it back; to take one out there is `git muster servers remove {name}`")),
        );
    }
}
