//! What must hold of the registry of servers, and how servers leave it.

use super::audited::Audited;
use super::made::Made;
use super::state::place;
use crate::domain::finding::{About, Finding, HubFact, Thing};
use crate::domain::id::ServerName;
use crate::domain::server::Server;
use crate::domain::table::Table;
use std::collections::HashMap;

impl Audited for Server {
    fn judge(&self, found: &mut Vec<Finding>) {
        if let Err(error) = ServerName::new(&self.id) {
            found.push(of(self, HubFact::BadName(error.into())));
        }
    }

    fn judge_all(servers: &Table<Self>, _archives: &[Table<Self>], found: &mut Vec<Finding>) {
        let mut spellings: HashMap<String, &str> = HashMap::new();
        for (index, server) in servers.rows().enumerate() {
            let first = *spellings.entry(server.id.to_lowercase()).or_insert(&server.id);
            if first != server.id {
                let place = place::<Self>(servers.position(index), &server.id);
                let fact = HubFact::NamesAlike { other: first.to_owned() };
                found.push(of(server, fact).at(servers.path()).place(place));
            }
        }
    }

    // Our own operations take out only whom they were told to.
    fn judge_gone(before: &Self, made: Made, found: &mut Vec<Finding>) {
        if made.by_hand() {
            found.push(of(before, HubFact::ServerVanished));
        }
    }
}

fn of(server: &Server, fact: HubFact) -> Finding {
    Finding::new(fact, About::new(Thing::Server, &server.id))
}
